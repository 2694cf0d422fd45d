// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

/// The losses of the DPO family. Raw values are the names of TRL's `loss_type`.
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
  /// cDPO: sigmoid with labels flipped with probability label_smoothing (Mitchell 2023).
  case conservative

  /// The number in the C ABI, which never changes.
  public var number: Int32 {
    switch self {
    case .sigmoid: 0
    case .hinge: 1
    case .ipo: 2
    case .exoPair: 3
    case .ncaPair: 4
    case .robust: 5
    case .bcoPair: 6
    case .sppoHard: 7
    case .aot: 8
    case .aotUnpaired: 9
    case .apoZero: 10
    case .apoDown: 11
    case .discopop: 12
    case .sft: 13
    case .sigmoidNorm: 14
    case .conservative: 15
    }
  }

  /// Whether `f_divergence_type` other than reverse KL changes (and is defined for) this loss.
  public var takesDivergence: Bool {
    switch self {
    case .sigmoid, .hinge, .ipo, .exoPair, .robust, .discopop, .sft, .sigmoidNorm, .conservative: true
    case .ncaPair, .bcoPair, .sppoHard, .aot, .aotUnpaired, .apoZero, .apoDown: false
    }
  }

  /// Whether the completions' numbers of tokens are in the loss's formula.
  public var takesTokenCounts: Bool {
    switch self {
    case .ipo, .sft, .sigmoidNorm: true
    case .sigmoid, .hinge, .exoPair, .ncaPair, .robust, .bcoPair, .sppoHard, .aot, .aotUnpaired, .apoZero, .apoDown,
      .discopop, .conservative: false
    }
  }

  /// Whether a pair's loss depends on the other pairs of its micro-batch by sorting, so that no single pair can be
  /// weighted.
  public var sortsBatch: Bool {
    switch self {
    case .aot, .aotUnpaired: true
    case .sigmoid, .hinge, .ipo, .exoPair, .ncaPair, .robust, .bcoPair, .sppoHard, .apoZero, .apoDown, .discopop,
      .sft, .sigmoidNorm, .conservative: false
    }
  }
}

/// f-DPO (Wang et al. 2023): what is applied to the log-ratios t = log π/π_ref before the loss compares them.
public enum FDivergence: String, CaseIterable, Sendable {
  /// f(t) = t: the divergence of DPO itself.
  case reverseKL = "reverse_kl"
  /// f(t) = 1 − e^−t.
  case forwardKL = "forward_kl"
  /// f(t) = log 2 + log σ(t).
  case jensenShannon = "js_divergence"
  /// f(t) = (e^((c−1)t) − 1)/(c − 1), c = f_alpha_divergence_coef; t itself where c is 1.
  case alpha = "alpha_divergence"

  /// The number in the C ABI, which never changes.
  public var number: Int32 {
    switch self {
    case .reverseKL: 0
    case .forwardKL: 1
    case .jensenShannon: 2
    case .alpha: 3
    }
  }
}
