import DPOBase

/// What a family's absent keys mean in config.json, and how it calls the others.
struct RotaryDefaults {
  var norm = NormKind.rms
  var epsilonKey = "rms_norm_eps"
  var epsilon = 1e-6
  var activationKey = "hidden_act"
  var intermediateKey = "intermediate_size"
  var activation = "silu"
  /// nil: as many as there are heads.
  var keyValueHeads: Int?
  /// nil: hidden size / heads.
  var headSize: Int?
  var contextLength: Int?
  var baseKey = "rope_theta"
  var base = 10_000.0
  /// `rope_type` of the family's older files, and what they mean by it.
  var ropeTypes: [String: String] = [:]
  /// Share of a head's numbers that are turned.
  var turnedKey = "partial_rotary_factor"
  var turned = 1.0
  var interleaved = false
  var tiedHead = false
  var bosToken: Int?
  var eosToken: Int?
}

extension HuggingFaceReader {
  /// What all families with rotary positions have in common.
  func rotary(_ family: Family, _ defaults: RotaryDefaults = RotaryDefaults()) throws -> DecoderConfiguration {
    let hiddenSize = try integer("hidden_size", Limits.hiddenSize)
    let headCount = try integer("num_attention_heads", Limits.headCount)
    let explicit = json["head_dim"] == nil ? defaults.headSize : try optionalInteger("head_dim", Limits.headSize)
    let headSize = try self.headSize(explicit, hiddenSize: hiddenSize, headCount: headCount, key: "num_attention_heads")
    guard headSize % 2 == 0, Limits.headSize.contains(headSize) else {
      throw DPOError.format(
        file, "head_dim: rotary positions need an even head size of at most 4096, found \(headSize)")
    }
    let absent = json["num_key_value_heads"] == nil ? defaults.keyValueHeads : nil
    let keyValueHeadCount = try optionalInteger("num_key_value_heads", 1...headCount) ?? absent ?? headCount
    guard headCount % keyValueHeadCount == 0 else {
      throw DPOError.format(
        file, "num_key_value_heads: \(keyValueHeadCount) does not divide num_attention_heads = \(headCount)")
    }
    try refuseQuantization()
    let vocabularySize = try integer("vocab_size", Limits.vocabularySize)
    let contextLength =
      try optionalInteger("max_position_embeddings", Limits.contextLength) ?? defaults.contextLength
      ?? integer("max_position_embeddings", Limits.contextLength)
    var configuration = DecoderConfiguration(
      family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
      intermediateSize: try integer(defaults.intermediateKey, Limits.intermediateSize),
      layerCount: try integer("num_hidden_layers", Limits.layerCount), headCount: headCount,
      keyValueHeadCount: keyValueHeadCount, headSize: headSize, contextLength: contextLength, norm: defaults.norm,
      normEpsilon: try epsilon(defaults.epsilonKey, default: defaults.epsilon),
      rope: try rope(defaults, headSize: headSize, contextLength: contextLength),
      activation: try activation(defaults.activationKey, default: defaults.activation),
      tiedHead: try bool("tie_word_embeddings", default: defaults.tiedHead),
      initializerRange: try initializerRange(),
      bosToken: try token("bos_token_id", default: defaults.bosToken, vocabularySize),
      eosTokens: try tokens("eos_token_id", default: defaults.eosToken, vocabularySize))
    configuration.predictingLayers = try optionalInteger("num_nextn_predict_layers", 0...16) ?? 0
    return configuration
  }

  /// `attention_bias`, of q, k, v and the layer behind attention.
  func readAttentionBias(into configuration: inout DecoderConfiguration, default absent: Bool = false) throws {
    configuration.queryKeyValueBias = try bool("attention_bias", default: absent)
    configuration.outputBias = configuration.queryKeyValueBias
  }

  /// `attention_bias` and `mlp_bias`.
  func readBiases(into configuration: inout DecoderConfiguration) throws {
    try readAttentionBias(into: &configuration)
    configuration.mlpBias = try bool("mlp_bias", default: false)
  }

  /// Mistral's `sliding_window`: null is none, an absent key the class's default.
  func window(absent: Int?) throws -> Int? {
    guard json["sliding_window"] != nil else { return absent }
    return try optionalInteger("sliding_window", Limits.contextLength)
  }

