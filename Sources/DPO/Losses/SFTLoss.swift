import DPOBase
import DPOPlatform

/// What supervised fine-tuning minimises at each labelled token.
public enum SFTLossKind: String, CaseIterable, Sendable {
  /// −log p.
  case nll
  /// Dynamic fine-tuning (Wu et al. 2025): −p log p with the factor p held constant.
  case dft
}

/// Cross-entropy over the labelled tokens of a micro-batch: Σ_t −w_t lp_t / M (nll), Σ_t −w_t e^lp_t lp_t / M
/// (dft).
///
/// - Parameters:
///   - weights: a factor on each token's term, its row's data weight; nil: 1.
///   - normalizer: M, the labelled tokens of the whole optimiser step, so that the step's gradient is that of
///     the exact token mean however it is split into micro-batches. In evaluation the batch's own number.
/// - Returns: the micro-batch's share of the loss and ∂loss/∂log-prob of every token.
public func sftLoss(
  logProbs: [Float], weights: [Float]? = nil, normalizer: Double, kind: SFTLossKind = .nll
) throws -> (loss: Double, tokenGradients: [Float]) {
  guard normalizer > 0, normalizer.isFinite else {
    throw DPOError.argument("the number of labelled tokens is \(normalizer); expected at least one")
  }
  guard weights == nil || weights?.count == logProbs.count else {
    throw DPOError.argument("\(weights?.count ?? 0) weights for \(logProbs.count) tokens; expected one a token")
  }
  var sum = 0.0
  var gradients = [Float](repeating: 0, count: logProbs.count)
  for (index, value) in logProbs.enumerated() {
    let logProb = Double(value)
    let weight = Double(weights?[index] ?? 1)
    switch kind {
    case .nll:
      sum -= weight == 0 ? 0 : weight * logProb
      gradients[index] = Float(-weight / normalizer)
    case .dft:
      let factor = weight * exp(logProb)
      sum -= factor == 0 ? 0 : factor * logProb
      gradients[index] = Float(-factor / normalizer)
    }
  }
  return (sum / normalizer, gradients)
}
