import CKernels
import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import Synchronization

/// Trains a model on preference pairs or demonstrations, a step at a time or a whole run.
///
/// Calls may come from any thread, one at a time: a second one at once gets a `.state` error. `cancel()`, and what says "any
/// thread", may be used meanwhile. (`@unchecked`: `exclusively` keeps all other state to the thread of the running call.)
public final class Trainer: @unchecked Sendable {
  /// What the run was asked for.
  public let options: TrainingOptions
  /// What it will do and take.
  public private(set) var plan: TrainingPlan
  /// The trained numbers: every weight, or the adapter's.
  public let parameters: ParameterStore
  /// The adapter that is trained; nil in full training.
  public let adapter: LoRAAdapter?
  /// What other threads may read and set while a call runs.
  private struct Shared {
    var step = 0
    var reduceGradients: (@Sendable (UnsafeMutableBufferPointer<Float>) throws -> Void)?
    var stopRequested: (@Sendable () -> Bool)?
    var spelling: @Sendable (OptionSetting) -> String = { $0.description }
    var reward: Judge?
  }

  private let shared = Mutex(Shared())

  /// Optimiser steps done. Any thread.
  public private(set) var step: Int {
    get { shared.withLock { $0.step } }
    set { shared.withLock { $0.step = newValue } }
  }

  /// Called once a step with the flat gradient before clipping, for an all-reduce over processes without a communicator. Any
  /// thread may set it.
  public var reduceGradients: (@Sendable (UnsafeMutableBufferPointer<Float>) throws -> Void)? {
    get { shared.withLock { $0.reduceGradients } }
    set { shared.withLock { $0.reduceGradients = newValue } }
  }

  /// Asked between micro-batches: true stops as `cancel()` does. For hosts whose wish to stop lies somewhere else. Any
  /// thread may set it.
  public var stopRequested: (@Sendable () -> Bool)? {
    get { shared.withLock { $0.stopRequested } }
    set { shared.withLock { $0.stopRequested = newValue } }
  }

  /// How the report of a run writes the options that it suggests: as the host's users write them. Any thread may set it.
  public var spelling: @Sendable (OptionSetting) -> String {
    get { shared.withLock { $0.spelling } }
    set { shared.withLock { $0.spelling = newValue } }
  }

  /// What `strftime_now` tells the chat templates of the rows and of the reward model; nil where none asks.
  private(set) var templateTime: Int?

  /// Scores the completions that the policy draws; methods that learn from a data set need none. Any thread.
  public private(set) var reward: Judge? {
    get { shared.withLock { $0.reward } }
    set { shared.withLock { $0.reward = newValue } }
  }

  let model: ModelFile
  let referenceFile: ModelFile?
  let policy: Decoder
  let method: TrainingMethod
  private(set) var data: TokenizedDataset
  private(set) var evaluation: TokenizedDataset?
  let reference: ReferenceModel?
  private(set) var source: any BatchSource
  let team: ThreadTeam
  let ranks: Ranks
  private let runner: ModelRunner
  private let optimizer: Optimizer
  /// Where weights are updated within the backward pass.
  private let backwardUpdate: BackwardUpdate?
  private var schedule: Schedule
  private let gradientSum: GradientSum
  /// Each rank has the optimiser's states of what it owns (ZeRO-1, Rajbhandari et al. 2020), and updates that. An adapter's are
  /// small: every rank has them all.
  let isSharded: Bool
  /// Of an optimiser step, on all ranks together.
  private(set) var microBatches: Int
  private let planOf: (DatedRows) throws -> TrainingPlan
  let clock = ContinuousClock()
  /// Tokens seen in training, prompts counted once a completion, as TRL counts them.
  var tokensSeen = 0
  /// What the method's loss hands on from one micro-batch to the next, after the steps done.
  private(set) var methodState: [Double]
  private let cancelled = Atomic<Bool>(false)
  private let busy = Atomic<Bool>(false)
  /// The forest of the last `forward`, until its gradients have come back.
  private var pending: TokenForest?
  private var accumulated = 0
  /// Of a sharded optimiser's states, the passage that stands in the gradients' memory while a checkpoint is written.
  private var heldState: Int?
  /// Seconds that went into what the next step learns from.
  private var preparation = 0.0

