import DPOBase

extension Family {
  /// Modules of Llama and of all families that took its names over.
  static let llamaModules: [(part: ModelPart, path: String)] = [
    (.tokenEmbedding, "model.embed_tokens"),
    (.query, "model.layers.#.self_attn.q_proj"),
    (.key, "model.layers.#.self_attn.k_proj"),
    (.value, "model.layers.#.self_attn.v_proj"),
    (.attentionOutput, "model.layers.#.self_attn.o_proj"),
    (.queryNorm, "model.layers.#.self_attn.q_norm"),
    (.keyNorm, "model.layers.#.self_attn.k_norm"),
    (.gate, "model.layers.#.mlp.gate_proj"),
    (.up, "model.layers.#.mlp.up_proj"),
    (.down, "model.layers.#.mlp.down_proj"),
    (.attentionNorm, "model.layers.#.input_layernorm"),
    (.mlpNorm, "model.layers.#.post_attention_layernorm"),
    (.finalNorm, "model.norm"),
    (.head, "lm_head"),
  ]

  /// The same with some modules under other names.
  static func llamaModules(_ names: [ModelPart: String]) -> [(part: ModelPart, path: String)] {
    var modules = llamaModules
    for part in ModelPart.allCases {
      guard let path = names[part] else { continue }
      if let index = modules.firstIndex(where: { $0.part == part }) {
        modules[index].path = path
      } else {
        modules.insert((part, path), at: modules.count - 2)
      }
    }
    return modules.sorted { order($0) < order($1) }
  }

  /// Embeddings, blocks, the rest; otherwise as they stand.
  private static func order(_ module: (part: ModelPart, path: String)) -> Int {
    module.part == .tokenEmbedding ? 0 : module.part.isInBlock ? 1 : module.part == .finalNorm ? 2 : 3
  }

  package static let llama: Family = Family(
    name: "llama", classes: ("LlamaForCausalLM", "LlamaForSequenceClassification"), ggufArchitecture: "llama",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(llama, RotaryDefaults(bosToken: 1, eosToken: 2))
      try reader.readAttentionBias(into: &configuration)
      try reader.refuse("mlp_bias", unless: false)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(llama)
      configuration.slidingWindow = try reader.window()
      if configuration.slidingWindow != nil { configuration.family = mistral }
      return configuration
    })
}
