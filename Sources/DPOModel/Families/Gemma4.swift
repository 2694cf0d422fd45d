import DPOBase

// Gemma 3 with plain norms, other heads in blocks without a window, keys and values that blocks share, and numbers of each token
// that each block gets beside x.

extension Family {
  private static let defaults = RotaryDefaults(
    activationKey: "hidden_activation", activation: "gelu_pytorch_tanh", keyValueHeads: 4, headSize: 256,
    contextLength: 131_072, base: 1_000_000, tiedHead: true, bosToken: 2, eosToken: 1)

  package static let gemma4: Family = Family(
    name: "gemma4_text", classes: ("Gemma4ForCausalLM", "Gemma4ForSequenceClassification"), ggufArchitecture: "gemma4",
    modules: llamaModules([
      .attentionPostNorm: "model.layers.#.post_attention_layernorm",
      .mlpNorm: "model.layers.#.pre_feedforward_layernorm",
      .mlpPostNorm: "model.layers.#.post_feedforward_layernorm",
      .inputGate: "model.layers.#.per_layer_input_gate", .inputProjection: "model.layers.#.per_layer_projection",
      .inputPostNorm: "model.layers.#.post_per_layer_input_norm", .blockScale: "model.layers.#.layer_scalar",
      .perLayerEmbedding: "model.embed_tokens_per_layer", .perLayerProjection: "model.per_layer_model_projection",
      .perLayerNorm: "model.per_layer_projection_norm",
    ]),
    wholeModel: "gemma4", ggufTokenizer: "gemma4", llamaHasWindow: { _ in true },
    needsRopeDivisorsInGGUF: true,
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      guard try !reader.bool("enable_moe_block", default: false) else {
        throw DPOError(
          .unsupported,
          "\(reader.file): enable_moe_block = true: the mixture of experts of Gemma 4 is not supported; E2B, E4B and 31B have none"
        )
      }
      let reader = try reader.with(absent: [
        "rope_parameters": [
          "full_attention": ["rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000],
          "sliding_attention": ["rope_type": "default", "rope_theta": 10_000],
        ]
      ])
      var configuration = try reader.rotary(gemma4, defaults)
      try reader.refuse("attention_bias", unless: false)
      try reader.refuseBidirectionalText()
      let count = configuration.layerCount
      configuration.setWindow(
        try reader.window(absent: 512) ?? 512, except: try reader.fullLayers(count, pattern: 6).union([count - 1]))
      configuration.fullHeads = try reader.fullHeads(configuration)
      configuration.rope = try reader.rope(
        defaults, headSize: configuration.attention(count - 1).headSize, contextLength: configuration.contextLength)
      if configuration.slidingWindow != nil {
        configuration.windowedRope = try reader.rope(
          RotaryDefaults(), headSize: configuration.headSize, contextLength: configuration.contextLength,
          layerType: "sliding_attention")
      }
      configuration.valuesAreKeys = try reader.bool("attention_k_eq_v", default: false)
      configuration.sharingLayers = try reader.optionalInteger("num_kv_shared_layers", 0...count - 1) ?? 0
      configuration.widensSharingLayers = try reader.bool("use_double_wide_mlp", default: false)
      configuration.perLayerInputSize =
        try reader.optionalInteger("hidden_size_per_layer_input", 0...Limits.hiddenSize.upperBound)
        ?? (reader.json["hidden_size_per_layer_input"] == nil ? 256 : 0)
      if configuration.perLayerInputSize > 0 {
        let size = configuration.vocabularySize
        guard try reader.optionalInteger("vocab_size_per_layer_input", Limits.vocabularySize) ?? 262_144 == size else {
          throw reader.wrong(
            "vocab_size_per_layer_input", reader.json["vocab_size_per_layer_input"], expected: "vocab_size = \(size)")
        }
      }
      if reader.value("final_logit_softcapping") != nil {
        configuration.logitSoftCap = try reader.positive("final_logit_softcapping", in: reader.json, default: nil)
      }
      try configuration.completeGemma4(file: reader.file, sharingKey: "num_kv_shared_layers")
      return configuration
    },
    writeHuggingFace: \.gemma4JSON,
    writeShape: { shape in
      shape.rotaryJSON.with([
        "global_head_dim": .int(shape.hiddenSize / shape.heads), "sliding_window": 512,
        "hidden_size_per_layer_input": 0,
      ])
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(gemma4, varies: true)
      let count = configuration.layerCount
      configuration.activation = .geluTanh
      try reader.readPatternWindow(into: &configuration, pattern: 6)
      try reader.readHeads(into: &configuration)
      let sharing = "attention.shared_kv_layers"
      configuration.sharingLayers = try reader.optionalInteger(sharing, 0...count - 1) ?? 0
      configuration.perLayerInputSize = try reader.integer(
        "embedding_length_per_layer_input", 0...Limits.hiddenSize.upperBound)
      configuration.logitSoftCap = try reader.optionalPositive("final_logit_softcapping")
      try configuration.completeGemma4(file: reader.file, sharingKey: "gemma4.\(sharing)")
      try reader.readWidths(into: &configuration)
      return configuration
    },
    writeGGUF: { configuration in
      let blocks = 0..<configuration.layerCount
      let (full, size) = (configuration.attention(blocks.upperBound - 1).headSize, configuration.headSize)
      let heads = blocks.map { configuration.attention($0).keyValueHeadCount }
      let widths = blocks.map(configuration.mlpWidth)
      func numbers(_ each: [Int]) -> GGUFValue { Set(each).count == 1 ? .int(each[0]) : .ints(each) }
      var out: [(key: String, value: GGUFValue)] = [
        ("attention.head_count_kv", numbers(heads)), ("feed_forward_length", numbers(widths)),
        ("attention.key_length", .int(full)), ("attention.value_length", .int(full)),
        ("attention.key_length_swa", .int(size)), ("attention.value_length_swa", .int(size)),
        ("attention.sliding_window", .int(configuration.slidingWindow ?? 512)),
        ("attention.sliding_window_pattern", .bools(blocks.map(configuration.isWindowed))),
        ("attention.shared_kv_layers", .int(configuration.sharingLayers)),
        ("embedding_length_per_layer_input", .int(configuration.perLayerInputSize)),
        ("rope.dimension_count_swa", .int(configuration.windowedRope?.size ?? size)),
      ]
      if let cap = configuration.logitSoftCap { out.append(("final_logit_softcapping", .double(cap))) }
      return out
    },
    readGGUFTensors: { configuration, has in
      let own = configuration.layerCount - configuration.sharingLayers
      configuration.valuesAreKeys = (0..<own).allSatisfy {
        configuration.isWindowed($0) || !has("blk.\($0).attn_v.weight")
      }
    })
}

