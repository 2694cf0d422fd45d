import DPOBase
import DPOModel
import DPOPlatform

extension TrainingMethod {
  static func pretrain(_ options: TrainingOptions) throws -> TrainingMethod { .pretrain }

  /// Pretraining: supervised fine-tuning on every token of documents, but for the first of each, of which nothing tells.
  /// Evaluation gives the perplexity: e to the mean loss of all predicted tokens.
  static let pretrain: TrainingMethod = {
    let sft = TrainingMethod.sft(.nll)
    return TrainingMethod(
      name: "pretrain", purpose: .pretraining, usesReference: false, extras: sft.extras,
      evaluationWeight: { Double($1) }, referenceSums: sft.referenceSums,
      loss: { batch in
        var result = try sft.loss(batch)
        result.rowNumbers = zip(batch.policy.sums, batch.policy.counts).flatMap { [$0, Double($1)] }
        return result
      },
      overallMetrics: { numbers in
        let sums = stride(from: 0, to: numbers.count, by: 2).reduce(0.0) { $0 + numbers[$1] }
        let tokens = stride(from: 1, to: numbers.count, by: 2).reduce(0.0) { $0 + numbers[$1] }
        return [.perplexity: exp(-sums / max(1, tokens))]
      })
  }()
}
