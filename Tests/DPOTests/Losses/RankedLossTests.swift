import DPO
import DPOBase
import DPOPlatform
import Testing

@Suite(.timeLimit(.minutes(10))) struct RankedLossTests {
  /// Equation 20 as it is written, for one row without ties: completions in order, best first.
  func written(_ rewards: [Double]) -> Double {
    -rewards.indices.map { k in rewards[k] - log(rewards[k...].reduce(0) { $0 + exp($1) }) }.reduce(0, +)
  }

  @Test func oneRowIsTheEquation() throws {
    let policy = [-12.5, -20.0, -9.75, -14.25, -11.0]
    let reference = [-13.0, -18.5, -10.0, -13.75, -16.0]
    let rewards = zip(policy, reference).map { 0.3 * ($0 - $1) }
    let result = try rankedLoss(
      policy: policy, reference: reference, counts: [5], ranks: [2, 5, 1, 3, 4], beta: 0.3)
    #expect(near(result.loss, written([2, 0, 3, 4, 1].map { rewards[$0] }), 1e-12))
    #expect(result.rewards == rewards)
    #expect(abs(result.gradients.reduce(0, +)) < 1e-15)
  }

  @Test func pairsAreTheSigmoidLoss() throws {
    let pairs = try dpoLoss(Golden.pairs, DPOLossOptions(.sigmoid))
    let interleaved = { (a: [Double], b: [Double]) in zip(a, b).flatMap { [$0, $1] } }
    let result = try rankedLoss(
      policy: interleaved(Golden.chosen, Golden.rejected),
      reference: interleaved(Golden.referenceChosen, Golden.referenceRejected),
      counts: Array(repeating: 2, count: 6), ranks: (0..<6).flatMap { _ in [1, 2] })
    #expect(near(result.loss, pairs.loss, 1e-14))
    for pair in 0..<6 {
      #expect(near(result.losses[pair], pairs.losses[pair], 1e-13))
      #expect(near(result.gradients[2 * pair], pairs.chosenGradients[pair], 1e-13))
      #expect(near(result.gradients[2 * pair + 1], pairs.rejectedGradients[pair], 1e-13))
    }
  }

  @Test func tiedCompletionsAreNotCompared() throws {
    let policy = [-3.0, -5, -4, -3.5]
    // One above all others: −log softmax.
    let best = try rankedLoss(policy: policy, counts: [4], ranks: [1, 2, 2, 2], beta: 1)
    #expect(near(best.loss, -log(exp(-3) / policy.reduce(0) { $0 + exp($1) }), 1e-12))
    // One below all others: every other one against it.
    let worst = try rankedLoss(policy: policy, counts: [4], ranks: [0, 0, 0, 7], beta: 1)
    #expect(near(worst.loss, policy[..<3].map { -logSigmoid($0 + 3.5) }.reduce(0, +), 1e-12))
    let equal = try rankedLoss(policy: policy, counts: [4], ranks: [1, 1, 1, 1])
    #expect(equal.loss == 0 && equal.gradients.allSatisfy { $0 == 0 })
    // The order of the columns means nothing.
    let moved = try rankedLoss(policy: policy.reversed(), counts: [4], ranks: [2, 2, 2, 1], beta: 1)
    #expect(near(moved.loss, best.loss, 1e-14))
  }

  @Test func gradientsAreThoseOfCentralDifferences() throws {
    let policy = [-12.5, -20, -9.75, -14.25, -11, -8, -7, -9, -30]
    let reference = [-13, -18.5, -10, -13.75, -16, -9, -9, -9, -31.0]
    func loss(_ policy: [Double]) throws -> RankedLossResult {
      try rankedLoss(
        policy: policy, reference: reference, counts: [5, 2, 2], ranks: [2, 3, 1, 2, 9, 0, 1, 5, 4],
        weights: [1, 0.5, 2], beta: 0.7)
    }
    let found = try loss(policy)
    for index in policy.indices {
      let expected = try centralDifference(policy[index]) {
        var moved = policy
        moved[index] = $0
        return try loss(moved).loss
      }
      #expect(abs(found.gradients[index] - expected) < 1e-8, "\(index)")
    }
  }

  @Test func extremesStayFinite() throws {
    let result = try rankedLoss(policy: [-1e6, 0, -1e6, -2e6], counts: [4], ranks: [1, 2, 3, 4], beta: 1)
    #expect(near(result.loss, 1e6, 1e-12) && result.gradients.allSatisfy(\.isFinite))
  }

  @Test func columnsThatDoNotFitAreRefused() {
    #expect(throws: DPOError.self) { try rankedLoss(policy: [], counts: [], ranks: []) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1], counts: [1], ranks: [1]) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1, -2], counts: [2], ranks: [1]) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1, -2], counts: [2, .max], ranks: [1, 2]) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1, -2], counts: [2], ranks: [1, .nan]) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1, -2], counts: [2], ranks: [1, 2], beta: 0) }
    #expect(throws: DPOError.self) { try rankedLoss(policy: [-1, -2], counts: [2], ranks: [1, 2], weights: [-1]) }
  }
}
