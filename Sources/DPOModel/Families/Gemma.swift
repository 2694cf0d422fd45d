import DPOBase

// Llama with norms that compute with 1 + w and an embedding that is multiplied by √(hidden size).

extension Family {
  private static let defaults = RotaryDefaults(
    activationKey: "hidden_activation", activation: "gelu_pytorch_tanh", headSize: 256, contextLength: 8192,
    tiedHead: true, bosToken: 2, eosToken: 1)

  /// Norms before and behind both branches.
  private static let gemma2Modules = llamaModules([
    .attentionPostNorm: "model.layers.#.post_attention_layernorm",
    .mlpNorm: "model.layers.#.pre_feedforward_layernorm",
    .mlpPostNorm: "model.layers.#.post_feedforward_layernorm",
  ])

  static let gemma: Family = Family(
    name: "gemma", classes: ("GemmaForCausalLM", "GemmaForSequenceClassification"), ggufArchitecture: "gemma",
    modules: llamaModules, normsAddOne: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var defaults = defaults
      defaults.activationKey = "hidden_act"
      defaults.keyValueHeads = 16
      var configuration = try reader.rotary(gemma, defaults)
      // transformers takes "gelu" for the approximation as well.
      if configuration.activation == .gelu { configuration.activation = .geluTanh }
      try reader.readGemma(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in try reader.gemma(gemma) })

  /// Norms on both sides of both branches, a window in every other block, soft caps.
  static let gemma2: Family = Family(
    name: "gemma2", classes: ("Gemma2ForCausalLM", "Gemma2ForSequenceClassification"), ggufArchitecture: "gemma2",
    modules: gemma2Modules, normsAddOne: true, llamaHasWindow: { _ in true }, llamaHasQueryScale: \.hasGemmaScale,
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var defaults = defaults
      defaults.keyValueHeads = 4
      var configuration = try reader.rotary(gemma2, defaults)
      try reader.readGemma(into: &configuration)
      configuration.normPosition = .around
      configuration.attentionScale = try reader.queryScale(default: 256)
      configuration.attentionSoftCap = try reader.softCap("attn_logit_softcapping", default: 50)
      configuration.logitSoftCap = try reader.softCap("final_logit_softcapping", default: 30)
      try reader.readPatternWindow(into: &configuration, pattern: 2, absent: 4096)
      return configuration
    },
    writeHuggingFace: { $0.gemmaJSON.with(["attn_logit_softcapping": $0.attentionSoftCap.map(JSON.real) ?? .null]) },
    writeShape: \.gemmaJSON,
    readGGUF: { reader in
      var configuration = try reader.gemma(gemma2)
      configuration.normPosition = .around
      configuration.attentionScale = configuration.largeGemmaScale(layers: 46)
      configuration.attentionSoftCap = try reader.optionalPositive("attn_logit_softcapping") ?? 50
      configuration.logitSoftCap = try reader.optionalPositive("final_logit_softcapping") ?? 30
      try reader.readPatternWindow(into: &configuration, pattern: 2, absent: 4096)
      return configuration
    },
    writeGGUF: { configuration in
      [
        ("attn_logit_softcapping", .double(configuration.attentionSoftCap ?? 0)),
        ("final_logit_softcapping", .double(configuration.logitSoftCap ?? 0)),
      ]
    })

  /// Gemma 2 without caps of scores, with norms of q and k, and rotary positions of another base in blocks with a window.
  static let gemma3: Family = Family(
    name: "gemma3_text", classes: ("Gemma3ForCausalLM", "Gemma3TextForSequenceClassification"),
    ggufArchitecture: "gemma3", modules: gemma2Modules, normsAddOne: true, wholeModel: "gemma3",
    llamaHasWindow: { _ in true }, llamaHasQueryScale: \.hasGemmaScale, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var defaults = defaults
      (defaults.keyValueHeads, defaults.contextLength, defaults.base) = (4, 131_072, 1_000_000)
      var configuration = try reader.rotary(gemma3, defaults)
      try reader.readGemma(into: &configuration)
      configuration.normPosition = .around
      configuration.queryKeyNorm = .heads
      configuration.attentionScale = try reader.queryScale(default: 256)
      configuration.attentionSoftCap = try reader.softCap("attn_logit_softcapping", default: nil)
      configuration.logitSoftCap = try reader.softCap("final_logit_softcapping", default: nil)
      try reader.readPatternWindow(into: &configuration, pattern: 6, absent: 4096)
      configuration.windowedRope = try reader.windowedRope(
        configuration, baseKey: "rope_local_base_freq", base: 10_000)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.gemmaJSON.with([
        "rope_local_base_freq": configuration.windowedRope.map { .real($0.base) } ?? .null
      ])
    },
    writeShape: \.gemmaJSON,
    readGGUF: { reader in
      var configuration = try reader.gemma(gemma3)
      configuration.normPosition = .around
      configuration.queryKeyNorm = .heads
      configuration.attentionScale = configuration.largeGemmaScale(layers: 62)
      configuration.logitSoftCap = try reader.optionalPositive("final_logit_softcapping")
      try reader.readPatternWindow(into: &configuration, pattern: 6)
      let windowedBase = try reader.positive("rope.freq_base_swa", default: 10_000)
      if let rope = configuration.rope, configuration.slidingWindow != nil {
        configuration.windowedRope = Rope(base: windowedBase, size: rope.size)
      }
      return configuration
    },
    writeGGUF: { configuration in
      configuration.logitSoftCap.map { [("final_logit_softcapping", .double($0))] } ?? []
    })
}

