import DPOBase
import DPOStorage
import DPOPlatform

/// Where a run starts.
public enum ResumePoint: Sendable, Equatable {
  /// At the beginning, in a new or empty directory.
  case none
  /// From the furthest good checkpoint in the output directory; at the beginning where there is none.
  case last
  /// From the checkpoint at this path.
  case file(String)
}

/// How a run ended.
public struct TrainingResult: Sendable {
  /// Optimiser steps done.
  public let steps: Int
  /// The adapter, or the whole model.
  public let modelPath: String
  /// The report as an HTML page.
  public let reportPath: String
  /// The last step's record; nil if nothing was left to do.
  public let last: StepRecord?
}

extension Trainer {
  /// Runs what remains of the plan, keeping metrics, checkpoints, the result and a report in a directory.
  ///
  /// A run that ends early (an error, `cancel()`, `onEvent` returning false, a crash) can be resumed and then ends in the
  /// same bits as one that was never stopped.
  ///
  /// - Parameters:
  ///   - allowMismatch: resume even from a checkpoint of other data, another model or other options.
  ///   - onEvent: called on this thread, on every rank; false asks for a stop after a checkpoint.
  /// - Throws: `.cancelled` after a stop that was asked for.
  @discardableResult
  public func run(
    outputDirectory: String, resume: ResumePoint = .none, allowMismatch: Bool = false,
    onEvent: (TrainingEvent) throws -> Bool = { _ in true }
  ) throws -> TrainingResult {
    try exclusively {
      let directory = RunDirectory(path: outputDirectory)
      // What `onEvent` says of the last event, the saved checkpoint, is for no run but this one.
      defer { forgetCancel() }
      var hostFailure: (any Error)?
      func tell(_ event: TrainingEvent) throws {
        do {
          if try !onEvent(event) { cancel() }
        } catch {
          guard ranks.count > 1 else { throw error }
          // The other ranks do not know: all stop together, as by a wish to stop.
          hostFailure = hostFailure ?? error
          cancel()
        }
      }
      // All that may refuse the run comes before the first change on the disk.
      try ranks.agree { try source.check(models) }
      try ranks.onRoot { try directory.check(overwrite: options.files.overwriteOutputDir, resuming: resume != .none) }
      var notes: [String] = []
      let start = try ranks.fromRoot { try startingFile(resume, in: directory) { notes.append($0) } ?? "" }
      if !start.isEmpty {
        notes += try ranks.agree { try load(start, allowMismatch: allowMismatch) }
        notes.append("resumed from \(start) after step \(step) of \(source.totalSteps)")
      }
      try ranks.onRoot { try directory.prepare(overwrite: options.files.overwriteOutputDir, resuming: resume != .none) }
      try tell(.started(plan))
      for warning in data.report(context: model.configuration.contextLength).warnings {
        try tell(.note("\(data.name): \(warning)"))
      }
      for set in [data, evaluation].compactMap({ $0 }) { for note in set.notes { try tell(.note(note)) } }
      if !data.report.mixture.isEmpty { try tell(.note("mixture: \(data.report.mixture.joined(separator: ", "))")) }
      if let note = learningRateNote { try tell(.note(note)) }
      for note in method.remarks(data, options) + notes { try tell(.note(note)) }
      var log: MetricsLog?
      try ranks.onRoot { log = try MetricsLog(path: directory.metrics, resumingAt: step) }
      try prepareReference(directory, tell: tell)
      let owed = log?.lineWithoutEvaluation(of: step)
      if evaluationDue(), try ranks.fromRoot({ [owed == nil ? 0 : 1] }) == [1] {
        let evaluated = try evaluateNow()
        try ranks.onRoot { if let owed { try log?.replaceLast(by: owed.adding(evaluated.metrics)) } }
        try tell(.evaluation(evaluated))
      }

      var last: StepRecord?
      let autosave = options.files.autosaveSteps < 0 ? (adapter == nil ? 0 : 1) : options.files.autosaveSteps
      var files = WrittenCheckpoints(latest: start.isEmpty ? nil : start, step: step)
      func keep(_ path: String) throws {
        try ranks.onRoot { try log?.flush() }
        try save(to: path)
      }
      do {
        while step < source.totalSteps {
          for note in try prepareStep() { try tell(.note("step \(step + 1): \(note)")) }
          if source.isRestingPlace {
            files.good = files.latest
            if autosave > 0, step - files.step >= autosave {
              try keep(directory.autosave)
              files = WrittenCheckpoints(latest: directory.autosave, good: directory.autosave, step: step)
            }
          }
          var record = try nextStep()
          try tell(.step(record))
          do {
            if let evaluated = try evaluationDue() ? evaluateNow() : nil {
              record.metrics += evaluated.metrics
              try tell(.evaluation(evaluated))
            }
          } catch let error as DPOError where error.code == .cancelled {
            // The step is applied, and its line stays; a resumed run evaluates before it goes on.
            try ranks.onRoot { try log?.append(record.json) }
            throw error
          }
          try ranks.onRoot { try log?.append(record.json) }
          last = record
          if options.files.saveSteps > 0, step % options.files.saveSteps == 0 || step == source.totalSteps {
            try keep(directory.checkpoint(step))
            files.latest = directory.checkpoint(step)
            files.step = step
            try ranks.onRoot { try removeOldCheckpoints(directory, except: files.good) }
            try tell(.saved(path: directory.checkpoint(step)))
          }
        }
      } catch let error as DPOError where error.code == .cancelled {
        try keep(directory.autosave)
        try tell(.saved(path: directory.autosave))
        throw hostFailure ?? error
      } catch let error as DPOError where error.code == .diverged {
        try ranks.onRoot {
          try log?.flush()
          try writeFile(directory.report, report(metrics: log?.records ?? []).html())
        }
        let advice = files.good.map { "; the last good checkpoint is \($0)" } ?? "; there is no earlier checkpoint"
        throw DPOError(.diverged, error.message + advice)
      }
      try ranks.onRoot { try log?.flush() }
      try saveModel(to: directory.final)
      try ranks.onRoot { try removeFile(directory.autosave) }
      try tell(.saved(path: directory.final))
      try ranks.onRoot { try writeFile(directory.report, report(metrics: log?.records ?? []).html()) }
      if let hostFailure { throw hostFailure }
      return TrainingResult(
        steps: step, modelPath: directory.final, reportPath: directory.report, last: last)
    }
  }

