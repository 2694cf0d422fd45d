import DPOBase

extension HuggingFaceReader {
  /// What Llama, Mistral and Qwen have in common. `keyValueHeads`, `headSize` and the tokens stand in for absent keys; without
  /// them one key head a query head, hidden size / heads, and no tokens.
  func rotary(
    _ family: Family, keyValueHeads: Int? = nil, headSize: Int? = nil, bosToken: Int? = nil, eosToken: Int? = nil
  ) throws -> DecoderConfiguration {
    let hiddenSize = try integer("hidden_size", Limits.hiddenSize)
    let headCount = try integer("num_attention_heads", Limits.headCount)
    let explicit = json["head_dim"] == nil ? headSize : try optionalInteger("head_dim", Limits.headSize)
    let headSize = try self.headSize(explicit, hiddenSize: hiddenSize, headCount: headCount, key: "num_attention_heads")
    guard headSize % 2 == 0, Limits.headSize.contains(headSize) else {
      throw DPOError.format(
        file, "head_dim: rotary positions need an even head size of at most 4096, found \(headSize)")
    }
    let absent = json["num_key_value_heads"] == nil ? keyValueHeads : nil
    let keyValueHeadCount = try optionalInteger("num_key_value_heads", 1...headCount) ?? absent ?? headCount
    guard headCount % keyValueHeadCount == 0 else {
      throw DPOError.format(
        file, "num_key_value_heads: \(keyValueHeadCount) does not divide num_attention_heads = \(headCount)")
    }
    try refuseQuantization()
    let vocabularySize = try integer("vocab_size", Limits.vocabularySize)
    let contextLength = try integer("max_position_embeddings", Limits.contextLength)
    let (ropeBase, ropeScaling) = try rope(contextLength: contextLength)
    return DecoderConfiguration(
      family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
      intermediateSize: try integer("intermediate_size", Limits.intermediateSize),
      layerCount: try integer("num_hidden_layers", Limits.layerCount), headCount: headCount,
      keyValueHeadCount: keyValueHeadCount, headSize: headSize, contextLength: contextLength,
      normEpsilon: try epsilon("rms_norm_eps", default: 1e-6), ropeBase: ropeBase, ropeScaling: ropeScaling,
      activation: try activation("hidden_act", default: "silu"),
      tiedHead: try bool("tie_word_embeddings", default: false), initializerRange: try initializerRange(),
      bosToken: try token("bos_token_id", default: bosToken, vocabularySize),
      eosTokens: try tokens("eos_token_id", default: eosToken, vocabularySize))
  }

