import DPOBase

extension Family {
  /// Llama with one layer for q, k and v and one for gate and up, and LongRoPE. Phi 3, 3.5, 4 and 4 mini.
  static let phi3: Family = Family(
    name: "phi3", classes: ("Phi3ForCausalLM", "Phi3ForSequenceClassification"), ggufArchitecture: "phi3",
    modules: [
      (.tokenEmbedding, "model.embed_tokens"),
      (.attentionOutput, "model.layers.#.self_attn.o_proj"),
      (.fusedQueryKeyValue, "model.layers.#.self_attn.qkv_proj"),
      (.fusedGateUp, "model.layers.#.mlp.gate_up_proj"),
      (.down, "model.layers.#.mlp.down_proj"),
      (.attentionNorm, "model.layers.#.input_layernorm"),
      (.mlpNorm, "model.layers.#.post_attention_layernorm"),
      (.finalNorm, "model.norm"),
      (.head, "lm_head"),
    ],
    ggufNames: [.fusedGateUp: "ffn_up"], defaultLoRATargets: ["qkv_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        phi3,
        RotaryDefaults(
          epsilon: 1e-5, contextLength: 4096, ropeTypes: ["yarn": "longrope"], bosToken: 1, eosToken: 32_000))
      (configuration.fusedQKV, configuration.fusedGateUp) = (true, true)
      configuration.slidingWindow = try reader.window(absent: nil)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "sliding_window": configuration.slidingWindow.map(JSON.int) ?? .null,
        "original_max_position_embeddings": .int(
          configuration.rope?.scaling.switchesBeyond ?? configuration.contextLength),
        "partial_rotary_factor": configuration.turnedShare,
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(phi3)
      (configuration.fusedQKV, configuration.fusedGateUp) = (true, true)
      configuration.slidingWindow = try reader.window()
      return configuration
    })

  /// LayerNorm, both branches beside each other, biases everywhere, a part of each head turned. Phi 1, 1.5 and 2.
  static let phi: Family = Family(
    name: "phi", classes: ("PhiForCausalLM", "PhiForSequenceClassification"), ggufArchitecture: "phi2",
    modules: [
      (.tokenEmbedding, "model.embed_tokens"),
      (.query, "model.layers.#.self_attn.q_proj"),
      (.key, "model.layers.#.self_attn.k_proj"),
      (.value, "model.layers.#.self_attn.v_proj"),
      (.attentionOutput, "model.layers.#.self_attn.dense"),
      (.up, "model.layers.#.mlp.fc1"),
      (.down, "model.layers.#.mlp.fc2"),
      (.attentionNorm, "model.layers.#.input_layernorm"),
      (.finalNorm, "model.final_layernorm"),
      (.head, "lm_head"),
    ],
    defaultLoRATargets: ["q_proj", "v_proj", "fc1", "fc2"],
    readHuggingFace: { reader in
      try reader.refuse("qk_layernorm", unless: false)
      return try reader.rotary(
        phi,
        RotaryDefaults(
          norm: .layer, epsilonKey: "layer_norm_eps", epsilon: 1e-5, activation: "gelu_new", contextLength: 2048,
          turned: 0.5, bosToken: 1, eosToken: 2)
      ).phi
    },
    writeHuggingFace: { configuration in
      configuration.layerNormJSON("layer_norm_eps").with(["partial_rotary_factor": configuration.turnedShare])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in try reader.rotary(phi, norm: .layer).phi })
}

extension DecoderConfiguration {
  fileprivate var phi: DecoderConfiguration {
    var configuration = self
    (configuration.parallelBranches, configuration.sharesNorm, configuration.gatedMLP) = (true, true, false)
    (configuration.queryKeyValueBias, configuration.outputBias, configuration.mlpBias) = (true, true, true)
    configuration.headBias = true
    if configuration.activation == .silu { configuration.activation = .geluTanh }
    return configuration
  }

  /// `partial_rotary_factor`
  var turnedShare: JSON { .real(Double(rope?.size ?? headSize) / Double(headSize)) }

  /// `rotaryJSON` of a model with layer norms.
  func layerNormJSON(_ key: String) -> JSONObject {
    var json = rotaryJSON
    json["rms_norm_eps"] = nil
    json[key] = .real(Family.decimal(normEpsilon))
    return json
  }
}
