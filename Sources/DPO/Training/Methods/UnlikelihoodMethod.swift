import DPOModel

extension TrainingMethod {
  static func unlikelihood(_ options: TrainingOptions) throws -> TrainingMethod {
    .unlikelihood(alpha: options.method.unlikelihoodAlpha)
  }

  /// The DPO paper's baseline (its section 6; after Welleck et al. 2019) on pairs, without a reference model.
  static func unlikelihood(alpha: Double) -> TrainingMethod {
    TrainingMethod(
      name: "unlikelihood", purpose: .preference, usesReference: false,
      extras: [.entropy, .meanLogit, .top1],
      loss: { batch in
        let pairs = PairColumns(batch)
        let result = try unlikelihoodLoss(
          chosen: pairs.chosen, rejected: pairs.rejected, weights: pairs.weights, alpha: alpha)
        return MethodLoss(result, of: batch, logps: pairs.logps(perToken: false))
      })
  }
}