  /// Plans the run and prepares it.
  ///
  /// - Parameters:
  ///   - start: an adapter to go on from; its own frozen copy is then the reference. nil: `lora_r` decides between a new
  ///     adapter and every weight.
  ///   - referenceModel: a model to compare with instead of the one that training starts from. `model` itself: the model
  ///     without its adapter, which takes no second pass's memory.
  ///   - reward: scores the policy's own completions, for the methods that learn from these; see `setReward`.
  ///   - communicator: the ranks among which the run is divided; all of them make a trainer of the same things.
  /// - Throws: `.memory` before any large allocation if the plan exceeds the limit; `.mismatch` if ranks differ.
  public convenience init(
    model: ModelFile, adapter start: AdapterFile? = nil, referenceModel: ModelFile? = nil, data: TokenizedDataset,
    evaluation: TokenizedDataset? = nil, reward: Judge? = nil, options: TrainingOptions,
    communicator: Communicator? = nil
  ) throws {
    let ranks = Ranks(communicator)
    // A checkpoint keeps one date, and all ranks have the same.
    let (share, date) = try ranks.begin(
      options.machine, date: data.templateTime ?? evaluation?.templateTime ?? reward?.timeNow)
    do {
      try self.init(
        model: model, adapter: start, referenceModel: referenceModel, data: date.map { try data.at($0) } ?? data,
        evaluation: date.map { try evaluation?.at($0) } ?? evaluation,
        reward: date.flatMap { reward?.at($0) } ?? reward,
        date: date, options: options, ranks: ranks, share: share)
    } catch {
      // The others hear of it where they compare what they are.
      try ranks.agree { throw error }
      throw error
    }
    try checkAgainstOtherRanks()
  }

  private init(
    model: ModelFile, adapter start: AdapterFile?, referenceModel: ModelFile?, data: TokenizedDataset,
    evaluation: TokenizedDataset?, reward: Judge?, date: Int?, options: TrainingOptions, ranks: Ranks,
    share: MachineShare
  ) throws {
    templateTime = date
    let method = try TrainingMethod(options, for: model)
    let model = try model.with(heads: method.heads, seed: UInt64(options.batches.seed))
    try Trainer.check(
      options, method: method, data: data, evaluation: evaluation, start: start, model: model,
      referenceModel: referenceModel)
    let microBatches = options.batches.gradientAccumulationSteps * ranks.count
    guard microBatches <= 1 << 31 else {
      throw DPOError.argument(
        "gradient_accumulation_steps × ranks is \(microBatches) micro-batches a step; expected at most \(1 << 31)")
    }
    source = try Trainer.source(
      data, evaluation: evaluation, model: model, method: method, options: options, microBatches: microBatches)
    try ranks.check(source, options)
    let lora = try start?.configuration ?? options.lora(for: model.configuration)
    let choice = ReferenceChoice(
      method: method, options: options, model: model, other: referenceModel,
      trained: lora == nil ? .everyWeight : start == nil ? .newAdapter : .givenAdapter)
    let rewardBytes = reward?.memory ?? 0
    planOf = { rows in
      try TrainingPlan(
        model: model, lora: lora, rows: rows, rewardBytes: rewardBytes, separateReference: choice.isSeparate,
        options: options, share: share)
    }
    plan = try planOf(
      DatedRows(data: data, evaluation: evaluation, source: source, microBatches: microBatches, ranks: ranks.count))
    try plan.checkMemory()
    if options.machine.optimizerInBackward {
      try BackwardUpdate.check(
        options, isFullTraining: lora == nil, microBatches: source.mostMicroBatches, ranks: ranks.count)
    }

    (self.options, self.method, methodState) = (options, method, method.initialState)
    (self.model, referenceFile, self.data, self.evaluation) = (model, referenceModel, data, evaluation)
    (self.ranks, self.microBatches) = (ranks, microBatches)
    let team = try options.team(threads: share.threads)
    self.team = team
    policy = try model.decoder(trainable: lora == nil)
    adapter = try lora.map { try Trainer.adapter($0, from: start, model: model, options: options) }
    guard let parameters = adapter?.parameters ?? policy.parameters else {
      throw DPOError(.internal, "the trainer has nothing to train")
    }
    self.parameters = parameters
    runner = method.runner(policy, team: team, options: options)
    runner.recomputesBlocks = options.machine.gradientCheckpointing
    runner.offload = options.machine.offload
    reference = try choice.make(beside: runner, adapter: adapter, model: model, data: data) {
      method.runner($0, team: team, options: options)
    }
    let chosen = try OptimizerChoice(options.optimization)
    let isSharded = ranks.count > 1 && adapter == nil && chosen.isElementwise
    let owners = Owners(counts: parameters.entries.map(\.count), ranks: ranks.count, isSharded: isSharded)
    self.isSharded = isSharded
    optimizer = try Optimizer(
      parameters, chosen, owned: isSharded ? owners.ranges(of: ranks.rank) : nil, offload: options.machine.offload,
      team: team)
    backwardUpdate =
      options.machine.optimizerInBackward
      ? BackwardUpdate(parameters, optimizer, layerCount: model.configuration.layerCount) : nil
    gradientSum = try GradientSum(
      parameters, owners: owners,
      layerCount: model.configuration.layerCount, reproducible: options.batches.reproducibleSums, team: team,
      ranks: ranks)
    schedule = try options.schedule(totalSteps: source.totalSteps, defaultRate: options.method.defaultLearningRate)
    try setReward(reward)
  }

