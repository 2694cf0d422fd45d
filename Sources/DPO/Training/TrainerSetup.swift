import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

extension Trainer {
  /// Options that do not go together, and data that the method cannot learn from.
  static func check(
    _ options: TrainingOptions, method: TrainingMethod, data: TokenizedDataset, evaluation: TokenizedDataset?,
    start: AdapterFile?, model: ModelFile, referenceModel: ModelFile?
  ) throws {
    for set in [data, evaluation].compactMap({ $0 }) {
      guard method.purpose.accepts(set.kind) else {
        throw DPOError.argument(
          "method \(method.name) needs \(method.purpose.expectation); \(set.name) holds \(set.kind.rawValue)")
      }
      guard method.purpose.learns(set.kind) == set.kind else {
        throw DPOError.argument(
          "\(set.name) was read as \(set.kind.rawValue), and method \(method.name) learns from "
            + "\(method.purpose.learns(set.kind).rawValue); read it with the options of this run")
      }
      try check(set, isReadAs: options)
      try set.check(contextLength: model.configuration.contextLength)
      try set.check(vocabularySize: model.configuration.vocabularySize)
    }
    if let start, (start.heads == .score) != (method.heads == .score) {
      let (found, expected) = start.heads == .score ? ("reward", "language") : ("language", "reward")
      throw DPOError.mismatch(
        "\(start.path): an adapter of a \(found) model; method \(method.name) trains that of a \(expected) model")
    }
    try checkReference(options, method: method, data: data, evaluation: evaluation, model: model, other: referenceModel)
    let isLoRA = start != nil || options.lora.rank > 0
    if options.method.syncRefModel {
      if isLoRA {
        throw DPOError.argument("sync_ref_model does not go with an adapter: the reference is the model without it")
      }
      if options.method.precomputeRefLogProbs {
        throw DPOError.argument("sync_ref_model does not go with precompute_ref_log_probs: the reference changes")
      }
      if data.referenceChosen != nil {
        throw DPOError.argument("sync_ref_model does not go with ref_chosen_logps in the data: the reference changes")
      }
    }
    if start != nil, let name = options.givenLoRAOptions.first {
      throw DPOError.argument("training goes on from an adapter, which has its own configuration: leave \(name) out")
    }
    if !options.lora.disableDropout, let rate = model.ownDropout {
      throw DPOError(
        .unsupported,
        "\(model.path): config.json sets \(rate), but only adapters support dropout; set it to 0 or leave disable_dropout on"
      )
    }
  }

  /// The data set's limit counts. One that the run's options set too has to be the same.
  private static func check(_ set: TokenizedDataset, isReadAs options: TrainingOptions) throws {
    let standard = TrainingOptions.Rows()
    func text(_ limit: Int?) -> String { limit.map { "\($0)" } ?? "none" }
    if options.rows.maxLength != standard.maxLength, options.rows.maxLength != set.options.maxLength {
      throw DPOError.argument(
        "max_length is \(text(options.rows.maxLength)), but \(set.name) was read with \(text(set.options.maxLength)); "
          + "set it where the rows are read, and leave it out here or say the same")
    }
  }

  /// Where the steps' rows come from.
  static func source(
    _ data: TokenizedDataset, evaluation: TokenizedDataset?, model: ModelFile, method: TrainingMethod,
    options: TrainingOptions, microBatches: Int
  ) throws -> any BatchSource {
    guard evaluation != nil || options.files.evalSteps == 0 else {
      throw DPOError.argument("eval_steps is \(options.files.evalSteps), but there are no rows to evaluate on")
    }
    guard let rollout = method.rollout else {
      return try EpochSource(
        data, evaluation: evaluation, method: method, options: options, microBatches: microBatches)
    }
    return try RolloutSource(
      data, evaluation: evaluation, model: model, method: rollout, options: options, microBatches: microBatches)
  }

  /// The adapter that is trained: a new one, or what `start` holds.
  static func adapter(
    _ configuration: LoRAConfiguration, from start: AdapterFile?, model: ModelFile, options: TrainingOptions
  ) throws -> LoRAAdapter {
    guard let start else {
      return try LoRAAdapter(
        configuration, model: model.configuration, seed: UInt64(options.batches.seed), tensors: model.tensors)
    }
    return try LoRAAdapter(
      configuration, model: model.configuration, tensors: start.with(heads: model.configuration.heads).tensors)
  }

