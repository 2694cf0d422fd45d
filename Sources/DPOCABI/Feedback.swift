import CDPO
import CHandles
import DPO
import DPOBase

// Section 6 of dpo.h: feedback.

extension HandleKind where Object == FeedbackStore {
  static var feedback: HandleKind { HandleKind(code: 6, name: "feedback") }
}

@_cdecl("dpo_feedback_open") @implementation
public func dpo_feedback_open(
  _ path: UnsafePointer<CChar>?, _ feedback: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let output = try required(feedback, "feedback")
    output.pointee = try HandleKind.feedback.make(FeedbackStore(text(path, "path")))
  }
}

@_cdecl("dpo_feedback_release") @implementation
public func dpo_feedback_release(_ feedback: OpaquePointer?) { HandleKind.feedback.release(feedback) }

// MARK: - Recording

@_cdecl("dpo_feedback_record_thumb") @implementation
public func dpo_feedback_record_thumb(
  _ feedback: OpaquePointer?, _ prompt: UnsafePointer<CChar>?, _ answer: UnsafePointer<CChar>?, _ up: Int32,
  _ weight: Double, _ id: UnsafeMutablePointer<UInt64>?
) -> Int32 {
  withStatus(feedback) {
    guard up == 0 || up == 1 else { throw DPOError.argument("up is \(up), expected 0 or 1") }
    let (prompt, answer) = (JSON.string(try text(prompt, "prompt")), JSON.string(try text(answer, "answer")))
    let number = try HandleKind.feedback.shared(feedback).record(
      prompt: prompt, answer: answer, thumbUp: up == 1, weight: weight)
    id?.pointee = UInt64(number)
  }
}

@_cdecl("dpo_feedback_record_choice") @implementation
public func dpo_feedback_record_choice(
  _ feedback: OpaquePointer?, _ prompt: UnsafePointer<CChar>?, _ chosen: UnsafePointer<CChar>?,
  _ rejected: UnsafePointer<CChar>?, _ weight: Double, _ id: UnsafeMutablePointer<UInt64>?
) -> Int32 {
  withStatus(feedback) {
    let prompt = JSON.string(try text(prompt, "prompt"))
    let (chosen, rejected) = (JSON.string(try text(chosen, "chosen")), JSON.string(try text(rejected, "rejected")))
    let number = try HandleKind.feedback.shared(feedback).record(
      prompt: prompt, chosen: chosen, rejected: rejected, weight: weight)
    id?.pointee = UInt64(number)
  }
}

@_cdecl("dpo_feedback_record_json") @implementation
public func dpo_feedback_record_json(
  _ feedback: OpaquePointer?, _ row: UnsafePointer<CChar>?, _ id: UnsafeMutablePointer<UInt64>?
) -> Int32 {
  withStatus(feedback) {
    guard case .object(let object) = try JSON.parse(text(row, "row"), file: "row") else {
      throw DPOError.argument("row: expected a JSON object")
    }
    let number = try HandleKind.feedback.shared(feedback).record(object)
    id?.pointee = UInt64(number)
  }
}

// MARK: - Reading

@_cdecl("dpo_feedback_count") @implementation
public func dpo_feedback_count(_ feedback: OpaquePointer?, _ count: UnsafeMutablePointer<UInt64>?) -> Int32 {
  withStatus(feedback) {
    let count = try required(count, "count")
    count.pointee = UInt64(try HandleKind.feedback.shared(feedback).records().count)
  }
}

@_cdecl("dpo_feedback_status") @implementation
public func dpo_feedback_status(
  _ feedback: OpaquePointer?, _ output_dir: UnsafePointer<CChar>?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus(feedback) {
    let json = try required(json, "json")
    let directory = try optionalText(output_dir, "output_dir")
    json.pointee = try copiedText(HandleKind.feedback.shared(feedback).status(directory: directory).description).text
  }
}

// MARK: - Training

@_cdecl("dpo_feedback_options_init") @implementation
public func dpo_feedback_options_init(
  _ options: UnsafeMutablePointer<dpo_feedback_options>?, _ struct_size: Int
) -> Int32 {
  withStatus { try dpo_feedback_options.write(.defaults, to: options, size: struct_size) }
}

@_cdecl("dpo_feedback_training_init") @implementation
public func dpo_feedback_training_init(
  _ training: UnsafeMutablePointer<dpo_train_options>?, _ struct_size: Int
) -> Int32 {
  withStatus {
    try dpo_train_options.write(.feedbackDefaults, to: training, size: struct_size)
  }
}

@_cdecl("dpo_feedback_train") @implementation
public func dpo_feedback_train(
  _ feedback: OpaquePointer?, _ model: OpaquePointer?, _ output_dir: UnsafePointer<CChar>?,
  _ options: UnsafePointer<dpo_feedback_options>?, _ callback: dpo_event_callback?,
  _ user_data: UnsafeMutableRawPointer?, _ result: UnsafeMutablePointer<dpo_feedback_result>?
) -> Int32 {
  withStatus(feedback) {
    let directory = try text(output_dir, "output_dir")
    let options = try dpo_feedback_options.read(options, defaults: .defaults).feedbackOptions()
    if let result { try dpo_feedback_result.check(result) }
    let store = try HandleKind.feedback.shared(feedback)
    let file = try HandleKind.model.shared(model).file.with(heads: .language)
    let done = try store.train(
      model: file, into: directory, options: options,
      stopRequested: takeCancel(of: feedback),
      onEvent: { event in
        guard let callback else { return true }
        return withCEvent(event) { event in onCallersThread { callback(event, user_data) } } == 0
      })
    guard let result else { return }
    var values = dpo_feedback_result()
    values.outcome = done.outcome.rawValue
    values.new_records = UInt64(done.new)
    values.replayed = UInt64(done.replayed)
    values.skipped = UInt64(done.skipped)
    values.steps = Int64(done.steps)
    try dpo_feedback_result.write(values, to: result)
  }
}

@_cdecl("dpo_feedback_cancel") @implementation
public func dpo_feedback_cancel(_ feedback: OpaquePointer?) {
  // One atomic store: a signal handler may call this.
  ch_cancel(UnsafeRawPointer(feedback), 6)
}
