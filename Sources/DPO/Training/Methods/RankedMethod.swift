import DPOBase
import DPOModel

extension TrainingMethod {
  static func ranked(_ options: TrainingOptions) throws -> TrainingMethod { .ranked(beta: options.method.beta) }

  /// DPO on ranked answers by Plackett and Luce's choice model (the paper's appendix A.3); pairs are rows of two.
  static func ranked(beta: Double) -> TrainingMethod {
    TrainingMethod(
      name: "ranked", purpose: .ranked, usesReference: true, extras: [.entropy],
      loss: { batch in
        let result = try rankedLoss(
          policy: batch.policy.sums, reference: batch.reference, counts: batch.rows.map(batch.data.sequenceCount),
          ranks: batch.rows.flatMap(batch.data.ranks),
          weights: batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight), beta: beta)
        let share = 1 / Double(batch.stepMicroBatches)
        let rows = rankedRowMetrics(batch, rewards: result.rewards)
        let tokens = entropySums(batch.policy)
        return MethodLoss(
          loss: result.loss * share,
          tokenGradients: spread(result.gradients.map { $0 * share }, over: batch.policy.counts),
          metrics: rows.means + tokens.means,
          nonFiniteRows: batch.rows.indices.filter { !result.losses[$0].isFinite }.map { batch.rows[$0] },
          rowMetrics: [.loss: result.losses] + rows, tokenSums: tokens)
      })
  }
}

/// What the metrics of pairs are the means of: a row's mean over every two of its completions that rank differently, of which
/// chosen is the better one. Rows in which all tie have none.
private func rankedRowMetrics(_ batch: MicroBatch, rewards: [Double]) -> RowMetrics {
  let names: [Metrics.Name] = [
    .rewardsChosen, .rewardsRejected, .rewardsAccuracies, .rewardsMargins, .logpsChosen, .logpsRejected,
  ]
  var table: [[Double]] = []
  var start = 0
  for row in batch.rows {
    let ranks = batch.data.ranks(row)
    var sums = [Double](repeating: 0, count: names.count)
    var compared = 0.0
    for (a, better) in ranks.enumerated() {
      for (b, worse) in ranks.enumerated() where better < worse {
        let (chosen, rejected) = (rewards[start + a], rewards[start + b])
        let logps = (batch.policy.sums[start + a], batch.policy.sums[start + b])
        let values = [chosen, rejected, chosen > rejected ? 1 : 0, chosen - rejected, logps.0, logps.1]
        for (column, value) in values.enumerated() { sums[column] += value }
        compared += 1
      }
    }
    if compared > 0 { table.append(sums.map { $0 / compared }) }
    start += ranks.count
  }
  return RowMetrics(names.enumerated().map { column, name in (name, table.map { $0[column] }) })
}

func entropySums(_ scores: TokenScores) -> TokenSums {
  scores.entropy.map { [.entropy: ($0.reduce(0) { $0 + Double($1) }, $0.count)] } ?? [:]
}
