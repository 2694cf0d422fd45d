import DPOBase
import DPOModel

/// π_ref: the frozen model that the policy is compared with; see `ReferenceChoice`.
final class ReferenceModel {
  let runner: ModelRunner
  let adapter: LoRAAdapter?
  /// Sums of rows that are known already, by row of the training data: from columns of the data, or precomputed.
  var known: [[Double]?]

  init(runner: ModelRunner, adapter: LoRAAdapter?, data: TokenizedDataset) {
    self.runner = runner
    self.adapter = adapter
    known = (0..<data.count).map(data.referenceLogProbs)
  }

  /// log π_ref of the forest's sequences, from what is known or by a forward pass.
  func sums(rows: [Int], forest: TokenForest, method: TrainingMethod) throws -> [Double] {
    let found = rows.compactMap { known[$0] }
    if found.count == rows.count { return found.flatMap { $0 } }
    return try method.referenceSums(runner.score(forest, adapter: adapter, extras: []))
  }

  /// TR-DPO (Gorbatovski et al. 2024): π_ref ← (1 − α)·π_ref + α·π.
  static func mix(_ policy: ParameterStore, into reference: ParameterStore, alpha: Double) {
    let weight = Float(alpha)
    let rest = Float(1 - alpha)
    let (from, to) = (policy.values.pointer, reference.values.pointer)
    for index in 0..<min(policy.count, reference.count) { to[index] = rest * to[index] + weight * from[index] }
  }
}
