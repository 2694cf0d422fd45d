import DPO
import DPOPlatform
import Testing

@Suite(.timeLimit(.minutes(10))) struct GroupPolicyLossTests {
  @Test func advantagesCompareWithTheOthersOfTheGroup() throws {
    // By hand: 1 against (2+6)/2, 2 against (1+6)/2, 6 against (1+2)/2; a group of equals.
    let rewards = [1.0, 2, 6, 4, 4, 4]
    let leaveOneOut = try groupAdvantages(rewards, groupSize: 3, baseline: .leaveOneOut)
    for (found, want) in zip(leaveOneOut, [-3, -1.5, 4.5, 0, 0, 0]) { #expect(abs(found - want) < 1e-12) }
    let standardized = try groupAdvantages(rewards, groupSize: 3, baseline: .standardized)
    let deviation = 7.0.squareRoot() + 1e-4
    for (found, want) in zip(standardized, [-2 / deviation, -1 / deviation, 3 / deviation, 0, 0, 0]) {
      #expect(abs(found - want) < 1e-12)
    }
    #expect(throws: DPOError.self) { try groupAdvantages(rewards, groupSize: 4, baseline: .leaveOneOut) }
    #expect(throws: DPOError.self) { try groupAdvantages(rewards, groupSize: 1, baseline: .standardized) }
  }

  @Test(arguments: [GroupPolicyLossOptions.Unit.token, .completion], [false, true])
  func gradientsAreThoseOfCentralDifferences(unit: GroupPolicyLossOptions.Unit, correctsKL: Bool) throws {
    var random = CounterRandom(stream: [4])
    func numbers(_ count: Int, _ scale: Double) -> [Float] {
      (0..<count).map { _ in Float(scale * (2 * random.uniform() - 1)) }
    }
    let counts = [3, 0, 1, 5, 2, 4, 3, 2]
    let count = counts.reduce(0, +)
    let advantages = zip(numbers(counts.count, 1), counts).flatMap { [Float](repeating: $0, count: $1) }
    let old = RolloutTokens(
      logProbs: numbers(count, 1), advantages: advantages, referenceLogProbs: numbers(count, 1))
    let logProbs = zip(old.logProbs, numbers(count, 0.3)).map { $0 + $1 }
    var options = GroupPolicyLossOptions()
    options.unit = unit
    options.klCoefficient = 0.3
    options.correctsKL = correctsKL
    func loss(_ values: [Float]) throws -> PPOLossResult {
      try groupPolicyLoss(logProbs: values, counts: counts, rollout: old, normalizer: 7, options)
    }
    let result = try loss(logProbs)
    #expect(result.clipFraction > 0 && result.clipFraction < 1 && result.referenceKL > 0)
    let step: Float = 1.0 / 1024
    for t in 0..<count {
      var (up, down) = (logProbs, logProbs)
      up[t] += step
      down[t] -= step
      let (above, below) = (try loss(up), try loss(down))
      guard above.clipFraction == below.clipFraction else { continue }  // a kink between them
      let slope = (above.loss - below.loss) / (2 * Double(step))
      #expect(abs(slope - result.logProbGradients[t]) < 1e-5)
    }
  }

  @Test func atTheRolloutTheGradientIsThatOfThePolicyGradient() throws {
    // ρ = 1: d loss / d log π = −A / normalizer, whichever the unit.
    let old = RolloutTokens(logProbs: [-1, -2, -3], advantages: [2, 2, -1])
    for unit in [GroupPolicyLossOptions.Unit.token, .completion] {
      var options = GroupPolicyLossOptions()
      options.unit = unit
      let result = try groupPolicyLoss(
        logProbs: old.logProbs, counts: [2, 1], rollout: old, normalizer: 2, options)
      #expect(result.logProbGradients == [-1, -1, 0.5])
      #expect(abs(result.loss - (unit == .token ? -1.5 : -0.5)) < 1e-12)
    }
    #expect(throws: DPOError.self) {
      try groupPolicyLoss(logProbs: [0], counts: [1], rollout: old, normalizer: 1)
    }
    var options = GroupPolicyLossOptions()
    options.klCoefficient = 1
    #expect(throws: DPOError.self) {
      try groupPolicyLoss(logProbs: old.logProbs, counts: [2, 1], rollout: old, normalizer: 1, options)
    }
  }
}
