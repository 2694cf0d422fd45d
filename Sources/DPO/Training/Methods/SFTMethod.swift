import DPOBase
import DPOModel

extension TrainingMethod {
  static func sft(_ options: TrainingOptions) throws -> TrainingMethod { .sft(try options.sftLoss()) }

  /// Supervised fine-tuning: cross-entropy of the labelled tokens, its mean taken over the optimiser step.
  static func sft(_ kind: SFTLossKind) -> TrainingMethod {
    TrainingMethod(
      name: "sft", purpose: .supervised, usesReference: false, extras: [.entropy, .top1],
      evaluationWeight: { Double($1) }, referenceSums: { $0.sums },
      loss: { batch in
        let weights =
          batch.data.weights == nil ? nil : spread(batch.rows.map(batch.data.weight), over: batch.policy.counts)
        let result = try sftLoss(
          logProbs: batch.policy.logProbs, weights: weights, normalizer: Double(batch.stepTargets), kind: kind)
        var tokens = entropySums(batch.policy)
        if let top1 = batch.policy.top1 {
          tokens += [.meanTokenAccuracy: (Double(top1.count { $0 }), top1.count)]
        }
        return MethodLoss(
          loss: result.loss, tokenGradients: result.tokenGradients, metrics: tokens.means,
          nonFiniteRows: batch.rows.indices.filter { !batch.policy.sums[$0].isFinite }.map { batch.rows[$0] },
          tokenSums: tokens)
      })
  }
}

extension TrainingOptions {
  /// The loss of supervised fine-tuning. `sigmoid`, the default of `loss_type`, stands for nll.
  func sftLoss() throws -> SFTLossKind {
    if method.lossType == ["sigmoid"] { return .nll }
    guard method.lossType.count == 1, let kind = SFTLossKind(rawValue: method.lossType[0]) else {
      throw DPOError.argument("loss_type \(method.lossType.joined(separator: ",")) is none of method sft: nll, dft")
    }
    return kind
  }
}
