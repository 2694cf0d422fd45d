extension Family {
  /// Llama with biases of q, k and v.
  static let qwen2 = Family(
    name: .qwen2, ggufArchitecture: "qwen2", modules: llamaModules, transposesLinear: false,
    permutesQueryKeyInGGUF: false, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(.qwen2, keyValueHeads: 32)
      configuration.queryKeyValueBias = true
      configuration.slidingWindow = try reader.qwenWindow(configuration)
      return configuration
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(.qwen2)
      configuration.queryKeyValueBias = true
      return configuration
    })
}