extension DecoderConfiguration {
  /// What all models of the family have, and what has to fit.
  fileprivate mutating func completeGemma4(file: String, sharingKey: String) throws {
    (normPosition, queryKeyNorm, valueNorm, scalesBlocks) = (.around, .heads, true, true)
    attentionScale = 1
    embeddingScale = Double(hiddenSize).squareRoot()
    guard (layerCount - sharingLayers..<layerCount).allSatisfy({ keySource($0) != nil }) else {
      throw DPOError.format(
        file,
        "\(sharingKey): the last \(sharingLayers) of \(layerCount) layers share keys and values, but no layer before them is of the same type as each of them"
      )
    }
  }

  fileprivate var gemma4JSON: JSONObject {
    var json = rotaryJSON.with(windowJSON)
    json["hidden_activation"] = json["hidden_act"]
    for key in ["hidden_act", "rope_theta", "rope_scaling"] { json[key] = nil }
    let full = attention(layerCount - 1)
    let heads: JSON = ["head_dim": .int(full.headSize), "num_key_value_heads": .int(full.keyValueHeadCount)]
    var overrides = JSONObject()
    for layer in 0..<layerCount where !isWindowed(layer) { overrides["\(layer)"] = heads }
    return json.with([
      "attention_bias": false, "attention_k_eq_v": .bool(valuesAreKeys), "enable_moe_block": false,
      "sliding_window": .int(slidingWindow ?? 512),
      // transformers reads the first two unless it knows the third.
      "global_head_dim": .int(full.headSize), "num_global_key_value_heads": .int(full.keyValueHeadCount),
      "per_layer_config": .object(overrides),
      "num_kv_shared_layers": .int(sharingLayers), "use_double_wide_mlp": .bool(widensSharingLayers),
      "hidden_size_per_layer_input": .int(perLayerInputSize), "vocab_size_per_layer_input": .int(vocabularySize),
      "final_logit_softcapping": logitSoftCap.map(JSON.real) ?? .null,
      "rope_parameters": [
        "full_attention": rope?.parametersJSON ?? .null,
        "sliding_attention": (windowedRope ?? rope)?.parametersJSON ?? .null,
      ],
    ])
  }
}

extension HuggingFaceReader {
  /// The same with values for keys that are absent.
  fileprivate func with(absent defaults: JSONObject) throws -> HuggingFaceReader {
    var object = json.object ?? JSONObject()
    for (key, value) in defaults.members where self.value(key) == nil { object[key] = value }
    return try HuggingFaceReader(.object(object), file: file)
  }

  /// "vision" lets the tokens of images see each other; text stays as it is.
  fileprivate func refuseBidirectionalText() throws {
    let key = "use_bidirectional_attention"
    guard let value = value(key), value != "vision" else { return }
    throw DPOError(.unsupported, "\(file): \(key) = \(value.brief) is not supported")
  }

