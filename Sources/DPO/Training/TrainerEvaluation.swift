import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

extension Trainer {
  /// Scores the evaluation data. Metrics are means over all rows, or over all their tokens, whatever the batch size (TRL takes
  /// means over batches), but for what compares the rows of a batch: KTO's kl and BCO's delta, and the losses of both.
  public func evaluate() throws -> StepRecord {
    try exclusively { try evaluateNow() }
  }

  /// The same of other data, read with the options of this run.
  public func evaluate(_ data: TokenizedDataset) throws -> StepRecord {
    try exclusively { try evaluateNow(on: checked(data)) }
  }

  /// Summed log-probs of every sequence of the data, row after row, under policy and reference; of these nil where there is
  /// none. Of a reward model its scores.
  public func scores(of data: TokenizedDataset) throws -> (policy: [Double], reference: [Double]?) {
    try exclusively {
      guard method.rollout == nil, data.kind != .ranked else {
        throw DPOError.unsupported(
          "rows of method \(method.name) have no place in columns of chosen and rejected answers")
      }
      let data = try checked(data)
      var (policy, against): ([Double], [Double]) = ([], [])
      let size = options.batches.perDeviceEvalBatchSize
      try ranks.map((data.count + size - 1) / size) { batch -> [Double] in
        try checkCancelled()
        let rows = Array(batch * size..<min(data.count, (batch + 1) * size))
        guard method.heads != .score else {
          return try models.runner.score(method.forest(data, rows), adapter: adapter).values.map(Double.init)
        }
        let forest = try data.forest(rows: rows)
        return try models.runner.score(forest, adapter: adapter).sums
          + (reference.map { try $0.runner.score(forest, adapter: $0.adapter).sums } ?? [])
      } take: { _, sums in
        let own = reference == nil || method.heads == .score ? sums.count : sums.count / 2
        policy += sums[..<own]
        against += sums[own...]
      }
      return (policy, reference.map { _ in against })
    }
  }

  private func checked(_ other: TokenizedDataset) throws -> TokenizedDataset {
    let other = try templateTime.map { try other.at($0) } ?? other
    try Trainer.check(
      options, method: method, data: data, evaluation: other, start: nil, model: model, referenceModel: referenceFile)
    return other
  }

  func evaluateNow(on other: TokenizedDataset? = nil) throws -> StepRecord {
    guard let evaluation = other ?? evaluation else { throw DPOError(.state, "the trainer has no evaluation data") }
    let start = clock.now
    let metrics = try source.evaluate(evaluation, models).evaluated
    return StepRecord(
      step: step, totalSteps: source.totalSteps, epoch: epoch, metrics: metrics,
      seconds: seconds(since: start))
  }

  /// Metrics of a model on data, against a reference, without training: names as in evaluation, without "eval_".
  ///
  /// - Parameter stopRequested: asked before each batch; true ends the call with `.cancelled`.
  public static func evaluate(
    model: ModelFile, adapter: AdapterFile? = nil, referenceModel: ModelFile? = nil, data: TokenizedDataset,
    options: TrainingOptions, stopRequested: (() -> Bool)? = nil
  ) throws -> StepRecord {
    let method = try TrainingMethod(options, for: model)
    guard method.rollout == nil else {
      throw DPOError.unsupported(
        "method \(method.name) has no loss of rows; it is evaluated in its run, on evaluation data of prompts")
    }
    guard method.heads != .score || (adapter?.heads ?? model.configuration.heads) == .score else {
      throw DPOError.argument("\(model.path): not a reward model; expected one for method \(method.name)")
    }
    let model = try model.with(heads: adapter?.heads ?? model.configuration.heads)
    guard method.heads == .score || model.configuration.heads != .score else {
      throw DPOError.argument("\(model.path): a reward model is evaluated with method reward")
    }
    try check(
      options, method: method, data: data, evaluation: nil, start: nil, model: model, referenceModel: referenceModel)
    let team = try options.team()
    let runner = method.runner(try model.decoder(trainable: false), team: team, options: options)
    let choice = ReferenceChoice(
      method: method, options: options, model: model, other: referenceModel, trained: .nothing)
    let lora = try adapter.map { try LoRAAdapter($0.configuration, model: model.configuration, tensors: $0.tensors) }
    let reference = try choice.make(beside: runner, adapter: lora, model: model, data: data) {
      method.runner($0, team: team, options: options)
    }
    let clock = ContinuousClock()
    let start = clock.now
    let found = try scores(
      of: data, runner: runner, adapter: lora, reference: reference, method: method,
      state: method.initialState, batchSize: options.batches.perDeviceEvalBatchSize, ranks: .alone
    ) {
      if stopRequested?() == true { throw DPOError(.cancelled, "stopped as asked") }
    }
    return StepRecord(
      step: 0, totalSteps: 0, epoch: 0, metrics: found.metrics, standardErrors: found.standardErrors,
      seconds: start.duration(to: clock.now) / .seconds(1))
  }

