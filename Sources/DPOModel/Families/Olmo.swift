import DPOBase

// Llama with norms behind the branches only, and one norm over all heads of q and one of k.

extension Family {
  static let olmoModules = llamaModules([
    .attentionPostNorm: "model.layers.#.post_attention_layernorm",
    .mlpPostNorm: "model.layers.#.post_feedforward_layernorm",
  ]).filter { $0.part != .attentionNorm && $0.part != .mlpNorm }

  static let olmo2: Family = Family(
    name: "olmo2", classes: ("Olmo2ForCausalLM", "Olmo2ForSequenceClassification"), ggufArchitecture: "olmo2",
    modules: olmoModules, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        olmo2, RotaryDefaults(epsilon: 1e-5, contextLength: 2048, eosToken: 50_279))
      try reader.readOlmo(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(olmo2)
      configuration.normPosition = .after
      configuration.queryKeyNorm = .whole
      try reader.readPatternWindow(into: &configuration, pattern: 4)
      guard let rope = configuration.rope, configuration.slidingWindow != nil else { return configuration }
      configuration.family = olmo3
      let base = try reader.positive("rope.freq_base_swa", default: rope.base)
      configuration.windowedRope = Rope(base: base, size: rope.size)
      if configuration.windowedRope == rope { configuration.windowedRope = nil }
      return configuration
    })

  /// OLMo 2 with a window in three of four blocks. In GGUF it says it is "olmo2".
  static let olmo3: Family = Family(
    name: "olmo3", classes: ("Olmo3ForCausalLM", "Olmo3ForSequenceClassification"), ggufArchitecture: "olmo2",
    modules: olmoModules, llamaHasWindow: { _ in true }, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        olmo3, RotaryDefaults(epsilon: 1e-5, contextLength: 2048, base: 500_000, eosToken: 50_279))
      try reader.readOlmo(into: &configuration)
      try reader.readPatternWindow(into: &configuration, pattern: 4, absent: 4096)
      configuration.windowedRope = try reader.windowedRope(
        configuration, baseKey: "rope_theta", base: 500_000)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with(configuration.windowJSON).with(["attention_bias": .bool(configuration.outputBias)])
    },
    writeShape: \.rotaryJSON,
    readGGUF: olmo2.readGGUF)
}

extension HuggingFaceReader {
  fileprivate func readOlmo(into configuration: inout DecoderConfiguration) throws {
    configuration.normPosition = .after
    configuration.queryKeyNorm = .whole
    try readAttentionBias(into: &configuration)
  }
}