extension HuggingFaceReader {
  fileprivate func readGemma(into configuration: inout DecoderConfiguration) throws {
    configuration.embeddingScale = Double(configuration.hiddenSize).squareRoot()
    try readAttentionBias(into: &configuration)
    try refuse("use_bidirectional_attention", unless: false)
  }

  fileprivate func queryScale(default absent: Double) throws -> Double {
    1 / (try positive("query_pre_attn_scalar", in: json, default: absent)).squareRoot()
  }

  fileprivate func softCap(_ key: String, default absent: Double?) throws -> Double? {
    guard let absent, json[key] == nil else {
      return value(key) == nil ? nil : try positive(key, in: json, default: nil)
    }
    return absent
  }

  /// Rotary positions of the blocks with a window where they have their own.
  func windowedRope(_ configuration: DecoderConfiguration, baseKey: String, base: Double) throws -> Rope? {
    guard configuration.slidingWindow != nil, let rope = configuration.rope else { return nil }
    let parameters = value("rope_parameters")
    var windowed = rope
    if parameters?["sliding_attention"] != nil {
      windowed = try self.rope(
        RotaryDefaults(base: base, interleaved: rope.interleaved), headSize: configuration.headSize,
        contextLength: configuration.contextLength, layerType: "sliding_attention")
    } else {
      windowed = Rope(base: try positive(baseKey, in: json, default: base), size: rope.size)
    }
    return windowed == rope ? nil : windowed
  }
}

extension GGUFReader {
  fileprivate func gemma(_ family: Family) throws -> DecoderConfiguration {
    var configuration = try rotary(family)
    configuration.activation = .geluTanh
    configuration.embeddingScale = Double(configuration.hiddenSize).squareRoot()
    return configuration
  }
}

extension DecoderConfiguration {
  /// The scale that llama.cpp takes for a Gemma 2 or 3.
  fileprivate var hasGemmaScale: Bool {
    guard let attentionScale, layerCount != 46, layerCount != 62 else { return true }
    return abs(attentionScale * Double(headSize).squareRoot() - 1) <= 1e-6
  }

  /// llama.cpp knows the largest models, which scale by the width of a share of the hidden size, by their number of blocks.
  fileprivate func largeGemmaScale(layers: Int) -> Double? {
    layerCount == layers ? 1 / Double(hiddenSize / headCount).squareRoot() : nil
  }

  fileprivate var gemmaJSON: JSONObject {
    var json = rotaryJSON.with(windowJSON)
    json["hidden_activation"] = json["hidden_act"]
    json["hidden_act"] = nil
    let scale = attentionScale ?? 1 / Double(headSize).squareRoot()
    return json.with([
      "attention_bias": .bool(outputBias), "query_pre_attn_scalar": .int(Int((1 / (scale * scale)).rounded())),
      "final_logit_softcapping": logitSoftCap.map(JSON.real) ?? .null,
    ])
  }
}

extension ModelShape {
  fileprivate var gemmaJSON: JSONObject {
    rotaryJSON.with(["query_pre_attn_scalar": .int(hiddenSize / heads), "sliding_window": 512])
  }
}
