import DPOBase

extension Family {
  /// LayerNorm, biases everywhere, q, k and v in one layer, head by head, a part of each head turned, both branches beside each
  /// other or one after the other. Pythia and GPT-NeoX.
  static let gptNeoX: Family = Family(
    name: "gpt_neox", classes: ("GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification"), ggufArchitecture: "gptneox",
    modules: [
      (.tokenEmbedding, "gpt_neox.embed_in"),
      (.attentionNorm, "gpt_neox.layers.#.input_layernorm"),
      (.mlpNorm, "gpt_neox.layers.#.post_attention_layernorm"),
      (.fusedQueryKeyValue, "gpt_neox.layers.#.attention.query_key_value"),
      (.attentionOutput, "gpt_neox.layers.#.attention.dense"),
      (.up, "gpt_neox.layers.#.mlp.dense_h_to_4h"),
      (.down, "gpt_neox.layers.#.mlp.dense_4h_to_h"),
      (.finalNorm, "gpt_neox.final_layer_norm"),
      (.head, "embed_out"),
    ],
    fusesQKVByHead: true, defaultLoRATargets: ["query_key_value"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        gptNeoX,
        RotaryDefaults(
          norm: .layer, epsilonKey: "layer_norm_eps", epsilon: 1e-5, activation: "gelu", contextLength: 2048,
          baseKey: "rotary_emb_base", turnedKey: "rotary_pct", turned: 0.25, bosToken: 0, eosToken: 2))
      (configuration.fusedQKV, configuration.gatedMLP, configuration.mlpBias) = (true, false, true)
      try reader.readAttentionBias(into: &configuration, default: true)
      configuration.parallelBranches = try reader.bool("use_parallel_residual", default: true)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.layerNormJSON("layer_norm_eps").with([
        "rotary_pct": configuration.turnedShare, "rotary_emb_base": configuration.rope.map { .real($0.base) } ?? .null,
        "attention_bias": .bool(configuration.outputBias),
        "use_parallel_residual": .bool(configuration.parallelBranches),
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(gptNeoX, norm: .layer)
      (configuration.fusedQKV, configuration.gatedMLP, configuration.mlpBias) = (true, false, true)
      (configuration.queryKeyValueBias, configuration.outputBias) = (true, true)
      configuration.activation = .gelu
      configuration.parallelBranches = try reader.bool("use_parallel_residual", default: true)
      return configuration
    },
    writeGGUF: { [("use_parallel_residual", .bool($0.parallelBranches))] })

  /// Llama with LayerNorm and a part of each head turned. StableLM 2 and 3B.
  static let stableLM: Family = Family(
    name: "stablelm", classes: ("StableLmForCausalLM", "StableLmForSequenceClassification"),
    ggufArchitecture: "stablelm", modules: llamaModules, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      try reader.refuse("qk_layernorm", unless: false)
      var configuration = try reader.rotary(
        stableLM,
        RotaryDefaults(
          norm: .layer, epsilonKey: "layer_norm_eps", epsilon: 1e-5, keyValueHeads: 32, contextLength: 4096,
          turned: 0.25, bosToken: 0, eosToken: 0))
      configuration.queryKeyValueBias = try reader.bool("use_qkv_bias", default: false)
      configuration.parallelBranches = try reader.bool("use_parallel_residual", default: false)
      configuration.sharesNorm = configuration.parallelBranches
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.layerNormJSON("layer_norm_eps").with([
        "partial_rotary_factor": configuration.turnedShare, "use_qkv_bias": .bool(configuration.queryKeyValueBias),
        "use_parallel_residual": .bool(configuration.parallelBranches),
      ])
    },
    writeShape: { $0.rotaryJSON.with(["num_key_value_heads": .int($0.keyValueHeadCount ?? $0.heads)]) },
    readGGUF: { reader in
      // Whether the branches stand beside each other is told by the norms that the file has.
      _ = try reader.bool("use_parallel_residual", default: false)
      return try reader.rotary(stableLM, norm: .layer)
    },
    writeGGUF: { [("use_parallel_residual", .bool($0.parallelBranches))] },
    readGGUFTensors: { configuration, has in
      configuration.parallelBranches = !has("blk.0.ffn_norm.weight")
      configuration.sharesNorm = configuration.parallelBranches
    })
}
