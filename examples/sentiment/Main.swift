import DPO
import Glibc

/// The paper's controlled sentiment experiment (section 6.1) in small: a language model continues the beginnings of film
/// reviews; a classifier of human ratings says which of its own continuations is the more positive; DPO learns that; and
/// beginnings that nobody has seen show whether the reward rose, and how far the model moved (KL) for it.
@main
struct Experiment {
  let model: LanguageModel
  let judge: TextClassifier
  let prompts: (train: [String], valid: [String], test: [String])
  let output: String

  /// Chosen on the validation films.
  static let newTokens = 24
  static let samplesPerPrompt = 4
  static let gap = 1.0
  static let seed: UInt64 = 42

  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4 else {
      print("usage: sentiment-demo MODEL DATA-DIRECTORY OUTPUT-DIRECTORY")
      exit(2)
    }
    do {
      let learned = try Experiment(model: arguments[1], data: arguments[2], output: arguments[3]).run()
      exit(learned ? 0 : 1)
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  init(model path: String, data: String, output: String) throws {
    print("1. A judge of sentiment, from human ratings of film reviews")
    var texts: [String: (texts: [String], labels: [Bool])] = [:]
    try RowFile("\(data)/sentiment.jsonl").forEach { row, _ in
      guard let text = row["text"]?.string, let split = row["split"]?.string else { return }
      texts[split, default: ([], [])].texts.append(text)
      texts[split, default: ([], [])].labels.append(row["label"]?.int == 1)
    }
    let (train, test) = (texts["train"] ?? ([], []), texts["test"] ?? ([], []))
    judge = try TextClassifier.train(texts: train.texts, labels: train.labels)
    let quality = ClassifierQuality(scores: test.texts.map(judge.logOdds), labels: test.labels)
    print(
      "  \(train.texts.count) sentences; on \(quality.count) of other films: accuracy \(rounded(quality.accuracy)) "
        + "(always the commoner label: \(rounded(quality.majority))), AUC \(rounded(quality.auc))")

    var beginnings: [String: [String]] = [:]
    try RowFile("\(data)/sentiment_prompts.jsonl").forEach { row, _ in
      guard let prompt = row["prompt"]?.string, let split = row["split"]?.string else { return }
      beginnings[split, default: []].append(prompt)
    }
    func some(_ split: String, _ count: Int) -> [String] {
      let all = beginnings[split] ?? []
      return MersenneTwister.permutation(all.count, seed: UInt32(Experiment.seed)).prefix(count).map { all[$0] }
    }
    prompts = (some("train", 320), some("valid", 24), some("test", 96))
    model = try LanguageModel(path: path)
    self.output = output
  }

  /// True when the reward rose beyond doubt.
  func run() throws -> Bool {
    print("2. \(Experiment.samplesPerPrompt) continuations of \(prompts.train.count) review beginnings, judged")
    let own = try sample(model, prompts.train, seed: 1, "sampling")
    var rows: [JSONObject] = []
    for (index, rewards) in own.rewards.enumerated() {
      guard let (best, worst) = bestAgainstWorst(rewards, gap: Experiment.gap) else { continue }
      rows.append([
        "prompt": .string(prompts.train[index]), "chosen": .string(own.texts[index][best]),
        "rejected": .string(own.texts[index][worst]),
      ])
    }
    print("  \(rows.count) pairs whose log-odds of being positive are at least \(Experiment.gap) apart")

    print("3. DPO with a LoRA adapter over the quantised file")
    let options = Experiment.options
    let data = try model.file.dataset(.rows(rows), options: options.dataset())
    let trainer = try Trainer(model: model.file, data: data, options: options)
    print("  \(trainer.plan.summary)")
    var progress = Phase("training step", total: trainer.plan.steps)
    var records: [JSON] = []
    let result = try trainer.run(outputDirectory: output) { event in
      switch event {
      case .step(let record):
        records.append(record.json)
        progress.show(
          record.step,
          "margin \(rounded(record["rewards/margins"] ?? 0)), accuracy \(rounded(record["rewards/accuracies"] ?? 0))")
      case .saved(let path) where path != "\(output)/final.h5":
        // What the model says by now, for the curves of reward and KL.
        var record = records.removeLast().object ?? [:]
        let tuned = try LanguageModel(path: model.file.path, adapter: path)
        let samples = try sample(tuned, prompts.valid, seed: 3, "samples after step \(record["step"] ?? 0)")
        record["eval_objective/scores"] = .real(mean(samples.rewards.map(mean)))
        record["eval_objective/kl"] = .real(mean(try divergence(of: tuned, samples, prompts.valid)))
        records.append(.object(record))
      default: break
      }
      return true
    }

    print("4. \(prompts.test.count) beginnings of other films' reviews, before and after")
    let tuned = try LanguageModel(path: model.file.path, adapter: result.modelPath)
    let before = try sample(model, prompts.test, seed: 2, "before")
    let after = try sample(tuned, prompts.test, seed: 2, "after")
    let kl = try divergence(of: tuned, after, prompts.test)

    let rewards = (before.rewards.map(mean), after.rewards.map(mean))
    let positive = (before.rewards.map(share), after.rewards.map(share))
    let change = estimate(zip(rewards.1, rewards.0).map { $0 - $1 })
    let measured: [RunReport.Comparison] = [
      .init(name: "reward: log-odds of positive", before: estimate(rewards.0), after: estimate(rewards.1)),
      .init(name: "share of positive continuations", before: estimate(positive.0), after: estimate(positive.1)),
      .init(name: "KL from the untrained model, nats a continuation", before: nil, after: estimate(kl)),
    ]
    for row in measured { print("  \(row.name): \(row.before.map { $0.text + " → " } ?? "")\(row.after.text)") }

    let learned = change.low > 0
    let verdict =
      learned
      ? "reward \(change.value > 0 ? "+" : "")\(change.text) at a KL of \(rounded(estimate(kl).value)) nats: the model learned the preference."
      : "reward \(change.text): no improvement beyond doubt on unseen beginnings."
    try report(
      records, data: data, options: options, verdict: verdict, comparisons: measured, before: before, after: after)
    try saveNumbers(quality: rows.count, change: change, measured: measured)
    try export(result.modelPath)
    print("\nVERDICT: \(verdict)")
    return learned
  }

  static var options: TrainingOptions {
    TrainingOptions(
      method: .dpo(beta: 0.1),
      optimization: .init(learningRate: 4e-4, lrSchedulerType: .cosine, warmupSteps: 0.1),
      batches: .init(perDeviceTrainBatchSize: 16, numTrainEpochs: 2),
      lora: .init(rank: 16, alpha: 32, targetModules: ["all-linear"]),
      files: .init(saveSteps: 6, saveTotalLimit: 1, overwriteOutputDir: true))
  }

  private func sample(_ model: LanguageModel, _ prompts: [String], seed: UInt64, _ phase: String) throws -> Samples {
    try model.sample(
      prompts, count: Experiment.samplesPerPrompt, newTokens: Experiment.newTokens,
      seed: Experiment.seed &* 1000 &+ seed,
      judge: judge, phase: phase)
  }

  /// KL(π‖π_ref) of each prompt: the mean of log π(y|x) − log π_ref(y|x) over samples y of π.
  private func divergence(of tuned: LanguageModel, _ samples: Samples, _ prompts: [String]) throws -> [Double] {
    zip(try tuned.logProbs(prompts, samples), try model.logProbs(prompts, samples)).map { policy, reference in
      mean(zip(policy, reference).map { $0 - $1 })
    }
  }

  private func estimate(_ groups: [Double]) -> Estimate { Estimate(bootstrap: groups, seed: Experiment.seed) }
  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }
  private func share(_ rewards: [Double]) -> Double { mean(rewards.map { $0 > 0 ? 1 : 0 }) }

