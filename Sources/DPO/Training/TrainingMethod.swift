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
  /// Sequences that a micro-batch scores beside each row's own.
  var mismatchedSequences = 0
  /// What a batch counts in the mean loss of an evaluation, from its packs or rows and its predicted tokens.
  var evaluationWeight: @Sendable (_ packs: Int, _ targets: Int) -> Double = { packs, _ in Double(packs) }
  /// What the reference model's token log-probs become, one number a sequence.
  var referenceSums: @Sendable (TokenScores) throws -> [Double] = { $0.sums }
  /// Numbers that the loss hands on from one micro-batch of training to the next, as they are when a run starts.
  /// Checkpoints hold them.
  var initialState: [Double] = []
  let loss: @Sendable (MicroBatch) throws -> MethodLoss
  /// What log-probs are taken of: logits / temperature.
  var temperature = 1.0
  /// How it learns from completions that the policy draws; nil: from the rows of a data set.
  var rollout: RolloutMethod?
  /// Metrics of a whole evaluation, from the numbers that the losses noted for its rows.
  var overallMetrics: @Sendable ([Double]) -> [(name: String, value: Double)] = { _ in [] }
  /// Metrics that are differences of the means of two metrics of different rows (`MethodLoss.rowMetrics`).
  var rowDifferences: [(name: String, of: String, and: String)] = []
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
  /// What the micro-batch of training before this one handed on.
  var state: [Double] = []
  /// False in evaluation, which changes no state.
  var isTraining = false
  /// Of rows that the policy drew: what was noted of them.
  var rollout: Rollout?
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
  /// As many numbers for each row, for `overallMetrics`.
  var rowNumbers: [Double] = []
  /// What the next micro-batch of training gets; nil: the same as this one.
  var state: [Double]?
  /// What metrics of the same names are the means of, one number a row: an evaluation tells their standard errors.
  var rowMetrics: [(name: String, values: [Double])] = []
}

extension TrainingMethod {
  /// A method's name, what it trains (for `--help`), and how it is made of checked options.
  struct Entry: Sendable {
    let name: String
    let summary: String
    /// Options that only some methods have, of those this one's. Others must be left at their defaults.
    var options: [String] = []
    let make: @Sendable (TrainingOptions) throws -> TrainingMethod
  }

  /// Every method, in the order in which they are documented.
  static let table: [Entry] = [
    Entry(
      name: "dpo", summary: "on pairs",
      options: referenceOptions + pairLossOptions
    ) { .dpo(try $0.dpoLoss()) },
    Entry(name: "ranked", summary: "on ranked answers", options: referenceOptions) { .ranked(beta: $0.beta) },
    Entry(name: "sft", summary: "on demonstrations, or on the chosen side of pairs", options: sftOptions) {
      .sft(try $0.sftLoss())
    },
    Entry(name: "pretrain", summary: "on plain text") { _ in .pretrain },
    Entry(
      name: "kto", summary: "on thumbs up and down",
      options: referenceOptions + ["loss_type", "desirable_weight", "undesirable_weight"]
    ) { .kto(try $0.ktoLoss(), group: $0.perDeviceTrainBatchSize) },
    Entry(name: "bco", summary: "on thumbs up and down", options: referenceOptions) { .bco(beta: $0.beta) },
    Entry(
      name: "cpo", summary: "CPO, SimPO or AlphaPO on pairs without a reference model",
      options: ["loss_type", "beta", "label_smoothing", "cpo_alpha", "simpo_gamma", "alpha"]
    ) { .cpo(try $0.cpoLoss()) },
    Entry(name: "orpo", summary: "on pairs without a reference model", options: ["beta"]) { .orpo(beta: $0.beta) },
    Entry(
      name: "unlikelihood", summary: "on pairs, the DPO paper's baseline", options: ["unlikelihood_alpha"]
    ) { .unlikelihood(alpha: $0.unlikelihoodAlpha) },
    Entry(name: "reward", summary: "a reward model on pairs", options: ["center_rewards_coefficient"]) {
      .reward(centerCoefficient: $0.centerRewardsCoefficient)
    },
    Entry(
      name: "ppo", summary: "on the policy's own answers to prompts, by a reward",
      options: rolloutOptions + [
        "kl_coef", "kl_estimator", "kl_target", "kl_horizon", "cliprange", "cliprange_value", "vf_coef", "gamma", "lam",
        "whiten_rewards",
      ]
    ) { try $0.ppo() },
    Entry(
      name: "rloo", summary: "the same without a value function, by leave-one-out means",
      options: rolloutOptions + ["kl_coef", "kl_target", "kl_horizon", "cliprange", "num_generations"]
    ) { try $0.rloo() },
    Entry(
      name: "grpo", summary: "the same by standardised groups",
      options: rolloutOptions + ["kl_coef", "cliprange", "num_generations"]
    ) { try $0.grpo() },
    Entry(
      name: "online_dpo", summary: "DPO on its best and worst answers",
      options: rolloutOptions + ["beta", "num_generations"] + pairLossOptions
    ) { try $0.onlineDPO() },
  ]

  static let names = table.map(\.name)

  init(_ options: TrainingOptions) throws {
    guard let entry = TrainingMethod.table.first(where: { $0.name == options.method }) else {
      throw DPOError.argument(
        "method is \(options.method), expected one of \(TrainingMethod.names.joined(separator: ", "))")
    }
    for field in TrainingOptions.fields where !TrainingMethod.has(option: field.name, method: entry.name) {
      guard field.value(in: options) == field.defaultValue else {
        let owners = TrainingMethod.table.filter { $0.options.contains(field.name) }.map(\.name)
        throw DPOError.argument(
          "\(field.name) is \(field.value(in: options)), but method \(entry.name) has no such option; "
            + "it is one of \(owners.joined(separator: ", "))")
      }
    }
    self = try entry.make(options)
  }

  /// Whether an option is one of all methods, or of this one.
  static func has(option: String, method: String) -> Bool {
    let owners = table.filter { $0.options.contains(option) }
    return owners.isEmpty || owners.contains { $0.name == method }
  }

  private static let sftOptions = ["loss_type", "completion_only_loss", "assistant_only_loss", "packing"]

  private static let pairLossOptions = [
    "loss_type", "loss_weights", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef", "discopop_tau",
    "ld_alpha", "use_weighting",
  ]

  /// Options of methods that learn from completions which the policy draws.
  private static let rolloutOptions = [
    "max_kl", "num_ppo_epochs", "num_mini_batches", "max_completion_length", "temperature", "missing_eos_penalty",
  ]

  /// Options of a comparison with a reference model.
  private static let referenceOptions = [
    "beta", "reference_free", "precompute_ref_log_probs", "sync_ref_model", "ref_model_mixup_alpha",
    "ref_model_sync_steps",
  ]
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
    dataset.assistantOnlyLoss = assistantOnlyLoss
    dataset.packing = packing
    try dataset.validate()
    return dataset
  }
}
