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
  ///   - allowMismatch: resume even from a checkpoint of other data, model, loss or seed.
  ///   - onEvent: called on this thread; false asks for a stop after a checkpoint.
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
      func tell(_ event: TrainingEvent) throws { if try !onEvent(event) { cancel() } }
      // All that may refuse the run comes before the first change on the disk.
      try source.check(models)
      try directory.check(overwrite: options.files.overwriteOutputDir, resuming: resume != .none)
      var notes: [String] = []
      let start = try startingFile(resume, in: directory) { notes.append($0) }
      if let start {
        notes += try load(start, allowMismatch: allowMismatch)
        notes.append("resumed from \(start) after step \(step) of \(source.totalSteps)")
      }
      try directory.prepare(overwrite: options.files.overwriteOutputDir, resuming: resume != .none)
      try tell(.started(plan))
      for warning in data.report(context: model.configuration.contextLength).warnings {
        try tell(.note("\(data.name): \(warning)"))
      }
      if !data.report.mixture.isEmpty { try tell(.note("mixture: \(data.report.mixture.joined(separator: ", "))")) }
      if let note = learningRateNote { try tell(.note(note)) }
      for note in method.remarks(data, options) + notes { try tell(.note(note)) }
      var log = try MetricsLog(path: directory.metrics, resumingAt: step)
      try prepareReference(directory, tell: tell)
      if evaluationDue(), let owed = log.lineWithoutEvaluation(of: step) {
        let evaluated = try evaluateNow()
        try log.replaceLast(by: owed.adding(evaluated.metrics))
        try tell(.evaluation(evaluated))
      }

      var last: StepRecord?
      let autosave = options.files.autosaveSteps < 0 ? (adapter == nil ? 0 : 1) : options.files.autosaveSteps
      var files = WrittenCheckpoints(latest: start, step: step)
      do {
        while step < source.totalSteps {
          for note in try prepareStep() { try tell(.note("step \(step + 1): \(note)")) }
          if source.isRestingPlace {
            files.good = files.latest
            if autosave > 0, step - files.step >= autosave {
              try log.flush()
              try save(to: directory.autosave)
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
            try log.append(record.json)
            throw error
          }
          try log.append(record.json)
          last = record
          if options.files.saveSteps > 0, step % options.files.saveSteps == 0 || step == source.totalSteps {
            try log.flush()
            try save(to: directory.checkpoint(step))
            files.latest = directory.checkpoint(step)
            files.step = step
            try removeOldCheckpoints(directory, except: files.good)
            try tell(.saved(path: directory.checkpoint(step)))
          }
        }
      } catch let error as DPOError where error.code == .cancelled {
        try log.flush()
        try save(to: directory.autosave)
        try tell(.saved(path: directory.autosave))
        throw error
      } catch let error as DPOError where error.code == .diverged {
        try log.flush()
        try writeFile(directory.report, report(metrics: log.records).html())
        let advice = files.good.map { "; the last good checkpoint is \($0)" } ?? "; there is no earlier checkpoint"
        throw DPOError(.diverged, error.message + advice)
      }
      try log.flush()
      try saveModel(to: directory.final)
      try removeFile(directory.autosave)
      try tell(.saved(path: directory.final))
      try writeFile(directory.report, report(metrics: log.records).html())
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
    if fileKind(directory.referenceCache) == .file {
      do {
        reference.known = try ReferenceCache.read(
          directory.referenceCache, key: key, counts: (0..<data.count).map { data.sequenceCount($0) })
        return
      } catch let error as DPOError where error.code == .mismatch && step == 0 && data.templateTime != nil {
        // A run that ended before its first checkpoint keeps no date: it starts anew.
      }
    }
    let size = options.batches.perDeviceTrainBatchSize
    for first in stride(from: 0, to: data.count, by: size) {
      try checkCancelled()
      let rows = Array(first..<min(data.count, first + size))
      let sums = try reference.sums(rows: rows, forest: data.forest(rows: rows), method: method)
      var start = 0
      for row in rows {
        let end = start + data.sequenceCount(row)
        reference.known[row] = Array(sums[start..<end])
        start = end
      }
      try tell(.progress(phase: "reference log-probs", done: rows.count + first, total: data.count))
    }
    try ReferenceCache.write(directory.referenceCache, key: key, values: reference.known.compactMap { $0 })
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
