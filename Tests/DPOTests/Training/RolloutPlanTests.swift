import DPO
import Testing

@Suite(.timeLimit(.minutes(10))) struct RolloutPlanTests {
  func plan(_ length: BatchPlan.Length = .epochs(2), shuffle: Bool = true) throws -> RolloutPlan {
    try RolloutPlan(
      prompts: 10, promptsPerRollout: 4, epochs: 3, miniBatches: 2, batchSize: 2, length: length, seed: 7,
      shuffle: shuffle)
  }

  @Test func everyPromptIsAnsweredOnceAnEpochAndEveryRolloutIsWhole() throws {
    let plan = try plan()
    // 20 prompts in rollouts of four, six steps each.
    #expect(plan.totalSteps == 30 && plan.stepsPerRollout == 6 && plan.stepsPerEpoch == 18)
    let order = (0..<5).flatMap(plan.prompts(ofRollout:))
    #expect(order.count == 20)
    #expect(order[..<10].sorted() == Array(0..<10) && order[10...].sorted() == Array(0..<10))
    #expect(Array(order[..<10]) != Array(order[10...]) && Array(order[..<10]) != Array(0..<10))
    #expect(plan.epochs(after: 0) == 0 && plan.epochs(after: 1) == 0.4 && plan.epochs(after: 30) == 2)
    #expect(try self.plan(shuffle: false).prompts(ofRollout: 2) == [8, 9, 0, 1])
    #expect(try self.plan(.steps(5)).totalSteps == 5)
  }

  @Test func everyRowIsSeenOnceAPassInANewOrder() throws {
    let plan = try plan()
    var passes: [[Int]] = []
    for pass in 0..<15 {
      let rows = (0..<2).flatMap { part in
        let batches = plan.microBatches(2 * pass + part, rows: 7)
        #expect(batches.allSatisfy { $0.count <= 2 && !$0.isEmpty })
        return batches.flatMap { $0 }
      }
      #expect(rows.sorted() == Array(0..<7))
      passes.append(rows)
    }
    #expect(Set(passes).count > 10)
    #expect(plan.microBatches(3, rows: 7) == plan.microBatches(3, rows: 7))
    // Fewer rows than parts: a part has none.
    #expect(plan.microBatches(0, rows: 1).isEmpty && plan.microBatches(1, rows: 1) == [[0]])
    #expect(plan.microBatches(0, rows: 0).isEmpty)
  }

  @Test func thePenaltyFollowsItsTarget() {
    // Ziegler's rule by hand: 2 × 6 nats is twice the target, which is clipped to 0.2.
    let control = KLControl(coefficient: 0.1, target: 6, horizon: 1000)
    #expect(abs(control.next(0.1, kl: 12, batch: 50) - 0.1 * (1 + 0.2 * 50 / 1000)) < 1e-15)
    #expect(abs(control.next(0.1, kl: 5.4, batch: 50) - 0.1 * (1 - 0.1 * 50 / 1000)) < 1e-12)
    #expect(KLControl(coefficient: 0.1).next(0.1, kl: 100, batch: 50) == 0.1)
  }
}
