import DPOBase
import Glibc

/// f-DPO (Wang et al. 2023): what is applied to the log-ratios t = log π/π_ref before the loss compares them.
public enum FDivergence: String, CaseIterable, Sendable {
  case reverseKL = "reverse_kl"
  case forwardKL = "forward_kl"
  case jensenShannon = "js_divergence"
  case alpha = "alpha_divergence"

  /// The divergence of this name; the error lists the names there are.
  public init(named name: String) throws {
    guard let kind = FDivergence(rawValue: name) else {
      let known = FDivergence.allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError.argument("f_divergence_type \"\(DPOError.printable(name))\" is unknown; expected one of \(known)")
    }
    self = kind
  }

  /// f(t) and f'(t).
  ///
  ///     reverse_kl         t                                   1
  ///     forward_kl         1 − e^−t                            e^−t       (exponent capped at 700: see below)
  ///     js_divergence      log 2 + log σ(t)                    σ(−t)
  ///     alpha_divergence   (e^min(s,80) − 1)/(c − 1)           e^s if s < 80 else 0,   s = (c − 1)t
  ///                        t if |c − 1| < 1e−6                 1
  ///
  /// The cap of forward_kl keeps e^−t finite in double precision, so that a saturated loss has gradient 0 and not ∞·0.
  func apply(_ t: Double, alphaCoefficient c: Double) -> (value: Double, derivative: Double) {
    switch self {
    case .reverseKL: return (t, 1)
    case .forwardKL:
      let exponent = min(-t, 700)
      return (-expm1(exponent), exp(exponent))
    case .jensenShannon: return (log(2) + logSigmoid(t), sigmoid(-t))
    case .alpha:
      guard abs(c - 1) >= 1e-6 else { return (t, 1) }
      let s = (c - 1) * t
      return (expm1(min(s, 80)) / (c - 1), s < 80 ? exp(s) : 0)
    }
  }
}