  /// Means over all rows or tokens; what knows neither (KTO's kl, BCO's delta) is the mean over batches by their rows.
  static func scores(
    of data: TokenizedDataset, runner: ModelRunner, adapter: LoRAAdapter?, reference: ReferenceModel?,
    method: TrainingMethod, state: [Double], batchSize: Int, ranks: Ranks, beforeBatch: () throws -> Void
  ) throws -> (metrics: Metrics, standardErrors: Metrics) {
    try Machine.requireRoom()
    var means = MetricMeans()
    var rowMetrics = RowMetrics()
    var tokenSums: TokenSums = [:]
    var likelihood: LikelihoodTerm?
    var loss = 0.0
    var weights = 0.0
    var rowNumbers: [Double] = []
    let packs = { (batch: Int) in batch * batchSize..<min(data.packCount, (batch + 1) * batchSize) }
    let batches = (data.packCount + batchSize - 1) / batchSize
    try ranks.map(batches) { batch in
      try beforeBatch()
      let rows = data.rows(ofPacks: packs(batch))
      let forest = try method.forest(data, rows)
      let known = rows.compactMap(data.referenceLogProbs)
      let sums =
        known.count == rows.count
        ? known.flatMap { $0 }
        : try reference.map { try method.referenceSums($0.runner.score(forest, adapter: $0.adapter, extras: [])) }
      let result = try method.loss(
        MicroBatch(
          data: data, rows: rows, policy: runner.score(forest, adapter: adapter, extras: method.extras),
          reference: sums,
          stepMicroBatches: 1, stepTargets: forest.targets.count, state: state))
      return EvaluatedBatch(loss: result, rows: rows.count, targets: forest.targets.count)
    } take: { batch, evaluated in
      let result = evaluated.loss
      let weight = method.evaluationWeight(packs(batch).count, evaluated.targets)
      loss += (result.loss - (result.likelihood?.loss ?? 0)) * weight
      if let new = result.likelihood {
        if likelihood == nil { likelihood = new } else { likelihood? += new }
      }
      weights += weight
      means.add(result.metrics, weight: Double(evaluated.rows))
      tokenSums += result.tokenSums
      rowNumbers += result.rowNumbers
      rowMetrics += result.rowMetrics
    }
    let batchMeans = means.means
    if let likelihood {
      rowMetrics.add(likelihood.losses, toThoseOf: .loss)
      if batchMeans[.nllLoss] != nil { rowMetrics += [.nllLoss: likelihood.values] }
    }
    var rowMeans = rowMetrics.means
    rowMeans[.loss] = nil
    var metrics = [.loss: loss / weights + (likelihood?.loss ?? 0)] + batchMeans + rowMeans + tokenSums.means
    for difference in method.rowDifferences {
      guard let first = metrics[difference.of], let second = metrics[difference.and] else { continue }
      metrics[difference.name] = first - second
    }
    return (
      metrics + method.overallMetrics(rowNumbers),
      rowMetrics.standardErrors(differences: method.rowDifferences)
    )
  }
}

/// What a rank found of some rows.
private struct EvaluatedBatch: RankMessage {
  let loss: MethodLoss
  let rows, targets: Int

  init(loss: MethodLoss, rows: Int, targets: Int) { (self.loss, self.rows, self.targets) = (loss, rows, targets) }

  init(from reader: inout MessageReader) throws {
    self.init(
      loss: try MethodLoss(from: &reader), rows: try reader.integer(), targets: try reader.integer())
  }

  func write(to writer: inout MessageWriter) {
    loss.write(to: &writer)
    writer.write(rows)
    writer.write(targets)
  }
}
