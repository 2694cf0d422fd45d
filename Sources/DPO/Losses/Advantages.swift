import DPOBase
import DPOPlatform

/// Estimates of KL(π‖π_ref) from a token that π drew, k = log π − log π_ref (Schulman 2020).
public enum KLEstimator: String, CaseIterable, Sendable {
  /// k
  case k1
  /// e^−k − 1 + k, which is never negative
  case k3

  /// The estimate from k = log π − log π_ref of a token that π drew.
  public func callAsFunction(_ k: Double) -> Double {
    switch self {
    case .k1: k
    case .k3: expm1(-k) + k
    }
  }

  /// d estimate / d log π with the drawn token held fixed.
  public func derivative(_ k: Double) -> Double {
    switch self {
    case .k1: 1
    case .k3: -expm1(-k)
    }
  }
}

/// What each token of some completions earns under RLHF's objective (Ziegler et al. 2019; the paper's equation 3):
/// R_t = −β·kl_t, and the completion's score on top at its last token.
///
/// - Parameters:
///   - logRatios: log π − log π_ref of every token, completion after completion.
///   - counts: tokens of each completion.
///   - scores: one a completion; one without tokens earns nothing.
package func tokenRewards(
  logRatios: [Double], counts: [Int], scores: [Double], klCoefficient beta: Double, estimator: KLEstimator = .k1
) throws -> [Double] {
  let ranges = try tokenRanges(counts, total: logRatios.count)
  guard scores.count == counts.count else {
    throw DPOError.argument("\(scores.count) scores for \(counts.count) completions")
  }
  var rewards = logRatios.map { -beta * estimator($0) }
  for (range, score) in zip(ranges, scores) where !range.isEmpty { rewards[range.upperBound - 1] += score }
  return rewards
}

/// Generalised advantage estimation (Schulman et al. 2016), completion by completion from its last token back:
///
///     δ_t = R_t + γ v_{t+1} − v_t,  v beyond the last token = 0;  A_t = δ_t + γλ A_{t+1};  G_t = A_t + v_t
///
/// - Parameter counts: tokens of each completion.
/// - Returns: A and the returns G, token by token.
public func generalizedAdvantages(
  rewards: [Double], values: [Double], counts: [Int], gamma: Double = 1, lambda: Double = 0.95
) throws -> (advantages: [Double], returns: [Double]) {
  let ranges = try tokenRanges(counts, total: rewards.count)
  guard values.count == rewards.count else {
    throw DPOError.argument("\(values.count) values for \(rewards.count) rewards")
  }
  for (name, value) in [("gamma", gamma), ("lam", lambda)] where !(value >= 0 && value <= 1) {
    throw DPOError.argument("\(name) is \(value); expected 0 to 1")
  }
  var advantages = [Double](repeating: 0, count: rewards.count)
  for range in ranges {
    var next = (value: 0.0, advantage: 0.0)
    for t in range.reversed() {
      let delta = rewards[t] + gamma * next.value - values[t]
      advantages[t] = delta + gamma * lambda * next.advantage
      next = (values[t], advantages[t])
    }
  }
  return (advantages, zip(advantages, values).map { $0 + $1 })
}

/// (x − mean) / √(var + 1e-8), var with n − 1 below it; `keepsMean`: the mean is added again.
package func whitened(_ values: [Double], keepsMean: Bool = false) -> [Double] {
  let mean = values.mean
  let scale = 1 / (sampleVariance(values) + 1e-8).squareRoot()
  return values.map { ($0 - mean) * scale + (keepsMean ? mean : 0) }
}

/// Σ (x − mean)² / (n − 1); 0 for less than two values.
func sampleVariance(_ values: [Double]) -> Double {
  guard values.count > 1 else { return 0 }
  let mean = values.mean
  return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
}

/// Where the tokens of each sequence stand.
func tokenRanges(_ counts: [Int], total: Int) throws -> [Range<Int>] {
  var ranges: [Range<Int>] = []
  var start = 0
  for count in counts {
    let (end, overflow) = start.addingReportingOverflow(count)
    guard count >= 0, !overflow, end <= total else {
      throw DPOError.argument("token counts do not add up to the \(total) tokens")
    }
    ranges.append(start..<end)
    start = end
  }
  guard start == total else { throw DPOError.argument("token counts add up to \(start); there are \(total) tokens") }
  return ranges
}
