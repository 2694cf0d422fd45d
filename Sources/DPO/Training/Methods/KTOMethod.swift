import DPOBase
import DPOModel

extension TrainingMethod {
  /// KTO (Ethayarajh et al. 2024) on completions with a thumb up or down. After the rows' own sequences a micro-batch
  /// scores each prompt with the completion of the row before it, whose mean log-ratio estimates the KL divergence.
  static func kto(_ options: KTOLossOptions, group: Int) -> TrainingMethod {
    TrainingMethod(
      name: "kto", purpose: .unpaired, defaultLearningRate: 1e-6, usesReference: true,
      extras: [.entropy, .meanLogit], isSequential: true,
      forest: { data, rows in data.forest(of: rows.map(data.sequence) + data.mismatched(rows, group: group)) },
      size: { data, row in
        let sequence = data.sequence(row)
        return (sequence.prompt.count + 2 * sequence.completion.count, 2 * sequence.targetCount)
      },
      mismatchedSequences: 1,
      referenceSums: { $0.sums },
      loss: { batch in
        let count = batch.rows.count
        let labels = batch.rows.map { batch.data.labels?[$0] ?? true }
        let sums = Array(batch.policy.sums[..<count])
        let ratios = zip(batch.policy.sums, batch.reference ?? Array(repeating: 0, count: 2 * count)).map { $0 - $1 }
        let result = try DPO.ktoLoss(
          logRatios: Array(ratios[..<count]), labels: labels, klLogRatios: Array(ratios[count...]),
          weights: batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight), options)
        let share = 1 / Double(batch.stepMicroBatches)
        var gradients: [Float] = []
        gradients.reserveCapacity(batch.policy.logProbs.count)
        for (sequence, targets) in batch.policy.counts.enumerated() {
          let gradient = sequence < count ? Float(result.gradients[sequence] * share) : 0
          gradients.append(contentsOf: repeatElement(gradient, count: targets))
        }
        return MethodLoss(
          loss: result.loss * share, tokenGradients: gradients,
          metrics: [("kl", result.baseline)]
            + ktoMetrics(batch.policy, sums: sums, labels: labels, rewards: result.rewards),
          nonFiniteRows: batch.rows.indices.filter { !result.losses[$0].isFinite }.map { batch.rows[$0] })
      })
  }
}

extension TrainingOptions {
  /// The options of KTO's loss, checked.
  func ktoLoss() throws -> KTOLossOptions {
    guard perDeviceTrainBatchSize > 1 else {
      throw DPOError.argument("kto compares the rows of a micro-batch: per_device_train_batch_size must be at least 2")
    }
    guard !precomputeRefLogProbs else { throw DPOError.argument("precompute_ref_log_probs does not go with kto") }
    var loss = KTOLossOptions()
    loss.beta = beta
    loss.desirableWeight = desirableWeight
    loss.undesirableWeight = undesirableWeight
    try loss.validate()
    return loss
  }
}

/// TRL's metrics of labelled rows: means over rows with a thumb up (chosen) and down (rejected), where there are any.
private func ktoMetrics(
  _ scores: TokenScores, sums: [Double], labels: [Bool], rewards: [Double]
) -> [(name: String, value: Double)] {
  var metrics: [(name: String, value: Double)] = []
  var logits = [Double](repeating: 0, count: sums.count)
  var start = 0
  var entropy = 0.0
  for row in sums.indices {
    for index in start..<start + scores.counts[row] {
      logits[row] += Double(scores.meanLogit?[index] ?? 0)
      entropy += Double(scores.entropy?[index] ?? 0)
    }
    start += scores.counts[row]
  }
  var means: [Bool: Double] = [:]
  for (label, side) in [(true, "chosen"), (false, "rejected")] {
    let rows = labels.indices.filter { labels[$0] == label }
    guard !rows.isEmpty else { continue }
    means[label] = rows.map { rewards[$0] }.mean
    let tokens = rows.reduce(0) { $0 + scores.counts[$1] }
    metrics.append(("rewards/\(side)", rows.map { rewards[$0] }.mean))
    metrics.append(("logps/\(side)", rows.map { sums[$0] }.mean))
    metrics.append(("logits/\(side)", rows.map { logits[$0] }.sum / Double(max(1, tokens))))
  }
  if let chosen = means[true], let rejected = means[false] { metrics.append(("rewards/margins", chosen - rejected)) }
  metrics.append(("entropy", entropy / Double(max(1, start))))
  return metrics
}
