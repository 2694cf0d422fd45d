import DPO
import DPOPlatform
import TestSupport
import Testing

/// RLOO, GRPO and online DPO: PPO's rollouts under other losses.
@Suite(.timeLimit(.minutes(10))) struct GroupMethodTests {
  static let methods = ["rloo", "grpo", "online_dpo"]

  @Test(arguments: methods) func aProgrammedRewardIsLearned(method: String) throws {
    let trainer = try rolloutTrainer {
      $0.method.name = method
      $0.optimization.learningRate = 3e-3
      $0.batches.maxSteps = 120
      $0.batches.perDeviceTrainBatchSize = method == "online_dpo" ? 4 : 16
      $0.method.numGenerations = 4
      if method != "online_dpo" { $0.method.klCoef = 0.01 }
      $0.optimization.lrSchedulerType = .constant
    }
    var scores: [Double] = []
    for _ in 0..<120 { scores.append(try #require(try trainer.takeStep()["objective/scores"])) }
    let (first, last) = (scores[..<10].reduce(0, +) / 10, scores[110...].reduce(0, +) / 10)
    #expect(last > first + 0.2, "\(method): \(first) before, \(last) after")
  }

  /// As in TRL, whose GRPO has no penalty unless one is asked for.
  @Test func penaltiesAreThoseOfTheMethodsUnlessGiven() throws {
    for (method, given, expected) in [("rloo", nil, 0.05), ("grpo", nil, 0), ("grpo", 0.02, 0.02)]
      as [(String, Double?, Double)]
    {
      let trainer = try rolloutTrainer {
        $0.method.name = method
        $0.method.klCoef = given
        $0.method.numGenerations = 2
      }
      #expect(trainer.countedOperations(step: 0) == 0, "nothing is drawn yet")
      #expect(try trainer.takeStep()["objective/kl_coef"] == expected)
      #expect(trainer.countedOperations(step: 0) > 0)
    }
  }

  @Test(arguments: methods) func aResumedRunEndsInTheSameBits(method: String) throws {
    let folder = try TemporaryDirectory()
    func make() throws -> Trainer {
      try rolloutTrainer {
        $0.method.name = method
        $0.lora.rank = 4
        $0.method.numGenerations = 2
        $0.method.numPpoEpochs = 2
        $0.method.numMiniBatches = 2
        $0.batches.maxSteps = 7
      }
    }
    let straight = try make()
    try straight.run(outputDirectory: "\(folder.path)/straight")
    let first = try make()
    #expect(throws: DPOError.self) {
      try first.run(outputDirectory: "\(folder.path)/stopped") { event in
        if case .step(let record) = event { return record.step < 6 }
        return true
      }
    }
    let second = try make()
    try second.run(outputDirectory: "\(folder.path)/stopped", resume: .last)
    #expect(parameterBits(second) == parameterBits(straight))
    #expect(try metricRows("\(folder.path)/stopped") == metricRows("\(folder.path)/straight"))
  }

  @Test func aJudgeThatAlwaysTiesIsToldAndItsStepsAreSkipped() throws {
    let folder = try TemporaryDirectory()
    let tie = Judge(identity: "tie", readsText: false) { $0.map { _ in 1 } }
    let trainer = try rolloutTrainer(reward: tie) {
      $0.method.name = "online_dpo"
      $0.batches.maxSteps = 3
    }
    let before = parameterBits(trainer)
    var notes: [String] = []
    let result = try trainer.run(outputDirectory: "\(folder.path)/run") { event in
      if case .note(let text) = event, text.contains("apart") { notes.append(text) }
      return true
    }
    #expect(result.steps == 3 && notes.count == 3 && notes[0].hasPrefix("step 1"))
    #expect(parameterBits(trainer) == before)
    let rows = try metricRows("\(folder.path)/run")
    #expect(rows.count == 3 && rows.allSatisfy { $0["val/ties"]?.double == 1 && $0["loss"] == nil })
    // One that ties sometimes trains on the others.
    let sometimes = Judge(identity: "sometimes", readsText: false) { answers in
      answers.map { $0.promptTokens.count % 2 == 0 ? 0 : Double($0.completionTokens.count { $0 % 2 == 0 }) }
    }
    let other = try rolloutTrainer(reward: sometimes) { $0.method.name = "online_dpo" }
    let record = try other.takeStep()
    #expect((record["val/ties"] ?? 0) > 0 && (record["val/ties"] ?? 1) < 1)
    #expect(abs((record["loss"] ?? 0) - log(2)) < 1e-5 && record["rewards/margins"] != nil)
    #expect(parameterBits(other) != before)
  }

  /// Online DPO on answers that were drawn is DPO on the pairs of them: the same losses, gradients and metrics.
  @Test func itsStepsAreDPOsOnThePairsThatTheJudgeMade() throws {
    final class Heard: @unchecked Sendable { var rows: [TokenizedRow] = [] }
    let heard = Heard()
    let judge = Judge(identity: "second", readsText: false) { answers in
      for (worse, better) in zip(answers, answers.dropFirst()) where worse.promptTokens == better.promptTokens {
        heard.rows.append(
          TokenizedRow(
            prompt: worse.promptTokens, completion: better.completionTokens, rejected: worse.completionTokens))
      }
      return answers.indices.map(Double.init)
    }
    func change(_ options: inout TrainingOptions) {
      options.batches.shuffle = false
      options.optimization.weightDecay = 0.1
      options.optimization.learningRate = 1e-3
      options.optimization.lrSchedulerType = .constant
    }
    let online = try rolloutTrainer(reward: judge) {
      $0.method.name = "online_dpo"
      $0.method.numPpoEpochs = 3
      change(&$0)
    }
    let found = try (0..<3).map { _ in try online.takeStep() }
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = 4
    options.batches.gradientAccumulationSteps = 2
    options.batches.maxSteps = 3
    options.rows.maxLength = nil
    change(&options)
    let rows = Array(heard.rows.prefix(8))
    try #require(rows.count == 8)
    let offline = try Trainer(
      model: ModelFile.open(Fixtures.path("models/llama-tied")),
      data: TokenizedDataset(.tokens(rows), options: options.dataset()), options: options)
    for (step, record) in found.enumerated() {
      let expected = try offline.takeStep()
      for name in [Metrics.Name.loss, .gradNorm, .rewardsMargins, .rewardsAccuracies, .logpsChosen, .entropy] {
        let (a, b) = (record[name] ?? .nan, expected[name] ?? .nan)
        #expect(abs(a - b) <= 1e-4 * abs(b) + 1e-5, "step \(step + 1), \(name): \(a), DPO's is \(b)")
      }
    }
    #expect((found[2]["loss"] ?? 1) < log(2) - 1e-3)
  }

  @Test func groupsHaveToBeWhole() throws {
    func refused(_ words: String, _ change: @escaping (inout TrainingOptions) -> Void) {
      let error = #expect(throws: DPOError.self) { try rolloutTrainer(change) }
      #expect(error?.code == .invalidArgument && error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
    refused("num_generations") {
      $0.method.name = "grpo"
      $0.method.numGenerations = 3
    }
    refused("kl_target") {
      $0.method.name = "grpo"
      $0.method.klTarget = 1
    }
    refused("label_smoothing") {
      $0.method.name = "online_dpo"
      $0.method.lossType = ["robust"]
      $0.method.labelSmoothing = 0.7
    }
    var options = TrainingOptions()
    #expect(throws: DPOError.self) { try options.set("num_generations", to: 1) }
  }
}
