import CDPO
import CHandles
import DPO
import DPOBase
import DPOPlatform

// Section 3 of dpo.h, second half: trainers, step by step.

/// A trainer with what its C callers need besides.
final class TrainerSession {
  let trainer: Trainer
  /// Scores of the last forward, until its gradients have come back.
  var scores: Trainer.BatchScores?
  /// Of the last step or evaluation.
  var record: StepRecord?
  /// The callers' names of the parameters; they live as long as the trainer.
  let names: [UnsafeMutablePointer<CChar>]

  init(_ trainer: Trainer) throws {
    self.trainer = trainer
    names = try trainer.parameters.entries.map { try copiedText($0.name).text }
  }

  deinit { names.forEach { free($0) } }
}

extension HandleKind where Object == TrainerSession {
  static var trainer: HandleKind { HandleKind(code: 3, name: "trainer") }
}

/// Uses a handle that may be NULL.
private func useOptional<Object, Result>(
  _ kind: HandleKind<Object>, _ handle: OpaquePointer?, as argument: String, _ body: (Object?) throws -> Result
) throws -> Result {
  guard let handle else { return try body(nil) }
  return try kind.use(handle, as: argument) { try body($0) }
}

@_cdecl("dpo_trainer_create") @implementation
public func dpo_trainer_create(
  _ model: OpaquePointer?, _ reference: OpaquePointer?, _ dataset: OpaquePointer?, _ evaluation: OpaquePointer?,
  _ options: UnsafePointer<dpo_train_options>?, _ trainer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    try createTrainer(
      model, reference, dataset, evaluation, options, communicator: nil, output: required(trainer, "trainer"))
  }
}

func createTrainer(
  _ model: OpaquePointer?, _ reference: OpaquePointer?, _ dataset: OpaquePointer?, _ evaluation: OpaquePointer?,
  _ options: UnsafePointer<dpo_train_options>?, communicator: Communicator?,
  output: UnsafeMutablePointer<OpaquePointer?>
) throws {
  let options = try trainingOptions(options)
  guard reference == nil || reference != model else {
    throw DPOError.argument("reference is the model itself; NULL compares with the model as it was opened")
  }
  let session = try HandleKind.model.use(model) { model in
    try useOptional(HandleKind.model, reference, as: "reference") { reference in
      try HandleKind.dataset.use(dataset) { data in
        // The same data may serve for both; a handle can be taken only once.
        let isSame = evaluation == dataset
        return try useOptional(HandleKind.dataset, isSame ? nil : evaluation, as: "evaluation") { evaluation in
          guard reference?.adapter == nil else {
            throw DPOError.unsupported("a reference with an adapter on it: merge the adapter into the model first")
          }
          return try TrainerSession(
            Trainer(
              model: model.file, adapter: model.adapterFile, referenceModel: reference?.file, data: data,
              evaluation: isSame ? data : evaluation, options: options, communicator: communicator))
        }
      }
    }
  }
  session.trainer.spelling = \.assignment
  let handle = try HandleKind.trainer.make(session)
  session.trainer.stopRequested = takeCancel(of: handle)
  output.pointee = handle
}

@_cdecl("dpo_trainer_release") @implementation public func dpo_trainer_release(_ trainer: OpaquePointer?) {
  HandleKind.trainer.release(trainer)
}

@_cdecl("dpo_trainer_plan") @implementation
public func dpo_trainer_plan(
  _ trainer: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus(trainer) {
    let json = try required(json, "json")
    try HandleKind.trainer.use(trainer) { session in
      var plan = session.trainer.plan.json.object ?? [:]
      plan["options"] = session.trainer.options.json
      json.pointee = try copiedText(JSON.object(plan).description).text
    }
  }
}

// MARK: - Metrics

