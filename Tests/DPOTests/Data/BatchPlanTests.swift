import DPO
import DPOBase
import Testing

@Suite(.timeLimit(.minutes(10))) struct BatchPlanTests {
  @Test func sevenRowsInThreesEndEachEpochWithAShortGroup() throws {
    var plan = try BatchPlan(rows: 7, batchSize: 2, accumulation: 3, length: .epochs(2), shuffle: false)
    #expect(plan.batchesPerEpoch == 4 && plan.stepsPerEpoch == 2 && plan.totalSteps == 4)
    #expect(plan.step(0).microBatches == [[0, 1], [2, 3], [4, 5]])
    #expect(plan.step(1).microBatches == [[6]])
    #expect(plan.step(3).microBatches == [[6]])
    #expect((0..<4).map { plan.step($0).epochAfter } == [0.75, 1, 1.75, 2])
    #expect((0..<4).map { plan.step($0).epoch } == [0, 0, 1, 1])
  }

  @Test func anEpochVisitsEveryRowOnceInTRLsOrder() throws {
    var plan = try BatchPlan(rows: 10, batchSize: 4, length: .epochs(3), seed: 42)
    let epochs = (0..<3).map { epoch in (0..<3).flatMap { plan.step(3 * epoch + $0).microBatches.flatMap(\.self) } }
    // torch.randperm(10, generator = torch.Generator().manual_seed(42 + epoch))
    #expect(epochs[0] == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7])
    for epoch in epochs { #expect(epoch.sorted() == Array(0..<10)) }
    #expect(epochs[0] != epochs[1])
    var resumed = try BatchPlan(rows: 10, batchSize: 4, length: .epochs(3), seed: 42)
    #expect(resumed.step(7) == plan.step(7))
  }

  @Test func lengthsAreEpochsRoundedUpOrSteps() throws {
    #expect(try BatchPlan(rows: 10, batchSize: 4, length: .epochs(0.5)).totalSteps == 2)
    #expect(try BatchPlan(rows: 10, batchSize: 4, length: .steps(100)).totalSteps == 100)
    for length in [BatchPlan.Length.epochs(0), .epochs(.nan), .epochs(.infinity), .steps(0)] {
      #expect(throws: DPOError.self) { try BatchPlan(rows: 10, batchSize: 4, length: length) }
    }
    #expect(throws: DPOError.self) { try BatchPlan(rows: 0, batchSize: 4, length: .steps(1)) }
    #expect(throws: DPOError.self) { try BatchPlan(rows: 1, batchSize: 0, length: .steps(1)) }
  }
}
