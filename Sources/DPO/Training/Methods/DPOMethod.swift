import DPOBase
import DPOModel

extension TrainingMethod {
  /// Direct preference optimisation (the paper's section 4) on pairs: sequences 2i and 2i + 1 are the chosen and the
  /// rejected completion of the i-th row.
  static func dpo(_ options: DPOLossOptions) -> TrainingMethod {
    TrainingMethod(
      name: "dpo", purpose: .preference, defaultLearningRate: 1e-6, usesReference: true,
      extras: options.useWeighting ? [.entropy, .meanLogit, .top1, .logSumSquares] : [.entropy, .meanLogit, .top1],
      referenceSums: { try TokenLogProbs($0).pairSums(ldAlpha: options.ldAlpha) },
      loss: { batch in
        let weights = batch.rows.map { batch.data.weight($0) }
        let result = try dpoLoss(
          policy: TokenLogProbs(batch.policy), reference: batch.reference,
          counts: batch.rows.flatMap { batch.data.sequences($0).map(\.completionCount) },
          weights: weights.allSatisfy { $0 == 1 } ? nil : weights, options)
        let share = 1 / Double(batch.stepMicroBatches)
        let pairs = result.pairs
        let rowMetrics: [(name: String, values: [Double])] = [
          ("rewards/chosen", pairs.chosenRewards), ("rewards/rejected", pairs.rejectedRewards),
          ("rewards/accuracies", zip(pairs.chosenRewards, pairs.rejectedRewards).map { $0 > $1 ? 1.0 : 0 }),
          ("rewards/margins", zip(pairs.chosenRewards, pairs.rejectedRewards).map { $0 - $1 }),
          ("logps/chosen", stride(from: 0, to: result.sums.count, by: 2).map { result.sums[$0] }),
          ("logps/rejected", stride(from: 1, to: result.sums.count, by: 2).map { result.sums[$0] }),
        ]
        return MethodLoss(
          loss: pairs.loss * share, tokenGradients: result.tokenGradients.map { Float(Double($0) * share) },
          metrics: rowMetrics.map { ($0.name, $0.values.mean) } + pairTokenMetrics(batch.policy),
          nonFiniteRows: batch.rows.indices.filter { !pairs.losses[$0].isFinite }.map { batch.rows[$0] },
          rowMetrics: [("loss", pairs.losses)] + rowMetrics)
      })
  }
}

extension TrainingOptions {
  /// The options of the DPO losses, checked.
  public func dpoLoss() throws -> DPOLossOptions {
    var loss = DPOLossOptions()
    try loss.setLosses(lossType.map { try LossType(named: $0) }, weights: lossWeights.isEmpty ? nil : lossWeights)
    loss.beta = beta
    loss.labelSmoothing = labelSmoothing
    loss.fDivergence = try FDivergence(named: fDivergenceType)
    loss.alphaCoefficient = fAlphaDivergenceCoef
    loss.discopopTau = discopopTau
    loss.useWeighting = useWeighting
    loss.ldAlpha = ldAlpha
    loss.referenceFree = referenceFree
    try loss.validate()
    return loss
  }
}

/// TRL's per-token metrics of pairs: entropy over both sides, mean logit of each side, accuracy over chosen tokens.
func pairTokenMetrics(_ scores: TokenScores) -> [(String, Double)] {
  var start = 0
  var tokens = [0.0, 0.0]
  var logits = [0.0, 0.0]
  var entropy = 0.0
  var right = 0
  for (sequence, count) in scores.counts.enumerated() {
    let side = sequence % 2
    tokens[side] += Double(count)
    for index in start..<start + count {
      entropy += Double(scores.entropy?[index] ?? 0)
      logits[side] += Double(scores.meanLogit?[index] ?? 0)
      if side == 0 && scores.top1?[index] == true { right += 1 }
    }
    start += count
  }
  func ratio(_ value: Double, _ count: Double) -> Double { count > 0 ? value / count : 0 }
  return [
    ("logits/chosen", ratio(logits[0], tokens[0])), ("logits/rejected", ratio(logits[1], tokens[1])),
    ("entropy", ratio(entropy, tokens[0] + tokens[1])), ("mean_token_accuracy", ratio(Double(right), tokens[0])),
  ]
}

extension TokenLogProbs {
  init(_ scores: TokenScores) throws {
    try self.init(values: scores.logProbs, counts: scores.counts, logSumSquares: scores.logSumSquares)
  }
}
