import DPOBase
import DPOPlatform

extension FDivergence {
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

  /// The log-ratio whose f' is lower than that of log-ratio t by `drop` ≥ 0: f'⁻¹(f'(t) − drop), in log-ratios. −∞ where f'
  /// does not reach that low (alpha_divergence with c > 1), and the optimum gives probability 0.
  ///
  ///     reverse_kl         t − d
  ///     forward_kl         −log(e^−t + d)
  ///     js_divergence      −log(e^s − 1),  s = log(1 + e^−t) + d
  ///     alpha_divergence   log(e^(c−1)t − (c−1)d) / (c−1)
  ///
  /// Written as a drop from a known log-ratio, nothing cancels where f' is close to its bound.
  func logRatio(_ t: Double, droppedBy drop: Double, alphaCoefficient c: Double) -> Double {
    switch self {
    case .reverseKL: return t - drop
    case .forwardKL: return -logAddExp(-t, log(drop))
    case .jensenShannon:
      let s = drop - logSigmoid(t)
      return -s - log1mExp(-s)
    case .alpha:
      let a = c - 1
      guard abs(a) >= 1e-6 else { return t - drop }
      guard a > 0 else { return logAddExp(a * t, log(-a * drop)) / a }
      let lost = a * drop * exp(-a * t)
      return lost < 1 ? t + log1p(-lost) / a : -.infinity
    }
  }

  /// q·f(p/q) from log p and log q: the share of one answer in D_f(p‖q) = Σ q·f(p/q), with f(1) = f'(1) = 0 where that is
  /// only a matter of constants, so that no share is negative but for reverse_kl and forward_kl.
  ///
  ///     reverse_kl         p log(p/q)
  ///     forward_kl         q log(q/p)
  ///     js_divergence      p log(2p/(p+q)) + q log(2q/(p+q))
  ///     alpha_divergence   q ((u^c − 1) − c(u − 1)) / (c(c−1)),  u = p/q;   c → 1: reverse_kl,  c → 0: forward_kl
  func share(policy p: Double, reference q: Double, alphaCoefficient c: Double) -> Double {
    let t = p - q
    func times(_ logProb: Double, _ value: Double) -> Double { logProb == -.infinity ? 0 : exp(logProb) * value }
    switch self {
    case .reverseKL: return times(p, t)
    case .forwardKL: return times(q, -t)
    case .jensenShannon: return times(p, log(2) + logSigmoid(t)) + times(q, log(2) + logSigmoid(-t))
    case .alpha:
      if abs(c - 1) < 1e-6 { return times(p, t) }
      if abs(c) < 1e-6 { return times(q, -t) }
      guard q > -.infinity else { return times(p, c > 1 ? .infinity : 1 / (1 - c)) }
      return times(q, (expm1(c * t) - c * expm1(t)) / (c * (c - 1)))
    }
  }
}
