import DPOBase
import DPOModel

/// What PPO needs besides the options of its loss.
struct PPOOptions: Sendable {
  var loss = PPOLossOptions()
  var estimator = KLEstimator.k1
  var gamma = 1.0
  var lambda = 0.95
  var whitensRewards = false
}

extension TrainingMethod {
  static func ppo(_ options: TrainingOptions) throws -> TrainingMethod { try options.ppo() }

  /// RLHF's policy optimisation (the paper's section 3, equation 3) by PPO, after Ziegler et al. 2019: completions of the
  /// policy, their score and the KL penalty as rewards of tokens, a value function on the policy's own hidden states.
  static func ppo(_ options: PPOOptions, rollout: RolloutMethod) -> TrainingMethod {
    TrainingMethod(
      name: "ppo", purpose: .prompts, usesReference: true, extras: [.entropy],
      heads: .languageAndValue, referenceSums: { $0.sums },
      loss: { batch in
        guard let rollout = batch.rollout else { throw DPOError(.internal, "ppo learns from rollouts") }
        let result = try ppoLoss(
          logProbs: batch.policy.logProbs, values: batch.policy.values, rollout: rollout.tokens(of: batch.rows),
          options.loss)
        let share = 1 / Double(batch.stepMicroBatches)
        return MethodLoss(
          loss: result.loss * share, tokenGradients: result.logProbGradients.map { Float($0 * share) },
          valueGradients: result.valueGradients.map { Float($0 * share) },
          metrics: policyMetrics(result, batch.policy) + [
            .lossValueAvg: result.valueLoss, .valClipfracAvg: result.valueClipFraction,
          ],
          nonFiniteRows: batch.rows.indices.filter { !batch.policy.sums[$0].isFinite }.map { batch.rows[$0] })
      },
      temperature: rollout.sampling.temperature, rollout: rollout)
  }

  /// What the steps of a rollout learn from under β.
  static func ppoRollout(_ samples: Samples, klCoefficient: Double, _ options: PPOOptions) throws -> Rollout {
    let ratios = zip(samples.logProbs, samples.referenceLogProbs).map { Double($0) - Double($1) }
    var rewards = try tokenRewards(
      logRatios: ratios, counts: samples.counts, scores: samples.scores, klCoefficient: klCoefficient,
      estimator: options.estimator)
    let penalties = try tokenRanges(samples.counts, total: ratios.count).map { range in
      -klCoefficient * ratios[range].map { options.estimator($0) }.sum
    }
    if options.whitensRewards { rewards = whitened(rewards, keepsMean: true) }
    let values = samples.values.map(Double.init)
    let (advantages, returns) = try generalizedAdvantages(
      rewards: rewards, values: values, counts: samples.counts, gamma: options.gamma, lambda: options.lambda)
    // 1 − Var(G − v) / Var(G): 1 for a value function that knows the returns, 0 for one that knows their mean.
    let variance = sampleVariance(returns)
    let explained = variance > 0 ? 1 - sampleVariance(zip(returns, values).map { $0 - $1 }) / variance : 0
    return Rollout(
      data: try TokenizedDataset.drawn(samples.rows),
      tokens: RolloutTokens(
        logProbs: samples.logProbs, values: samples.values, advantages: whitened(advantages).map { Float($0) },
        returns: returns.map { Float($0) }),
      divergence: samples.divergences.mean,
      metrics: samples.metrics(penalties: penalties) + [.valExplainedVariance: explained])
  }
}

/// TRL's metrics of a policy's step.
func policyMetrics(_ result: PPOLossResult, _ scores: TokenScores) -> Metrics {
  let entropy = scores.entropy.map { $0.map(Double.init).mean } ?? 0
  return [
    .policyApproxklAvg: result.approximateKL, .policyClipfracAvg: result.clipFraction, .policyEntropyAvg: entropy,
    .lossPolicyAvg: result.policyLoss, .valRatio: result.ratio,
  ]
}

extension TrainingOptions {
  /// The options of PPO, checked.
  func ppo() throws -> TrainingMethod {
    var options = PPOOptions()
    options.loss.clipRange = method.cliprange
    options.loss.valueClipRange = method.cliprangeValue
    options.loss.valueCoefficient = method.vfCoef
    try options.loss.validate()
    options.estimator = method.klEstimator
    options.gamma = method.gamma
    options.lambda = method.lam
    options.whitensRewards = method.whitenRewards
    var rollout = rollouts { [options] samples, beta in
      try TrainingMethod.ppoRollout(samples, klCoefficient: beta, options)
    }
    rollout.miniBatches = method.numMiniBatches
    return .ppo(options, rollout: rollout)
  }

  /// What the methods that draw completions have in common.
  func rollouts(
    learn: @escaping @Sendable (Samples, _ klCoefficient: Double) throws -> Rollout
  ) -> RolloutMethod {
    return RolloutMethod(
      epochs: method.numPpoEpochs ?? method.defaultNumPpoEpochs,
      sampling: SamplingOptions(
        temperature: method.temperature ?? method.defaultTemperature,
        maxCompletionLength: method.maxCompletionLength ?? method.defaultMaxCompletionLength,
        missingEosPenalty: method.missingEosPenalty),
      kl: KLControl(
        coefficient: method.klCoef ?? method.defaultKlCoef, target: method.klTarget, horizon: method.klHorizon,
        limit: method.maxKl),
      learn: learn)
  }
}
