import DPOBase
import DPOPlatform

/// What a completion's reward is compared with: the other completions of its prompt, in place of a value function.
public enum GroupBaseline: Sendable {
  /// RLOO (Ahmadian et al. 2024): A_i = r_i − mean of the others' r.
  case leaveOneOut
  /// GRPO (Shao et al. 2024): A_i = (r_i − mean) / (deviation + 1e-4), the deviation with n − 1.
  case standardized
}

/// Advantages of completions that stand `groupSize` by `groupSize`, one group a prompt.
public func groupAdvantages(_ rewards: [Double], groupSize: Int, baseline: GroupBaseline) throws -> [Double] {
  guard groupSize > 1, rewards.count % groupSize == 0 else {
    throw DPOError.argument("\(rewards.count) rewards in groups of \(groupSize); expected whole groups of at least 2")
  }
  return stride(from: 0, to: rewards.count, by: groupSize).flatMap { start -> [Double] in
    let group = Array(rewards[start..<start + groupSize])
    switch baseline {
    case .leaveOneOut:
      let sum = group.sum
      return group.map { $0 - (sum - $0) / Double(groupSize - 1) }
    case .standardized:
      let (mean, deviation) = (group.mean, sampleVariance(group).squareRoot())
      return group.map { ($0 - mean) / (deviation + 1e-4) }
    }
  }
}

/// How a group's policy loss is made, with TRL's defaults.
public struct GroupPolicyLossOptions: Sendable, Equatable {
  /// What has one ratio π/π_old, and counts once.
  public enum Unit: Sendable {
    /// Each token (GRPO).
    case token
    /// Each completion, its tokens' ratios multiplied (RLOO).
    case completion
  }

  /// What has one ratio.
  public var unit = Unit.token
  /// ε
  public var clipRange = TrainingOptions.Method.standard.cliprange
  /// β of k3(log π − log π_ref) at every token, added to the loss.
  public var klCoefficient = 0.0
  /// Whether k3 is multiplied by the token's π/π_old (DeepSeek-V3.2): its gradient is then that of the KL itself.
  public var correctsKL = TrainingOptions.Method.standard.useBiasCorrectionKl

  /// GRPO's: every option at its default.
  public init() {}
}

/// −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) + β ρ k3 (or β k3), summed over tokens or completions and divided by `normalizer`.
///
/// - Parameters:
///   - logProbs: log π of every token now, completion after completion.
///   - rollout: what was noted of them, with the completion's advantage at each of its tokens, and the reference's log-probs
///     where β is not 0.
///   - normalizer: so many tokens or completions the optimiser step has in all.
public func groupPolicyLoss(
  logProbs: [Float], counts: [Int], rollout old: RolloutTokens, normalizer: Double,
  _ options: GroupPolicyLossOptions = GroupPolicyLossOptions()
) throws -> PPOLossResult {
  let count = logProbs.count
  let ranges = try tokenRanges(counts, total: count)
  guard count > 0, old.count == count, old.advantages.count == count, normalizer > 0,
    options.klCoefficient == 0 || old.referenceLogProbs.count == count
  else { throw DPOError.argument("\(count) log-probs for a rollout of \(old.count) tokens; expected as many") }
  guard options.clipRange >= 0, options.clipRange.isFinite else {
    throw DPOError.argument("cliprange is \(options.clipRange); expected a finite number ≥ 0")
  }
  let logRatios = zip(logProbs, old.logProbs).map { Double($0) - Double($1) }
  let units: [Range<Int>] =
    options.unit == .token ? (0..<count).map { $0..<$0 + 1 } : ranges.filter { !$0.isEmpty }
  var result = PPOLossResult()
  result.logProbGradients = [Double](repeating: 0, count: count)
  for unit in units {
    let ratio = exp(logRatios[unit].sum)
    let advantage = Double(old.advantages[unit.lowerBound])
    let free = -advantage * ratio
    let clipped = -advantage * min(max(ratio, 1 - options.clipRange), 1 + options.clipRange)
    result.loss += max(free, clipped) / normalizer
    result.policyLoss += max(free, clipped) / Double(units.count)
    // d ρ / d log π of each of the tokens is ρ.
    if clipped <= free { for t in unit { result.logProbGradients[t] = free / normalizer } }
    result.clipFraction += clipped > free ? 1 / Double(units.count) : 0
    result.ratio += ratio / Double(units.count)
  }
  for t in 0..<count {
    result.approximateKL += 0.5 * logRatios[t] * logRatios[t] / Double(count)
    guard options.klCoefficient != 0 else { continue }
    let k = Double(logProbs[t]) - Double(old.referenceLogProbs[t])
    let (k3, slope) = (KLEstimator.k3(k), KLEstimator.k3.derivative(k))
    let ratio = options.correctsKL ? exp(logRatios[t]) : 1
    result.referenceKL += ratio * k3 / Double(count)
    result.loss += options.klCoefficient * ratio * k3 / normalizer
    // d (ρ k3) / d log π is ρ (k3 + k3').
    let derivative = options.correctsKL ? ratio * (k3 + slope) : slope
    result.logProbGradients[t] += options.klCoefficient * derivative / normalizer
  }
  return result
}
