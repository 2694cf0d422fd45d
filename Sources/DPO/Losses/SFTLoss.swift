import DPOBase
import Glibc

/// What supervised fine-tuning minimises at each labelled token.
public enum SFTLossKind: String, CaseIterable, Sendable {
  /// −log p.
  case nll
  /// Dynamic fine-tuning (Wu et al. 2025): −p log p with the factor p held constant.
  case dft
}

/// Cross-entropy over the labelled tokens of a micro-batch: Σ_t −lp_t / M (nll), Σ_t −e^lp_t lp_t / M (dft).
///
/// - Parameter normalizer: M, the labelled tokens of the whole optimiser step, so that the step's gradient is that of
///   the exact token mean however it is split into micro-batches. In evaluation the batch's own number.
/// - Returns: the micro-batch's share of the loss and ∂loss/∂log-prob of every token.
public func sftLoss(
  logProbs: [Float], normalizer: Double, kind: SFTLossKind = .nll
) throws -> (loss: Double, tokenGradients: [Float]) {
  guard normalizer > 0, normalizer.isFinite else {
    throw DPOError.argument("the number of labelled tokens is \(normalizer); expected at least one")
  }
  var sum = 0.0
  var gradients = [Float](repeating: Float(-1 / normalizer), count: logProbs.count)
  for (index, value) in logProbs.enumerated() {
    let logProb = Double(value)
    switch kind {
    case .nll: sum -= logProb
    case .dft:
      let p = exp(logProb)
      sum -= p == 0 ? 0 : p * logProb
      gradients[index] = Float(-p / normalizer)
    }
  }
  return (sum / normalizer, gradients)
}