  // MARK: - What is kept

  private func report(
    _ records: [JSON], data: TokenizedDataset, options: TrainingOptions, verdict: String,
    comparisons: [RunReport.Comparison], before: Samples, after: Samples
  ) throws {
    let samples = prompts.test.indices.prefix(12).map { index in
      RunReport.Sample(
        prompt: prompts.test[index], before: before.texts[index][0], after: after.texts[index][0],
        beforeScore: before.rewards[index][0], afterScore: after.rewards[index][0])
    }
    var settings = options.json.object ?? [:]
    settings["model"] = .string(String(model.file.path.split(separator: "/").last ?? ""))
    var report = RunReport(settings: .object(settings), data: data.report.json, metrics: records, samples: samples)
    report.title = "A small language model learns to like films"
    report.verdict = verdict
    report.comparisons = comparisons
    report.comparisonNote =
      "Measured once, with the finished model, on the beginnings of \(prompts.test.count) reviews of films that neither training "
      + "nor the curves have seen. The curves' held-out points are measured during training on \(prompts.valid.count) other "
      + "beginnings, so their score and KL are not the same numbers."
    try save(report.html(), as: "report.html")
    try save(report.curvesSVG(), as: "curves.svg")
  }

  private func saveNumbers(
    quality pairs: Int, change: Estimate, measured: [RunReport.Comparison]
  ) throws {
    var object: JSONObject = [
      "train_prompts": .int(prompts.train.count), "pairs": .int(pairs), "test_prompts": .int(prompts.test.count),
      "samples_per_prompt": .int(Experiment.samplesPerPrompt), "reward_change": change.json,
    ]
    for row in measured { object[row.name] = ["before": row.before?.json ?? .null, "after": row.after.json] }
    try save(JSON.object(object).pretty, as: "numbers.json")
  }

  private func save(_ text: String, as name: String) throws {
    guard let file = fopen("\(output)/\(name)", "w") else { throw CannotWrite(path: "\(output)/\(name)") }
    let isWritten = fputs(text, file) >= 0
    guard fclose(file) == 0, isWritten else { throw CannotWrite(path: "\(output)/\(name)") }
  }

  private struct CannotWrite: Error, CustomStringConvertible {
    let path: String
    var description: String { "\(path): cannot write" }
  }

  private func export(_ adapter: String) throws {
    try ModelFile.export(input: adapter, to: .peft, output: "\(output)/adapter-peft", overwrite: true)
    try ModelFile.export(input: adapter, to: .ggufLoRA, output: "\(output)/adapter.gguf", overwrite: true)
    print(
      """

      In \(output):
        report.html      what happened, in words, curves and samples
        curves.svg       the curves alone
        numbers.json     what was measured
        final.h5         the adapter, libdpo's own file
        adapter.gguf     the adapter for llama.cpp: llama-cli -m MODEL.gguf --lora adapter.gguf
        adapter-peft/    the adapter for PEFT: PeftModel.from_pretrained(model, "adapter-peft")
      """)
  }
}
