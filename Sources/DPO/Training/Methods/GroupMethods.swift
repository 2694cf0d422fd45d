import DPOBase
import DPOModel

extension TrainingMethod {
  static func rloo(_ options: TrainingOptions) throws -> TrainingMethod { try options.rloo() }

  static func grpo(_ options: TrainingOptions) throws -> TrainingMethod { try options.grpo() }

  /// Policy optimisation without a value function: a completion's advantage is its reward against the other completions of
  /// the same prompt. The rollout is PPO's; the loss is that of `options`.
  static func group(
    name: String, _ options: GroupPolicyLossOptions, rollout: RolloutMethod
  ) -> TrainingMethod {
    TrainingMethod(
      name: name, purpose: .prompts, usesReference: true, extras: [.entropy],
      referenceSums: { $0.sums },
      loss: { batch in
        guard let rollout = batch.rollout else { throw DPOError(.internal, "\(name) learns from rollouts") }
        // GRPO counts the tokens of the whole step alike (TRL's "dapo" normalisation), RLOO the completions.
        let normalizer =
          options.unit == .token ? batch.stepTargets : batch.rows.count * batch.stepMicroBatches
        let result = try groupPolicyLoss(
          logProbs: batch.policy.logProbs, counts: batch.policy.counts, rollout: rollout.tokens(of: batch.rows),
          normalizer: Double(max(1, normalizer)), options)
        var metrics = policyMetrics(result, batch.policy)
        if options.klCoefficient != 0 { metrics[.kl] = result.referenceKL }
        return MethodLoss(
          loss: result.loss, tokenGradients: result.logProbGradients.map { Float($0) }, metrics: metrics,
          nonFiniteRows: batch.rows.indices.filter { !batch.policy.sums[$0].isFinite }.map { batch.rows[$0] })
      },
      temperature: rollout.sampling.temperature, rollout: rollout)
  }

  /// What the steps of a rollout learn from. `penalizes`: β·Σ k is taken from the reward (RLOO); otherwise the loss has the
  /// penalty (GRPO).
  static func groupRollout(
    _ samples: Samples, klCoefficient: Double, baseline: GroupBaseline, penalizes: Bool
  ) throws -> Rollout {
    let penalties = samples.divergences.map { -klCoefficient * $0 }
    let rewards = penalizes ? zip(samples.scores, penalties).map { $0 + $1 } : samples.scores
    let size = samples.completionsPerPrompt
    let advantages = try groupAdvantages(rewards, groupSize: size, baseline: baseline)
    let groups = stride(from: 0, to: rewards.count, by: size).map { rewards[$0..<$0 + size] }
    let equal = groups.count { group in group.allSatisfy { $0 == group.first } }
    return Rollout(
      data: try TokenizedDataset.drawn(samples.rows),
      tokens: RolloutTokens(
        logProbs: samples.logProbs,
        advantages: zip(advantages, samples.counts).flatMap { [Float](repeating: Float($0), count: $1) },
        referenceLogProbs: samples.referenceLogProbs),
      divergence: samples.divergences.mean,
      metrics: samples.metrics(penalties: penalties)
        + [.fracRewardZeroStd: Double(equal) / Double(max(1, groups.count))])
  }
}

extension TrainingOptions {
  /// The options of RLOO, checked.
  func rloo() throws -> TrainingMethod {
    var loss = GroupPolicyLossOptions()
    loss.unit = .completion
    loss.clipRange = method.cliprange
    return .group(
      name: method.name, loss,
      rollout: groupRollouts { samples, beta in
        try TrainingMethod.groupRollout(samples, klCoefficient: beta, baseline: .leaveOneOut, penalizes: true)
      })
  }

  /// The options of GRPO, checked.
  func grpo() throws -> TrainingMethod {
    guard method.klTarget == nil else {
      throw DPOError.argument("kl_target does not go with grpo, whose penalty is part of the loss")
    }
    var loss = GroupPolicyLossOptions()
    loss.clipRange = method.cliprange
    loss.klCoefficient = method.klCoef ?? method.defaultKlCoef
    loss.correctsKL = method.useBiasCorrectionKl
    return .group(
      name: method.name, loss,
      rollout: groupRollouts { samples, beta in
        try TrainingMethod.groupRollout(samples, klCoefficient: beta, baseline: .standardized, penalizes: false)
      })
  }

  private func groupRollouts(
    learn: @escaping @Sendable (Samples, _ klCoefficient: Double) throws -> Rollout
  ) -> RolloutMethod {
    var rollout = rollouts(learn: learn)
    rollout.completionsPerPrompt = method.numGenerations ?? method.defaultNumGenerations
    rollout.rowsPerPrompt = rollout.completionsPerPrompt
    rollout.miniBatches = method.numMiniBatches
    return rollout
  }
}
