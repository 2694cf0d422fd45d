import DPOBase
import DPOModel

extension TrainingMethod {
  static func onlineDpo(_ options: TrainingOptions) throws -> TrainingMethod { try options.onlineDPO() }

  /// Online DPO (Guo et al. 2024): the policy answers each prompt several times, a judge says which answer is the best and
  /// which the worst, and the DPO losses learn from this pair; then it answers again.
  static func onlineDPO(_ options: DPOLossOptions, rollout: RolloutMethod) -> TrainingMethod {
    let dpo = TrainingMethod.dpo(options)
    return TrainingMethod(
      name: "online_dpo", purpose: .prompts, usesReference: true, extras: dpo.extras,
      referenceSums: dpo.referenceSums, loss: dpo.loss, rollout: rollout)
  }

  /// The pairs of a rollout. Prompts whose answers the judge does not tell apart make none.
  static func onlineRollout(_ samples: Samples, _ options: DPOLossOptions) throws -> Rollout {
    let size = samples.completionsPerPrompt
    let ranges = try tokenRanges(samples.counts, total: samples.referenceLogProbs.count)
    var rows: [TokenizedRow] = []
    var reference: [Float] = []
    var counts: [Int] = []
    for start in stride(from: 0, to: samples.rows.count, by: size) {
      let group = start..<start + size
      guard let best = group.max(by: { samples.scores[$0] < samples.scores[$1] }),
        let worst = group.min(by: { samples.scores[$0] < samples.scores[$1] }),
        samples.scores[best] > samples.scores[worst]
      else { continue }
      rows.append(
        TokenizedRow(
          prompt: samples.rows[best].prompt, completion: samples.rows[best].completion,
          rejected: samples.rows[worst].completion))
      for index in [best, worst] {
        reference += samples.referenceLogProbs[ranges[index]]
        counts.append(samples.counts[index])
      }
    }
    let prompts = samples.rows.count / size
    let sums = try TokenLogProbs(values: reference, counts: counts).pairSums(ldAlpha: options.ldAlpha)
    return Rollout(
      data: rows.isEmpty ? nil : try TokenizedDataset.drawn(rows),
      referenceSums: rows.indices.map { Array(sums[2 * $0..<2 * $0 + 2]) },
      divergence: samples.divergences.mean,
      metrics: samples.metrics(penalties: samples.divergences.map { -options.beta * $0 })
        + [.valTies: Double(prompts - rows.count) / Double(max(1, prompts))],
      notes: rows.isEmpty
        ? [
          "the judge told none of the answers to \(prompts) prompts apart; there is nothing to learn, the step is skipped"
        ]
        : [])
  }
}

extension TrainingOptions {
  /// The options of online DPO, checked.
  func onlineDPO() throws -> TrainingMethod {
    let loss = try dpoLoss()
    var rollout = rollouts { samples, _ in
      try TrainingMethod.onlineRollout(samples, loss)
    }
    rollout.completionsPerPrompt = method.numGenerations ?? method.defaultNumGenerations
    rollout.miniBatches = method.numMiniBatches
    rollout.kl.coefficient = method.beta
    rollout.kl.target = nil
    return .onlineDPO(loss, rollout: rollout)
  }
}
