import DPOBase

/// Bradley–Terry on a reward model's scores of pairs, and its gradient by each score.
public struct RewardLossResult: Sendable {
  /// Mean over the pairs.
  public var loss: Double
  /// w (ℓ + c (s_w + s_l)²) of each pair, w its weight.
  public var losses: [Double]
  /// `chosenGradients` and `rejectedGradients`: ∂loss/∂s_w and ∂loss/∂s_l of each pair, the 1/pairs of the mean
  /// included.
  public var chosenGradients, rejectedGradients: [Double]
}

/// ℓ = −log σ(s_w − s_l − margin);  loss = mean ℓ + c · mean (s_w + s_l)²
///
/// - Parameters:
///   - margins: how much better the chosen answer is said to be; nil means 0.
///   - centerCoefficient: c, which keeps the mean score near 0; nil or 0 leaves the term out.
public func rewardLoss(
  chosen: [Double], rejected: [Double], margins: [Double]? = nil, weights: [Double]? = nil,
  centerCoefficient: Double? = nil
) throws -> RewardLossResult {
  let count = chosen.count
  guard count > 0, rejected.count == count, margins == nil || margins?.count == count,
    weights == nil || weights?.count == count
  else { throw DPOError.argument("expected as many chosen as rejected scores, margins and weights, at least one") }
  try validateWeights(weights)
  let center = centerCoefficient ?? 0
  guard center.isFinite, center >= 0 else {
    throw DPOError.argument("center_rewards_coefficient is \(center); expected a finite number ≥ 0")
  }
  var result = RewardLossResult(loss: 0, losses: [], chosenGradients: [], rejectedGradients: [])
  for pair in 0..<count {
    let v = chosen[pair] - rejected[pair] - (margins?[pair] ?? 0)
    let total = chosen[pair] + rejected[pair]
    let weight = (weights?[pair] ?? 1) / Double(count)
    result.losses.append((weights?[pair] ?? 1) * (-logSigmoid(v) + center * total * total))
    result.chosenGradients.append(weight * (-sigmoid(-v) + 2 * center * total))
    result.rejectedGradients.append(weight * (sigmoid(-v) + 2 * center * total))
  }
  result.loss = result.losses.mean
  return result
}
