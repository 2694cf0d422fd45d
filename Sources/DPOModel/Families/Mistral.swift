extension Family {
  /// Llama with a sliding window. In GGUF it says it is "llama".
  static let mistral = Family(
    name: .mistral, ggufArchitecture: "llama", modules: llamaModules, transposesLinear: false,
    permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(.mistral, keyValueHeads: 8)
      configuration.slidingWindow = try reader.window(absent: 4096)
      return configuration
    },
    readGGUF: llama.readGGUF)
}
