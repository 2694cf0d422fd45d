import DPO
import Glibc

/// Preference-tune a model on a file of pairs, see how far it has moved, and export the adapter for llama.cpp.
///
///     swift run -c release quick-start model.gguf pairs.jsonl run
@main
struct QuickStart {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count == 4 else {
      print("usage: quick-start MODEL PAIRS OUTPUT-DIRECTORY")
      exit(2)
    }
    do {
      try await tune(model: arguments[1], pairs: arguments[2], output: arguments[3])
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  static func tune(model path: String, pairs: String, output: String) async throws {
    let options = TrainingOptions(
      method: .dpo(losses: [.sigmoid], beta: 0.1), optimization: .init(learningRate: 2e-4),
      batches: .init(perDeviceTrainBatchSize: 4, numTrainEpochs: 2),
      lora: .init(rank: 8, targetModules: ["all-linear"]))

    let model = try ModelFile.open(path)
    let trainer = try Trainer(
      model: model, data: model.dataset(.file(pairs), options: options.dataset()), options: options)
    print(trainer.plan.summary)
    // The run has a thread of its own. Leaving the loop stops it, and `.last` goes on where it stopped.
    for try await event in trainer.events(outputDirectory: output, resume: .last) {
      switch event {
      case .step(let record):
        print("step \(record.step) of \(record.totalSteps): margin \(record[.rewardsMargins] ?? 0)")
      case .note(let text): print(text)
      default: break
      }
    }

    // How far the model has moved: four answers to each of a few prompts, in nats.
    let adapter = "\(output)/final.h5"
    let (before, after) = (try LanguageModel(path: path), try LanguageModel(path: path, adapter: adapter))
    var generation = GenerationOptions()
    generation.maxNewTokens = 24
    generation.completionsPerPrompt = 4
    let prompts = try ChosenAnswers.read(pairs).prefix(8)
    let samples = try after.evaluateSamples(Array(prompts), reference: before, options: generation)
    if let kl = samples.kl { print("KL from the untrained model: \(kl.text) nats a completion") }

    try ModelFile.export(input: adapter, to: .ggufLoRA, output: "\(output)/adapter.gguf", overwrite: true)
    let check = try ExportCheck(input: adapter, data: pairs).measure("\(output)/adapter.gguf")
    print(check.warning ?? "the exported adapter ranks \(check.exported.accuracy * 100) % of the pairs right")
  }
}