  /// Refuses an output directory that a run could not use, before a model is read.
  public static func checkOutputDirectory(_ path: String, options: TrainingOptions, resuming: Bool) throws {
    try RunDirectory(path: path).check(overwrite: options.files.overwriteOutputDir, resuming: resuming)
  }

  /// That the default learning rate is too small for an adapter, before the run as the report says it after.
  private var learningRateNote: String? {
    let rate = options.method.defaultLearningRate
    guard adapter != nil, options.optimization.learningRate == nil, rate < 1e-5 else { return nil }
    let usual = spelling(OptionSetting("learning_rate", .real(1e-4)))
    return
      "the learning rate is \(ReportText.setting(rate)), the default for training every weight; LoRA needs rates 10 to 100 "
      + "times as high: \(usual)"
  }

  /// What report.html of a run shows.
  func report(metrics: [JSON]) -> RunReport {
    var settings = options.json.object ?? [:]
    settings["model"] = .string(model.path)
    settings["plan"] = plan.json
    var report = RunReport(
      settings: .object(settings), data: data.report(context: model.configuration.contextLength).json, metrics: metrics)
    report.spelling = spelling
    return report
  }

  private func evaluationDue() -> Bool {
    guard evaluation != nil else { return false }
    if options.files.evalSteps > 0 { return step % options.files.evalSteps == 0 || step == source.totalSteps }
    return step % source.stepsPerEpoch == 0 || step == source.totalSteps
  }