  /// Heads of layers without a window: by layer, or by older keys for all of them. nil: as in the others.
  fileprivate func fullHeads(_ c: DecoderConfiguration) throws -> KeyValueHeads? {
    let key = "per_layer_config"
    let plain = KeyValueHeads(count: c.keyValueHeadCount, size: c.headSize)
    var found: KeyValueHeads?
    if let settings = value(key) {
      let expected = "other head_dim and num_key_value_heads for all layers of full attention, and for no other"
      guard let layers = settings.object else { throw wrong(key, settings, expected: expected) }
      let known: Set = ["head_dim", "num_key_value_heads"]
      for layer in 0..<c.layerCount {
        let own = layers["\(layer)"] ?? [:]
        guard let object = own.object, object.members.allSatisfy({ known.contains($0.0) }) else {
          throw wrong(key, settings, expected: expected)
        }
        let reader = try HuggingFaceReader(own, file: "\(file): \(key).\(layer)")
        let heads = KeyValueHeads(
          count: try reader.optionalInteger("num_key_value_heads", Limits.headCount) ?? plain.count,
          size: try reader.optionalInteger("head_dim", Limits.headSize) ?? plain.size)
        guard heads == (c.isWindowed(layer) ? plain : found ?? heads) else {
          throw wrong(key, settings, expected: expected)
        }
        if !c.isWindowed(layer) { found = heads }
      }
    } else {
      let count =
        try bool("attention_k_eq_v", default: false)
        ? optionalInteger("num_global_key_value_heads", Limits.headCount) : nil
      found = KeyValueHeads(
        count: count ?? plain.count, size: try optionalInteger("global_head_dim", Limits.headSize) ?? 512)
    }
    guard let found, found != plain else { return nil }
    guard c.headCount % found.count == 0, found.size % 2 == 0 else {
      throw DPOError.format(
        file,
        "\(value(key) == nil ? "global_head_dim, num_global_key_value_heads" : key): \(found.count) heads of \(found.size) numbers; expected a divisor of num_attention_heads = \(c.headCount) and an even size"
      )
    }
    return found
  }
}

extension GGUFReader {
  /// Heads of blocks with a window and of those without, and their rotary positions.
  fileprivate func readHeads(into c: inout DecoderConfiguration) throws {
    let (key, size) = ("attention.head_count_kv", "attention.key_length_swa")
    let counts = try integers(key, 1...c.headCount, blocks: c.layerCount)
    func count(windowed: Bool) throws -> Int? {
      let some = counts.indices.filter { c.isWindowed($0) == windowed }.map { counts[$0] }
      guard let first = some.first else { return nil }
      guard some.allSatisfy({ $0 == first }), c.headCount % first == 0 else {
        throw wrong(
          "gemma4.\(key)", value("gemma4.\(key)"),
          expected: "divisors of head_count = \(c.headCount), one for blocks with a window and one for the others")
      }
      return first
    }
    let full = KeyValueHeads(count: try count(windowed: false) ?? c.keyValueHeadCount, size: c.headSize)
    c.headSize = try integer(size, Limits.headSize)
    _ = try integer("attention.value_length_swa", c.headSize...c.headSize)
    c.keyValueHeadCount = try count(windowed: true) ?? full.count
    guard c.headSize % 2 == 0 else {
      throw DPOError.format(
        file, "gemma4.\(size): rotary positions need an even head size, found \(c.headSize)")
    }
    if full != KeyValueHeads(count: c.keyValueHeadCount, size: c.headSize) { c.fullHeads = full }
    let turned = try optionalInteger("rope.dimension_count_swa", 2...c.headSize) ?? c.headSize
    guard turned % 2 == 0 else {
      throw DPOError.format(file, "gemma4.rope.dimension_count_swa: expected an even number, found \(turned)")
    }
    let base = try positive("rope.freq_base_swa", default: c.rope?.base)
    if c.slidingWindow != nil { c.windowedRope = Rope(base: base, size: turned) }
  }

  /// Widths of the MLPs: those of blocks that share keys may be twice those of the others.
  fileprivate func readWidths(into c: inout DecoderConfiguration) throws {
    let key = "feed_forward_length"
    let widths = try integers(key, Limits.intermediateSize, blocks: c.layerCount)
    c.widensSharingLayers = c.sharingLayers > 0 && widths[c.layerCount - 1] == 2 * c.intermediateSize
    let expected = c
    guard widths == (0..<c.layerCount).map(expected.mlpWidth) else {
      throw wrong(
        "gemma4.\(key)", value("gemma4.\(key)"),
        expected: "one width for all blocks, or twice that of the others for the last \(c.sharingLayers)")
    }
  }
}