  /// Gives the policy's completions another judge.
  ///
  /// - Throws: `.mismatch` for a reward model of another tokenizer than the policy's; `.invalidArgument` for a method that
  ///   draws no completions.
  public func setReward(_ reward: Judge?) throws {
    try exclusively {
      if let reward { try check(reward) }
      templateTime = templateTime ?? reward?.timeNow
      self.reward = templateTime.flatMap { reward?.at($0) } ?? reward
    }
  }

  private func check(_ reward: Judge) throws {
    guard method.rollout != nil else {
      throw DPOError.argument("method \(method.name) learns from data alone, without a reward")
    }
    if let theirs = reward.tokenizer, let own = try model.tokenizer, !theirs.hasTokens(of: own) {
      throw DPOError.mismatch(
        "the reward model's tokenizer (\(theirs.vocabularySize) tokens) is not that of \(model.path) "
          + "(\(own.vocabularySize) tokens); train a reward model from the same model")
    }
  }

  /// The rows as a checkpoint's run read them, and where its steps' rows come from.
  func dated(_ time: Int?, microBatches: Int) throws -> DatedRows {
    var (data, evaluation) = (data, evaluation)
    if let time, data.templateTime != nil || evaluation?.templateTime != nil {
      (data, evaluation) = (try data.at(time), try evaluation?.at(time))
      for set in [data, evaluation].compactMap({ $0 }) {
        try set.check(contextLength: model.configuration.contextLength)
        try set.check(vocabularySize: model.configuration.vocabularySize)
      }
    } else if microBatches == self.microBatches {
      return DatedRows(
        data: data, evaluation: evaluation, source: source, microBatches: microBatches, ranks: ranks.count)
    }
    let source = try Trainer.source(
      data, evaluation: evaluation, model: model, method: method, options: options, microBatches: microBatches)
    return DatedRows(
      data: data, evaluation: evaluation, source: source, microBatches: microBatches, ranks: ranks.count)
  }

  /// Goes on with these rows, of which a checkpoint was made, and with its time.
  func take(_ rows: DatedRows, at time: Int?) throws {
    plan = try planOf(rows)
    schedule = try options.schedule(
      totalSteps: rows.source.totalSteps, defaultRate: options.method.defaultLearningRate)
    (data, evaluation, source, microBatches) = (rows.data, rows.evaluation, rows.source, rows.microBatches)
    templateTime = time ?? templateTime
    if let time { reward = reward?.at(time) }
  }

