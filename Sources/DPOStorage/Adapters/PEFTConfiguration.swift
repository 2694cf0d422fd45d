import DPOBase
import DPOModel

extension LoRAConfiguration {
  /// adapter_config.json as PEFT writes it. Targets are resolved: "all-linear" becomes the list of modules.
  package func peftJSON(model: DecoderConfiguration, basePath: String?) throws -> JSON {
    let family = model.family
    let targets: JSON =
      switch targetModules ?? .names(family.defaultLoRATargets) {
      case .names(let names): .array(names.sorted().map { .string(model.peftName($0)) })
      case .regex(let text): .string(text)
      case .allLinear: .array(try resolve(model).map { .string(model.peftName($0.module.path)) })
      }
    func number(_ value: Double) -> JSON { Int(exactly: value).map(JSON.int) ?? .real(value) }
    var ranks = JSONObject()
    for item in rankPattern { ranks[item.pattern] = .int(item.value) }
    var alphas = JSONObject()
    for item in alphaPattern { alphas[item.pattern] = number(item.value) }
    return [
      "alpha_pattern": .object(alphas),
      "auto_mapping": .null,
      "base_model_name_or_path": basePath.map(JSON.string) ?? .null,
      "bias": "none",
      "fan_in_fan_out": .bool(family.linearModules(model).contains(where: \.transposedInFile)),
      "inference_mode": true,
      "init_lora_weights": initialization == .gaussian ? "gaussian" : true,
      "lora_alpha": number(alpha),
      "lora_dropout": .real(dropout),
      "modules_to_save": modulesToSave(model.heads),
      "peft_type": "LORA",
      "peft_version": "0.21.0",
      "r": .int(rank),
      "rank_pattern": .object(ranks),
      "revision": .null,
      "target_modules": targets,
      "task_type": model.heads == .score ? "SEQ_CLS" : "CAUSAL_LM",
      "use_dora": false,
      "use_rslora": .bool(useRSLoRA),
    ]
  }

  private func modulesToSave(_ heads: Heads) -> JSON {
    switch heads {
    case .language: .null
    case .score: ["classifier", "score"]
    case .languageAndValue: [.string(AdapterFile.valueHead)]
    }
  }
}

extension DecoderConfiguration {
  private static let plain = "model.", nested = "model.language_model."

  /// What a module, or a tensor of it, is called in the whole of a model that this is the text part of.
  func peftName(_ name: String) -> String {
    guard isTextPart else { return name }
    let prefix = name.hasPrefix(AdapterFile.prefix) ? AdapterFile.prefix : ""
    let path = name.dropFirst(prefix.count)
    return path.hasPrefix(DecoderConfiguration.plain)
      ? prefix + DecoderConfiguration.nested + String(path.dropFirst(DecoderConfiguration.plain.count)) : name
  }

  /// The text part's own name of it.
  static func plainName(_ name: String) -> String {
    let prefix = name.hasPrefix(AdapterFile.prefix) ? AdapterFile.prefix : ""
    let path = name.dropFirst(prefix.count)
    for nested in [nested, "language_model.model."] where path.hasPrefix(nested) {
      return prefix + plain + String(path.dropFirst(nested.count))
    }
    return name
  }
}

extension AdapterFile {
  /// Before every name of PEFT's.
  static let prefix = "base_model.model."
}
