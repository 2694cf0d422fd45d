import DPOBase
import DPOStorage
import DPOPlatform

extension FeedbackStore {
  /// Trains the directory's adapter on what is new in the file. Records may come in meanwhile: the next call takes them.
  ///
  /// A call that ends early (time, a stop, a crash) loses at most the step it was in; the next one goes on with that session
  /// before it takes newer records. What a finished session has seen is not trained on again, unless `replay` or `retrain`
  /// says so. The losses compare with `model` itself, however long its adapter has been trained. When the call returns,
  /// adapter.h5 and adapter.gguf hold what was learnt; each is replaced at once, so that a reader sees one or the other
  /// whole.
  ///
  /// - Parameters:
  ///   - stopRequested: asked between micro-batches.
  ///   - onEvent: called on this thread; false asks for a stop. `.saved` tells of the adapter's files.
  /// - Throws: `.cancelled` after a stop that was asked for, `.state` while another process trains in the directory,
  ///   `.mismatch` if the directory belongs to another model or file, and what `Trainer` throws.
  @discardableResult
  public func train(
    model: ModelFile, into directory: String, options: FeedbackOptions = FeedbackOptions(),
    stopRequested: @escaping @Sendable () -> Bool = { false }, onEvent: (TrainingEvent) throws -> Bool = { _ in true }
  ) throws -> FeedbackResult {
    try options.check()
    guard model.configuration.heads != .score else {
      throw DPOError.argument("\(model.path): a reward model; feedback trains a language model")
    }
    let place = FeedbackDirectory(path: directory)
    try place.checkPlace()
    let deadline = options.maxSeconds.map { ContinuousClock.now.deadline(after: $0) }
    let training = FeedbackTraining(
      store: self, place: place, model: model, options: options, stopRequested: stopRequested, deadline: deadline)
    // A look that changes nothing; what it saw may have changed once the directory is taken.
    if let nothing = try training.nothingToDo() { return nothing }
    let log = try place.take()
    if let nothing = try training.nothingToDo() { return nothing }
    return try training.run(log: log, tell: onEvent)
  }
}

/// A call of `FeedbackStore.train`.
private struct FeedbackTraining {
  let store: FeedbackStore
  let place: FeedbackDirectory
  let model: ModelFile
  let options: FeedbackOptions
  let stopRequested: @Sendable () -> Bool
  let deadline: ContinuousClock.Instant?

  private func history() throws -> FeedbackHistory {
    try options.retrain ? FeedbackHistory(sessions: place.history().sessions) : place.history()
  }

  private func unfinished() throws -> FeedbackSession? { try options.retrain ? nil : place.unfinished(history()) }

  private func selection() throws -> FeedbackSelection {
    try FeedbackSelection(store.records(), history(), file: nameOf(store.path), directory: place.path)
  }

  /// The result of a call that has nothing to train on.
  func nothingToDo() throws -> FeedbackResult? {
    guard try unfinished() == nil else { return nil }
    let new = try selection().new.count
    guard new < options.minRecords else { return nil }
    return result(new == 0 ? .nothingNew : .waiting, new: new)
  }

  private func result(_ outcome: FeedbackResult.Outcome, new: Int) -> FeedbackResult {
    var result = FeedbackResult(outcome: outcome)
    result.new = new
    if fileKind(place.adapter) == .file { result.adapter = place.adapter }
    if fileKind(place.ggufAdapter) == .file { result.ggufAdapter = place.ggufAdapter }
    return result
  }

  private var isOver: Bool { FeedbackTraining.isPast(deadline) }

  private static func isPast(_ deadline: ContinuousClock.Instant?) -> Bool {
    deadline.map { ContinuousClock.now >= $0 } ?? false
  }

  func run(log: OwnedAppendFile, tell: (TrainingEvent) throws -> Bool) throws -> FeedbackResult {
    let fingerprint = hexadecimal(model.fingerprint())
    let history = try history()
    if let expected = history.model, expected != fingerprint {
      throw DPOError.mismatch("\(place.path): its adapter was trained on another model than \(model.path)")
    }
    var progress = Progress()
    func told(_ event: TrainingEvent) throws {
      if try !tell(event) { throw DPOError(.cancelled, "stopped as asked") }
    }
    let session: FeedbackSession
    if let unfinished = try unfinished() {
      guard unfinished.model == fingerprint else {
        throw DPOError.mismatch("\(place.path): its session was begun with another model than \(model.path)")
      }
      session = unfinished
      try told(.note("going on with session \(session.number) on \(session.new) new records"))
    } else {
      let made = try FeedbackSession.make(
        history.sessions + 1, selection(), model: model, fingerprint: fingerprint, in: place, options: options,
        templateTime: history.templateTime
      ) { try told(.note($0)) }
      guard let made else { return result(.nothingNew, new: 0) }
      session = made
      let replay = session.replayed > 0 ? " and \(session.replayed) older ones" : ""
      try told(.note("session \(session.number) on \(session.new) new records\(replay)"))
    }
    var outcome = FeedbackResult.Outcome.finished
    do {
      try train(session, &progress, told: told, tell: tell)
      try publish(progress, tell: tell)
      let line = session.finished([
        "steps": .int(progress.steps), "seconds": .real(progress.seconds), "time": .int(time(nil)),
        "metrics": progress.last?.json ?? .null,
      ])
      try log.append(line.description)
      try log.flush()
    } catch let error as DPOError where error.code == .cancelled {
      try publish(progress, tell: tell)
      guard isOver, !progress.wasAsked else { throw error }
      outcome = .stopped
    } catch let error as DPOError where error.code == .nonFinite {
      // It would fail again: the records wait for a session with other options.
      try place.removeSession()
      throw error
    }
    var result = result(outcome, new: session.new)
    result.replayed = session.replayed
    result.skipped = session.skipped
    result.steps = progress.steps
    result.last = progress.last
    return result
  }