  /// Qwen's window holds for layers from `max_window_layers` on, or for those that `layer_types` names, and only with
  /// `use_sliding_window`.
  func readQwenWindow(
    into configuration: inout DecoderConfiguration,
    isFull: (_ layer: Int, _ maxWindowLayers: Int) -> Bool = { $0 < $1 }
  ) throws {
    guard try bool("use_sliding_window", default: false), let window = try window(absent: 4096),
      window < configuration.contextLength
    else { return }
    let full: Set<Int>
    if let types = try layerTypes(configuration.layerCount) {
      full = types
    } else {
      let most = try optionalInteger("max_window_layers", 0...Int.max) ?? 28
      full = Set((0..<configuration.layerCount).filter { isFull($0, most) })
    }
    configuration.setWindow(window, except: full)
  }

  /// The layers that `layer_types` calls "full_attention"; nil without that key.
  func layerTypes(_ layerCount: Int) throws -> Set<Int>? {
    guard let types = value("layer_types") else { return nil }
    guard let names = types.array, names.count == layerCount,
      names.allSatisfy({ $0 == "sliding_attention" || $0 == "full_attention" })
    else {
      throw wrong("layer_types", types, expected: "\"full_attention\" or \"sliding_attention\" for each layer")
    }
    return Set(names.indices.filter { names[$0] == "full_attention" })
  }

  /// A window in all layers but every `pattern`-th, unless `layer_types` or the key `sliding_window_pattern` say otherwise.
  func readPatternWindow(
    into configuration: inout DecoderConfiguration, pattern: Int, absent: Int?
  ) throws {
    guard let window = try window(absent: absent) else { return }
    configuration.setWindow(window, except: try fullLayers(configuration.layerCount, pattern: pattern))
  }

  /// Layers without a window: those that `layer_types` calls so, else every `sliding_window_pattern`-th.
  func fullLayers(_ layerCount: Int, pattern: Int) throws -> Set<Int> {
    if let full = try layerTypes(layerCount) { return full }
    let every = try optionalInteger("sliding_window_pattern", 1...1 << 20) ?? pattern
    return Set((0..<layerCount).filter { ($0 + 1) % every == 0 })
  }
}

extension DecoderConfiguration {
  /// A window in some layers; none if there are no such layers.
  mutating func setWindow(_ window: Int, except full: Set<Int>) {
    layersWithoutWindow = full
    slidingWindow = full.count == layerCount ? nil : window
    if slidingWindow == nil { layersWithoutWindow = [] }
  }
}