  private func removeOldCheckpoints(_ directory: RunDirectory, except good: String?) throws {
    guard let limit = options.files.saveTotalLimit else { return }
    for old in try directory.checkpointSteps().dropLast(limit).map(directory.checkpoint) where old != good {
      try removeFile(old)
    }
  }

  /// The checkpoint to start from. A damaged one is told and passed over for the one before it.
  private func startingFile(
    _ resume: ResumePoint, in directory: RunDirectory, note: (String) -> Void
  ) throws -> String? {
    switch resume {
    case .none: return nil
    case .file(let path): return path
    case .last:
      var best: (step: Int, path: String)?
      for path in try directory.resumable() {
        do {
          let found = try CheckpointReader(path).header.trainer?["step"]?.int ?? 0
          if found > best?.step ?? -1 { best = (found, path) }
        } catch let error as DPOError {
          note("not resuming from a damaged file: \(error.message)")
        }
      }
      if best == nil { note("no checkpoint in \(directory.path) yet: starting from the beginning") }
      return best?.path
    }
  }

  /// Reference log-probs of all rows before the first step, where that is asked for.
  private func prepareReference(_ directory: RunDirectory, tell: (TrainingEvent) throws -> Void) throws {
    guard let reference, options.method.precomputeRefLogProbs else { return }
    let key = ReferenceCache.Key(
      data: data.fingerprint, model: referenceFingerprint, ldAlpha: options.method.ldAlpha)
    // Sums row after row; none where there is no file to read.
    let found = try ranks.fromRoot { () -> [Double] in
      guard fileKind(directory.referenceCache) == .file else { return [] }
      do {
        return try ReferenceCache.read(
          directory.referenceCache, key: key, counts: (0..<data.count).map { data.sequenceCount($0) }
        ).flatMap { $0 }
      } catch let error as DPOError where error.code == .mismatch && step == 0 && data.templateTime != nil {
        // A run that ended before its first checkpoint keeps no date: it starts anew.
        return []
      }
    }
    if !found.isEmpty {
      var start = 0
      for row in 0..<data.count {
        let end = start + data.sequenceCount(row)
        reference.known[row] = Array(found[start..<end])
        start = end
      }
      return
    }
    let size = options.batches.perDeviceTrainBatchSize
    let rows = { [data] (batch: Int) in batch * size..<min(data.count, (batch + 1) * size) }
    try ranks.map((data.count + size - 1) / size) { batch -> [Double] in
      try checkCancelled()
      let rows = Array(rows(batch))
      return try reference.sums(rows: rows, forest: data.forest(rows: rows), method: method)
    } take: { batch, sums in
      var start = 0
      for row in rows(batch) {
        let end = start + data.sequenceCount(row)
        reference.known[row] = Array(sums[start..<end])
        start = end
      }
      try tell(.progress(phase: "reference log-probs", done: rows(batch).upperBound, total: data.count))
    }
    try ranks.onRoot {
      try ReferenceCache.write(directory.referenceCache, key: key, values: reference.known.compactMap { $0 })
    }
  }

  /// Runs in a thread of its own and delivers the events. Leaving the loop, or cancelling its task, stops the run after a
  /// checkpoint; `EventStream.ended()` waits for that.
  ///
  ///     for try await event in trainer.events(outputDirectory: "run") { … }
  public func events(
    outputDirectory: String, resume: ResumePoint = .none, allowMismatch: Bool = false
  ) -> EventStream<TrainingEvent> {
    EventStream(stop: { [weak self] in self?.cancel() }) { [self] tell in
      try run(outputDirectory: outputDirectory, resume: resume, allowMismatch: allowMismatch) { event in
        tell(event)
        return true
      }
    }
  }
}

/// Files that a run wrote to go on from.
private struct WrittenCheckpoints {
  var latest: String?
  /// The latest whose weights have been found good since.
  var good: String?
  /// Of the latest.
  var step: Int
}