  /// transformers 4 wrote `rope_theta` beside `rope_scaling`; transformers 5 puts both into `rope_parameters`.
  private func rope(contextLength: Int) throws -> (base: Double, scaling: RopeScaling) {
    let outer = try positive("rope_theta", in: json, default: 10_000)
    let scaling = value("rope_scaling").flatMap { $0.object?.isEmpty == true ? nil : $0 }
    let key = scaling == nil ? "rope_parameters" : "rope_scaling"
    guard let settings = scaling ?? value("rope_parameters") else { return (outer, .none) }
    guard settings.object != nil else { throw wrong(key, settings, expected: "an object") }
    let base = try positive("rope_theta", in: settings, default: outer)
    let partial = settings["partial_rotary_factor"] ?? json["partial_rotary_factor"]
    guard partial == nil || partial == .null || partial?.double == 1 else {
      throw DPOError(.unsupported, "\(file): partial_rotary_factor other than 1 is not supported")
    }
    let kind = settings["rope_type"] ?? settings["type"] ?? "default"
    func number(_ name: String) throws -> Double {
      guard let value = settings[name], let number = value.double, number > 0, number.isFinite else {
        throw wrong("\(key).\(name)", settings[name], expected: "a positive number")
      }
      return number
    }
    switch kind.string {
    case "default": return (base, .none)
    case "linear": return (base, .linear(factor: try number("factor")))
    case "divisors":
      let divisors = settings["factors"]?.array?.compactMap { $0.double.map(Float.init) } ?? []
      guard !divisors.isEmpty, divisors.count == settings["factors"]?.array?.count,
        divisors.allSatisfy({ $0 > 0 && $0.isFinite })
      else { throw wrong("\(key).factors", settings["factors"], expected: "positive numbers") }
      return (base, .divisors(divisors))
    case "llama3":
      let low = try number("low_freq_factor")
      let high = try number("high_freq_factor")
      guard low < high else {
        throw DPOError.format(file, "\(key): low_freq_factor \(low) must be below high_freq_factor \(high)")
      }
      let original = settings["original_max_position_embeddings"]
      guard original == nil || original?.int.map(Limits.contextLength.contains) == true else {
        throw wrong("\(key).original_max_position_embeddings", original, expected: "a positive integer")
      }
      return (
        base,
        .llama3(
          factor: try number("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
          originalContext: original?.int ?? contextLength)
      )
    default:
      throw DPOError(
        kind.string == nil ? .format : .unsupported,
        "\(file): \(key): rope_type \(kind.brief) is not supported (known: default, linear, llama3)")
    }
  }

  /// Mistral's `sliding_window`: null is none, an absent key the class's default.
  func window(absent: Int?) throws -> Int? {
    guard json["sliding_window"] != nil else { return absent }
    return try optionalInteger("sliding_window", Limits.contextLength)
  }

  /// Qwen's window holds for layers from `max_window_layers` on, or for those that `layer_types` names, and only with
  /// `use_sliding_window`. The decoder knows one window for all layers.
  func qwenWindow(_ configuration: DecoderConfiguration) throws -> Int? {
    guard try bool("use_sliding_window", default: false), let window = try window(absent: 4096),
      window < configuration.contextLength
    else { return nil }
    let sliding: Int
    if let types = value("layer_types") {
      guard let names = types.array, names.count == configuration.layerCount,
        names.allSatisfy({ $0 == "sliding_attention" || $0 == "full_attention" })
      else {
        throw wrong("layer_types", types, expected: "\"full_attention\" or \"sliding_attention\" for each layer")
      }
      sliding = names.count { $0 == "sliding_attention" }
    } else {
      let full = try optionalInteger("max_window_layers", 0...Int.max) ?? 28
      sliding = max(0, configuration.layerCount - full)
    }
    if sliding == 0 { return nil }
    guard sliding == configuration.layerCount else {
      throw DPOError(
        .unsupported, "\(file): a sliding window in some layers only is not supported (use_sliding_window)")
    }
    return window
  }
}

extension GGUFReader {
  /// What Llama, Mistral and Qwen have in common.
  func rotary(_ family: Family) throws -> DecoderConfiguration {
    let hiddenSize = try integer("embedding_length", Limits.hiddenSize)
    let headCount = try integer("attention.head_count", Limits.headCount)
    let headSize = try self.headSize(hiddenSize: hiddenSize, headCount: headCount)
    guard headSize % 2 == 0 else {
      throw DPOError.format(
        file, "\(architecture).attention.key_length: rotary positions need an even head size, found \(headSize)")
    }
    let keyValueHeadCount = try optionalInteger("attention.head_count_kv", 1...headCount) ?? headCount
    guard headCount % keyValueHeadCount == 0 else {
      throw DPOError.format(
        file, "\(architecture).attention.head_count_kv: \(keyValueHeadCount) does not divide head_count = \(headCount)")
    }
    let rotated = try optionalInteger("rope.dimension_count", Limits.headSize) ?? headSize
    guard rotated == headSize else {
      throw DPOError.format(
        file,
        "\(architecture).rope.dimension_count: expected the head size \(headSize) (embedding_length by head_count), found \(rotated)"
      )
    }
    let experts = try optionalInteger("expert_count", 0...Int.max) ?? 0
    guard experts == 0 else {
      throw DPOError(
        .unsupported, "\(file): \(architecture).expert_count = \(experts): mixtures of experts are not supported")
    }
    let vocabularySize = try self.vocabularySize()
    let window = try optionalInteger("attention.sliding_window", 0...GGUFReader.maximumContext)
    return DecoderConfiguration(
      family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
      intermediateSize: try integer("feed_forward_length", Limits.intermediateSize),
      layerCount: try integer("block_count", Limits.layerCount), headCount: headCount,
      keyValueHeadCount: keyValueHeadCount, headSize: headSize,
      contextLength: try optionalInteger("context_length", Limits.contextLength) ?? 2048,
      normEpsilon: try epsilon("attention.layer_norm_rms_epsilon"),
      ropeBase: try positive("rope.freq_base", default: 10_000), ropeScaling: try ropeScaling(),
      slidingWindow: window == 0 ? nil : window, bosToken: try token("bos_token_id", vocabularySize),
      eosTokens: try eosTokens(vocabularySize))
  }

