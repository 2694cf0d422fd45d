import DPOBase
import DPOPlatform

extension HuggingFaceReader {
  /// The rotary positions, as transformers finds them. transformers 4 wrote `rope_theta` beside `rope_scaling`; transformers 5
  /// puts both into `rope_parameters`, for each kind of layer where these differ.
  func rope(
    _ defaults: RotaryDefaults, headSize: Int, contextLength: Int, layerType: String = "full_attention"
  ) throws -> Rope {
    var key = value("rope_scaling").map { $0.object?.isEmpty == true } == false ? "rope_scaling" : "rope_parameters"
    var settings = value(key) ?? [:]
    guard settings.object != nil else { throw wrong(key, settings, expected: "an object") }
    if settings["full_attention"] != nil || settings["sliding_attention"] != nil {
      settings = settings[layerType].flatMap { $0.isNull ? nil : $0 } ?? [:]
      key += ".\(layerType)"
      guard settings.object != nil else { throw wrong(key, settings, expected: "an object") }
    }
    let reader = RopeSettings(reader: self, key: key, settings: settings, meanings: defaults.ropeTypes)
    let outer = try positive(defaults.baseKey, in: json, default: defaults.base)
    let base = try reader.base(default: outer)
    let turnedKey = settings["partial_rotary_factor"] == nil ? defaults.turnedKey : "\(key).partial_rotary_factor"
    let turned = settings["partial_rotary_factor"] ?? json[defaults.turnedKey] ?? .real(defaults.turned)
    guard let share = turned.isNull ? 1 : turned.double, share > 0, share <= 1 else {
      throw wrong(turnedKey, turned, expected: "a number above 0 and of at most 1")
    }
    let size = reader.isProportional ? headSize : Int(Double(headSize) * share)
    guard size >= 2, size % 2 == 0 else {
      throw DPOError.format(
        file, "\(turnedKey): \(share) of a head of \(headSize) numbers is \(size), expected an even number")
    }
    var rope = Rope(base: base, size: size, interleaved: defaults.interleaved)
    try reader.read(into: &rope, share: share, contextLength: contextLength)
    return rope
  }
}

/// `rope_scaling` or `rope_parameters` of a config.json.
private struct RopeSettings {
  let reader: HuggingFaceReader
  let key: String
  let settings: JSON
  /// See `RotaryDefaults.ropeTypes`.
  let meanings: [String: String]

  private func wrong(_ name: String, expected: String) -> DPOError {
    reader.wrong("\(key).\(name)", settings[name], expected: expected)
  }

  private func optional(_ name: String) throws -> Double? {
    guard let value = settings[name], !value.isNull else { return nil }
    guard let number = value.double, number > 0, number.isFinite else {
      throw wrong(name, expected: "a positive number")
    }
    return number
  }

  private func number(_ name: String) throws -> Double {
    guard let number = try optional(name) else { throw wrong(name, expected: "a positive number") }
    return number
  }

  private func divisors(_ name: String, count: Int) throws -> [Float] {
    let numbers = settings[name]?.array?.compactMap { $0.double.map(Float.init) } ?? []
    guard numbers.count == count, settings[name]?.array?.count == count, numbers.allSatisfy({ $0 > 0 && $0.isFinite })
    else { throw wrong(name, expected: "\(count) positive numbers") }
    return numbers
  }

  /// Phi 3 has it beside the settings, which then counts; an absent one is the context.
  private func originalContext(_ contextLength: Int) throws -> Int {
    let name = "original_max_position_embeddings"
    if let outer = try reader.optionalInteger(name, Limits.contextLength) { return outer }
    guard let value = settings[name], !value.isNull else { return contextLength }
    guard let number = value.int, Limits.contextLength.contains(number) else {
      throw wrong(name, expected: "a positive integer")
    }
    return number
  }

  private var kind: JSON {
    let written = settings["rope_type"] ?? settings["type"] ?? "default"
    return written.string.flatMap { meanings[$0] }.map(JSON.string) ?? written
  }

  /// The share is that of the pairs that are turned, which lie as far apart as if all were.
  var isProportional: Bool { kind == "proportional" }

  func base(default absent: Double) throws -> Double { try optional("rope_theta") ?? absent }

