import DPO
import Testing

@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
  @Test func metricsKeepTheirOrderAndEachNameOnce() {
    var metrics: Metrics = [.loss: 1, .rewardsMargins: 2]
    metrics += [.learningRate: 3, .loss: 4]
    #expect(metrics.map(\.name) == [.loss, .rewardsMargins, .learningRate])
    #expect(metrics.map(\.value) == [4, 2, 3])
    metrics[.rewardsMargins] = nil
    #expect(metrics[.rewardsMargins] == nil && metrics.count == 2)
    #expect(JSON.object(metrics.evaluated.json).description == #"{"eval_loss": 4.0, "eval_learning_rate": 3.0}"#)
  }
}
