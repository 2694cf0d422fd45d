import DPOBase
import DPOModel

/// The files of a PEFT directory: adapter_config.json and adapter_model.safetensors.
struct PEFTAdapter {
  let configuration: LoRAConfiguration
  /// Parameters that are adapted whole, each of which holds layers of all experts of a block.
  let targetParameters: [String]
  let heads: Heads
  let basePath: String?
  /// The file with the tensors, and the other.
  let weights, settingsFile: String
  let tensors: [FileTensor]

  init(_ path: String) throws {
    let directory = HuggingFaceDirectory(path)
    guard directory.has("adapter_config.json") else {
      throw DPOError.format(path, "not a PEFT adapter: it has no adapter_config.json")
    }
    let settings = PEFTSettings(
      json: try directory.json("adapter_config.json"), file: directory.file("adapter_config.json"))
    targetParameters = try settings.targetParameters()
    configuration = try settings.configuration(hasOtherTargets: !targetParameters.isEmpty)
    settingsFile = settings.file
    heads = try settings.heads()
    basePath = try settings.text("base_model_name_or_path")
    guard directory.has("adapter_model.safetensors") else {
      let other =
        directory.has("adapter_model.bin") ? " (adapter_model.bin is not supported: save it as safetensors)" : ""
      throw DPOError.format(path, "no adapter_model.safetensors\(other)")
    }
    weights = directory.file("adapter_model.safetensors")
    tensors = try SafetensorsFile(weights).tensors.map { $0.renamed(DecoderConfiguration.plainName($0.name)) }
  }
}

/// Reads adapter_config.json; refuses what changes the computation in ways that libdpo does not know.
struct PEFTSettings {
  let json: JSON
  let file: String

  /// Variants of LoRA: off if absent, null, false or empty.
  private static let variants = [
    "use_dora", "lora_bias", "layer_replication", "target_parameters", "trainable_token_indices", "layers_to_transform",
    "layers_pattern", "megatron_config", "use_qalora", "alora_invocation_tokens",
    "use_bdlora", "arrow_config", "velora_config", "monteclora_config", "kasa_config",
  ]

  /// - Parameter hasOtherTargets: it may have target parameters, and no target modules.
  func configuration(hasOtherTargets: Bool = false) throws -> LoRAConfiguration {
    guard json.object != nil else { throw DPOError.format(file, "expected an object, found \(json.kind)") }
    guard let type = json["peft_type"]?.string else { throw wrong("peft_type", expected: "\"LORA\"") }
    guard type == "LORA" else {
      throw DPOError.unsupported(
        "\(file): peft_type \"\(DPOError.printable(type))\" is not supported, expected \"LORA\"")
    }
    for key in PEFTSettings.variants where key != "target_parameters" || !hasOtherTargets {
      switch value(key) {
      case nil, .bool(false)?, .array([])?: continue
      case .object(let object)? where object.isEmpty: continue
      default: throw unsupported(key)
      }
    }
    if let bias = value("bias"), bias != "none" { throw unsupported("bias") }
    if let initial = value("init_lora_weights"), initial.bool == nil, initial != "gaussian" {
      throw unsupported("init_lora_weights")
    }
    _ = try flag("fan_in_fan_out")
    var configuration = LoRAConfiguration()
    guard let rank = json["r"]?.int, (1...65_536).contains(rank) else {
      throw wrong("r", expected: "an integer from 1 to 65536")
    }
    configuration.rank = rank
    configuration.alpha = try number("lora_alpha") ?? 8
    configuration.dropout = try number("lora_dropout") ?? 0
    guard (0..<1).contains(configuration.dropout) else {
      throw wrong("lora_dropout", expected: "a number from 0 to below 1")
    }
    configuration.useRSLoRA = try flag("use_rslora")
    let hasTargets = value("target_modules") != nil && value("target_modules") != []
    configuration.targetModules = hasOtherTargets && !hasTargets ? .names([]) : try targets()
    configuration.rankPattern = try pattern("rank_pattern") { $0.int.flatMap { (1...65_536).contains($0) ? $0 : nil } }
    configuration.alphaPattern = try pattern("alpha_pattern") { $0.double.flatMap { $0.isFinite ? $0 : nil } }
    return configuration
  }

  /// A task of SEQ_CLS is a reward model's, whose score PEFT saves whole; a policy may bring its value head the same way.
  func heads() throws -> Heads {
    let task = value("task_type")
    guard task == nil || task == "CAUSAL_LM" || task == "SEQ_CLS" else { throw unsupported("task_type") }
    let saved = value("modules_to_save")?.array ?? (value("modules_to_save") == nil ? [] : [.null])
    let allowed: [JSON] = task == "SEQ_CLS" ? ["score", "classifier"] : [.string(AdapterFile.valueHead)]
    guard saved.allSatisfy(allowed.contains) else { throw unsupported("modules_to_save") }
    return task == "SEQ_CLS" ? .score : saved.isEmpty ? .language : .languageAndValue
  }

  func targetParameters() throws -> [String] {
    guard let value = value("target_parameters") else { return [] }
    guard let items = value.array, case let names = items.compactMap(\.string), names.count == items.count else {
      throw wrong("target_parameters", expected: "a list of names")
    }
    return names
  }

  func text(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw wrong(key, expected: "a string or null") }
    return text
  }

  private func value(_ key: String) -> JSON? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  private func wrong(_ key: String, expected: String) -> DPOError {
    let found = json[key].map { "found " + DPOError.printable($0.description, limit: 60) } ?? "the key is missing"
    return DPOError.format(file, "\(key): expected \(expected), \(found)")
  }

  private func unsupported(_ key: String) -> DPOError {
    DPOError.unsupported(
      "\(file): \(key) = \(DPOError.printable(json[key]?.description ?? "null", limit: 60)) is not supported")
  }

  private func flag(_ key: String) throws -> Bool {
    guard let value = value(key) else { return false }
    guard let flag = value.bool else { throw wrong(key, expected: "true or false") }
    return flag
  }

  private func number(_ key: String) throws -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.double, number.isFinite else { throw wrong(key, expected: "a number") }
    return number
  }

  private func targets() throws -> LoRAConfiguration.Targets? {
    switch json["target_modules"] {
    case nil: return nil
    case .string("all-linear")?: return .allLinear
    case .string(let text)?: return .regex(text)
    case .array(let items)? where !items.isEmpty:
      let names = items.compactMap(\.string)
      guard names.count == items.count else { throw wrong("target_modules", expected: "names of modules") }
      return .names(Array(Set(names.map(DecoderConfiguration.plainName))).sorted())
    default: throw wrong("target_modules", expected: "a list of names or a regular expression")
    }
  }

  private func pattern<Value>(
    _ key: String, _ read: (JSON) -> Value?
  ) throws -> [LoRAConfiguration.Override<Value>] {
    guard let value = value(key) else { return [] }
    guard let object = value.object else { throw wrong(key, expected: "an object of patterns and numbers") }
    return try object.members.map { pattern, value in
      guard let number = read(value) else { throw wrong(key, expected: "a number in range for each pattern") }
      return LoRAConfiguration.Override(pattern: pattern, value: number)
    }
  }
}
