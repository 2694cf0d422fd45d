import DPOBase
import DPOPlatform

/// What RLHF and DPO both strive for, where all answers y to a prompt can be listed: the policy that maximises
///
///     E_π[r(y)] − β·D_f(π ‖ π_ref)
///
/// and what follows from it. With f-divergence reverse_kl, D_f is KL(π‖π_ref) and these are equations 4 and 5 of the DPO paper;
/// for the others see Wang et al. 2023, "Beyond Reverse KL". Log-probs are natural logarithms; an answer that the reference
/// never gives has log-prob −∞.
public struct ClosedForm: Sendable, Equatable {
  /// How strongly the policy is held to the reference. Finite, > 0.
  public var beta: Double
  /// How the distance from the reference is measured.
  public var fDivergence: FDivergence
  /// `f_alpha_divergence_coef`.
  public var alphaCoefficient: Double

  /// - Throws: `.invalidArgument` for values out of range.
  public init(
    beta: Double = TrainingOptions.Method.standard.beta, fDivergence: FDivergence = .reverseKL,
    alphaCoefficient: Double = TrainingOptions.Method.standard.fAlphaDivergenceCoef
  ) throws {
    guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
    guard alphaCoefficient.isFinite else {
      throw DPOError.argument("f_alpha_divergence_coef is \(alphaCoefficient); expected a finite number")
    }
    (self.beta, self.fDivergence, self.alphaCoefficient) = (beta, fDivergence, alphaCoefficient)
  }

  /// The best policy for rewards, and what normalises it.
  public struct Optimum: Sendable, Equatable {
    /// log π_r(y). −∞ where the policy gives no probability.
    public let logProbs: [Double]
    /// λ in r(y) = β·f'(π_r(y)/π_ref(y)) + λ; under reverse_kl it is β·log Z.
    public let normalizer: Double
    /// log Z = λ/β.
    public let logPartition: Double
  }

  /// π_r = π_ref·f'⁻¹((r − λ)/β). Under reverse_kl, with f'(u) = log u, that is π_ref·exp(r/β)/Z.
  ///
  /// λ makes the probabilities sum to 1. It is sought as the log-ratio τ of the best answer: Σ π_r grows with τ, is at most 1
  /// at τ = 0, where no log-ratio is positive, and at least 1 at τ = −log π_ref(best), where the best answer alone has
  /// probability 1. Bisection between the two cannot fail and meets no pole of f'⁻¹. Under reverse_kl τ is −log Σ of the
  /// probabilities at τ = 0, at once.
  ///
  /// - Throws: `.invalidArgument` for no answers, rewards that are not finite, or log-probs that are none.
  public func optimum(reference: [Double], rewards: [Double]) throws -> Optimum {
    let reference = try distribution(reference, "the reference")
    try check(rewards.count, "rewards", reference.count)
    if let bad = rewards.firstIndex(where: { !$0.isFinite }) {
      throw DPOError.argument("the reward of answer \(bad) is \(rewards[bad]); expected a finite number")
    }
    let possible = reference.indices.filter { reference[$0] > -.infinity }
    guard let best = possible.max(by: { rewards[$0] < rewards[$1] }) else {
      throw DPOError.argument("the reference has no answer with a probability")
    }
    // An answer that the reference never gives may have a higher reward; its probability stays 0.
    let drops = rewards.map { max(0, rewards[best] - $0) / beta }
    func logProbs(_ tau: Double) -> [Double] {
      zip(reference, drops).map { $0 + fDivergence.logRatio(tau, droppedBy: $1, alphaCoefficient: alphaCoefficient) }
    }
    var tau = -logSumExp(logProbs(0))
    if fDivergence != .reverseKL {
      var low = 0.0
      tau = max(0, -reference[best])
      for _ in 0..<64 {
        let middle = (low + tau) / 2
        if logSumExp(logProbs(middle)) < 0 { low = middle } else { tau = middle }
      }
    }
    let found = logProbs(tau)
    let rest = logSumExp(found)  // what rounding left
    return Optimum(
      logProbs: found.map { $0 - rest }, normalizer: rewards[best] - beta * score(tau),
      logPartition: rewards[best] / beta - score(tau))
  }

  /// The reward for which a policy is the best one, up to λ: β·f'(π/π_ref), under reverse_kl β·log(π/π_ref).
  ///
  /// - Throws: `.nonFinite` where policy or reference never gives an answer: its reward may be anything below a bound.
  public func rewards(policy: [Double], reference: [Double]) throws -> [Double] {
    let (policy, reference) = (try distribution(policy, "the policy"), try distribution(reference, "the reference"))
    try check(policy.count, "log-probs of the policy", reference.count)
    return try policy.indices.map { answer in
      let logRatio = policy[answer] - reference[answer]
      guard logRatio.isFinite else {
        throw DPOError(
          .nonFinite,
          "answer \(answer): log-probs \(policy[answer]) and \(reference[answer]) of policy and reference say nothing of its reward"
        )
      }
      return beta * score(logRatio)
    }
  }

  /// D_f(π‖π_ref), by which the policy is held; under reverse_kl it is KL(π‖π_ref). Under js_divergence it is twice the
  /// Jensen-Shannon divergence, as the loss has it. ∞ where one has answers that the other lacks and f says so.
  public func divergence(policy: [Double], reference: [Double]) throws -> Double {
    let (policy, reference) = (try distribution(policy, "the policy"), try distribution(reference, "the reference"))
    try check(policy.count, "log-probs of the policy", reference.count)
    return zip(policy, reference).reduce(0) {
      $0 + fDivergence.share(policy: $1.0, reference: $1.1, alphaCoefficient: alphaCoefficient)
    }
  }

  /// f'(e^t) as the losses have it, with f'(1) = 0.
  private func score(_ t: Double) -> Double { fDivergence.apply(t, alphaCoefficient: alphaCoefficient).value }
}

extension ClosedForm {
  /// KL(p‖q) = Σ p·(log p − log q) from log-probs of the same answers; ∞ where q lacks an answer of p.
  public static func klDivergence(_ p: [Double], _ q: [Double]) throws -> Double {
    try ClosedForm().divergence(policy: p, reference: q)
  }

  /// Bradley and Terry 1952: the probability that an answer of reward `first` is preferred to one of reward `second`,
  /// σ(first − second).
  public static func bradleyTerry(_ first: Double, over second: Double) -> Double { sigmoid(first - second) }

  private func check(_ found: Int, _ what: String, _ expected: Int) throws {
    guard found == expected else {
      throw DPOError.argument("\(found) \(what) for \(expected) answers of the reference; expected one each")
    }
  }

  /// Log-probs whose probabilities sum to 1 to the last digit.
  private func distribution(_ logProbs: [Double], _ name: String) throws -> [Double] {
    if let bad = logProbs.firstIndex(where: { !($0 < .infinity) }) {
      throw DPOError.argument("\(name): log-prob \(bad) is \(logProbs[bad]); expected the logarithm of a probability")
    }
    let total = logSumExp(logProbs)
    guard abs(total) < 1e-4 else {
      throw DPOError.argument(
        "\(name): the probabilities of \(logProbs.count) answers sum to \(exp(total)); expected 1")
    }
    return logProbs.map { $0 - total }
  }
}