extension dpo_metrics {
  /// NaN where the method has none. `prefix`: of the record's names.
  init(_ record: StepRecord, prefix: String = "") {
    func value(_ name: Metrics.Name) -> Double { record["\(prefix)\(name)"] ?? .nan }
    self.init()
    struct_size = MemoryLayout<dpo_metrics>.stride
    step = Int64(record.step)
    total_steps = Int64(record.totalSteps)
    epoch = record.epoch
    loss = value(.loss)
    grad_norm = value(.gradNorm)
    learning_rate = value(.learningRate)
    rewards_chosen = value(.rewardsChosen)
    rewards_rejected = value(.rewardsRejected)
    rewards_accuracies = value(.rewardsAccuracies)
    rewards_margins = value(.rewardsMargins)
    logps_chosen = value(.logpsChosen)
    logps_rejected = value(.logpsRejected)
    logits_chosen = value(.logitsChosen)
    logits_rejected = value(.logitsRejected)
    entropy = value(.entropy)
    mean_token_accuracy = value(.meanTokenAccuracy)
    num_tokens = value(.numTokens)
    seconds = record.seconds
  }
}

/// Fills the caller's metrics, if it wants them. Its struct_size is looked at before the work is done.
private func withMetrics(
  _ metrics: UnsafeMutablePointer<dpo_metrics>?, of session: TrainerSession, prefix: String = "",
  _ work: () throws -> StepRecord
) throws {
  if let metrics { try dpo_metrics.check(metrics) }
  let record = try work()
  session.record = record
  if let metrics { try dpo_metrics.write(dpo_metrics(record, prefix: prefix), to: metrics) }
}

@_cdecl("dpo_trainer_last_metrics") @implementation
public func dpo_trainer_last_metrics(
  _ trainer: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus(trainer) {
    let json = try required(json, "json")
    try HandleKind.trainer.use(trainer) { session in
      json.pointee = try copiedText(session.record?.json.description ?? "{}").text
    }
  }
}

@_cdecl("dpo_trainer_step") @implementation
public func dpo_trainer_step(_ trainer: OpaquePointer?, _ metrics: UnsafeMutablePointer<dpo_metrics>?) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      try withMetrics(metrics, of: session) { try session.trainer.takeStep() }
      session.scores = nil
    }
  }
}

@_cdecl("dpo_trainer_evaluate") @implementation
public func dpo_trainer_evaluate(_ trainer: OpaquePointer?, _ metrics: UnsafeMutablePointer<dpo_metrics>?) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      try withMetrics(required(metrics, "metrics"), of: session, prefix: "eval_") { try session.trainer.evaluate() }
    }
  }
}

@_cdecl("dpo_trainer_evaluate_data") @implementation
public func dpo_trainer_evaluate_data(
  _ trainer: OpaquePointer?, _ dataset: OpaquePointer?, _ metrics: UnsafeMutablePointer<dpo_metrics>?
) -> Int32 {
  withStatus(trainer) {
    let data = try HandleKind.dataset.use(dataset) { $0 }
    try HandleKind.trainer.use(trainer) { session in
      try withMetrics(required(metrics, "metrics"), of: session, prefix: "eval_") { try session.trainer.evaluate(data) }
    }
  }
}

