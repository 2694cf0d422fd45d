import DPOBase
import DPOModel

/// Sums and numbers of scored tokens of a micro-batch's pairs: sequences 2i and 2i + 1 of the forest.
struct PairColumns {
  var chosen: [Double] = []
  var rejected: [Double] = []
  var chosenCounts: [Int] = []
  var rejectedCounts: [Int] = []
  /// nil where every row counts the same.
  let weights: [Double]?

  init(_ batch: MicroBatch) {
    for pair in batch.rows.indices {
      chosen.append(batch.policy.sums[2 * pair])
      rejected.append(batch.policy.sums[2 * pair + 1])
      chosenCounts.append(batch.policy.counts[2 * pair])
      rejectedCounts.append(batch.policy.counts[2 * pair + 1])
    }
    weights = batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight)
  }

  /// Log-probs of the pairs, chosen and rejected in turn: sums, or means per token.
  func logps(perToken: Bool) -> [Double] {
    chosen.indices.flatMap { pair in
      perToken
        ? [chosen[pair] / Double(max(1, chosenCounts[pair])), rejected[pair] / Double(max(1, rejectedCounts[pair]))]
        : [chosen[pair], rejected[pair]]
    }
  }
}

extension MethodLoss {
  /// A loss of pairs in which all tokens of a sequence have the same gradient.
  ///
  /// - Parameters:
  ///   - logps: what the metrics tell of the pairs, chosen and rejected in turn.
  ///   - prompts: after the pairs, the forest scores each row's prompt, whose tokens have the likelihood's gradient alone.
  init(_ result: PairLossResult, of batch: MicroBatch, logps: [Double], prompts: Bool = false) {
    let share = 1 / Double(batch.stepMicroBatches)
    var sequences: [Double] = []
    for pair in batch.rows.indices {
      sequences.append(share * (result.chosenGradients[pair] + result.likelihoodGradients[pair]))
      sequences.append(share * result.rejectedGradients[pair])
    }
    if prompts { sequences += result.likelihoodGradients.map { share * $0 } }
    self.init(
      loss: result.loss * share, tokenGradients: spread(sequences, over: batch.policy.counts),
      metrics: pairMetrics(result, logps: logps, batch.policy) + result.metrics,
      nonFiniteRows: result.nonFiniteRows(batch.rows), rowMetrics: pairRowMetrics(result, logps: logps),
      tokenSums: pairTokenSums(batch.policy, sequences: logps.count), likelihood: result.likelihood)
  }
}

extension PairLossResult {
  func nonFiniteRows(_ rows: [Int]) -> [Int] { rows.indices.filter { !losses[$0].isFinite }.map { rows[$0] } }
}

/// Every token of a sequence with the sequence's gradient; sequences without one: 0.
func spread(_ sequences: [Double], over counts: [Int]) -> [Float] {
  var gradients: [Float] = []
  gradients.reserveCapacity(counts.reduce(0, +))
  for (sequence, count) in counts.enumerated() {
    let gradient = sequence < sequences.count ? Float(sequences[sequence]) : 0
    gradients.append(contentsOf: repeatElement(gradient, count: count))
  }
  return gradients
}

/// TRL's metrics of pairs. Log-probs and scores: chosen and rejected in turn; sequences after the pairs do not count.
func pairMetrics(_ pairs: PairLossResult, logps: [Double], _ scores: TokenScores) -> Metrics {
  rewardRowMetrics(pairs, logps: logps).means + pairTokenSums(scores, sequences: logps.count).means
}

/// What the loss and the metrics of pairs are the means of, one number a pair.
func pairRowMetrics(_ pairs: PairLossResult, logps: [Double]) -> RowMetrics {
  [.loss: pairs.lossesBesideLikelihood] + rewardRowMetrics(pairs, logps: logps) + pairs.rowMetrics
}

private func rewardRowMetrics(_ pairs: PairLossResult, logps: [Double]) -> RowMetrics {
  func side(_ first: Int) -> [Double] { stride(from: first, to: logps.count, by: 2).map { logps[$0] } }
  let rewards = zip(pairs.chosenRewards, pairs.rejectedRewards)
  return [
    .rewardsChosen: pairs.chosenRewards, .rewardsRejected: pairs.rejectedRewards,
    .rewardsAccuracies: rewards.map { $0 > $1 ? 1.0 : 0 }, .rewardsMargins: rewards.map { $0 - $1 },
    .logpsChosen: side(0), .logpsRejected: side(1),
  ]
}

/// TRL's per-token metrics of pairs: entropy over both sides, mean logit of each side, accuracy over chosen tokens.
func pairTokenSums(_ scores: TokenScores, sequences: Int) -> TokenSums {
  var start = 0
  var tokens = [0, 0]
  var logits = [0.0, 0.0]
  var entropy = 0.0
  var right = 0
  for (sequence, count) in scores.counts.prefix(sequences).enumerated() {
    let side = sequence % 2
    tokens[side] += count
    for index in start..<start + count {
      entropy += Double(scores.entropy?[index] ?? 0)
      logits[side] += Double(scores.meanLogit?[index] ?? 0)
      if side == 0 && scores.top1?[index] == true { right += 1 }
    }
    start += count
  }
  return [
    .logitsChosen: (logits[0], tokens[0]), .logitsRejected: (logits[1], tokens[1]),
    .entropy: (entropy, tokens[0] + tokens[1]), .meanTokenAccuracy: (Double(right), tokens[0]),
  ]
}
