import DPOBase
import DPOPlatform

/// CPO (Xu et al. 2024), SimPO (Meng et al. 2024) and AlphaPO (Gupta et al. 2025): no reference model.
public struct CPOLossOptions: Sendable, Equatable {
  /// The losses of the method.
  public enum Kind: String, CaseIterable, Sendable {
    /// −(1−ε) log σ(βd) − ε log σ(−βd) on summed log-probs (CPO, Xu et al. 2024).
    case sigmoid
    /// max(0, 1 − βd) on summed log-probs (SLiC, Zhao et al. 2023).
    case hinge
    /// (d − 1/(2β))² on means per token (IPO, Azar et al. 2023).
    case ipo
    /// The sigmoid form with d − γ/β on means per token (SimPO, Meng et al. 2024).
    case simpo

    /// Compares means per token instead of sums.
    var isPerToken: Bool { self == .ipo || self == .simpo }
  }

  /// Which of them.
  public var kind = Kind.sigmoid
  /// β, more than 0.
  public var beta = TrainingOptions.Method.standard.beta
  /// ε, for sigmoid and simpo.
  public var labelSmoothing = TrainingOptions.Method.standard.labelSmoothing
  /// γ: the margin SimPO asks for.
  public var simpoGamma = TrainingOptions.Method.standard.simpoGamma
  /// AlphaPO's reward shape; 0 is the log-prob itself.
  public var alpha = TrainingOptions.Method.standard.alpha
  /// Factor on the chosen completions' negative log-likelihood; 0 for pure SimPO.
  public var cpoAlpha = TrainingOptions.Method.standard.cpoAlpha

  /// CPO with the defaults of the option table.
  public init() {}

  /// Throws `.invalidArgument` for values out of range.
  public func validate() throws {
    guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
    guard labelSmoothing >= 0, labelSmoothing <= 1 else {
      throw DPOError.argument("label_smoothing is \(labelSmoothing); expected 0 to 1")
    }
    for (name, value) in [("simpo_gamma", simpoGamma), ("alpha", alpha), ("cpo_alpha", cpoAlpha)] where !value.isFinite
    {
      throw DPOError.argument("\(name) is \(value); expected a finite number")
    }
  }
}

/// C, R: summed log-probs (sigmoid, hinge) or means per predicted token (ipo, simpo); with alpha ≠ 0 both become
/// (1 − e^(−alpha·lp))/alpha. d = C − R.
///
///     sigmoid  −(1−ε) log σ(βd) − ε log σ(−βd)        hinge  max(0, 1 − βd)        ipo  (d − 1/(2β))²
///     simpo    the sigmoid form with d − γ/β
///     loss = mean ℓ + cpo_alpha · NLL,  NLL = −(Σ chosen log-probs) / (their number in the micro-batch)
///
/// - Parameters:
///   - chosen, rejected: summed log-probs. - chosenCounts, rejectedCounts: predicted tokens.
public func cpoLoss(
  chosen: [Double], rejected: [Double], chosenCounts: [Int], rejectedCounts: [Int], weights: [Double]? = nil,
  _ options: CPOLossOptions
) throws -> PairLossResult {
  try options.validate()
  var columns = PairScores(
    chosen: chosen, rejected: rejected, chosenCounts: chosenCounts, rejectedCounts: rejectedCounts)
  columns.weights = weights
  try columns.validate()
  let count = chosen.count
  let beta = options.beta
  let epsilon = options.labelSmoothing
  var result = PairLossResult(pairs: count)
  /// The transformed log-prob and its derivative by the sum.
  func transformed(_ sum: Double, _ tokens: Int) -> (Double, Double) {
    let scale = options.kind.isPerToken ? 1 / Double(max(tokens, 1)) : 1
    guard options.alpha != 0 else { return (sum * scale, scale) }
    let exponent = min(-options.alpha * sum * scale, 700)
    return (-expm1(exponent) / options.alpha, exp(exponent) * scale)
  }

  for pair in 0..<count {
    let (c, dc) = transformed(chosen[pair], chosenCounts[pair])
    let (r, dr) = transformed(rejected[pair], rejectedCounts[pair])
    let loss: Double
    let derivative: Double  // ∂ℓ/∂d
    switch options.kind {
    case .hinge:
      loss = max(0, 1 - beta * (c - r))
      derivative = beta * (c - r) < 1 ? -beta : 0
    case .ipo:
      let distance = c - r - 1 / (2 * beta)
      loss = distance * distance
      derivative = 2 * distance
    case .sigmoid, .simpo:
      let v = beta * (c - r) - (options.kind == .simpo ? options.simpoGamma : 0)
      loss = -(1 - epsilon) * logSigmoid(v) - epsilon * logSigmoid(-v)
      derivative = beta * (epsilon * sigmoid(v) - (1 - epsilon) * sigmoid(-v))
    }
    let weight = weights?[pair] ?? 1
    result.losses[pair] = weight * loss
    result.chosenGradients[pair] = weight * derivative * dc / Double(count)
    result.rejectedGradients[pair] = -weight * derivative * dr / Double(count)
    result.chosenRewards[pair] = beta * c
    result.rejectedRewards[pair] = beta * r
  }
  addNLL(sums: chosen, counts: chosenCounts, weights, factor: options.cpoAlpha, to: &result)
  return result
}

/// Adds factor · NLL to a result, NLL = −(Σ w_i sum_i) / (Σ tokens), sets the mean loss and notes the metric nll_loss.
func addNLL(
  sums: [Double], counts: [Int], _ weights: [Double]?, factor: Double, to result: inout PairLossResult
) {
  let term = LikelihoodTerm(sums: sums, counts: counts, weights, factors: sums.map { _ in factor })
  result.add(term, weights)
  result.loss = result.losses.mean
  result.metrics[.nllLoss] = term.nll
}