  /// As llama.cpp reads it: an absent type is "linear", an absent factor that of the old key, and 0 or none at all is 1.
  private func ropeScaling() throws -> RopeScaling {
    let kind = try optionalString("rope.scaling.type") ?? "linear"
    switch kind {
    case "none": return .none
    case "linear":
      let factor = try ropeFactor("rope.scaling.factor") ?? ropeFactor("rope.scale_linear") ?? 0
      return factor == 0 || factor == 1 ? .none : .linear(factor: factor)
    default:
      throw DPOError(
        .unsupported,
        "\(file): \(architecture).rope.scaling.type \"\(DPOError.printable(kind))\" is not supported (known: none, linear)"
      )
    }
  }

  private func ropeFactor(_ name: String) throws -> Double? {
    let key = "\(architecture).\(name)"
    guard let value = metadata[key] else { return nil }
    guard case .double(let factor) = value, factor >= 0, factor.isFinite else {
      throw wrong(key, value, expected: "a number of at least 0")
    }
    return factor
  }
}

extension DecoderConfiguration {
  /// What config.json says of Llama, Mistral and Qwen alike.
  var rotaryJSON: JSONObject {
    let activation =
      switch activation {
      case .silu: "silu"
      case .geluTanh: "gelu_pytorch_tanh"
      case .gelu: "gelu"
      }
    return [
      "hidden_size": .int(hiddenSize),
      "intermediate_size": .int(intermediateSize),
      "num_hidden_layers": .int(layerCount),
      "num_attention_heads": .int(headCount),
      "num_key_value_heads": .int(keyValueHeadCount),
      "head_dim": .int(headSize),
      "max_position_embeddings": .int(contextLength),
      "rms_norm_eps": .real(Family.decimal(normEpsilon)),
      "hidden_act": .string(activation),
      "rope_theta": ropeBase.map(JSON.real) ?? .null,
      "rope_scaling": ropeScaling.json,
    ]
  }

  /// Qwen's window, which `qwenWindow` reads.
  var qwenWindowJSON: JSONObject {
    guard let slidingWindow else { return ["sliding_window": .null] }
    return ["sliding_window": .int(slidingWindow), "use_sliding_window": true, "max_window_layers": 0]
  }
}

extension RopeScaling {
  fileprivate var json: JSON {
    switch self {
    case .none: return .null
    case .linear(let factor): return ["rope_type": "linear", "factor": .real(factor)]
    case .llama3(let factor, let low, let high, let original):
      return [
        "rope_type": "llama3", "factor": .real(factor), "low_freq_factor": .real(low), "high_freq_factor": .real(high),
        "original_max_position_embeddings": .int(original),
      ]
    case .divisors(let divisors):
      return ["rope_type": "divisors", "factors": .array(divisors.map { .real(Double($0)) })]
    }
  }
}

extension ModelShape {
  /// What config.json says of a new Llama, Mistral or Qwen.
  var rotaryJSON: JSONObject {
    [
      "hidden_size": .int(hiddenSize), "num_hidden_layers": .int(layerCount), "num_attention_heads": .int(heads),
      "num_key_value_heads": .int(keyValueHeadCount ?? heads), "head_dim": .int(hiddenSize / heads),
      "intermediate_size": .int(intermediateSize ?? (hiddenSize * 8 / 3 + 31) / 32 * 32),
      "max_position_embeddings": .int(contextLength), "sliding_window": .null,
    ]
  }
}
