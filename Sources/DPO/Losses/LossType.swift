import DPOBase

/// The losses of the DPO family. Raw values are the names of TRL's `loss_type`; `conservative` is the label-smoothed
/// sigmoid (cDPO) of the original implementation, which TRL lacks.
public enum LossType: String, CaseIterable, Sendable {
  /// DPO (Rafailov et al. 2023, equation 7).
  case sigmoid
  /// SLiC-HF's hinge on the DPO margin (Zhao et al. 2023).
  case hinge
  /// IPO (Azar et al. 2023, equation 17), on length-normalised log-ratios as in TRL.
  case ipo
  /// EXO for pairs (Ji et al. 2024, equation 16).
  case exoPair = "exo_pair"
  /// NCA for pairs (Chen et al. 2024).
  case ncaPair = "nca_pair"
  /// Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024).
  case robust
  /// BCO on pairs (Jung et al. 2024), without the running mean.
  case bcoPair = "bco_pair"
  /// SPPO with hard labels (Wu et al. 2024).
  case sppoHard = "sppo_hard"
  /// AOT: stochastic dominance over the batch, paired (Melnyk et al. 2024).
  case aot
  /// AOT over unpaired samples.
  case aotUnpaired = "aot_unpaired"
  /// APO-zero (D'Oosterlinck et al. 2024): raises chosen, lowers rejected.
  case apoZero = "apo_zero"
  /// APO-down: lowers both, the rejected more.
  case apoDown = "apo_down"
  /// DiscoPOP, the log-ratio modulated loss (Lu et al. 2024).
  case discopop
  /// Negative log-likelihood of the chosen completion, token mean over the micro-batch (the RPO term).
  case sft
  /// DPO on length-normalised log-ratios.
  case sigmoidNorm = "sigmoid_norm"
  /// cDPO: sigmoid with labels flipped with probability `labelSmoothing` (Mitchell 2023).
  case conservative

  /// The loss of this name; the error lists the names there are.
  public init(named name: String) throws {
    guard let type = LossType(rawValue: name) else {
      let known = LossType.allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError.argument("loss_type \"\(DPOError.printable(name))\" is unknown; expected one of \(known)")
    }
    self = type
  }

  /// Whether `f_divergence_type` other than reverse KL changes (and is defined for) this loss.
  public var takesDivergence: Bool {
    switch self {
    case .sigmoid, .sigmoidNorm, .hinge, .ipo, .exoPair, .robust, .discopop, .sft, .conservative: true
    case .ncaPair, .bcoPair, .sppoHard, .aot, .aotUnpaired, .apoZero, .apoDown: false
    }
  }

  /// Whether `label_smoothing` is in the loss's formula.
  public var takesLabelSmoothing: Bool {
    switch self {
    case .exoPair, .robust, .aot, .aotUnpaired, .conservative: true
    case .sigmoid, .hinge, .ipo, .ncaPair, .bcoPair, .sppoHard, .apoZero, .apoDown, .discopop, .sft, .sigmoidNorm: false
    }
  }

  /// Whether a pair's loss depends on the other pairs of its micro-batch by sorting, so that no single pair can be
  /// weighted.
  public var sortsBatch: Bool { self == .aot || self == .aotUnpaired }
}