  /// Refuses a reference model that the run would not use, and one that cannot read the data.
  private static func checkReference(
    _ options: TrainingOptions, method: TrainingMethod, data: TokenizedDataset, evaluation: TokenizedDataset?,
    model: ModelFile, other: ModelFile?
  ) throws {
    if !method.usesReference || options.method.referenceFree {
      let reason =
        method.usesReference
        ? "does not go with reference_free" : "is of no use to method \(method.name), which has no reference"
      for (name, isSet) in [
        ("a reference model", other != nil), ("sync_ref_model", options.method.syncRefModel),
        ("precompute_ref_log_probs", options.method.precomputeRefLogProbs),
      ] where isSet {
        throw DPOError.argument("\(name) \(reason)")
      }
    }
    guard let other else { return }
    guard other.configuration.heads == .language else {
      throw DPOError.argument("\(other.path): a reward model; expected a language model to compare with")
    }
    let tokenizers = (try model.tokenizer, try other.tokenizer)
    for set in [data, evaluation].compactMap({ $0 }) {
      do {
        try set.check(contextLength: other.configuration.contextLength)
        try set.check(vocabularySize: other.configuration.vocabularySize)
      } catch let error as DPOError {
        throw DPOError(error.code, "\(other.path), the reference model: \(error.message)")
      }
      guard let ours = tokenizers.0, let theirs = tokenizers.1 else { continue }
      for id in set.distinctTokens where ours.token(id) != theirs.token(id) {
        throw DPOError.mismatch(
          "\(other.path): its tokenizer is another: token \(id) is \(quoted(theirs.token(id))), but "
            + "\(quoted(ours.token(id))) in \(model.path); the reference model must read the same tokens")
      }
    }
  }

  private static func quoted(_ token: String?) -> String {
    token.map { "\"\(DPOError.printable($0, limit: 40))\"" } ?? "none"
  }
}

extension TrainingMethod {
  /// What computes log-probs as the method takes them.
  func runner(_ decoder: Decoder, team: ThreadTeam, options: TrainingOptions) -> ModelRunner {
    let runner = ModelRunner(decoder: decoder, team: team, precision: options.machine.precision)
    runner.temperature = temperature
    return runner
  }
}

extension ModelFile {
  /// A dropout rate that the model's configuration sets: "resid_pdrop 0.1".
  fileprivate var ownDropout: String? {
    for name in ["resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"] {
      if let rate = huggingFaceConfiguration[name]?.double, rate > 0 { return "\(name) \(rate)" }
    }
    return nil
  }
}

extension TrainingOptions {
  /// Throws `.invalidArgument` or `.unsupported` for an engine that is not here.
  /// - Parameter threads: this process's share of the machine, if it is not `threads` that says it.
  func team(threads: Int = 0) throws -> ThreadTeam {
    try ThreadTeam(
      threads: ThreadTeam.useful(threads == 0 ? machine.threads : threads), engine: Engine(named: machine.engine))
  }

  /// Options of a new adapter that are not left at their defaults.
  var givenLoRAOptions: [String] {
    TrainingOptions.fields.filter {
      $0.group == .lora && $0.name != "disable_dropout" && $0.value(in: self) != $0.defaultValue
    }.map(\.name)
  }

  /// The new adapter that the options ask for; nil when every weight is trained.
  func lora(for model: DecoderConfiguration) throws -> LoRAConfiguration? {
    guard lora.rank > 0 else {
      if let name = givenLoRAOptions.first { throw DPOError.argument("\(name) needs lora_r") }
      return nil
    }
    if lora.dropout > 0 && lora.disableDropout {
      throw DPOError.argument("lora_dropout is \(lora.dropout), but disable_dropout is on; turn it off")
    }
    var configuration = LoRAConfiguration()
    configuration.rank = lora.rank
    configuration.alpha = lora.alpha ?? Double(lora.rank)
    configuration.dropout = lora.dropout
    configuration.useRSLoRA = lora.useRslora
    configuration.targetModules =
      lora.targetModules.isEmpty
      ? .names(model.family.defaultLoRATargets)
      : lora.targetModules == ["all-linear"] ? .allLinear : .names(lora.targetModules)
    configuration.initialization = lora.initLoraWeights
    return configuration
  }
}
