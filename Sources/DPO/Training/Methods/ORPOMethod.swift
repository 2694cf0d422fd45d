import DPOModel

extension TrainingMethod {
  static func orpo(_ options: TrainingOptions) throws -> TrainingMethod { .orpo(beta: options.method.beta) }

  /// ORPO on pairs, without a reference model. After the pairs a micro-batch scores their prompts: the likelihood term is
  /// that of prompt and chosen completion.
  static func orpo(beta: Double) -> TrainingMethod {
    TrainingMethod(
      name: "orpo", purpose: .preference, usesReference: false,
      extras: [.entropy, .meanLogit, .top1],
      makeForest: { data, rows, _ in
        try data.forest(of: rows.flatMap(data.sequences), scoring: rows.map { data.pair($0).chosen.prompt })
      },
      size: { data, row in
        let size = data.size(row)
        return (size.tokens, size.targets + max(0, data.pair(row).chosen.prompt.count - 1))
      },
      loss: { batch in
        let pairs = PairColumns(batch)
        let prompts = 2 * batch.rows.count..<3 * batch.rows.count
        let result = try orpoLoss(
          chosen: pairs.chosen, rejected: pairs.rejected, chosenCounts: pairs.chosenCounts,
          rejectedCounts: pairs.rejectedCounts, full: zip(pairs.chosen, batch.policy.sums[prompts]).map(+),
          fullCounts: zip(pairs.chosenCounts, batch.policy.counts[prompts]).map(+), weights: pairs.weights, beta: beta)
        return MethodLoss(result, of: batch, logps: pairs.logps(perToken: true), prompts: true)
      })
  }
}
