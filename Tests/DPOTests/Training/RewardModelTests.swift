import DPO
import DPOPlatform
import TestSupport
import Testing

/// Reward models after their training: files, scores, calibration, wrong uses. The training itself stands beside TRL's in
/// TRLTrajectoryTests.
@Suite(.timeLimit(.minutes(10))) struct RewardModelTests {
  static let adapters = ["qwen2-lora-reward", "llama-tied-lora-reward-chat"]

  @Test(arguments: adapters) func anAdapterOfPEFTsEvaluatesAsInTRL(name: String) throws {
    let golden = try Fixtures.json("golden/trl/\(name).json")
    func path(_ key: String) throws -> String { Fixtures.path(try #require(golden[key]?.string)) }
    let model = try ModelFile.open(path("model"))
    var options = TrainingOptions()
    options.method.name = "reward"
    options.batches.perDeviceEvalBatchSize = 5
    let data = try model.dataset(.file(path("data")), options: options.dataset())
    let adapter = try AdapterFile.open(path("final_adapter"), for: model)
    let record = try Trainer.evaluate(model: model, adapter: adapter, data: data, options: options)
    for name in [Metrics.Name.loss, .accuracy, .margin, .minReward, .meanReward, .maxReward] {
      let want = try #require(golden["evaluation"]?["eval_\(name)"]?.double)
      let found = try #require(record[name])
      #expect(abs(found - want) < 1e-5, "\(name): \(found), TRL \(want)")
    }
  }

  @Test(arguments: [false, true]) func whatWasTrainedScoresTheSameFromEveryFile(lora: Bool) throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer { $0.lora.rank = lora ? 4 : 0 }
    try trainer.run(outputDirectory: "\(folder.path)/run")
    let base = Fixtures.path("models/llama-tied")
    let final = "\(folder.path)/run/final.h5"
    let trained = lora ? try LanguageModel(path: base, adapter: final) : try LanguageModel(path: final)
    #expect(trained.isRewardModel)
    let texts = [
      ("The film was", " a joy to watch."), ("The film was", " a waste of time."), ("Straße", ": très bien!"),
    ]
    let scores = try trained.rewards(texts: texts)
    #expect(Set(scores).count == 3)

    try ModelFile.export(input: final, to: .safetensors, merge: lora, output: "\(folder.path)/hf")
    try ModelFile.export(input: final, to: .hdf5, merge: lora, output: "\(folder.path)/whole.h5")
    var others = try ["\(folder.path)/hf", "\(folder.path)/whole.h5"].map { try LanguageModel(path: $0) }
    if lora {
      try ModelFile.export(input: final, to: .peft, output: "\(folder.path)/peft")
      try ModelFile.export(input: "\(folder.path)/peft", adapter: nil, to: .hdf5, output: "\(folder.path)/again.h5")
      for adapter in ["peft", "again.h5"] {
        others.append(try LanguageModel(path: base, adapter: "\(folder.path)/\(adapter)"))
      }
    }
    for other in others {
      #expect(other.isRewardModel)
      for (found, want) in zip(try other.rewards(texts: texts), scores) { #expect(abs(found - want) < 2e-5) }
    }
    // llama.cpp has no place for a score.
    for format in [ExportFormat.gguf] + (lora ? [.ggufLoRA] : []) {
      let error = #expect(throws: DPOError.self) {
        try ModelFile.export(input: final, to: format, merge: lora && format == .gguf, output: "\(folder.path)/x.gguf")
      }
      #expect(error?.code == .unsupported)
    }
  }

  @Test func scoresDoNotDependOnTheOtherRows() throws {
    let model = try LanguageModel(
      path: Fixtures.path("models/qwen2"), adapter: Fixtures.path("adapters/qwen2-lora-reward-final"))
    var options = DatasetOptions(.preference)
    options.maxLength = nil
    let data = try model.file.dataset(.file(Fixtures.path("data/shared.jsonl")), options: options)
    let together = try model.rewards(data, rows: Array(0..<data.count))
    for row in 0..<data.count {
      let alone = try model.rewards(data, rows: [row])
      #expect(zip(alone, together[2 * row..<2 * row + 2]).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }

  @Test func calibrationErrorIsZeroForHonestMarginsAndLargeForBoastfulOnes() {
    // A margin of ln 3 says 75 %: three of four pairs are right.
    let honest = [log(3.0), log(3.0), log(3.0), -log(3.0)]
    #expect(abs(pairCalibrationError(margins: honest)) < 1e-12)
    #expect(abs(pairCalibrationError(margins: [20, -20]) - 0.5) < 1e-6)
    #expect(pairCalibrationError(margins: [0, 0]) == 0)
    #expect(pairCalibrationError(margins: []) == 0)
  }

  @Test func longRowsAreLeftOutNotCut() throws {
    var options = TrainingOptions()
    options.method.name = "reward"
    options.rows.maxLength = 24
    let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    #expect(data.report.droppedRows > 0 && data.report.truncatedRows == 0)
    #expect(data.longestRow <= 24)
  }

  @Test func wrongUsesAreErrors() throws {
    let base = Fixtures.path("models/qwen2")
    let adapter = Fixtures.path("adapters/qwen2-lora-reward-final")
    let reward = try LanguageModel(path: base, adapter: adapter)
    let language = try LanguageModel(path: base)
    func code(_ body: () throws -> Void) -> DPOError.Code? { #expect(throws: DPOError.self) { try body() }?.code }
    #expect(code { _ = try language.rewards(texts: [("a", "b")]) } == .unsupported)
    #expect(code { _ = try reward.score(texts: [("a", "b")]) } == .unsupported)
    #expect(code { _ = try reward.generate([[1, 2]], options: GenerationOptions()) } == .unsupported)
    // A language model's adapter is none of a reward model, nor the other way round.
    var options = TrainingOptions()
    let file = try ModelFile.open(base)
    let pairs = try file.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    let ofReward = try AdapterFile.open(adapter, for: file)
    let ofLanguage = try AdapterFile.open(Fixtures.path("adapters/qwen2-random"), for: file)
    #expect(code { _ = try Trainer(model: file, adapter: ofReward, data: pairs, options: options) } == .mismatch)
    options.method.name = "reward"
    #expect(code { _ = try Trainer(model: file, adapter: ofLanguage, data: pairs, options: options) } == .mismatch)
    #expect(code { _ = try Trainer.evaluate(model: file, data: pairs, options: options) } == .invalidArgument)
    // Scores of a model with more than one label are not rewards.
    let folder = try TemporaryDirectory()
    try ModelFile.export(input: base, adapter: adapter, to: .safetensors, merge: true, output: "\(folder.path)/hf")
    let config = "\(folder.path)/hf/config.json"
    var json = try JSON.parse(readFile(config, limit: 1 << 20), file: config).object ?? [:]
    json["id2label"] = ["0": "a", "1": "b"]
    try writeFile(config, JSON.object(json).description)
    #expect(code { _ = try LanguageModel(path: "\(folder.path)/hf") } == .unsupported)
  }

  private func makeTrainer(_ change: (inout TrainingOptions) -> Void) throws -> Trainer {
    var options = TrainingOptions()
    options.method.name = "reward"
    options.optimization.learningRate = 1e-2
    options.batches.perDeviceTrainBatchSize = 4
    options.batches.maxSteps = 6
    change(&options)
    let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    return try Trainer(model: model, data: data, options: options)
  }
}
