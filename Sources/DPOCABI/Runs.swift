import CDPO
import CHandles
import DPO
import DPOBase

// Section 4 of dpo.h: runs.

@_cdecl("dpo_trainer_run") @implementation
public func dpo_trainer_run(
  _ trainer: OpaquePointer?, _ output_dir: UnsafePointer<CChar>?, _ resume: UnsafePointer<CChar>?,
  _ callback: dpo_event_callback?, _ user_data: UnsafeMutableRawPointer?
) -> Int32 {
  withStatus(trainer) {
    let directory = try text(output_dir, "output_dir")
    let point: ResumePoint = try optionalText(resume, "resume").map { $0 == "last" ? .last : .file($0) } ?? .none
    try HandleKind.trainer.use(trainer) { session in
      session.scores = nil
      try session.trainer.run(outputDirectory: directory, resume: point) { event in
        if case .step(let record) = event { session.record = record }
        if case .evaluation(let record) = event { session.record = record }
        guard let callback else { return true }
        return withCEvent(event) { event in onCallersThread { callback(event, user_data) } } == 0
      }
    }
  }
}

/// The event as dpo.h has it, for the duration of `body`.
func withCEvent(_ event: TrainingEvent, _ body: (UnsafePointer<dpo_event>) -> Int32) -> Int32 {
  var metrics: dpo_metrics?
  var json = ""
  var message = ""
  var value = dpo_event()
  value.struct_size = MemoryLayout<dpo_event>.stride
  switch event {
  case .started(let plan):
    value.kind = Int32(DPO_EVENT_NOTE.rawValue)
    message = plan.summary
  case .step(let record):
    value.kind = Int32(DPO_EVENT_STEP.rawValue)
    metrics = dpo_metrics(record)
    json = record.json.description
  case .evaluation(let record):
    value.kind = Int32(DPO_EVENT_EVALUATION.rawValue)
    metrics = dpo_metrics(record, prefix: "eval_")
    json = record.json.description
  case .saved(let path):
    value.kind = Int32(DPO_EVENT_CHECKPOINT.rawValue)
    message = path
  case .note(let text):
    value.kind = Int32(DPO_EVENT_NOTE.rawValue)
    message = text
  case .progress(let phase, let done, let total):
    value.kind = Int32(DPO_EVENT_PROGRESS.rawValue)
    message = phase
    value.done = UInt64(done)
    value.total = UInt64(total)
  }
  return message.withCString { text in
    value.text = text
    guard var metrics else { return body(&value) }
    return json.withCString { json in
      value.metrics_json = json
      return withUnsafePointer(to: &metrics) { pointer in
        value.metrics = pointer
        return body(&value)
      }
    }
  }
}

@_cdecl("dpo_trainer_cancel") @implementation public func dpo_trainer_cancel(_ trainer: OpaquePointer?) {
  // One atomic store: a signal handler may call this.
  ch_cancel(UnsafeRawPointer(trainer), 3)
}

@_cdecl("dpo_trainer_save") @implementation
public func dpo_trainer_save(_ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?) -> Int32 {
  withStatus(trainer) {
    let path = try text(path, "path")
    try HandleKind.trainer.use(trainer) { try $0.trainer.saveCheckpoint(to: path) }
  }
}

@_cdecl("dpo_trainer_load") @implementation
public func dpo_trainer_load(_ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?) -> Int32 {
  withStatus(trainer) {
    let path = try text(path, "path")
    try HandleKind.trainer.use(trainer) { session in
      try session.trainer.resume(from: path)
      session.scores = nil
    }
  }
}

@_cdecl("dpo_trainer_save_model") @implementation
public func dpo_trainer_save_model(_ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?) -> Int32 {
  withStatus(trainer) {
    let path = try text(path, "path")
    try HandleKind.trainer.use(trainer) { try $0.trainer.saveModel(to: path) }
  }
}
