import DPOBase
import DPOModel
import DPOStorage

extension Trainer {
  /// Writes everything that a run needs to go on: parameters, optimiser, position, options. All ranks call it, rank 0 writes.
  func save(to path: String) throws {
    guard isSharded else { return try ranks.onRoot { try write(to: path) } }
    try servingStates { try write(to: path) }
  }

  private func write(to path: String) throws {
    var header = try modelHeader(kind: .checkpoint)
    header.trainer = [
      "step": .int(step), "tokens_seen": .int(tokensSeen), "method_state": .array(methodState.map(JSON.real)),
      "options": options.json, "micro_batches": .int(microBatches), "engine": .string(team.engine.name),
      "data_fingerprint": .string(hexadecimal(data.fingerprint)),
      "model_fingerprint": .string(hexadecimal(modelFingerprint)),
    ]
    if reference != nil {
      header.trainer?["reference_fingerprint"] = .string(hexadecimal(referenceFingerprint))
    }
    if let time = templateTime { header.trainer?["template_time"] = .int(time) }
    let state = source.state(before: step)
    for (name, value) in state.attributes.members { header.trainer?[name] = value }
    try CheckpointWriter.write(
      path: path, header: header, sections: sections, columns: (Trainer.rolloutGroup, state.columns))
  }

  /// All tensors of a checkpoint.
  private var sections: [CheckpointSection] {
    let reference = changingReference.map {
      CheckpointSection(group: "/reference", store: $0, model: model.configuration)
    }
    return [parameterSection] + optimizerSections + (reference.map { [$0] } ?? [])
  }

  private static let rolloutGroup = "/rollout"

  /// The reference's own numbers, where they are neither the model's file nor the policy with its adapter off.
  private var changingReference: ParameterStore? {
    reference?.adapter?.parameters ?? reference?.runner.decoder.parameters
  }

  /// Writes the trained adapter, or the whole model, alone.
  ///
  /// Of several ranks all call it, and rank 0 writes.
  public func saveModel(to path: String) throws {
    try ranks.onRoot {
      try CheckpointWriter.write(
        path: path, header: modelHeader(kind: adapter == nil ? .model : .adapter), sections: [parameterSection])
    }
  }

  private var parameterSection: CheckpointSection {
    CheckpointSection(group: adapter == nil ? "/model" : "/adapter", store: parameters, model: model.configuration)
  }

  private func modelHeader(kind: CheckpointHeader.Kind) throws -> CheckpointHeader {
    var header = CheckpointHeader(
      kind: kind, configuration: model.huggingFaceConfiguration, generationConfiguration: model.generationConfiguration,
      provenance: [
        "made_by": .string("libdpo \(DPOVersion.string)"), "method": .string(options.method.name), "steps": .int(step),
        "trained_from": .string(model.path), "source": model.provenance,
      ])
    if let adapter {
      header.adapterConfiguration = try adapter.configuration.peftJSON(model: model.configuration, basePath: model.path)
      header.baseModel = .init(path: absolutePath(model.path), fingerprint: modelFingerprint)
    } else {
      let documents = try model.tokenizerDocuments()
      header.tokenizerJSON = documents.json
      header.tokenizerConfiguration = documents.configuration
    }
    return header
  }

