import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

extension Trainer {
  /// Options that do not go together, and data that the method cannot learn from.
  static func check(
    _ options: TrainingOptions, method: TrainingMethod, data: TokenizedDataset, evaluation: TokenizedDataset?,
    start: AdapterFile?, model: ModelFile
  ) throws {
    for set in [data, evaluation].compactMap({ $0 }) {
      guard method.purpose.accepts(set.kind) else {
        throw DPOError.argument(
          "method \(method.name) needs \(method.purpose.expectation); \(set.name) holds \(set.kind.rawValue)")
      }
      try set.check(contextLength: model.configuration.contextLength)
      try set.check(vocabularySize: model.configuration.vocabularySize)
    }
    if let start, (start.heads == .score) != (method.heads == .score) {
      let (found, expected) = start.heads == .score ? ("reward", "language") : ("language", "reward")
      throw DPOError.mismatch(
        "\(start.path): an adapter of a \(found) model; method \(method.name) trains that of a \(expected) model")
    }
    let isLoRA = start != nil || options.loraR > 0
    if options.syncRefModel {
      if isLoRA {
        throw DPOError.argument("sync_ref_model does not go with an adapter: the reference is the model without it")
      }
      if options.precomputeRefLogProbs {
        throw DPOError.argument("sync_ref_model does not go with precompute_ref_log_probs: the reference changes")
      }
      if options.referenceFree { throw DPOError.argument("sync_ref_model does not go with reference_free") }
    }
    if start != nil && options.loraR > 0 {
      throw DPOError.argument("training goes on from an adapter, which has its own rank: leave lora_r out")
    }
  }
}

extension TrainingOptions {
  /// Of the linear layers, if this machine has it.
  func arithmetic() throws -> Precision {
    guard let arithmetic = Precision(rawValue: precision) else {
      throw DPOError.argument(
        "precision is \(precision), expected one of \(Precision.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard arithmetic == .fp32 || ThreadTeam.packs(arithmetic) else {
      throw DPOError.unsupported(
        "precision bf16: this processor lacks AVX-512 with bf16 (AVX512_BF16); use precision fp32")
    }
    return arithmetic
  }

  /// The new adapter that the options ask for; nil when every weight is trained.
  func lora(for model: DecoderConfiguration) throws -> LoRAConfiguration? {
    guard loraR > 0 else {
      for (name, isSet) in [
        ("lora_alpha", loraAlpha != nil), ("lora_target_modules", !loraTargetModules.isEmpty),
        ("use_rslora", useRslora),
        ("lora_dropout", loraDropout > 0),
      ] where isSet {
        throw DPOError.argument("\(name) needs lora_r")
      }
      return nil
    }
    if loraDropout > 0 && disableDropout {
      throw DPOError.argument("lora_dropout is \(loraDropout), but disable_dropout is on; turn it off")
    }
    var lora = LoRAConfiguration()
    lora.rank = loraR
    lora.alpha = loraAlpha ?? Double(loraR)
    lora.dropout = loraDropout
    lora.useRSLoRA = useRslora
    lora.targetModules =
      loraTargetModules.isEmpty
      ? .names(Family.named(model.family).defaultLoRATargets)
      : loraTargetModules == ["all-linear"] ? .allLinear : .names(loraTargetModules)
    lora.initialization = initLoraWeights == "gaussian" ? .gaussian : .kaiming
    return lora
  }
}
