import DPO
import Testing

@Suite(.timeLimit(.minutes(10))) struct EstimateTests {
  /// Of n values with standard deviation s the interval is about mean ± 1.96 s/√n.
  @Test func bootstrapIntervalIsAsWideAsTheNormalOne() {
    let values = (0..<200).map { Double($0 % 10) }
    let estimate = Estimate(bootstrap: values, seed: 1)
    let half = 1.96 * (8.25 / 200).squareRoot()
    #expect(estimate.value == 4.5)
    #expect(abs(estimate.high - 4.5 - half) < 0.05)
    #expect(abs(4.5 - estimate.low - half) < 0.05)
    #expect(abs(estimate.standardError - half / 1.96) < 0.01)
    #expect(estimate == Estimate(bootstrap: values, seed: 1))
    #expect(estimate != Estimate(bootstrap: values, seed: 2))
  }

  @Test func intervalsOfConstantsAndOfOneValue() {
    #expect(Estimate(bootstrap: [2, 2, 2], seed: 1) == Estimate(2, low: 2, high: 2))
    #expect(Estimate(bootstrap: [5], seed: 1) == Estimate(5, low: -.infinity, high: .infinity))
    let balanced = Estimate(bootstrap: (0..<100).map { $0 % 2 == 0 ? 1.0 : -1 }, seed: 1)
    #expect(balanced.low < 0 && balanced.high > 0)
  }
}