  /// Takes up a run where a checkpoint left it. Returns what the user should know of options that differ.
  ///
  /// - Throws: `.mismatch` for a checkpoint of another model, other data, or other options that make it another run,
  ///   unless `allowMismatch`; nothing has changed then.
  func load(_ path: String, allowMismatch: Bool) throws -> [String] {
    let reader = try CheckpointReader(path)
    guard reader.header.kind == .checkpoint, let state = reader.header.trainer else {
      throw DPOError.format(path, "holds a result, not a checkpoint to resume from")
    }
    func field<T>(_ name: String, _ read: (JSON) -> T?) throws -> T {
      guard let value = state[name].flatMap(read) else {
        throw DPOError.format(path, "attribute \(name) of /trainer is \(state[name]?.kind ?? "missing")")
      }
      return value
    }
    let step = try field("step", \.int)
    let tokensSeen = try field("tokens_seen", \.int)
    guard tokensSeen >= 0 else { throw DPOError.format(path, "attribute tokens_seen of /trainer is \(tokensSeen)") }
    let methodState = try field("method_state", \.array).compactMap(\.double)
    guard methodState.count == method.initialState.count, methodState.allSatisfy(\.isFinite) else {
      throw DPOError.format(
        path, "attribute method_state of /trainer: expected \(method.initialState.count) finite numbers")
    }
    var notes: [String] = []
    var differences: [String] = []
    let old = try TrainingOptions(
      json: field("options") { $0.object == nil ? nil : $0 }, file: "\(path): attribute options")
    // A step stays what it was, however many ranks it is dealt to.
    let begun = state["micro_batches"]?.int ?? old.batches.gradientAccumulationSteps
    guard (1...1 << 31).contains(begun) else {
      throw DPOError.format(path, "attribute micro_batches of /trainer is \(begun)")
    }
    let sameShare = old.batches.gradientAccumulationSteps == options.batches.gradientAccumulationSteps
    let rows = try dated(state["template_time"]?.int, microBatches: sameShare ? begun : microBatches)
    if rows.microBatches != microBatches {
      notes.append(
        "the run has \(begun) micro-batches a step, as it began; they are dealt to \(ranks.count) "
          + (ranks.count == 1 ? "rank" : "ranks"))
      try ranks.check(rows.source, options)
    }
    if try field("data_fingerprint", \.string) != hexadecimal(rows.data.fingerprint) {
      differences.append("the training data")
    }
    if try field("model_fingerprint", \.string) != hexadecimal(modelFingerprint) { differences.append("the model") }
    if reference != nil,
      try field("reference_fingerprint", \.string) != hexadecimal(referenceFingerprint)
    {
      differences.append("the reference model")
    }
    for option in TrainingOptions.fields {
      let (before, now) = (option.value(in: old), option.value(in: options))
      guard before != now else { continue }
      if option.name == "gradient_accumulation_steps", begun == microBatches { continue }
      switch option.onResume {
      case .fixed: differences.append("\(option.name) (\(before), now \(now))")
      case .noted: notes.append("\(option.name) was \(before) and is now \(now)")
      case .free: break
      }
    }
    if let made = state["engine"]?.string, made != team.engine.name {
      notes.append(
        "the checkpoint was made with engine \(made), this run computes with \(team.engine.name): its last bits may differ from those of a run that was never stopped"
      )
    }
    if !differences.isEmpty {
      guard allowMismatch else {
        throw DPOError.mismatch("\(path): belongs to another run; what differs: \(differences.joined(separator: ", "))")
      }
      notes += differences.map { "resuming although it differs: \($0)" }
    }
    guard step >= 0, step <= rows.source.totalSteps else {
      throw DPOError.mismatch("\(path): made after step \(step), but this run has only \(rows.source.totalSteps) steps")
    }
    // The file is known to have everything before anything changes.
    try reader.check(sections)
    try rows.source.restore(
      SourceState(attributes: state, columns: reader.columns(Trainer.rolloutGroup)), step: step, file: path)
    try take(rows, at: state["template_time"]?.int)
    try reader.load(sections)
    restore(step: step, tokensSeen: tokensSeen, methodState: methodState)
    return notes
  }

  /// Writes a checkpoint from which `resume(from:)` goes on.
  public func saveCheckpoint(to path: String) throws { try exclusively { try save(to: path) } }

  /// Goes on from a checkpoint; see `run(outputDirectory:resume:)`.
  @discardableResult
  public func resume(from path: String, allowMismatch: Bool = false) throws -> [String] {
    try exclusively { try ranks.agree { try load(path, allowMismatch: allowMismatch) } }
  }
}
