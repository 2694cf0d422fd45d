extension Family {
  /// Llama with an RMS norm on each head of q and k, and heads whose size is a setting of its own.
  static let qwen3 = Family(
    name: .qwen3, ggufArchitecture: "qwen3", modules: llamaModules, transposesLinear: false,
    permutesQueryKeyInGGUF: false, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(.qwen3, keyValueHeads: 32, headSize: 128)
      configuration.queryKeyNorm = true
      configuration.queryKeyValueBias = try reader.bool("attention_bias", default: false)
      configuration.outputBias = configuration.queryKeyValueBias
      configuration.slidingWindow = try reader.qwenWindow(configuration)
      return configuration
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(.qwen3)
      configuration.queryKeyNorm = true
      return configuration
    })
}
