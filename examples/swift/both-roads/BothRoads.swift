import DPO
import Glibc

/// The paper's two roads from raw text: pretraining, SFT, samples, markup, and then a reward model and PPO, or DPO.
///
///     python3 examples/data/fetch_paper.py .cache data && python3 examples/data/corpus.py data
///     swift run -c release both-roads data out 100            steps of each stage
///
/// docs/pipeline.md goes the same way with the `dpo` command and explains the stages.
@main
struct BothRoads {
  let data, out: String
  let steps: Int

  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let steps = Int(arguments[3]), steps > 0 else {
      print("usage: both-roads DATA-DIRECTORY OUTPUT-DIRECTORY STEPS")
      exit(2)
    }
    do {
      try BothRoads(data: arguments[1], out: arguments[2], steps: steps).run()
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  func run() throws {
    let fresh = try freshModel()
    let base = try train(.pretrain(), from: fresh, on: "\(data)/corpus.jsonl", rate: 3e-3)
    let sft = try train(.sft(), from: base, on: "\(data)/demonstrations.jsonl", rate: 1e-3)

    let prompts = try PromptRow.read("\(data)/prompts.jsonl")
    let pairs = try markUp(prompts, with: sft, to: "\(out)/pairs.jsonl")
    let unseen = try markUp(PromptRow.read("\(data)/test_prompts.jsonl"), with: sft, to: "\(out)/test_pairs.jsonl")

    let rewardModel = try LanguageModel(train(.reward(), from: sft, on: pairs, rate: 1e-4))
    let ppo = try train(
      .ppo(klCoef: 0.05, maxCompletionLength: 24), from: sft, on: "\(data)/prompts.jsonl", rate: 1e-4,
      reward: .rewardModel(rewardModel))
    let dpo = try train(.dpo(beta: 0.1), from: sft, on: pairs, rate: 1e-4)

    for (name, policy) in [("SFT", sft), ("PPO", ppo), ("DPO", dpo)] {
      let found = try LanguageModel(policy).evaluateSamples(
        ChosenAnswers.read(unseen), reference: LanguageModel(sft), options: drawing(2), judge: judge)
      print("\(name): win rate \(found.wins?.rate.text ?? "-"), KL from SFT \(found.predictionKL?.text ?? "-")")
    }
  }

  /// A byte-level BPE tokenizer of the corpus, and a small Llama that has learned nothing.
  func freshModel() throws -> ModelFile {
    var options = TokenizerTrainer.Options()
    options.vocabularySize = 2048
    var trainer = try TokenizerTrainer(options)
    try TextCorpus(["\(data)/corpus.jsonl"]).forEach { text, _ in try trainer.add(text) }
    var shape = ModelShape()
    shape.hiddenSize = 128
    shape.contextLength = 512
    return try ModelFile.make(shape, tokenizer: trainer.train())
  }

  /// Every stage is the one trainer with another method.
  func train(
    _ method: TrainingOptions.Method, from model: ModelFile, on rows: String, rate: Double, reward: Judge? = nil
  ) throws -> ModelFile {
    let options = TrainingOptions(
      method: method, optimization: .init(learningRate: rate), batches: .init(maxSteps: steps),
      rows: .init(maxLength: 320))
    let data = try model.dataset(.file(rows), options: options.dataset())
    let trainer = try Trainer(model: model, data: data, reward: reward, options: options)
    let result = try trainer.run(outputDirectory: "\(out)/\(method.name)")
    print("\(method.name): \(result.steps) steps, loss \(result.last?[.loss] ?? .nan)")
    return try ModelFile.open(result.modelPath)
  }

  /// Four answers to each prompt, and pairs of the best and the worst.
  func markUp(_ prompts: [PromptRow], with model: ModelFile, to pairs: String) throws -> String {
    let samples = "\(pairs).samples"
    try LanguageModel(model).sample(prompts, options: drawing(4), to: samples)
    let result = try LabelRow.label(LabelRow.read(samples), judge: judge, options: LabelOptions(), to: pairs)
    print("\(pairs): \(result.written) pairs")
    return pairs
  }

  func drawing(_ answers: Int) -> GenerationOptions {
    var options = GenerationOptions()
    options.maxNewTokens = 24
    options.completionsPerPrompt = answers
    return options
  }

  /// Prefers answers that stay with the text: the share of their words that the prompt has. A person, a classifier or another
  /// program can stand here.
  var judge: Judge {
    @Sendable func words(_ content: Content) -> [Substring] {
      content.text.lowercased().split { !$0.isLetter && !$0.isNumber }
    }
    return Judge(identity: "stays with the text") { prompt, answers in
      let known = Set(words(prompt))
      return answers.map { answer in
        let said = words(answer)
        return said.isEmpty ? 0 : Double(said.count { known.contains($0) }) / Double(said.count)
      }
    }
  }
}