  func read(into rope: inout Rope, share: Double, contextLength: Int) throws {
    switch kind.string {
    case "default", "mrope": break
    case "linear": rope.scaling = .linear(factor: try number("factor"))
    case "proportional":
      rope.scaling = .proportional(pairs: Int(share * Double(rope.size) / 2), factor: try optional("factor") ?? 1)
    case "divisors": rope.scaling = .divisors(try divisors("factors", count: rope.size / 2))
    case "dynamic":
      // Within the context the frequencies are plain ones; a fixed alpha is another base.
      if let alpha = try optional("alpha"), rope.size > 2 { rope.base *= Rope.alphaFactor(alpha, size: rope.size) }
    case "llama3": rope.scaling = try llama3(contextLength)
    case "yarn": rope.scaling = .yarn(try yarn(contextLength))
    case "longrope", "su": rope.scaling = .longrope(try longrope(contextLength, count: rope.size / 2))
    default:
      throw DPOError(
        kind.string == nil ? .format : .unsupported,
        "\(reader.file): \(key): rope_type \(kind.brief) is not supported (known: default, linear, dynamic, llama3, yarn, longrope, proportional)"
      )
    }
  }

  private func llama3(_ contextLength: Int) throws -> RopeScaling {
    let low = try number("low_freq_factor")
    let high = try number("high_freq_factor")
    guard low < high else {
      throw DPOError.format(reader.file, "\(key): low_freq_factor \(low) must be below high_freq_factor \(high)")
    }
    return .llama3(
      factor: try number("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
      originalContext: try originalContext(contextLength))
  }

  private func yarn(_ contextLength: Int) throws -> YaRN {
    let original = try originalContext(contextLength)
    let factor = try optional("factor") ?? Double(contextLength) / Double(original)
    var attention = try optional("attention_factor")
    if attention == nil, let scale = settings["mscale"]?.double, let all = settings["mscale_all_dim"]?.double,
      scale > 0, all > 0
    {
      attention = YaRN.attentionFactor(factor, scale: scale) / YaRN.attentionFactor(factor, scale: all)
    }
    return YaRN(
      factor: factor, originalContext: original, fast: try optional("beta_fast") ?? 32,
      slow: try optional("beta_slow") ?? 1, attentionFactor: attention ?? YaRN.attentionFactor(factor),
      truncates: settings["truncate"]?.bool ?? true)
  }

  private func longrope(_ contextLength: Int, count: Int) throws -> LongRoPE {
    let original = try originalContext(contextLength)
    let factor = try optional("factor") ?? Double(contextLength) / Double(original)
    return LongRoPE(
      short: try divisors("short_factor", count: count), long: try divisors("long_factor", count: count),
      originalContext: original,
      attentionFactor: try optional("attention_factor")
        ?? LongRoPE.attentionFactor(factor, originalContext: original))
  }
}

extension GGUFReader {
  /// As llama.cpp reads it: an absent type is "linear", an absent factor that of the old key, and 0 or none at all is 1.
  ///
  /// - Parameter wholeHeads: the architecture turns all of a head.
  func rope(headSize: Int, contextLength: Int, interleaved: Bool, wholeHeads: Bool) throws -> Rope {
    let size = try optionalInteger("rope.dimension_count", Limits.headSize) ?? headSize
    guard size <= headSize, size % 2 == 0, size == headSize || !wholeHeads else {
      let expected = wholeHeads ? "the head size \(headSize)" : "an even number of at most the head size \(headSize)"
      throw DPOError.format(
        file,
        "\(architecture).rope.dimension_count: expected \(expected) (embedding_length by head_count), found \(size)")
    }
    let scaling = try scaling(contextLength)
    return Rope(
      base: try positive("rope.freq_base", default: 10_000), scaling: scaling, size: size, interleaved: interleaved)
  }

  private func scaling(_ contextLength: Int) throws -> RopeScaling {
    let kind = try optionalString("rope.scaling.type") ?? "linear"
    let factor = try ropeFactor()
    switch kind {
    case "none": return .none
    // Divisors of its own are tensors; the factor counts beside them.
    case "linear", "longrope": return factor == 0 || factor == 1 ? .none : .linear(factor: factor)
    case "yarn":
      let factor = factor == 0 ? 1 : factor
      let all = try ropeFactor("rope.scaling.yarn_log_multiplier") ?? 0
      let attention =
        YaRN.attentionFactor(factor) / (readsYaRN && all != 0 ? YaRN.attentionFactor(factor, scale: all) : 1)
      return .yarn(
        YaRN(
          factor: factor,
          originalContext: try optionalInteger("rope.scaling.original_context_length", Limits.contextLength)
            ?? contextLength,
          fast: readsYaRN ? try positive("rope.scaling.yarn_beta_fast", default: 32) : 32,
          slow: readsYaRN ? try positive("rope.scaling.yarn_beta_slow", default: 1) : 1,
          attentionFactor: attention * (try positive("rope.scaling.attn_factor", default: 1))))
    default:
      throw DPOError(
        .unsupported,
        "\(file): \(architecture).rope.scaling.type \"\(DPOError.printable(kind))\" is not supported (known: none, linear, yarn, longrope)"
      )
    }
  }

