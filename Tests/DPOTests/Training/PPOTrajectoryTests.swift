import DPO
import DPOPlatform
import TestSupport
import Testing

/// Runs of twelve steps beside a plain PyTorch loop that was given the same completions: metrics of every step, and where the
/// weights end (Tests/Fixtures/scripts/make_ppo.py).
@Suite(.timeLimit(.minutes(10))) struct PPOTrajectoryTests {
  static let runs = [
    "ppo-llama-tied", "ppo-gpt2-k3", "ppo-qwen2-lora", "rloo-mistral", "grpo-llama-untied",
    "grpo-mistral-corrected",
  ]

  @Test(arguments: runs) func everyStepIsThatOfThePlainLoop(name: String) throws {
    let golden = try Fixtures.json("golden/ppo/\(name).json")
    let rollouts = try #require(golden["rollouts"]?.array)
    nonisolated(unsafe) var drawn = 0
    let reward = Judge(identity: "golden", readsText: false) { answers in
      // The loop's numbers are those of its own completions: ours have to be the same ones.
      let expected = try #require(rollouts[drawn].array)
      drawn += 1
      for (answer, want) in zip(answers, expected) {
        try #require(want["completion"]?.array?.compactMap(\.int) == answer.completionTokens.map(Int.init))
      }
      return answers.map { answer in
        Double(answer.completionTokens.count { $0 % 7 < 3 }) / Double(answer.completionTokens.count)
      }
    }
    let trainer = try PPOTrajectoryTests.trainer(golden, reward: reward)
    let before = (0..<trainer.parameters.count).map { trainer.parameters.values.pointer[$0] }
    for (index, expected) in try #require(golden["steps"]?.array).enumerated() {
      let record = try trainer.takeStep()
      // Adam's first step is the sign of the gradient, whose smallest numbers round-off decides.
      let tolerance = index == 0 ? 1e-5 : 1e-3
      for (metric, value) in expected.object?.members ?? [] {
        let want = try #require(value.double)
        let found = try #require(record[Metrics.Name(metric)], "step \(index + 1) \(metric)")
        #expect(
          abs(found - want) <= tolerance * max(1, abs(want)), "step \(index + 1) \(metric): \(found), torch \(want)")
      }
    }
    #expect(drawn == rollouts.count)
    for (tensor, want) in try #require(golden["tensors"]?.object).members {
      let prefix = trainer.adapter != nil && tensor.hasPrefix("v_head") ? "base_model.model." : ""
      guard let entry = trainer.parameters[prefix + tensor] else {
        Issue.record("no parameter \(tensor)")
        continue
      }
      var (norm, change) = (0.0, 0.0)
      for index in entry.offset..<entry.offset + entry.count {
        let value = Double(trainer.parameters.values.pointer[index])
        norm += value * value
        change += (value - Double(before[index])) * (value - Double(before[index]))
      }
      let expected = (try #require(want["norm"]?.double), try #require(want["change"]?.double))
      // GPT-2's key bias has no gradient; Adam makes steps of its round-off.
      #expect(abs(norm.squareRoot() - expected.0) <= 2e-3 * max(1, expected.0), "\(tensor)")
      #expect(abs(change.squareRoot() - expected.1) <= 0.02 * expected.1 + 1e-5, "\(tensor)")
    }
  }

  static func trainer(_ golden: JSON, reward: Judge) throws -> Trainer {
    var options = TrainingOptions()
    options.method.name = try #require(golden["method"]?.string)
    for (name, value) in try #require(golden["options"]?.object).members { try options.set(name, to: value) }
    options.batches.maxSteps = try #require(golden["steps"]?.array).count
    let model = try ModelFile.open(Fixtures.path(try #require(golden["model"]?.string)))
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    return try Trainer(
      model: model, adapter: golden["adapter"]?.string.map { try AdapterFile.open(Fixtures.path($0), for: model) },
      data: data, reward: reward, options: options)
  }

  @Test func advantagesAndLossesAreTorchs() throws {
    let golden = try Fixtures.json("golden/ppo/losses.json")
    func numbers(_ name: String) throws -> [Double] { try #require(golden[name]?.array).compactMap(\.double) }
    func number(_ name: String) throws -> Double { try #require(golden[name]?.double) }
    func same(_ found: [Double], _ name: String, _ tolerance: Double = 1e-12) throws {
      let want = try numbers(name)
      #expect(found.count == want.count && zip(found, want).allSatisfy { abs($0 - $1) < tolerance }, "\(name)")
    }
    let (rewards, values) = (try numbers("rewards"), try numbers("values"))
    let counts = try numbers("counts").map { Int($0) }
    let found = try generalizedAdvantages(
      rewards: rewards, values: values, counts: counts, gamma: number("gamma"), lambda: number("lam"))
    try same(found.advantages, "advantages")
    try same(found.returns, "returns")
    try same(whitened(found.advantages), "whitened")
    try same(whitened(rewards, keepsMean: true), "whitened_rewards")
    func floats(_ name: String) throws -> [Float] { try numbers(name).map { Float($0) } }
    let result = try ppoLoss(
      logProbs: floats("logprobs"), values: floats("new_values"),
      rollout: RolloutTokens(
        logProbs: floats("old_logprobs"), values: floats("values"), advantages: floats("whitened"),
        returns: floats("returns")))
    for (value, name) in [
      (result.policyLoss, "policy_loss"), (result.valueLoss, "value_loss"), (result.approximateKL, "approxkl"),
      (result.clipFraction, "clipfrac"), (result.valueClipFraction, "value_clipfrac"), (result.ratio, "ratio"),
    ] { #expect(abs(value - (try number(name))) < 1e-6, "\(name)") }
    try same(result.logProbGradients, "logprob_gradients", 1e-7)
    try same(result.valueGradients, "value_gradients", 1e-7)
  }
}
