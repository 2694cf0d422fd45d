import DPOBase
import DPOModel

extension TrainingMethod {
  static func reward(_ options: TrainingOptions) throws -> TrainingMethod {
    .reward(centerCoefficient: options.method.centerRewardsCoefficient)
  }

  /// A reward model by Bradley and Terry's choice model (the paper's section 3, equation 2) on pairs: the score at the end of
  /// sequences 2i and 2i + 1, chosen and rejected of the i-th row.
  static func reward(centerCoefficient: Double?) -> TrainingMethod {
    TrainingMethod(
      name: "reward", purpose: .preference, usesReference: false, extras: [], heads: .score,
      dropsLongRows: true, makeForest: { data, rows, _ in try data.scoringForest(rows: rows) },
      size: { ($0.size($1).tokens, 2) },
      referenceSums: { $0.sums },
      loss: { batch in
        let scores = batch.policy.values.map(Double.init)
        let chosen = stride(from: 0, to: scores.count, by: 2).map { scores[$0] }
        let rejected = stride(from: 1, to: scores.count, by: 2).map { scores[$0] }
        let result = try rewardLoss(
          chosen: chosen, rejected: rejected,
          margins: batch.data.margins.map { margins in batch.rows.map { margins[$0] } },
          weights: batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight),
          centerCoefficient: centerCoefficient)
        let share = 1 / Double(batch.stepMicroBatches)
        let margins = zip(chosen, rejected).map { $0 - $1 }
        return MethodLoss(
          loss: result.loss * share,
          valueGradients: zip(result.chosenGradients, result.rejectedGradients).flatMap {
            [Float($0 * share), Float($1 * share)]
          },
          metrics: [
            .minReward: scores.min() ?? .nan, .meanReward: scores.mean, .maxReward: scores.max() ?? .nan,
            .accuracy: margins.map { $0 > 0 ? 1.0 : 0 }.mean, .margin: margins.mean,
          ],
          nonFiniteRows: batch.rows.indices.filter { !result.losses[$0].isFinite }.map { batch.rows[$0] },
          rowNumbers: scores,
          rowMetrics: [
            .loss: result.losses, .accuracy: margins.map { $0 > 0 ? 1 : 0 }, .margin: margins,
          ])
      },
      overallMetrics: { scores in
        let margins = stride(from: 0, to: scores.count, by: 2).map { scores[$0] - scores[$0 + 1] }
        return [
          .minReward: scores.min() ?? .nan, .meanReward: scores.mean, .maxReward: scores.max() ?? .nan,
          .calibrationError: pairCalibrationError(margins: margins),
        ]
      })
  }
}

/// Expected calibration error of preferences (Guo et al. 2017): the model takes the answer with the higher score to be the
/// better one with probability σ(|margin|), which lies in one of `bins` equal parts of [½, 1]; the error is the mean
/// distance of that probability from the share of pairs in which it is right, by parts, each weighted with its pairs.
///
/// - Parameter margins: score of the chosen answer − score of the rejected one; 0 counts as half right.
package func pairCalibrationError(margins: [Double], bins: Int = 10) -> Double {
  guard !margins.isEmpty, bins > 0 else { return 0 }
  var confidence = [Double](repeating: 0, count: bins)
  var right = confidence
  for margin in margins where margin.isFinite {
    let p = sigmoid(abs(margin))
    let bin = min(bins - 1, Int((p - 0.5) * 2 * Double(bins)))
    confidence[bin] += p
    right[bin] += margin > 0 ? 1 : margin < 0 ? 0 : 0.5
  }
  return zip(confidence, right).reduce(0) { $0 + abs($1.0 - $1.1) } / Double(margins.count)
}
