import DPOBase
import DPOModel

/// A training method as a value: what a micro-batch looks like, which loss of its log-probs is minimised, and what is
/// reported. The trainer knows no method by name.
struct TrainingMethod: Sendable {
  let name: String
  /// Rows the method learns from.
  let purpose: DatasetPurpose
  let defaultLearningRate: Double
  /// Whether the loss or the metrics compare with a reference model.
  let usesReference: Bool
  let extras: ScoreExtras
  /// What the trained model says beside or instead of log-probs.
  var heads = Heads.language
  /// Rows longer than max_length are left out instead of cut.
  var dropsLongRows = false
  /// Rows come in the order of the file: the loss compares neighbours.
  var isSequential = false
  /// Scored sequences of a micro-batch.
  var forest: @Sendable (TokenizedDataset, [Int]) -> TokenForest = { $0.forest(rows: $1) }
  /// Distinct tokens and targets that a row brings into a micro-batch.
  var size: @Sendable (TokenizedDataset, Int) -> (tokens: Int, targets: Int) = { $0.size($1) }
  /// What the reference model's token log-probs become, one number a sequence.
  let referenceSums: @Sendable (TokenScores) throws -> [Double]
  let loss: @Sendable (MicroBatch) throws -> MethodLoss
  /// What log-probs are taken of: logits / temperature.
  var temperature = 1.0
  /// How it learns from completions that the policy draws; nil: from the rows of a data set.
  var rollout: RolloutMethod?
  /// Metrics of a whole evaluation, from the numbers that the losses noted for its rows.
  var overallMetrics: @Sendable ([Double]) -> [(name: String, value: Double)] = { _ in [] }
}

/// Log-probs of some rows of the data, and what they are a part of.
struct MicroBatch {
  let data: TokenizedDataset
  let rows: [Int]
  let policy: TokenScores
  /// Reference sums, one a sequence of the forest.
  let reference: [Double]?
  /// Micro-batches of the optimiser step that this one belongs to.
  let stepMicroBatches: Int
  /// Scored tokens of that step.
  let stepTargets: Int
  /// Of rows that the policy drew: what was noted of them.
  let rollout: Rollout?
}

/// A micro-batch's share of an optimiser step.
struct MethodLoss {
  /// Adds up to the step's loss.
  var loss: Double
  /// d step loss / d log-prob, one a target.
  var tokenGradients: [Float] = []
  /// d step loss / d number of the scalar head; empty: 0.
  var valueGradients: [Float] = []
  var metrics: [(name: String, value: Double)]
  /// Rows whose loss is NaN or infinite.
  var nonFiniteRows: [Int] = []
  /// One number a row for `overallMetrics`.
  var rowNumbers: [Double] = []
}

extension TrainingMethod {
  /// A method's name, what it trains (for `--help`), and how it is made of checked options.
  struct Entry: Sendable {
    let name: String
    let summary: String
    let make: @Sendable (TrainingOptions) throws -> TrainingMethod
  }

  /// Every method, in the order in which they are documented.
  static let table: [Entry] = [
    Entry(name: "dpo", summary: "on pairs") { .dpo(try $0.dpoLoss()) },
    Entry(name: "sft", summary: "on demonstrations") { _ in .sft },
    Entry(name: "kto", summary: "on thumbs up and down") {
      .kto(try $0.ktoLoss(), group: $0.perDeviceTrainBatchSize)
    },
    Entry(name: "reward", summary: "a reward model on pairs") {
      .reward(centerCoefficient: $0.centerRewardsCoefficient)
    },
    Entry(name: "ppo", summary: "on the policy's own answers to prompts, by a reward") { try $0.ppo() },
    Entry(name: "rloo", summary: "the same without a value function, by leave-one-out means") { try $0.rloo() },
    Entry(name: "grpo", summary: "the same by standardised groups") { try $0.grpo() },
    Entry(name: "online_dpo", summary: "DPO on its best and worst answers") { try $0.onlineDPO() },
  ]

  static let names = table.map(\.name)

  init(_ options: TrainingOptions) throws {
    guard let entry = TrainingMethod.table.first(where: { $0.name == options.method }) else {
      throw DPOError.argument(
        "method is \(options.method), expected one of \(TrainingMethod.names.joined(separator: ", "))")
    }
    self = try entry.make(options)
  }
}

extension TrainingOptions {
  /// How the method's rows become tokens.
  public func dataset() throws -> DatasetOptions {
    let method = try TrainingMethod(self)
    var dataset = DatasetOptions(method.purpose)
    dataset.dropsLongRows = method.dropsLongRows
    dataset.maxLength = maxLength
    dataset.truncation = try TruncationMode(named: truncationMode)
    dataset.completionOnlyLoss = completionOnlyLoss
    try dataset.validate()
    return dataset
  }
}
