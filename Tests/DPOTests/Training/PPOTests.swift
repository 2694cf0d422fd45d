import DPO
import DPOPlatform
import TestSupport
import Testing

/// Runs of PPO: they learn, stop, go on and refuse as they should. Their numbers stand beside a plain PyTorch loop in
/// PPOTrajectoryTests.
@Suite(.timeLimit(.minutes(10))) struct PPOTests {
  /// The share of a completion's tokens that are even.
  static let even = Judge(identity: "even", readsText: false) { answers in
    answers.map { Double($0.completionTokens.count { $0 % 2 == 0 }) / Double($0.completionTokens.count) }
  }

  @Test(arguments: [0, 1, 2]) func aProgrammedRewardIsLearned(seed: Int) throws {
    let trainer = try rolloutTrainer {
      $0.batches.seed = seed
      $0.optimization.learningRate = 3e-3
      $0.batches.maxSteps = 200
      $0.batches.perDeviceTrainBatchSize = 16
      $0.method.klCoef = 0.01
      $0.optimization.lrSchedulerType = .constant
    }
    var scores: [Double] = []
    for _ in 0..<200 { scores.append(try #require(try trainer.takeStep()["objective/scores"])) }
    let (first, last) = (scores[..<20].reduce(0, +) / 20, scores[180...].reduce(0, +) / 20)
    // Half of the tokens are even. A completion of 12 fair tokens has a deviation of 0.14, a mean of 32 of them 0.026.
    #expect(abs(first - 0.5) < 0.15)
    #expect(last > first + 0.25, "seed \(seed): \(first) before, \(last) after")
  }

  @Test(arguments: ["full", "lora", "adaptive"]) func aResumedRunEndsInTheSameBits(kind: String) throws {
    let folder = try TemporaryDirectory()
    func make() throws -> Trainer {
      try rolloutTrainer {
        $0.lora.rank = kind == "full" ? 0 : 4
        $0.batches.maxSteps = 9
        $0.method.numPpoEpochs = 2
        $0.method.numMiniBatches = 2
        $0.files.saveSteps = 3
        if kind == "adaptive" {
          $0.method.klTarget = 1e-4
          $0.method.klHorizon = 20
        }
      }
    }
    let straight = try make()
    try straight.run(outputDirectory: "\(folder.path)/straight")
    // Stopped inside a rollout, at its end, and just before its steps.
    for (index, stop) in [2, 4, 5].enumerated() {
      let first = try make()
      #expect(throws: DPOError.self) {
        try first.run(outputDirectory: "\(folder.path)/\(index)") { event in
          if case .step(let record) = event { return record.step < stop }
          return true
        }
      }
      let second = try make()
      try second.run(outputDirectory: "\(folder.path)/\(index)", resume: .last)
      #expect(parameterBits(second) == parameterBits(straight), "stopped after \(stop)")
      #expect(try metricRows("\(folder.path)/\(index)") == metricRows("\(folder.path)/straight"))
    }
    let coefficients = try metricRows("\(folder.path)/straight").compactMap { $0["objective/kl_coef"]?.double }
    #expect(coefficients.count == 9 && (Set(coefficients).count > 1) == (kind == "adaptive"))
    // From a checkpoint inside a rollout that the run wrote on its way.
    let third = try make()
    try third.resume(from: "\(folder.path)/straight/checkpoint-6.h5")
    while third.step < 9 { try third.takeStep() }
    #expect(parameterBits(third) == parameterBits(straight))
  }

  @Test func aStepTellsWhatTRLTells() throws {
    let trainer = try rolloutTrainer { $0.method.missingEosPenalty = 1 }
    let record = try trainer.takeStep()
    for name: Metrics.Name in [
      "loss", "grad_norm", "learning_rate", "objective/kl", "objective/entropy", "objective/non_score_reward",
      "objective/rlhf_reward", "objective/scores", "policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg",
      "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg", "val/ratio", "val/num_eos_tokens",
      "val/explained_variance", "objective/kl_coef", "episode",
    ] {
      #expect(record[name]?.isFinite == true, "\(name)")
    }
    // Nothing has moved before the first step: π = π_ref = π_old, and the value function says 0.
    #expect(abs(record["objective/kl"] ?? 1) < 1e-5 && abs((record["val/ratio"] ?? 0) - 1) < 1e-6)
    #expect(record["val/explained_variance"] == 0 && record["episode"] == 8)
    // None of these completions ends by itself.
    #expect(record["val/num_eos_tokens"] == 0 && (record["objective/scores"] ?? 1) < 0)
    #expect((try trainer.evaluateWithoutData()) == .state)
  }

  @Test func evaluationDrawsTheSameCompletionsEachTime() throws {
    let trainer = try rolloutTrainer(evaluates: true) { $0.batches.maxSteps = 4 }
    let first = try trainer.evaluate()
    #expect(try trainer.evaluate().metrics.map(\.value) == first.metrics.map(\.value))
    #expect(first["eval_objective/scores"] != nil && abs(first["eval_objective/kl"] ?? 1) < 1e-5)
    try trainer.takeStep()
    #expect(try trainer.evaluate()["eval_objective/kl"] != first["eval_objective/kl"])
  }

  @Test func aPolicyThatLeavesItsReferenceStopsWithTheLastGoodCheckpoint() throws {
    let folder = try TemporaryDirectory()
    func make(_ change: @escaping (inout TrainingOptions) -> Void = { _ in }) throws -> Trainer {
      try rolloutTrainer {
        $0.lora.rank = 4
        $0.optimization.learningRate = 1e-2
        $0.batches.maxSteps = 120
        $0.files.saveSteps = 6
        $0.optimization.lrSchedulerType = .constant
        $0.method.maxKl = 0.3
        change(&$0)
      }
    }
    let error = #expect(throws: DPOError.self) { try make().run(outputDirectory: folder.path) }
    #expect(error?.code == .diverged, "\(error?.message ?? "")")
    let path = try #require(error?.message.split(separator: " ").last.map(String.init))
    #expect(path.hasPrefix(folder.path) && error?.message.contains("max_kl is 0.3") == true)
    #expect(fileKind("\(folder.path)/report.html") == .file)
    // It stands at the start of a rollout that was within the limit, and a gentler run goes on from it.
    let gentle = try make {
      $0.optimization.learningRate = 1e-5
      $0.method.maxKl = 5
    }
    try gentle.resume(from: path)
    let step = gentle.step
    #expect(step > 0 && step % 4 == 0)
    #expect((try gentle.takeStep()["objective/kl"] ?? 1) <= 0.3)
    for _ in 0..<7 { try gentle.takeStep() }
    #expect(gentle.step == step + 8)
    // The same steps without a limit go on.
    let boundless = try make { $0.method.maxKl = nil }
    #expect(try boundless.run(outputDirectory: "\(folder.path)/boundless").steps == 120)
  }

  @Test func judgesThatFailAreErrorsAndNothingIsApplied() throws {
    let failing: [(Judge, DPOError.Code)] = [
      (Judge(identity: "x", readsText: false) { _ in throw DPOError(.io, "gone") }, .io),
      (Judge(identity: "x", readsText: false) { $0.map { _ in Double.nan } }, .format),
      (Judge(identity: "x", readsText: false) { $0.map { _ in -Double.infinity } }, .format),
      (Judge(identity: "x", readsText: false) { _ in [1] }, .format),
    ]
    for (judge, code) in failing {
      let trainer = try rolloutTrainer()
      let before = parameterBits(trainer)
      try trainer.setReward(judge)
      let error = #expect(throws: DPOError.self) { try trainer.takeStep() }
      #expect(error?.code == code && error?.message.contains("step 1") == true)
      #expect(parameterBits(trainer) == before && trainer.step == 0)
      try trainer.setReward(PPOTests.even)
      try trainer.takeStep()
    }
    let trainer = try rolloutTrainer()
    try trainer.setReward(nil)
    #expect(throws: DPOError.self) { try trainer.takeStep() }
  }

  @Test func wrongUsesAreErrors() throws {
    func refused(
      _ code: DPOError.Code, _ words: String, reward: Judge? = PPOTests.even, data: String = "data/pairs.jsonl",
      _ change: @escaping (inout TrainingOptions) -> Void = { _ in }
    ) {
      let error = #expect(throws: DPOError.self) { try rolloutTrainer(reward: reward, data: data, change) }
      #expect(error?.code == code && error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
    refused(.invalidArgument, "num_mini_batches") { $0.method.numMiniBatches = 3 }
    refused(.invalidArgument, "precompute_ref_log_probs") { $0.method.precomputeRefLogProbs = true }
    refused(.invalidArgument, "at most") { $0.batches.perDeviceTrainBatchSize = 1 << 30 }
    refused(.format, "\"prompt\"", data: "data/text.jsonl")
    refused(.memory, "key-value cache") {
      $0.machine.memoryLimitMb = 1
      $0.method.maxCompletionLength = 200
    }
    // Prompts that leave no room for an answer.
    let prompts = try TemporaryDirectory()
    try writeFile("\(prompts.path)/long.jsonl", #"{"prompt": ""# + String(repeating: "a film ", count: 999) + #""}"#)
    refused(.format, "context of", data: "\(prompts.path)/long.jsonl") { $0.rows.maxLength = nil }
    refused(.invalidArgument, "without a reward") { $0 = TrainingOptions() }
    // A reward model of another tokenizer; one of the same is taken.
    let qwen = try LanguageModel(
      path: Fixtures.path("models/qwen2"), adapter: Fixtures.path("adapters/qwen2-lora-reward-final"))
    refused(.mismatch, "tokenizer", reward: try .rewardModel(qwen))
    let own = try LanguageModel(
      path: Fixtures.path("models/llama-tied"), adapter: Fixtures.path("adapters/llama-tied-lora-reward-chat-final"))
    let trainer = try rolloutTrainer(reward: .rewardModel(own))
    #expect(try trainer.takeStep()["objective/scores"] != 0)
    // A run without a reward ends before it begins.
    let folder = try TemporaryDirectory()
    let without = try rolloutTrainer(reward: nil)
    #expect(throws: DPOError.self) { try without.run(outputDirectory: "\(folder.path)/run") }
    #expect(fileKind("\(folder.path)/run") == .none)
    #expect(throws: DPOError.self) { try without.forward(rows: [0]) }
    var options = TrainingOptions()
    options.method.name = "ppo"
    let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    #expect(throws: DPOError.self) { try Trainer.evaluate(model: model, data: data, options: options) }
  }

  @Test(arguments: [false, true]) func theValueFunctionStaysInOurFilesAndLeavesOthersAlone(lora: Bool) throws {
    let folder = try TemporaryDirectory()
    let base = Fixtures.path("models/llama-tied")
    let final = "\(folder.path)/run/final.h5"
    func change(_ options: inout TrainingOptions) {
      options.lora.rank = lora ? 4 : 0
      options.batches.maxSteps = 4
    }
    let trainer = try rolloutTrainer(change)
    try trainer.run(outputDirectory: "\(folder.path)/run")
    let name = lora ? "base_model.model.v_head.weight" : "v_head.weight"
    let entry = try #require(trainer.parameters[name])
    let values = (0..<entry.count).map { trainer.parameters.values.pointer[entry.offset + $0] }
    #expect(values.contains { $0 != 0 })

    let trained = lora ? try LanguageModel(path: base, adapter: final) : try LanguageModel(path: final)
    #expect(trained.configuration.heads == .languageAndValue)
    var generation = GenerationOptions()
    generation.maxNewTokens = 4
    #expect(try trained.generate([[1, 2, 3]], options: generation)[0][0].tokens.count > 0)
    let score = try trained.score(prompts: [[1, 2]], completions: [(0, [3, 4])])[0].logProb

    // Exported, the policy is a language model like any other.
    try ModelFile.export(input: final, to: .safetensors, merge: lora, output: "\(folder.path)/hf")
    var others = [try LanguageModel(path: "\(folder.path)/hf")]
    try ModelFile.export(input: final, to: .gguf, merge: lora, output: "\(folder.path)/m.gguf")
    others.append(try LanguageModel(path: "\(folder.path)/m.gguf"))
    if lora {
      try ModelFile.export(input: final, to: .peft, output: "\(folder.path)/peft")
      try ModelFile.export(input: final, to: .ggufLoRA, output: "\(folder.path)/l.gguf")
      others.append(try LanguageModel(path: base, adapter: "\(folder.path)/peft"))
    }
    for other in others {
      #expect(other.configuration.heads == .language)
      #expect(abs(try other.score(prompts: [[1, 2]], completions: [(0, [3, 4])])[0].logProb - score) < 1e-4)
    }

    // Training goes on with the value function, or without it.
    var options = TrainingOptions()
    for method in ["ppo", "dpo"] {
      options.method.name = method
      options.batches.maxSteps = 2
      let file = try ModelFile.open(lora ? base : final)
      let data = try file.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
      let next = try Trainer(
        model: file, adapter: lora ? AdapterFile.open(final, for: file) : nil, data: data,
        reward: method == "ppo" ? PPOTests.even : nil, options: options)
      let found = next.parameters[name].map { entry in
        (0..<entry.count).map { next.parameters.values.pointer[entry.offset + $0] }
      }
      #expect(found == (method == "ppo" ? values : nil))
      try next.takeStep()
    }
  }
}

extension Trainer {
  fileprivate func evaluateWithoutData() throws -> DPOError.Code? {
    do { try _ = evaluate() } catch let error as DPOError { return error.code }
    return nil
  }
}

// MARK: - Shared with the tests of the other methods that draw completions

/// A trainer on the prompts of the pairs.
func rolloutTrainer(
  reward: Judge? = PPOTests.even, data: String = "data/pairs.jsonl", evaluates: Bool = false,
  _ change: (inout TrainingOptions) -> Void = { _ in }
) throws -> Trainer {
  var options = TrainingOptions()
  options.method.name = "ppo"
  options.batches.perDeviceTrainBatchSize = 4
  options.batches.gradientAccumulationSteps = 2
  options.optimization.learningRate = 1e-3
  options.method.maxCompletionLength = 12
  options.method.temperature = 1
  options.batches.maxSteps = 8
  change(&options)
  let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
  let rows = try model.dataset(.file(data.hasPrefix("/") ? data : Fixtures.path(data)), options: options.dataset())
  return try Trainer(
    model: model, data: rows, evaluation: evaluates ? rows : nil, reward: reward, options: options)
}
