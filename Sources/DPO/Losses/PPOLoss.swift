import DPOBase
import DPOPlatform

/// How far an update may go, with TRL's names and defaults.
public struct PPOLossOptions: Sendable, Equatable {
  /// ε, `cliprange`
  public var clipRange = TrainingOptions.Method.standard.cliprange
  /// ε_v, `cliprange_value`
  public var valueClipRange = TrainingOptions.Method.standard.cliprangeValue
  /// c_v, `vf_coef`
  public var valueCoefficient = TrainingOptions.Method.standard.vfCoef

  /// Every option at its default.
  public init() {}

  /// Throws `.invalidArgument` for a value that is below 0 or not finite.
  public func validate() throws {
    for (name, value) in [
      ("cliprange", clipRange), ("cliprange_value", valueClipRange), ("vf_coef", valueCoefficient),
    ] where !(value >= 0 && value.isFinite) {
      throw DPOError.argument("\(name) is \(value); expected a finite number ≥ 0")
    }
  }
}

/// What a rollout noted of its tokens, completion after completion: constants of the loss.
public struct RolloutTokens: Sendable, Equatable {
  /// log π of each token when it was drawn.
  public var logProbs: [Float]
  /// v when it was drawn; empty without a value function.
  public var values: [Float]
  /// A of each token: how much better than expected it was.
  public var advantages: [Float]
  /// G; empty without a value function.
  public var returns: [Float]
  /// log π_ref; empty where the loss does not look at it.
  public var referenceLogProbs: [Float]

  /// One number a token in every column; a column that the loss does not look at may stay empty.
  public init(
    logProbs: [Float], values: [Float] = [], advantages: [Float], returns: [Float] = [], referenceLogProbs: [Float] = []
  ) {
    self.logProbs = logProbs
    self.values = values
    self.advantages = advantages
    self.returns = returns
    self.referenceLogProbs = referenceLogProbs
  }

  /// Tokens.
  public var count: Int { logProbs.count }
}

/// A policy's loss over drawn tokens, its gradients, and how far the policy has moved.
public struct PPOLossResult: Sendable {
  /// L_p + c_v L_v; of a group, L_p + β·KL
  public var loss = 0.0
  /// L_p: the mean over the tokens, or over completions where they have one ratio each.
  public var policyLoss = 0.0
  /// L_v; 0 without a value function.
  public var valueLoss = 0.0
  /// ∂loss/∂log π(y_t) of each token.
  public var logProbGradients: [Double] = []
  /// ∂loss/∂V(t) of each token; empty without a value function.
  public var valueGradients: [Double] = []
  /// ½ mean (log ρ)²: how far the policy has moved since it drew the tokens.
  public var approximateKL = 0.0
  /// Share of the tokens, or of completions where they have one ratio each, on whose clipped branch the loss is.
  public var clipFraction = 0.0
  /// The same of L_v; 0 without a value function.
  public var valueClipFraction = 0.0
  /// mean ρ
  public var ratio = 0.0
  /// Mean of k3 against the reference, where the loss has it.
  public var referenceKL = 0.0
}

/// Proximal policy optimisation (Schulman et al. 2017) over tokens; means are over all of them.
///
///     ρ_t = π(y_t) / π_old(y_t)
///     L_p = mean max(−A ρ, −A clip(ρ, 1 − ε, 1 + ε))
///     L_v = ½ mean max((V − G)², (clip(V, v − ε_v, v + ε_v) − G)²)
///
/// - Parameters:
///   - logProbs: log π of every token now.
///   - values: V of every token now; empty leaves L_v out.
public func ppoLoss(
  logProbs: [Float], values: [Float], rollout old: RolloutTokens, _ options: PPOLossOptions = PPOLossOptions()
) throws -> PPOLossResult {
  try options.validate()
  let count = logProbs.count
  guard count > 0, old.count == count, old.advantages.count == count,
    values.isEmpty || (values.count == count && old.values.count == count && old.returns.count == count)
  else {
    throw DPOError.argument(
      "\(count) log-probs and \(values.count) values for a rollout of \(old.count) tokens; expected as many, at least one"
    )
  }
  let n = Double(count)
  var result = PPOLossResult()
  result.logProbGradients.reserveCapacity(count)
  for t in 0..<count {
    let logRatio = Double(logProbs[t]) - Double(old.logProbs[t])
    let ratio = exp(logRatio)
    let advantage = Double(old.advantages[t])
    let free = -advantage * ratio
    let clipped = -advantage * min(max(ratio, 1 - options.clipRange), 1 + options.clipRange)
    result.policyLoss += max(free, clipped) / n
    result.logProbGradients.append(clipped > free ? 0 : free / n)
    result.approximateKL += 0.5 * logRatio * logRatio / n
    result.clipFraction += clipped > free ? 1 / n : 0
    result.ratio += ratio / n
  }
  for t in values.indices {
    let (value, before, target) = (Double(values[t]), Double(old.values[t]), Double(old.returns[t]))
    let bounded = min(max(value, before - options.valueClipRange), before + options.valueClipRange)
    let (free, clipped) = ((value - target) * (value - target), (bounded - target) * (bounded - target))
    result.valueLoss += 0.5 * max(free, clipped) / n
    // Where the clipped square is the larger one, V is outside the range and the bound does not move with it.
    result.valueGradients.append(clipped > free ? 0 : options.valueCoefficient * (value - target) / n)
    result.valueClipFraction += clipped > free ? 1 / n : 0
  }
  result.loss = result.policyLoss + options.valueCoefficient * result.valueLoss
  return result
}
