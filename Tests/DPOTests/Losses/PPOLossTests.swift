import DPO
import DPOPlatform
import TestSupport
import Testing

/// Advantages and PPO's losses: closed forms, differences, and what a plain PyTorch says (Tests/Fixtures/scripts/make_ppo.py).
@Suite(.timeLimit(.minutes(10))) struct PPOLossTests {
  @Test func advantagesAreTheWeightedSumsOfTheirDefinition() throws {
    // losses.md's row, and the definition Σ_l (γλ)^l δ_{t+l} written out, of two completions and an empty one between them.
    let golden = try generalizedAdvantages(
      rewards: [-0.01, 0.02, -0.03, 1], values: [0.1, 0.2, 0.3, 0.4], counts: [4])
    for (found, want) in zip(golden.advantages, [0.7816, 0.728, 0.64, 0.6]) { #expect(abs(found - want) < 5e-5) }

    var random = CounterRandom(stream: [1])
    func numbers(_ count: Int) -> [Double] { (0..<count).map { _ in 2 * random.uniform() - 1 } }
    let (rewards, values, gamma, lambda) = (numbers(9), numbers(9), 0.9, 0.8)
    let found = try generalizedAdvantages(
      rewards: rewards, values: values, counts: [5, 0, 4], gamma: gamma, lambda: lambda)
    for range in [0..<5, 5..<9] {
      for t in range {
        var sum = 0.0
        for l in t..<range.upperBound {
          let next = l + 1 < range.upperBound ? values[l + 1] : 0
          sum += pow(gamma * lambda, Double(l - t)) * (rewards[l] + gamma * next - values[l])
        }
        #expect(abs(found.advantages[t] - sum) < 1e-12)
        #expect(found.returns[t] == found.advantages[t] + values[t])
      }
    }
    // With λ = 1 the returns are the discounted sums of the rewards, whatever the values say.
    let plain = try generalizedAdvantages(rewards: rewards, values: values, counts: [9], gamma: 1, lambda: 1)
    #expect(abs(plain.returns[0] - rewards.reduce(0, +)) < 1e-12)
  }

  @Test func whiteningMakesVarianceOne() {
    let white = whitened([1, 2, 3, 6])
    #expect(abs(white.reduce(0, +)) < 1e-12)
    #expect(abs(white.reduce(0) { $0 + $1 * $1 } / 3 - 1) < 1e-8)
    let kept = whitened([1, 2, 3, 6], keepsMean: true)
    for (a, b) in zip(white, kept) { #expect(abs(b - a - 3) < 1e-12) }
    #expect(whitened([5]) == [0])
    #expect(whitened([]) == [])
  }

  @Test func rewardsOfTokensArePenaltyAndScore() throws {
    let k = [0.5, -1, 0.25]
    let rewards = try tokenRewards(logRatios: k, counts: [2, 0, 1], scores: [3, 7, -1], klCoefficient: 0.1)
    for (found, want) in zip(rewards, [-0.05, 0.1 + 3, -0.025 - 1]) { #expect(abs(found - want) < 1e-12) }
    for estimator in KLEstimator.allCases {
      for k in [-2.0, -0.1, 0, 0.3, 4] {
        let slope = (estimator(k + 1e-6) - estimator(k - 1e-6)) / 2e-6
        #expect(abs(slope - estimator.derivative(k)) < 1e-7)
        #expect(estimator == .k1 || estimator(k) >= 0)
      }
    }
    // E_π[k3] = E_π[k1] = KL(π‖π_ref), over a vocabulary of three.
    let (p, q) = ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6])
    func mean(_ estimator: KLEstimator) -> Double {
      zip(p, q).reduce(0) { $0 + $1.0 * estimator(log($1.0) - log($1.1)) }
    }
    #expect(abs(mean(.k1) - mean(.k3)) < 1e-12)
  }

  @Test func gradientsAreThoseOfCentralDifferences() throws {
    var random = CounterRandom(stream: [2])
    func numbers(_ count: Int, _ scale: Double) -> [Float] {
      (0..<count).map { _ in Float(scale * (2 * random.uniform() - 1)) }
    }
    let count = 200
    let old = RolloutTokens(
      logProbs: numbers(count, 2), values: numbers(count, 1), advantages: numbers(count, 2),
      returns: numbers(count, 1))
    // Half of the ratios and values are outside the clip ranges.
    let logProbs = zip(old.logProbs, numbers(count, 0.5)).map { $0 + $1 }
    let values = zip(old.values, numbers(count, 0.5)).map { $0 + $1 }
    let result = try ppoLoss(logProbs: logProbs, values: values, rollout: old)
    #expect(result.clipFraction > 0.1 && result.clipFraction < 0.9)
    #expect(result.valueClipFraction > 0.1 && result.valueClipFraction < 0.9)
    let step: Float = 1.0 / 1024
    for t in 0..<count {
      func slope(_ move: (Float) throws -> Double) rethrows -> Double {
        (try move(step) - move(-step)) / (2 * Double(step))
      }
      let byLogProb = try slope { d in
        var moved = logProbs
        moved[t] += d
        return try ppoLoss(logProbs: moved, values: values, rollout: old).loss
      }
      let byValue = try slope { d in
        var moved = values
        moved[t] += d
        return try ppoLoss(logProbs: logProbs, values: moved, rollout: old).loss
      }
      // Near a kink the difference straddles it.
      let ratio = exp(Double(logProbs[t] - old.logProbs[t]))
      let moved = abs(values[t] - old.values[t])
      if min(abs(ratio - 0.8), abs(ratio - 1.2)) > 0.003 { #expect(abs(byLogProb - result.logProbGradients[t]) < 1e-5) }
      if abs(moved - 0.2) > 0.003 { #expect(abs(byValue - result.valueGradients[t]) < 1e-5) }
    }
  }

  @Test func aStepThatHasGoneFarEnoughHasNoGradient() throws {
    let old = RolloutTokens(logProbs: [-1, -1, -1, -1], advantages: [1, 1, -1, -1])
    // ρ = 1.5, 0.5, 1.5, 0.5
    let logProbs = [1.5, 0.5, 1.5, 0.5].map { Float(log($0) - 1) }
    let result = try ppoLoss(logProbs: logProbs, values: [], rollout: old)
    for (found, want) in zip(result.logProbGradients, [0, -0.5 / 4, 1.5 / 4, 0]) { #expect(abs(found - want) < 1e-6) }
    #expect(abs(result.loss - (-1.2 - 0.5 + 1.5 + 0.8) / 4) < 1e-6)
    #expect(result.valueGradients.isEmpty && result.clipFraction == 0.5)
  }

  @Test func nothingThatDoesNotFitIsTaken() {
    let tokens = RolloutTokens(logProbs: [0, 0], values: [0, 0], advantages: [0, 0], returns: [0, 0])
    var options = PPOLossOptions()
    #expect(throws: DPOError.self) { try ppoLoss(logProbs: [0], values: [], rollout: tokens) }
    #expect(throws: DPOError.self) { try ppoLoss(logProbs: [0, 0], values: [0], rollout: tokens) }
    #expect(throws: DPOError.self) {
      try ppoLoss(logProbs: [], values: [], rollout: RolloutTokens(logProbs: [], advantages: []))
    }
    options.clipRange = -1
    #expect(throws: DPOError.self) { try ppoLoss(logProbs: [0, 0], values: [], rollout: tokens, options) }
    #expect(throws: DPOError.self) { try generalizedAdvantages(rewards: [1], values: [1], counts: [2]) }
    #expect(throws: DPOError.self) { try generalizedAdvantages(rewards: [1], values: [1], counts: [1], gamma: 1.1) }
    #expect(throws: DPOError.self) { try generalizedAdvantages(rewards: [1], values: [1], counts: [Int.max, Int.max]) }
    #expect(throws: DPOError.self) { try tokenRewards(logRatios: [1], counts: [1], scores: [], klCoefficient: 1) }
  }
}