  /// How far a call has come.
  private struct Progress {
    let start = ContinuousClock.now
    /// Optimiser steps of this call.
    var steps = 0
    var last: StepRecord?
    /// Writes the adapter as it is now; nil if this call has changed nothing.
    var save: ((String) throws -> Void)?
    /// The host asked for the stop, not the clock.
    var wasAsked = false
    var seconds: Double { start.duration(to: .now) / .seconds(1) }
  }

  /// Runs what remains of the session's stages, each on the adapter that the one before left.
  private func train(
    _ session: FeedbackSession, _ progress: inout Progress, told: (TrainingEvent) throws -> Void,
    tell: (TrainingEvent) throws -> Bool
  ) throws {
    var start = fileKind(place.start) == .file ? place.start : nil
    for stage in session.stages {
      let directory = place.run(stage)
      let result = directory.final
      defer { start = result }
      guard fileKind(result) != .file else {
        // Finished by a call that ended before it could say so.
        progress.save = { try copyFile(result, to: $0) }
        continue
      }
      let trainer = try trainer(stage, of: session, from: start)
      let asked = StopFlag()
      trainer.stopRequested = { [stopRequested, deadline] in
        if !asked.isSet, stopRequested() { asked.set() }
        return asked.isSet || FeedbackTraining.isPast(deadline)
      }
      var (steps, last) = (0, progress.last)
      defer {
        progress.wasAsked = asked.isSet
        progress.steps += steps
        progress.last = last
        if steps > 0 { progress.save = { try trainer.saveModel(to: $0) } }
      }
      let isResumed = fileKind(directory.path) == .directory
      try trainer.run(outputDirectory: directory.path, resume: isResumed ? .last : .none) { event in
        if case .saved = event { return true }
        if case .step(let record) = event { (steps, last) = (steps + 1, record) }
        if try !tell(event) { asked.set() }
        return !asked.isSet
      }
      progress.save = { try copyFile(result, to: $0) }
    }
  }

  private func trainer(
    _ stage: FeedbackSession.Stage, of session: FeedbackSession, from start: String?
  ) throws -> Trainer {
    var training = try TrainingOptions(json: stage.options, file: "\(place.session)/session.json")
    let processors = ThreadTeam.availableProcessors
    training.machine.threads =
      options.training.machine.threads > 0 ? options.training.machine.threads : max(1, processors - 1)
    training.machine.memoryLimitMb = options.training.machine.memoryLimitMb
    var rows = try training.dataset()
    rows.templateTime = session.templateTime
    let data = try model.dataset(.file(place.rows(stage)), options: rows)
    return try Trainer(
      model: model, adapter: start.map { try AdapterFile.open($0, for: model) },
      referenceModel: start == nil ? nil : model, data: data, options: training)
  }

  /// Puts the adapter in its place, for libdpo and for llama.cpp.
  private func publish(_ progress: Progress, tell: (TrainingEvent) throws -> Bool) throws {
    guard let save = progress.save else { return }
    try save(place.adapter)
    try ModelFile.export(input: place.adapter, to: .ggufLoRA, output: place.ggufAdapter, overwrite: true)
    for file in [place.adapter, place.ggufAdapter] { _ = try tell(.saved(path: file)) }
  }
}

extension FeedbackOptions {
  /// Throws for values out of range, and for options that do not go with feedback.
  func check() throws {
    try validate()
    try training.validate()
    guard training.lora.rank > 0 else {
      throw DPOError.argument("lora_r is 0; feedback trains an adapter, whose rank is 1 or more")
    }
    guard ["dpo", "kto"].contains(training.method.name) else {
      throw DPOError.argument("method is \(training.method.name); the records decide it: choices train dpo, thumbs kto")
    }
    guard !training.method.syncRefModel, !training.method.precomputeRefLogProbs else {
      throw DPOError.argument(
        "feedback is compared with the model itself: leave sync_ref_model and precompute_ref_log_probs out")
    }
  }
}
