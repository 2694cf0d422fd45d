import DPOBase

extension LossType {
  /// The loss of this name; the error lists the names there are.
  public init(named name: String) throws {
    guard let type = LossType(rawValue: name) else {
      let known = LossType.allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError.argument("loss_type \"\(DPOError.printable(name))\" is unknown; expected one of \(known)")
    }
    self = type
  }
}

/// Which preference loss, with TRL's defaults. Names in errors are TRL's.
public struct DPOLossOptions: Sendable, Equatable {
  /// One loss of a sum and its factor (any sign; factors are not normalised).
  public struct Term: Sendable, Equatable {
    /// Which loss.
    public var type: LossType
    /// Factor on its mean over the pairs; finite.
    public var weight: Double

    /// A loss and its factor.
    public init(_ type: LossType, weight: Double = 1) {
      self.type = type
      self.weight = weight
    }
  }

  /// β: how strongly the policy is held to the reference. Finite, > 0.
  public var beta = TrainingOptions.Method.standard.beta
  /// `loss_type` and `loss_weights`: the loss is Σ weight · mean over pairs.
  public var losses = [Term(.sigmoid)]
  /// ε: the probability that a label is flipped, for exo_pair, robust, aot, aot_unpaired and conservative.
  public var labelSmoothing = TrainingOptions.Method.standard.labelSmoothing
  /// `f_divergence_type` (f-DPO, Wang et al. 2023): the divergence that holds the policy to the reference.
  public var fDivergence = FDivergence.reverseKL
  /// `f_alpha_divergence_coef`.
  public var alphaCoefficient = TrainingOptions.Method.standard.fAlphaDivergenceCoef
  /// τ of discopop's μ = σ(u/τ), `discopop_tau` (Lu et al. 2024). Finite, > 0.
  public var discopopTau = TrainingOptions.Method.standard.discopopTau
  /// `use_weighting` (WPO, Zhou et al. 2024): pairs likely under the policy weigh more.
  public var useWeighting = false
  /// LD-DPO (Liu et al. 2024): factor on the tokens of the longer completion beyond the length of the shorter one.
  public var ldAlpha: Double?
  /// The losses see a reference that gives every completion the same probability (log-prob 0).
  public var referenceFree = false

  /// DPO's sigmoid loss, every option at its default.
  public init() {}

  /// One loss with its β; every other option at its default.
  public init(_ type: LossType, beta: Double = TrainingOptions.Method.standard.beta) {
    losses = [Term(type)]
    self.beta = beta
  }

  /// `loss_type` and `loss_weights` as TRL takes them; without weights each is 1.
  public mutating func setLosses(_ types: [LossType], weights: [Double]? = nil) throws {
    guard weights == nil || weights?.count == types.count else {
      throw DPOError.argument(
        "\(weights?.count ?? 0) loss_weights for \(types.count) loss types; expected one for each")
    }
    losses = types.enumerated().map { Term($0.element, weight: weights?[$0.offset] ?? 1) }
  }

  /// Whether any loss of the sum compares with the reference.
  public var needsReference: Bool { !referenceFree && losses.contains { $0.type != .sft } }

  /// Throws when a value is out of range or options do not go together.
  public func validate() throws {
    guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
    guard !losses.isEmpty else { throw DPOError.argument("loss_type is empty; expected at least one loss") }
    for term in losses where !term.weight.isFinite {
      throw DPOError.argument("the weight of loss \(term.type.rawValue) is \(term.weight); expected a finite number")
    }
    guard labelSmoothing >= 0, labelSmoothing <= 1 else {
      throw DPOError.argument("label_smoothing is \(labelSmoothing); expected 0 to 1")
    }
    guard discopopTau.isFinite, discopopTau > 0 else {
      throw DPOError.argument("discopop_tau is \(discopopTau); expected a finite number > 0")
    }
    guard alphaCoefficient.isFinite else {
      throw DPOError.argument("f_alpha_divergence_coef is \(alphaCoefficient); expected a finite number")
    }
    if let ldAlpha, !(ldAlpha >= 0 && ldAlpha <= 1) {
      throw DPOError.argument("ld_alpha is \(ldAlpha); expected 0 to 1")
    }
    for type in losses.map(\.type) {
      switch type {
      case .exoPair where !(labelSmoothing > 0 && labelSmoothing < 1):
        throw DPOError.argument("exo_pair needs label_smoothing inside (0, 1), such as 0.001; found \(labelSmoothing)")
      case .robust where labelSmoothing >= 0.5:
        throw DPOError.argument("robust needs label_smoothing inside [0, 0.5); found \(labelSmoothing)")
      case .aot where useWeighting, .aotUnpaired where useWeighting:
        throw DPOError.argument("use_weighting does not go with \(type.rawValue), which sorts the batch")
      default: break
      }
      guard fDivergence == .reverseKL || type.takesDivergence else {
        throw DPOError.argument(
          "\(type.rawValue) is defined for f_divergence_type reverse_kl only; found \(fDivergence.rawValue)")
      }
    }
  }
}