extension GGUFReader {
  /// What all families with rotary positions have in common. `interleaved`: llama.cpp turns neighbours, and so does the model in
  /// its Hugging Face form. `varies`: blocks may have other heads of keys or MLPs than the first one, which counts here.
  func rotary(
    _ family: Family, norm: NormKind = .rms, interleaved: Bool = false, varies: Bool = false
  ) throws -> DecoderConfiguration {
    let hiddenSize = try integer("embedding_length", Limits.hiddenSize)
    let headCount = try integer("attention.head_count", Limits.headCount)
    let headSize = try self.headSize(hiddenSize: hiddenSize, headCount: headCount)
    guard headSize % 2 == 0 else {
      throw DPOError.format(
        file, "\(architecture).attention.key_length: rotary positions need an even head size, found \(headSize)")
    }
    let keyValueHeadCount = try keyValueHeads(headCount, varies: varies)
    guard headCount % keyValueHeadCount == 0 else {
      throw DPOError.format(
        file, "\(architecture).attention.head_count_kv: \(keyValueHeadCount) does not divide head_count = \(headCount)")
    }
    let experts = try experts(family)
    let vocabularySize = try self.vocabularySize()
    let contextLength = try optionalInteger("context_length", Limits.contextLength) ?? 2048
    let (layerCount, predicting) = try layerCounts()
    var configuration = DecoderConfiguration(
      family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
      intermediateSize: varies
        ? try integers("feed_forward_length", Limits.intermediateSize, blocks: layerCount)[0] : try width(experts),
      layerCount: layerCount, headCount: headCount,
      keyValueHeadCount: keyValueHeadCount, headSize: headSize, contextLength: contextLength, norm: norm,
      normEpsilon: try epsilon(norm == .rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"),
      rope: try rope(
        headSize: headSize, contextLength: contextLength, interleaved: interleaved,
        wholeHeads: family.permutesQueryKeyInGGUF),
      bosToken: try token("bos_token_id", vocabularySize), eosTokens: try eosTokens(vocabularySize))
    configuration.predictingLayers = predicting
    configuration.experts = experts
    return configuration
  }

  /// Of an MLP, or of each expert.
  private func width(_ experts: Experts?) throws -> Int {
    guard experts != nil else { return try integer("feed_forward_length", Limits.intermediateSize) }
    let dense = try optionalInteger("feed_forward_length", Limits.intermediateSize)
    return try dense.map { try optionalInteger("expert_feed_forward_length", Limits.intermediateSize) ?? $0 }
      ?? integer("expert_feed_forward_length", Limits.intermediateSize)
  }

  /// `attention.head_count_kv`, a number or one for each block; blocks without attention have 0.
  private func keyValueHeads(_ headCount: Int, varies: Bool) throws -> Int {
    let key = "\(architecture).attention.head_count_kv"
    guard case .ints(let heads) = value(key) else {
      return try optionalInteger("attention.head_count_kv", 1...headCount) ?? headCount
    }
    let different = heads.filter { $0 != 0 }
    guard let count = different.first, varies || different.allSatisfy({ $0 == count }), (1...headCount).contains(count)
    else {
      throw wrong(
        key, value(key), expected: "the same number of heads, 1 to \(headCount), in all blocks with attention")
    }
    return count
  }

  /// Blocks of the decoder, and those behind them, which predict more than one token and which nothing here needs.
  private func layerCounts() throws -> (decoder: Int, predicting: Int) {
    let all = try integer("block_count", Limits.layerCount)
    let predicting = try optionalInteger("nextn_predict_layers", 0...all - 1) ?? 0
    return (all - predicting, predicting)
  }

  /// `attention.sliding_window`; 0 is none.
  func window() throws -> Int? {
    let window = try optionalInteger("attention.sliding_window", 0...GGUFReader.maximumContext)
    return window == 0 ? nil : window
  }

  /// That window in all layers but every `pattern`-th, unless `attention.sliding_window_pattern` says otherwise.
  func readPatternWindow(into configuration: inout DecoderConfiguration, pattern: Int, absent: Int? = nil) throws {
    guard let window = try window() ?? absent else { return }
    configuration.setWindow(window, except: try fullLayers(configuration.layerCount, pattern: pattern))
  }

  private func fullLayers(_ layerCount: Int, pattern: Int) throws -> Set<Int> {
    let key = "\(architecture).attention.sliding_window_pattern"
    switch value(key) {
    case nil: return Set((0..<layerCount).filter { ($0 + 1) % pattern == 0 })
    case .bools(let windowed) where windowed.count == layerCount: return Set(windowed.indices.filter { !windowed[$0] })
    case .ints(let windowed) where windowed.count == layerCount:
      return Set(windowed.indices.filter { windowed[$0] == 0 })
    case .int(let every) where every > 0: return Set((0..<layerCount).filter { ($0 + 1) % every == 0 })
    case .int(0): return []
    case let value:
      throw wrong(key, value, expected: "a positive integer, or a boolean for each of \(layerCount) layers")
    }
  }
}

extension DecoderConfiguration {
  /// What config.json says of Llama, Mistral and Qwen alike.
  var rotaryJSON: JSONObject {
    let activation =
      switch activation {
      case .silu, .clampedSwish: "silu"
      case .geluTanh: "gelu_pytorch_tanh"
      case .gelu: "gelu"
      case .reluSquared: "relu2"
      }
    let json: JSONObject = [
      "hidden_size": .int(hiddenSize),
      "intermediate_size": .int(intermediateSize),
      "num_hidden_layers": .int(layerCount),
      "num_attention_heads": .int(headCount),
      "num_key_value_heads": .int(keyValueHeadCount),
      "head_dim": .int(headSize),
      "max_position_embeddings": .int(contextLength),
      "rms_norm_eps": .real(Family.decimal(normEpsilon)),
      "hidden_act": .string(activation),
    ]
    return json.with(rope?.json ?? [:])
  }

  /// Qwen's window, which `readQwenWindow` reads.
  var qwenWindowJSON: JSONObject {
    guard let slidingWindow else { return ["sliding_window": .null] }
    return ["sliding_window": .int(slidingWindow), "use_sliding_window": true, "layer_types": layerTypesJSON]
  }

  /// A window in some layers.
  var windowJSON: JSONObject {
    ["sliding_window": slidingWindow.map(JSON.int) ?? .null, "layer_types": layerTypesJSON]
  }

  private var layerTypesJSON: JSON {
    .array((0..<layerCount).map { isWindowed($0) ? "sliding_attention" : "full_attention" })
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
