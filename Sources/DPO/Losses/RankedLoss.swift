import DPOBase
import DPOPlatform

/// A loss over ranked completions and its gradient.
public struct RankedLossResult: Sendable {
  /// Mean over the rows.
  public var loss = 0.0
  /// Each row's loss, weights applied.
  public var losses: [Double] = []
  /// ∂loss/∂(summed policy log-prob) of each completion, the 1/rows of the mean included.
  public var gradients: [Double] = []
  /// r = β log π/π_ref of each completion.
  public var rewards: [Double] = []
}

/// DPO under the Plackett–Luce model (the paper's appendix A.3, equation 20), for rows of K ≥ 2 ranked completions of one
/// prompt. With the completions in order, best first, and r_k = β log π(y_k|x)/π_ref(y_k|x):
///
///     ℓ = −log Π_k exp(r_k) / Σ_{j ≥ k} exp(r_j) = Σ_k log(1 + Σ_{j > k} exp(r_j − r_k))
///
/// K = 2 is `sigmoid`, equation 7. Completions of equal rank are not compared: j then runs over those that rank below k, so
/// that one answer above all others, which tie, is −log softmax(r) of that answer, and a row in which all tie is 0.
///
/// - Parameters:
///   - policy, reference: summed log-probs of all completions, row after row; without reference its log-probs are 0.
///   - counts: completions of each row.
///   - ranks: of all completions; lower is better, only their order counts.
///   - weights: data weights, one factor on each row's ℓ.
public func rankedLoss(
  policy: [Double], reference: [Double]? = nil, counts: [Int], ranks: [Double], weights: [Double]? = nil,
  beta: Double = TrainingOptions.Method.standard.beta
) throws -> RankedLossResult {
  guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
  guard !counts.isEmpty, weights == nil || weights?.count == counts.count else {
    throw DPOError.argument(
      "\(weights?.count ?? 0) weights for \(counts.count) rows; expected one a row, and at least one row")
  }
  try validateWeights(weights)
  let total = policy.count
  if let bad = counts.first(where: { $0 < 2 || $0 > total }) {
    throw DPOError.argument("a row has \(bad) completions; expected at least 2, and \(total) in all rows")
  }
  guard counts.reduce(0, +) == total, ranks.count == total, reference == nil || reference?.count == total else {
    throw DPOError.argument(
      "\(total) log-probs, \(reference?.count ?? total) of the reference and \(ranks.count) ranks for "
        + "\(counts.reduce(0, +)) completions; expected one of each a completion")
  }
  if let bad = ranks.first(where: { !$0.isFinite }) { throw DPOError.argument("a rank is \(bad)") }

  var result = RankedLossResult()
  result.rewards = policy.indices.map { beta * (policy[$0] - (reference?[$0] ?? 0)) }
  result.gradients = [Double](repeating: 0, count: total)
  var start = 0
  for (row, count) in counts.enumerated() {
    let order = (start..<start + count).sorted { ranks[$0] < ranks[$1] }
    let weight = weights?[row] ?? 1
    let scale = weight * beta / Double(counts.count)
    result.losses.append(
      weight * plackettLuce(order, ranks: ranks, rewards: result.rewards, scale: scale, &result.gradients))
    start += count
  }
  result.loss = result.losses.mean
  return result
}

/// ℓ of one row; adds scale · ∂ℓ/∂r to `gradients`.
///
/// - Parameter order: indices of the row's completions, best first.
private func plackettLuce(
  _ order: [Int], ranks: [Double], rewards: [Double], scale: Double, _ gradients: inout [Double]
) -> Double {
  /// The end of the run of equal ranks that begins at `place`.
  func ties(from place: Int) -> Int {
    var end = place + 1
    while end < order.count, ranks[order[end]] == ranks[order[place]] { end += 1 }
    return end
  }
  var groups: [Range<Int>] = []
  while (groups.last?.upperBound ?? 0) < order.count {
    let place = groups.last?.upperBound ?? 0
    groups.append(place..<ties(from: place))
  }
  // From the worst group to the best: L = log Σ exp(r_j) over all that rank below k.
  var below = -Double.infinity
  var belows = [Double](repeating: below, count: groups.count)
  for group in groups.indices.reversed() {
    belows[group] = below
    for place in groups[group] { below = logAddExp(below, rewards[order[place]]) }
  }
  // From the best to the worst: with s_k = σ(L_k − r_k), ∂ℓ/∂r_k = −s_k + exp(r_k) Σ_{i above k} s_i exp(−L_i).
  var loss = 0.0
  var above = -Double.infinity
  for (group, places) in groups.enumerated() {
    for place in places {
      let reward = rewards[order[place]]
      gradients[order[place]] += scale * exp(reward + above)
    }
    guard belows[group] > -.infinity else { continue }
    for place in places {
      let distance = belows[group] - rewards[order[place]]
      loss -= logSigmoid(-distance)
      gradients[order[place]] -= scale * sigmoid(distance)
      above = logAddExp(above, logSigmoid(distance) - belows[group])
    }
  }
  return loss
}
