import DPOBase
import DPOModel
import DPOStorage

/// A training method as a value: what a micro-batch looks like, which loss of its log-probs is minimised, and what is
/// reported. The trainer knows no method by name.
struct TrainingMethod: Sendable {
  let name: String
  /// Rows the method learns from.
  let purpose: DatasetPurpose
  /// Whether the loss or the metrics compare with a reference model.
  let usesReference: Bool
  let extras: ScoreExtras
  /// What the trained model says beside or instead of log-probs.
  var heads = Heads.language
  /// Rows longer than max_length are left out instead of cut.
  var dropsLongRows = false
  /// Rows come in the order of the file: the loss compares neighbours.
  var isSequential = false
  /// Scored sequences of a micro-batch, without the tokens behind the last predicted one unless it keeps them.
  var makeForest: @Sendable (TokenizedDataset, [Int], _ keepsLast: Bool) throws -> TokenForest = {
    try $0.forest(rows: $1, keepsLast: $2)
  }
  /// Distinct tokens and targets that a row brings into a micro-batch.
  var size: @Sendable (TokenizedDataset, Int) -> (tokens: Int, targets: Int) = { $0.size($1) }
  /// Sequences that a micro-batch scores beside each row's own.
  var mismatchedSequences = 0
  /// What a batch counts in the mean loss of an evaluation, from its packs or rows and its predicted tokens.
  var evaluationWeight: @Sendable (_ packs: Int, _ targets: Int) -> Double = { packs, _ in Double(packs) }
  /// What the reference model's token log-probs become, one number a sequence.
  var referenceSums: @Sendable (TokenScores) throws -> [Double] = { $0.sums }
  /// Numbers that the loss hands on from one micro-batch of training to the next; nil: none.
  var state: HandedOn?
  var loss: @Sendable (MicroBatch) throws -> MethodLoss
  /// The loss has the auxiliary loss of a mixture's routers in it.
  private(set) var hasRouterLoss = false
  /// What log-probs are taken of: logits / temperature.
  var temperature = 1.0
  /// How it learns from completions that the policy draws; nil: from the rows of a data set.
  var rollout: RolloutMethod?
  /// Metrics of a whole evaluation, from the numbers that the losses noted for its rows.
  var overallMetrics: @Sendable ([Double]) -> Metrics = { _ in [:] }
  /// What the user should know of rows before a run on them, by this method alone.
  var ownRemarks: @Sendable (TokenizedDataset) -> [String] = { _ in [] }
  /// Metrics that are differences of the means of two metrics of different rows (`MethodLoss.rowMetrics`).
  var rowDifferences: [RowMetrics.Difference] = []
}

/// What the losses of a method hand on from one micro-batch of training to the next. Checkpoints hold it.
struct HandedOn: Sendable {
  /// When a run starts.
  let initial: [Double]
  /// What a micro-batch adds to it.
  let observation: @Sendable (MicroBatch) -> [Double]
  /// The state after one more observation; the loss gives the same of its own micro-batch.
  let adding: @Sendable (_ state: [Double], _ observation: [Double]) -> [Double]
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
  /// d step loss / d auxiliary loss of the routers.
  var routerLossGradient = 0.0
  var metrics: Metrics
  /// Rows whose loss is NaN or infinite.
  var nonFiniteRows: [Int] = []
  /// As many numbers for each row, for `overallMetrics`.
  var rowNumbers: [Double] = []
  /// What the next micro-batch of training gets; nil: the same as this one.
  var state: [Double]?
  /// What metrics of the same names are the means of, one number a row: an evaluation tells their means over all rows, and
  /// standard errors.
  var rowMetrics: RowMetrics = [:]
  /// What metrics of the same names are the means of, tokens of rows added up: an evaluation tells their means over all tokens.
  var tokenSums: TokenSums = [:]
  /// The part of the loss that is a mean over tokens, row by row: an evaluation takes it over all of them. The rows' losses in
  /// `rowMetrics` are without it.
  var likelihood: LikelihoodTerm?
}

extension TrainingMethod {
  /// What a run's first micro-batch gets.
  var initialState: [Double] { state?.initial ?? [] }

  /// The method that the options name, with the options that it has.
  init(_ options: TrainingOptions) throws {
    try options.validate()
    self = try TrainingMethod.make(options)
  }

  /// The same for a model: with the auxiliary loss of a mixture's routers, as TRL's trainers add it to the loss of each
  /// micro-batch.
  init(_ options: TrainingOptions, for model: ModelFile) throws {
    try self.init(options)
    let name = "router_aux_loss_coef"
    guard let experts = model.configuration.experts else {
      guard options.method.routerAuxLossCoef ?? 0 == 0 else {
        throw DPOError.argument("\(name) is set, but \(model.path) is no mixture of experts")
      }
      return
    }
    guard TrainingOptions.field(name)?.belongs(to: self.name) == true else { return }
    let coefficient = options.method.routerAuxLossCoef ?? experts.lossCoefficient
    guard coefficient != 0 else { return }
    hasRouterLoss = true
    loss = { [loss] batch in
      var result = try loss(batch)
      guard let auxiliary = batch.policy.routerLoss else { return result }
      result.routerLossGradient = coefficient / Double(batch.stepMicroBatches)
      result.loss += result.routerLossGradient * auxiliary
      result.metrics[.auxLoss] = auxiliary
      return result
    }
  }

  /// Scored sequences of a micro-batch. The routers' loss counts all tokens of the rows' own, as TRL's attention mask has them.
  func forest(_ data: TokenizedDataset, _ rows: [Int]) throws -> TokenForest {
    var forest = try makeForest(data, rows, hasRouterLoss)
    if hasRouterLoss { forest.balancedSequences = forest.sequenceCount - mismatchedSequences * rows.count }
    return forest
  }

  /// What the user should know of rows before a run on them.
  func remarks(_ data: TokenizedDataset, _ options: TrainingOptions) -> [String] {
    var result = ownRemarks(data)
    if data.margins != nil, heads == .language {
      result.append("\(data.name): \"margin\" is not read: method \(name) has no use for it, reward has")
    }
    if data.referenceChosen != nil, !usesReference || options.method.referenceFree {
      let reason = usesReference ? "reference_free is set" : "method \(name) has no reference"
      result.append("\(data.name): \"ref_chosen_logps\" and \"ref_rejected_logps\" are not read: \(reason)")
    }
    return result
  }
}

extension TrainingOptions {
  /// How the method's rows become tokens.
  public func dataset() throws -> DatasetOptions {
    let trained = try TrainingMethod(self)
    var dataset = DatasetOptions(trained.purpose)
    dataset.dropsLongRows = trained.dropsLongRows
    dataset.maxLength = rows.maxLength
    dataset.truncation = rows.truncationMode
    dataset.completionOnlyLoss = method.completionOnlyLoss
    dataset.assistantOnlyLoss = method.assistantOnlyLoss
    dataset.packing = method.packing
    dataset.mixtureSeed = UInt64(batches.dataSeed ?? batches.seed)
    dataset.cache = DataCache(named: rows.dataCache)
    dataset.threads = machine.threads
    try dataset.validate()
    return dataset
  }
}