  /// Asks for a stop: the running step ends within one micro-batch with `.cancelled`, unapplied. Any thread; safe in a
  /// signal handler.
  public func cancel() { cancelled.store(true, ordering: .relaxed) }

  func forgetCancel() { cancelled.store(false, ordering: .relaxed) }

  func checkCancelled() throws {
    if cancelled.exchange(false, ordering: .relaxed) || stopRequested?() == true {
      throw DPOError(.cancelled, "stopped as asked")
    }
  }

  /// Runs `body` while no other thread uses the trainer.
  func exclusively<T>(_ body: () throws -> T) throws -> T {
    guard busy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
      throw DPOError(.state, "another thread is using this trainer")
    }
    defer { busy.store(false, ordering: .releasing) }
    return try body()
  }

  // MARK: - Steps

  /// The plan's next optimiser step. If it throws, no parameter has changed; with `optimizer_in_backward` those of some layers may
  /// have, if a gradient was not finite.
  @discardableResult
  public func takeStep() throws -> StepRecord {
    try exclusively { try nextStep() }
  }

  func nextStep() throws -> StepRecord {
    // An epoch's order of the rows, and the one before.
    try Machine.requireRoom(for: 16 * data.count)
    _ = try prepareStep()
    let start = clock.now
    let planned = try source.batches(step)
    guard !planned.microBatches.isEmpty else { return passOver(planned, start) }
    do {
      let sums = try accumulate(planned)
      let rows = planned.microBatches.flatMap { $0 }
      let norm = try update(rows: rows, of: planned.data, updated: sums.updated) {
        if let failed = sums.failed { throw failed }
      }
      methodState = sums.state
      for row in rows { tokensSeen += planned.data.attendedTokens(row) }
      var metrics: Metrics = [.loss: sums.loss, .gradNorm: norm, .learningRate: schedule.rate(step: step - 1)]
      metrics += sums.means.means + (planned.rollout?.metrics ?? [:])
      metrics[.numTokens] = Double(tokensSeen)
      return StepRecord(
        step: step, totalSteps: source.totalSteps, epoch: planned.epochAfter, metrics: metrics,
        seconds: secondsOfStep(since: start))
    } catch {
      optimizer.clearGradients()
      throw error
    }
  }

  /// What the micro-batches of a step add up to, beside their gradients.
  private struct StepSums {
    var loss = 0.0
    var means = MetricMeans()
    /// The method's state behind the last micro-batch.
    var state: [Double]
    /// The gradient's norm, if parameters were updated during the backward pass.
    var updated: Double?
    /// What stopped this rank. It takes part in the step's exchanges all the same, so that no other rank waits for it.
    var failed: (any Error)?
  }

  /// Forward pass, loss and backward pass of every micro-batch of a step.
  private func accumulate(_ planned: StepBatches) throws -> StepSums {
    guard backwardUpdate == nil || reduceGradients == nil else {
      throw DPOError.unsupported("optimizer_in_backward keeps no gradients that another process could be sent")
    }
    let batches = planned.microBatches
    let targets = batches.joined().reduce(0) { $0 + method.size(planned.data, $1).targets }
    var sums = StepSums(state: methodState)
    try gradientSum.begin(microBatches: batches.count)
    for round in 0..<gradientSum.rounds {
      let first = round * ranks.count
      let indices = first..<min(batches.count, first + ranks.count)
      let (losses, own) = try losses(of: indices, planned, stepTargets: targets, behind: sums)
      for result in losses {
        sums.state = result.state ?? sums.state
        sums.loss += result.loss
        sums.means.add(result.metrics)
      }
      do {
        try gradientSum.add(
          round: round, own.map { own in { layerDone in sums.updated = try self.backward(own, layerDone: layerDone) } })
      } catch {
        sums.failed = error
      }
    }
    return sums
  }

  /// Losses of micro-batches, at most one a rank, in their order; `own` is this rank's with its gradients. The state of a
  /// method goes from each to the next.
  private func losses(
    of indices: Range<Int>, _ planned: StepBatches, stepTargets: Int, behind sums: StepSums
  ) throws -> (all: [MethodLoss], own: MethodLoss?) {
    func score(_ index: Int) throws -> MicroBatch {
      if let failed = sums.failed { throw failed }
      return try scored(planned, microBatch: index, stepTargets: stepTargets, state: sums.state)
    }
    var batch: MicroBatch?
    let seen = try method.state.map { handedOn in
      try ranks.round(indices) { index in
        let own = try score(index)
        batch = own
        return handedOn.observation(own)
      }
    }
    var own: MethodLoss?
    let all = try ranks.round(indices) { index in
      var batch = try batch ?? score(index)
      if let handedOn = method.state, let seen {
        batch.state = seen.prefix(index - indices.lowerBound).reduce(sums.state, handedOn.adding)
      }
      let result = try method.loss(batch)
      try checkFinite(result, rows: batch.rows, of: planned.data)
      own = result
      return result
    }
    return (all, own)
  }

  /// Sends a micro-batch's gradients back. The norm of the whole gradient where the parameters are updated on the way.
  private func backward(_ loss: MethodLoss, layerDone: (Int) -> Void) throws -> Double? {
    func pass(_ layerDone: (Int) -> Void) throws {
      try runner.backward(
        logProbGradients: loss.tokenGradients, valueGradients: loss.valueGradients,
        routerLossGradient: loss.routerLossGradient, layerDone: layerDone)
    }
    guard let backwardUpdate else {
      try pass(layerDone)
      return nil
    }
    return try backwardUpdate.step(learningRate: schedule.rate(step: step), pass)
  }

  /// Log-probs of a micro-batch of the step, kept for the backward pass.
  private func scored(
    _ planned: StepBatches, microBatch index: Int, stepTargets: Int, state: [Double]
  ) throws -> MicroBatch {
    try checkCancelled()
    let (data, rows) = (planned.data, planned.microBatches[index])
    let forest = try method.forest(data, rows)
    let referenceSums = try referenceSums(planned, rows: rows, forest: forest)
    let scores = try runner.forward(
      forest, adapter: adapter, extras: method.extras, dropout: dropout(microBatch: index))
    return MicroBatch(
      data: data, rows: rows, policy: scores, reference: referenceSums,
      stepMicroBatches: planned.microBatches.count, stepTargets: stepTargets, state: state, isTraining: true,
      rollout: planned.rollout)
  }

  /// Makes what the next step learns from. Returns what the user should know of it.
  func prepareStep() throws -> [String] {
    guard step < source.totalSteps else {
      throw DPOError(.state, "all \(source.totalSteps) steps of the plan are done")
    }
    guard accumulated == 0 else {
      throw DPOError(.state, "gradients of your own are accumulated; apply them before a step of the plan")
    }
    let start = clock.now
    let notes = try source.prepare(step, models)
    preparation += seconds(since: start)
    return notes
  }

  /// Reference sums of a micro-batch: what its rollout noted, or what the reference model says.
  private func referenceSums(_ planned: StepBatches, rows: [Int], forest: TokenForest) throws -> [Double]? {
    guard let rollout = planned.rollout else {
      return try reference?.sums(rows: rows, forest: forest, method: method)
    }
    return rollout.referenceSums.map { sums in rows.flatMap { sums[$0] } }
  }

  var models: TrainedModels {
    TrainedModels(
      runner: runner, adapter: adapter, reference: reference, method: method, optimizer: optimizer,
      backwardUpdate: backwardUpdate, state: methodState,
      reward: reward, ranks: ranks, checkCancelled: checkCancelled)
  }

  /// A step with nothing to learn changes no parameter.
  private func passOver(_ planned: StepBatches, _ start: ContinuousClock.Instant) -> StepRecord {
    let rate = schedule.rate(step: step)
    step += 1
    return StepRecord(
      step: step, totalSteps: source.totalSteps, epoch: planned.epochAfter,
      metrics: [.learningRate: rate] + (planned.rollout?.metrics ?? [:]) + [.numTokens: Double(tokensSeen)],
      seconds: secondsOfStep(since: start))
  }

  private func secondsOfStep(since start: ContinuousClock.Instant) -> Double {
    defer { preparation = 0 }
    return preparation + seconds(since: start)
  }

  func seconds(since start: ContinuousClock.Instant) -> Double {
    let parts = (clock.now - start).components
    return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
  }

  private func dropout(microBatch: Int) -> CounterRandom? {
    guard !options.lora.disableDropout, (adapter?.configuration.dropout ?? 0) > 0 else { return nil }
    return CounterRandom(stream: [UInt64(options.batches.seed), 0x4452_4F50, UInt64(step), UInt64(microBatch)])
  }

  private func checkFinite(_ result: MethodLoss, rows: [Int], of data: TokenizedDataset) throws {
    if result.nonFiniteRows.isEmpty && result.loss.isFinite { return }
    let bad = (result.nonFiniteRows.isEmpty ? rows : result.nonFiniteRows).map { String(data.lineNumber($0)) }
    throw DPOError(
      .nonFinite,
      "step \(step + 1): the loss is \(result.loss) (data \(bad.count == 1 ? "row" : "rows") "
        + "\(bad.prefix(10).joined(separator: ", "))); the step was not applied")
  }

  /// The ranks' gradients together, clip, update, zero gradients. Returns the norm before clipping.
  ///
  /// - Parameters:
  ///   - updated: the norm, if the backward pass has updated the weights.
  ///   - check: throws where a rank cannot go on; then none does.
  private func update(
    rows: [Int], of data: TokenizedDataset, updated: Double? = nil, check: () throws -> Void
  ) throws -> Double {
    let gradients = UnsafeMutableBufferPointer(start: parameters.gradients.pointer, count: parameters.count)
    try gradientSum.finish(everywhere: !isSharded)
    try ranks.agree {
      try check()
      guard let reduceGradients else { return }
      guard !isSharded else {
        throw DPOError.unsupported("a reduce callback: no rank has the whole gradient where the optimizer is sharded")
      }
      try reduceGradients(gradients)
    }
    let norm = try updated ?? clipAndUpdate(rows: rows, of: data)
    step += 1
    if options.method.syncRefModel, step % options.method.refModelSyncSteps == 0,
      let store = reference?.runner.decoder.parameters
    {
      ReferenceModel.mix(parameters, into: store, alpha: options.method.refModelMixupAlpha)
    }
    return norm
  }

  private func clipAndUpdate(rows: [Int], of data: TokenizedDataset) throws -> Double {
    let norm = try gradientNorm()
    guard norm.isFinite else {
      let lines = rows.prefix(10).map { String(data.lineNumber($0)) }.joined(separator: ", ")
      throw DPOError(
        .nonFinite, "step \(step + 1): the gradient's norm is \(norm) (data rows \(lines)); the step was not applied")
    }
    optimizer.apply(learningRate: schedule.rate(step: step), norm: norm, maxNorm: options.optimization.maxGradNorm)
    if isSharded { try gradientSum.gather(parameters.values.pointer) }
    return norm
  }

  /// Each owner adds up its blocks; the sums are added in the order of blocks, as by one rank.
  private func gradientNorm() throws -> Double {
    guard isSharded else { return optimizer.gradientNorm() }
    let owners = gradientSum.owners
    let sums = try ranks.gather { optimizer.sumsOfSquares(ofBlocks: owners.ranges(of: ranks.rank)) }
    return GradientNorm.norm(ofBlocks: (0..<owners.blocks.count).map { sums[$0 % ranks.count][$0 / ranks.count] })
  }

  // MARK: - A host's own loss

  /// Log-probs of rows of the data under policy and reference, kept for `backward`.
  public struct BatchScores: Sendable {
    /// The policy's scores of every scored token; sequences 2i and 2i + 1 are chosen and rejected of row i (sft: sequence
    /// i is row i; ranked: the completions of row after row).
    public let policy: TokenScores
    /// Reference sums, one a sequence; nil where there is no reference.
    public let reference: [Double]?
  }

  /// Scores rows of the data; the gradients of a loss of one's own then go to `backward`.
  public func forward(rows: [Int]) throws -> BatchScores {
    try exclusively {
      for row in rows where !(0..<data.count).contains(row) {
        throw DPOError.argument("row \(row) is not in the data, which have \(data.count) rows")
      }
      guard !rows.isEmpty else { throw DPOError.argument("forward needs at least one row") }
      guard method.rollout == nil else {
        throw DPOError.unsupported("method \(method.name) draws its own rows; forward takes rows of the data")
      }
      try checkCancelled()
      pending = nil
      let forest = try data.forest(rows: rows)
      let sums = try reference?.sums(rows: rows, forest: forest, method: method)
      let scores = try runner.forward(
        forest, adapter: adapter, extras: method.extras, dropout: dropout(microBatch: accumulated))
      pending = forest
      return BatchScores(policy: scores, reference: sums)
    }
  }

  /// Adds gradients: `tokenGradients` are d loss / d log-prob of every target of the last `forward`.
  public func backward(tokenGradients: [Float]) throws {
    try exclusively {
      let forest = try forwarded()
      guard tokenGradients.count == forest.targets.count else {
        throw DPOError.argument("\(tokenGradients.count) gradients for \(forest.targets.count) scored tokens")
      }
      try accumulate(tokenGradients)
    }
  }

  private func forwarded() throws -> TokenForest {
    guard let pending else { throw DPOError(.state, "backward needs a forward before it") }
    return pending
  }

  private func accumulate(_ tokenGradients: [Float]) throws {
    guard tokenGradients.allSatisfy(\.isFinite) else {
      throw DPOError(.nonFinite, "a gradient is NaN or infinite; nothing was added")
    }
    pending = nil
    try runner.backward(logProbGradients: tokenGradients)
    accumulated += 1
  }

  /// Gradients for whole sequences: each scored token gets its sequence's.
  public func backward(sequenceGradients: [Double]) throws {
    try exclusively {
      let forest = try forwarded()
      guard sequenceGradients.count == forest.sequenceCount else {
        throw DPOError.argument("\(sequenceGradients.count) gradients for \(forest.sequenceCount) sequences")
      }
      try accumulate(forest.targets.map { Float(sequenceGradients[Int($0.sequence)]) })
    }
  }

  /// An optimiser step with the gradients accumulated so far.
  @discardableResult
  public func applyGradients() throws -> StepRecord {
    try exclusively {
      try ranks.agree {
        guard accumulated > 0 else { throw DPOError(.state, "there are no gradients to apply") }
      }
      let start = clock.now
      defer {
        accumulated = 0
        optimizer.clearGradients()
      }
      let rate = schedule.rate(step: step)
      try gradientSum.begin(microBatches: ranks.count)
      try gradientSum.add(round: 0) { _ in }
      let norm = try update(rows: [], of: data) {}
      return StepRecord(
        step: step, totalSteps: source.totalSteps, epoch: epoch,
        metrics: [.gradNorm: norm, .learningRate: rate], seconds: seconds(since: start))
    }
  }

  /// Seconds that the whole run takes, from timing a little of it.
  public func estimateSeconds() throws -> Double {
    try exclusively {
      guard accumulated == 0 else { throw DPOError(.state, "gradients are accumulated; apply them before an estimate") }
      return try source.estimateSeconds(models)
    }
  }

  /// Floating-point operations of a step's products, counted by hand: the policy's forward pass, twice that for its
  /// backward pass (once with an adapter, whose own products are not counted), and the reference's forward pass. Of a step on
  /// rows that the policy drew, what their drawing took is not counted, the reference's log-probs of them included; 0 before
  /// they are drawn.
  public func countedOperations(step: Int) -> Double {
    guard let planned = try? source.batches(step) else { return 0 }
    let forward = planned.microBatches.reduce(0.0) {
      $0 + ((try? method.forest(planned.data, $1))?.forwardOperations(policy.configuration) ?? 0)
    }
    return forward * ((adapter == nil ? 3 : 2) + (reference == nil || planned.rollout != nil ? 0 : 1))
  }

  /// Scored sequences of a row: chosen and rejected, or one; nil where rows have as many as they rank.
  public var sequencesPerRow: Int? { data.kind == .ranked ? nil : data.sequenceCount(0) }

  /// Compute threads in use.
  public var threads: Int { team.threads }
  /// What computes.
  public var engine: Engine { team.engine }

  /// Measures every kernel from now on; see `Profile`.
  public func startProfile() -> Profile {
    let profile = Profile()
    team.profile = profile
    return profile
  }

  /// Epochs done.
  var epoch: Double { source.epochs(after: step) }

  // MARK: - State

  /// Tells the model's weights apart from others.
  private(set) lazy var modelFingerprint = model.fingerprint()
  /// The same for the reference: its model, and the adapter that it was frozen with.
  private(set) lazy var referenceFingerprint: UInt64 = {
    let base = referenceFile?.fingerprint() ?? modelFingerprint
    guard let values = reference?.adapter?.parameters.values else { return base }
    return base ^ ck_xxh3(values.pointer, values.count * MemoryLayout<Float>.stride)
  }()

  /// Tells the trained numbers apart from others.
  var parameterFingerprint: UInt64 {
    ck_xxh3(parameters.values.pointer, parameters.count * MemoryLayout<Float>.stride)
  }

  /// What the optimiser remembers, as checkpoints hold it. Of a sharded one each state passes through the gradients' memory,
  /// which is free between two steps.
  var optimizerSections: [CheckpointSection] {
    guard isSharded, let rule = optimizer.rule as? ElementwiseUpdate else {
      return optimizer.rule.sections(model: model.configuration)
    }
    let memory = parameters.gradients.pointer
    return rule.passages.map { passage in
      var section = rule.section(passage, in: memory, model: model.configuration)
      section.passage = CheckpointSection.Passage(
        fill: { [self] in try askForState(passage) },
        take: { [self] in
          for range in gradientSum.owners.ranges(of: ranks.rank) { rule.take(passage, range, from: memory) }
        })
      return section
    }.filter { !$0.entries.isEmpty }
  }

  /// Rank 0's way to a sharded state: the others wait in `serveStates`.
  private func askForState(_ passage: Int) throws {
    guard heldState != passage else { return }
    _ = try ranks.fromRoot { [Double(passage)] }
    try gatherState(passage)
    heldState = passage
  }

  private func gatherState(_ passage: Int) throws {
    guard let rule = optimizer.rule as? ElementwiseUpdate else { return }
    let memory = parameters.gradients.pointer
    for range in gradientSum.owners.ranges(of: ranks.rank) { rule.give(passage, range, to: memory) }
    try gradientSum.gather(memory, atRoot: true)
    if ranks.isRoot { rule.arrange(passage, in: memory) }
  }

  /// Runs `write` on rank 0, which may ask for states of the sharded optimiser meanwhile.
  func servingStates(_ write: () throws -> Void) throws {
    try ranks.agree {
      guard accumulated == 0 else {
        throw DPOError(.state, "gradients are accumulated; apply them before a checkpoint of a sharded optimizer")
      }
    }
    defer {
      optimizer.clearGradients()
      heldState = nil
    }
    let written = Result { if ranks.isRoot { try write() } }
    while !ranks.isRoot, let asked = try ranks.fromRoot({ [Double]() }).first { try gatherState(Int(asked)) }
    if ranks.isRoot { _ = try ranks.fromRoot { [Double]() } }
    try ranks.agree { try written.get() }
  }

  func restore(step: Int, tokensSeen: Int, methodState: [Double]) {
    self.step = step
    self.methodState = methodState
    self.tokensSeen = tokensSeen
    optimizer.step = step
    pending = nil
    accumulated = 0
    preparation = 0
    optimizer.clearGradients()
  }
}

/// Rows with the time that their chat template was told, and how steps are made of them.
struct DatedRows {
  let data: TokenizedDataset
  let evaluation: TokenizedDataset?
  let source: any BatchSource
  /// Of a step, on all ranks together.
  let microBatches: Int
  let ranks: Int
}
