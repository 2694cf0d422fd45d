import DPOBase

extension Family {
  /// Llama with biases of q, k and v.
  static let qwen2: Family = Family(
    name: "qwen2", classes: ("Qwen2ForCausalLM", "Qwen2ForSequenceClassification"), ggufArchitecture: "qwen2",
    modules: llamaModules, tokenizerClass: ("Qwen2Tokenizer", always: true), defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(qwen2, RotaryDefaults(keyValueHeads: 32))
      configuration.queryKeyValueBias = true
      try reader.readQwenWindow(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with($0.qwenWindowJSON) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(qwen2)
      configuration.slidingWindow = try reader.window()
      configuration.queryKeyValueBias = true
      return configuration
    })
}
