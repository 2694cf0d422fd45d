import DPOBase

/// A loss over single labelled completions and its gradient.
public struct UnpairedLossResult: Sendable {
  /// Mean over the rows.
  public var loss = 0.0
  /// ℓ of each row, its weights included.
  public var losses: [Double] = []
  /// ∂loss/∂(summed policy log-prob) of each row, the 1/rows of the mean included.
  public var gradients: [Double] = []
  /// β log π/π_ref of each row.
  public var rewards: [Double] = []
  /// KTO: the KL estimate K. BCO: the running mean δ.
  public var baseline = 0.0
}

/// KTO (Ethayarajh et al. 2024), on unpaired rows.
public struct KTOLossOptions: Sendable, Equatable {
  /// The losses of the method, `loss_type`.
  public enum Kind: String, CaseIterable, Sendable {
    /// Rewards are compared with K, the KL estimate from mismatched rows.
    case kto
    /// APO-zero on unpaired rows: K = 0.
    case apoZeroUnpaired = "apo_zero_unpaired"
  }

  /// Which of them.
  public var kind = Kind.kto
  /// β: how strongly the policy is held to the reference. Finite, > 0.
  public var beta = TrainingOptions.Method.standard.beta
  /// w_D: factor on ℓ of desirable rows. At least 0.
  public var desirableWeight = TrainingOptions.Method.standard.desirableWeight
  /// w_U: factor on ℓ of undesirable rows. At least 0.
  public var undesirableWeight = TrainingOptions.Method.standard.undesirableWeight

  /// KTO, every option at its default.
  public init() {}

  /// Throws `.invalidArgument` for values out of range.
  public func validate() throws {
    guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
    for (name, value) in [("desirable_weight", desirableWeight), ("undesirable_weight", undesirableWeight)] {
      guard value.isFinite, value >= 0 else {
        throw DPOError.argument("\(name) is \(value); expected a finite number ≥ 0")
      }
    }
  }
}

/// desirable:   ℓ = w_D (1 − σ(β(t − K)))        t = log π/π_ref of the row
/// undesirable: ℓ = w_U (1 − σ(β(K − t)))        K = max(0, mean of the mismatched rows' log-ratios), constant
///
/// - Parameters:
///   - labels: true where the completion is desirable.
///   - klLogRatios: log π/π_ref of the micro-batch's mismatched rows; unused by `apoZeroUnpaired`.
///   - weights: data weights, one factor on each row's ℓ.
public func ktoLoss(
  logRatios: [Double], labels: [Bool], klLogRatios: [Double], weights: [Double]? = nil, _ options: KTOLossOptions
) throws -> UnpairedLossResult {
  try options.validate()
  try checkRows(logRatios, labels, weights)
  guard options.kind == .apoZeroUnpaired || !klLogRatios.isEmpty else {
    throw DPOError.argument("kto needs the log-ratios of mismatched rows")
  }
  let rows = Double(logRatios.count)
  let beta = options.beta
  var result = UnpairedLossResult()
  result.baseline = options.kind == .kto ? max(0, klLogRatios.mean) : 0
  for (row, ratio) in logRatios.enumerated() {
    let v = beta * (ratio - result.baseline)
    let weight = (labels[row] ? options.desirableWeight : options.undesirableWeight) * (weights?[row] ?? 1)
    result.losses.append(weight * sigmoid(labels[row] ? -v : v))
    result.gradients.append((labels[row] ? -weight : weight) * beta * sigmoidDerivative(v) / rows)
    result.rewards.append(beta * ratio)
  }
  result.loss = result.losses.mean
  return result
}

func checkRows(_ logRatios: [Double], _ labels: [Bool], _ weights: [Double]?) throws {
  guard !logRatios.isEmpty, labels.count == logRatios.count, weights == nil || weights?.count == logRatios.count else {
    throw DPOError.argument(
      "\(logRatios.count) log-ratios and \(labels.count) labels; expected one label a row, at least one row")
  }
  try validateWeights(weights)
}
