import DPOBase

/// The unlikelihood baseline of the DPO paper: the likelihood of the chosen completion is raised and that of the rejected
/// one lowered, without a reference and without the weight that DPO's gradient has:
///
///     ℓ = −log π(y_w|x) + α · log π(y_l|x)
///
/// ℓ has no lower bound: a long run ruins the model, as the paper's appendix shows. Rewards are the log-probs themselves.
///
/// - Parameters:
///   - chosen, rejected: summed log-probs. - alpha: α, 0 (only the chosen ones are learnt) to 1.
public func unlikelihoodLoss(
  chosen: [Double], rejected: [Double], weights: [Double]? = nil, alpha: Double = 1
) throws -> PairLossResult {
  guard alpha >= 0, alpha <= 1 else { throw DPOError.argument("unlikelihood_alpha is \(alpha); expected 0 to 1") }
  let count = chosen.count
  let zeros = [Int](repeating: 0, count: count)
  var columns = PairScores(chosen: chosen, rejected: rejected, chosenCounts: zeros, rejectedCounts: zeros)
  columns.weights = weights
  try columns.validate()
  var result = PairLossResult(pairs: count)
  for pair in 0..<count {
    let weight = weights?[pair] ?? 1
    result.losses[pair] = weight * (alpha * rejected[pair] - chosen[pair])
    result.chosenGradients[pair] = -weight / Double(count)
    result.rejectedGradients[pair] = weight * alpha / Double(count)
  }
  result.chosenRewards = chosen
  result.rejectedRewards = rejected
  result.loss = result.losses.mean
  return result
}