@_cdecl("dpo_trainer_score_data") @implementation
public func dpo_trainer_score_data(
  _ trainer: OpaquePointer?, _ dataset: OpaquePointer?, _ count: Int, _ policy_chosen: UnsafeMutablePointer<Double>?,
  _ policy_rejected: UnsafeMutablePointer<Double>?, _ reference_chosen: UnsafeMutablePointer<Double>?,
  _ reference_rejected: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(trainer) {
    let data = try HandleKind.dataset.use(dataset) { $0 }
    guard count == data.count else {
      throw DPOError.argument("count is \(UInt(bitPattern: count)); \(data.name) has \(data.count) rows")
    }
    try HandleKind.trainer.use(trainer) { session in
      let found = try session.trainer.scores(of: data)
      let columns = SideColumns(rows: count, policy: found.policy, reference: found.reference)
      columns.write(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    }
  }
}

/// Sums of rows of one or two sequences each, as columns for a C caller; 0 for what there is none of.
private struct SideColumns {
  let rows: Int
  let policy: [Double]
  let reference: [Double]?

  private func column(_ sums: [Double]?, _ side: Int) -> [Double] {
    let sides = policy.count / max(1, rows)
    return (0..<rows).map { side < sides ? sums?[$0 * sides + side] ?? 0 : 0 }
  }

  func write(
    _ policyChosen: UnsafeMutablePointer<Double>?, _ policyRejected: UnsafeMutablePointer<Double>?,
    _ referenceChosen: UnsafeMutablePointer<Double>?, _ referenceRejected: UnsafeMutablePointer<Double>?
  ) {
    DPOCABI.write(column(policy, 0), to: policyChosen)
    DPOCABI.write(column(policy, 1), to: policyRejected)
    DPOCABI.write(column(reference, 0), to: referenceChosen)
    DPOCABI.write(column(reference, 1), to: referenceRejected)
  }
}

// MARK: - A host's own loss

@_cdecl("dpo_trainer_forward") @implementation
public func dpo_trainer_forward(
  _ trainer: OpaquePointer?, _ rows: UnsafePointer<Int>?, _ count: Int, _ policy_chosen: UnsafeMutablePointer<Double>?,
  _ policy_rejected: UnsafeMutablePointer<Double>?, _ reference_chosen: UnsafeMutablePointer<Double>?,
  _ reference_rejected: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(trainer) {
    let rows = Array(try array(rows, count, "rows"))
    try HandleKind.trainer.use(trainer) { session in
      guard session.trainer.sequencesPerRow != nil else {
        throw DPOError.unsupported("dpo_trainer_forward has no place for ranked answers, only for one or two a row")
      }
      let scores = try session.trainer.forward(rows: rows)
      session.scores = scores
      let columns = SideColumns(rows: rows.count, policy: scores.policy.sums, reference: scores.reference)
      columns.write(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    }
  }
}

/// The scores of the last forward.
private func scores(_ session: TrainerSession) throws -> Trainer.BatchScores {
  guard let scores = session.scores else { throw DPOError(.state, "there was no dpo_trainer_forward before this call") }
  return scores
}

@_cdecl("dpo_trainer_token_count") @implementation
public func dpo_trainer_token_count(_ trainer: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?) -> Int32 {
  withStatus(trainer) {
    let count = try required(count, "count")
    try HandleKind.trainer.use(trainer) { count.pointee = try scores($0).policy.logProbs.count }
  }
}

@_cdecl("dpo_trainer_token_logps") @implementation
public func dpo_trainer_token_logps(
  _ trainer: OpaquePointer?, _ token_logps: UnsafeMutablePointer<Float>?, _ count: Int
) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      let values = try scores(session).policy.logProbs
      guard count == values.count else {
        throw DPOError.argument("count is \(UInt(bitPattern: count)); the last forward scored \(values.count) tokens")
      }
      write(values, to: try required(token_logps, "token_logps"))
    }
  }
}

@_cdecl("dpo_trainer_backward") @implementation
public func dpo_trainer_backward(
  _ trainer: OpaquePointer?, _ gradient_chosen: UnsafePointer<Double>?, _ gradient_rejected: UnsafePointer<Double>?,
  _ count: Int
) -> Int32 {
  withStatus(trainer) {
    let chosen = try array(gradient_chosen, count, "gradient_chosen")
    try HandleKind.trainer.use(trainer) { session in
      let rows = try scores(session).policy.sums.count / max(1, session.trainer.sequencesPerRow ?? 1)
      guard count == rows else {
        throw DPOError.argument("\(UInt(bitPattern: count)) gradients; the last forward had \(rows) rows")
      }
      var gradients = Array(chosen)
      if session.trainer.sequencesPerRow == 2 {
        gradients = zip(chosen, try array(gradient_rejected, count, "gradient_rejected")).flatMap { [$0, $1] }
      }
      try session.trainer.backward(sequenceGradients: gradients)
      session.scores = nil
    }
  }
}

