import DPOBase

extension Family {
  /// Llama with a sliding window. In GGUF it says it is "llama".
  static let mistral: Family = Family(
    name: "mistral", classes: ("MistralForCausalLM", "MistralForSequenceClassification"), ggufArchitecture: "llama",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        mistral, RotaryDefaults(keyValueHeads: 8, bosToken: 1, eosToken: 2))
      configuration.slidingWindow = try reader.window(absent: 4096)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["sliding_window": $0.slidingWindow.map(JSON.int) ?? .null]) },
    writeShape: \.rotaryJSON,
    readGGUF: llama.readGGUF)
}
