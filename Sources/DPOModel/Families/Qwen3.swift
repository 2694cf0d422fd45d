import DPOBase

extension Family {
  /// Llama with an RMS norm on each head of q and k, and heads whose size is a setting of its own.
  static let qwen3: Family = Family(
    name: "qwen3", classes: ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification"), ggufArchitecture: "qwen3",
    modules: llamaModules, tokenizerClass: ("Qwen2Tokenizer", always: false), defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(qwen3, RotaryDefaults(keyValueHeads: 32, headSize: 128))
      configuration.queryKeyNorm = .heads
      try reader.readAttentionBias(into: &configuration)
      try reader.readQwenWindow(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]).with($0.qwenWindowJSON) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(qwen3)
      configuration.queryKeyNorm = .heads
      configuration.slidingWindow = try reader.window()
      return configuration
    })
}
