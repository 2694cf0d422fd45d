import DPOBase
import DPOModel

extension TrainingMethod {
  static func dpo(_ options: TrainingOptions) throws -> TrainingMethod { .dpo(try options.dpoLoss()) }

  /// Direct preference optimisation (the paper's section 4) on pairs: sequences 2i and 2i + 1 are the chosen and the
  /// rejected completion of the i-th row.
  static func dpo(_ options: DPOLossOptions) -> TrainingMethod {
    TrainingMethod(
      name: "dpo", purpose: .preference, usesReference: true,
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
        return MethodLoss(
          loss: pairs.loss * share, tokenGradients: result.tokenGradients.map { Float(Double($0) * share) },
          metrics: pairMetrics(pairs, logps: result.sums, batch.policy), nonFiniteRows: pairs.nonFiniteRows(batch.rows),
          rowMetrics: pairRowMetrics(pairs, logps: result.sums),
          tokenSums: pairTokenSums(batch.policy, sequences: result.sums.count), likelihood: pairs.likelihood)
      })
  }
}

extension TrainingOptions {
  /// The options of the DPO losses, checked.
  public func dpoLoss() throws -> DPOLossOptions {
    var loss = DPOLossOptions()
    try loss.setLosses(
      method.lossType.map { try LossType(named: $0) }, weights: method.lossWeights.isEmpty ? nil : method.lossWeights)
    loss.beta = method.beta
    loss.labelSmoothing = method.labelSmoothing
    loss.fDivergence = method.fDivergenceType
    loss.alphaCoefficient = method.fAlphaDivergenceCoef
    loss.discopopTau = method.discopopTau
    loss.useWeighting = method.useWeighting
    loss.ldAlpha = method.ldAlpha
    loss.referenceFree = method.referenceFree
    try loss.validate()
    return loss
  }
}

extension TokenLogProbs {
  init(_ scores: TokenScores) throws {
    try self.init(values: scores.logProbs, counts: scores.counts, logSumSquares: scores.logSumSquares)
  }
}