  /// llama.cpp takes the other settings of YaRN from the file for this architecture alone.
  private var readsYaRN: Bool { architecture == "mistral3" }

  /// Positions are divided by it; 0: by 1.
  private func ropeFactor() throws -> Double {
    try ropeFactor("rope.scaling.factor") ?? ropeFactor("rope.scale_linear") ?? 0
  }

  private func ropeFactor(_ name: String) throws -> Double? {
    let key = "\(architecture).\(name)"
    guard let value = value(key) else { return nil }
    guard case .double(let factor) = value, factor >= 0, factor.isFinite else {
      throw wrong(key, value, expected: "a number of at least 0")
    }
    return factor
  }

  fileprivate func longRoPE(short: [Float], long: [Float], contextLength: Int) throws -> LongRoPE {
    let factor = try Float(ropeFactor())
    func divisors(_ numbers: [Float]) -> [Float] { factor == 0 ? numbers : numbers.map { $0 * factor } }
    return LongRoPE(
      short: divisors(short), long: divisors(long),
      originalContext: try optionalInteger("rope.scaling.original_context_length", Limits.contextLength)
        ?? contextLength,
      attentionFactor: try positive("rope.scaling.attn_factor", default: 1))
  }
}

extension Family {
  /// LongRoPE of a GGUF file that holds its divisors as tensors.
  package static func longRoPE(
    gguf metadata: GGUFMetadata, short: [Float], long: [Float], contextLength: Int
  ) throws -> LongRoPE {
    let architecture = try GGUFReader(metadata, architecture: "general").string("architecture")
    return try GGUFReader(metadata, architecture: architecture).longRoPE(
      short: short, long: long, contextLength: contextLength)
  }

  /// - Throws: `.unsupported` for a factor of cosines and sines where the positions have none.
  package static func refuseAttentionFactor(gguf metadata: GGUFMetadata, of scaling: RopeScaling) throws {
    let architecture = try GGUFReader(metadata, architecture: "general").string("architecture")
    try GGUFReader(metadata, architecture: architecture).refuseAttentionFactor(of: scaling)
  }
}

extension Rope {
  /// Pairs of a head whose angles are those of time, height and width of an image; they take turns. Of text all are the same,
  /// and llama.cpp gives those beyond three times a share none.
  static func sections(ofHalf half: Int) -> [Int] { [half - half / 3 * 2, half / 3, half / 3, 0] }

  /// NTK-aware scaling by a fixed alpha: what the base is multiplied by.
  static func alphaFactor(_ alpha: Double, size: Int) -> Double { pow(alpha, Double(size) / Double(size - 2)) }

  /// What config.json says of it.
  var json: JSONObject { ["rope_theta": .real(base), "rope_scaling": scaling.json(size: size)] }

  /// The same in the form of transformers 5.
  var parametersJSON: JSON {
    let settings = scaling.json(size: size).object ?? ["rope_type": "default"]
    return .object(settings.with(["rope_theta": .real(base)]))
  }
}

extension RopeScaling {
  /// - Parameter size: numbers of a head that are turned.
  fileprivate func json(size: Int) -> JSON {
    switch self {
    case .none: return .null
    case .proportional(let pairs, let factor):
      // A share of 0 would not be read.
      let share = max(2 * Double(pairs), 1) / Double(size)
      let settings: JSONObject = ["rope_type": "proportional", "partial_rotary_factor": .real(share)]
      return .object(factor == 1 ? settings : settings.with(["factor": .real(factor)]))
    case .linear(let factor): return ["rope_type": "linear", "factor": .real(factor)]
    case .llama3(let factor, let low, let high, let original):
      return [
        "rope_type": "llama3", "factor": .real(factor), "low_freq_factor": .real(low), "high_freq_factor": .real(high),
        "original_max_position_embeddings": .int(original),
      ]
    case .divisors(let divisors):
      return ["rope_type": "divisors", "factors": .array(divisors.map { .real(Double($0)) })]
    case .yarn(let yarn):
      return [
        "rope_type": "yarn", "factor": .real(yarn.factor), "beta_fast": .real(yarn.fast),
        "beta_slow": .real(yarn.slow), "attention_factor": .real(yarn.attentionFactor),
        "original_max_position_embeddings": .int(yarn.originalContext),
      ]
    case .longrope(let rope):
      return [
        "rope_type": "longrope", "short_factor": .array(rope.short.map { .real(Double($0)) }),
        "long_factor": .array(rope.long.map { .real(Double($0)) }), "attention_factor": .real(rope.attentionFactor),
        "original_max_position_embeddings": .int(rope.originalContext),
      ]
    }
  }
}