@_cdecl("dpo_trainer_backward_tokens") @implementation
public func dpo_trainer_backward_tokens(_ trainer: OpaquePointer?, _ gradients: UnsafePointer<Float>?, _ count: Int)
  -> Int32
{
  withStatus(trainer) {
    let gradients = try array(gradients, count, "gradients")
    try HandleKind.trainer.use(trainer) { session in
      let tokens = try scores(session).policy.logProbs.count
      guard count == tokens else {
        throw DPOError.argument("\(count) gradients; the last forward scored \(tokens) tokens")
      }
      try session.trainer.backward(tokenGradients: Array(gradients))
      session.scores = nil
    }
  }
}

@_cdecl("dpo_trainer_apply") @implementation
public func dpo_trainer_apply(_ trainer: OpaquePointer?, _ metrics: UnsafeMutablePointer<dpo_metrics>?) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      try withMetrics(metrics, of: session) { try session.trainer.applyGradients() }
      session.scores = nil
    }
  }
}

// MARK: - Parameters

@_cdecl("dpo_trainer_parameters") @implementation
public func dpo_trainer_parameters(
  _ trainer: OpaquePointer?, _ values: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>?,
  _ gradients: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>?, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      let parameters = session.trainer.parameters
      values?.pointee = parameters.values.pointer
      gradients?.pointee = parameters.gradients.pointer
      count?.pointee = parameters.count
    }
  }
}

@_cdecl("dpo_trainer_parameter_count") @implementation
public func dpo_trainer_parameter_count(_ trainer: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?) -> Int32 {
  withStatus(trainer) {
    let count = try required(count, "count")
    try HandleKind.trainer.use(trainer) { count.pointee = $0.trainer.parameters.entries.count }
  }
}

@_cdecl("dpo_trainer_parameter_at") @implementation
public func dpo_trainer_parameter_at(
  _ trainer: OpaquePointer?, _ index: Int, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
  _ offset: UnsafeMutablePointer<Int>?, _ size: UnsafeMutablePointer<Int>?, _ shape: UnsafeMutablePointer<Int64>?,
  _ dimensions: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      let entries = session.trainer.parameters.entries
      guard entries.indices.contains(index) else {
        throw DPOError.argument("index is \(UInt(bitPattern: index)); there are \(entries.count) parameters")
      }
      let entry = entries[index]
      name?.pointee = UnsafePointer(session.names[index])
      offset?.pointee = entry.offset
      size?.pointee = entry.count
      write(entry.shape.prefix(4).map { Int64($0) }, to: shape)
      dimensions?.pointee = entry.shape.count
    }
  }
}

@_cdecl("dpo_trainer_parameter_find") @implementation
public func dpo_trainer_parameter_find(
  _ trainer: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ index: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(trainer) {
    let name = try text(name, "name")
    let index = try required(index, "index")
    try HandleKind.trainer.use(trainer) { session in
      guard let found = session.trainer.parameters.entries.firstIndex(where: { $0.name == name }) else {
        throw DPOError.argument("no trained parameter is called \(DPOError.printable(name))")
      }
      index.pointee = found
    }
  }
}

@_cdecl("dpo_trainer_set_reduce") @implementation
public func dpo_trainer_set_reduce(
  _ trainer: OpaquePointer?, _ callback: dpo_reduce_callback?, _ user_data: UnsafeMutableRawPointer?
) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      guard let callback else {
        session.trainer.reduceGradients = nil
        return
      }
      nonisolated(unsafe) let userData = user_data
      session.trainer.reduceGradients = { gradients in
        guard onCallersThread({ callback(gradients.baseAddress, gradients.count, userData) }) == 0 else {
          throw DPOError(.cancelled, "the reduce callback asked to stop")
        }
      }
    }
  }
}
