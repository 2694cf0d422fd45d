import DPOBase

// Llama with one or two things of their own.

extension Family {
  /// No positions in every fourth block.
  static let smolLM3: Family = Family(
    name: "smollm3", classes: ("SmolLM3ForCausalLM", "SmolLM3ForSequenceClassification"), ggufArchitecture: "smollm3",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        smolLM3,
        RotaryDefaults(
          keyValueHeads: 4, contextLength: 32_768, base: 2_000_000, tiedHead: true, bosToken: 128_000,
          eosToken: 128_001))
      try reader.readBiases(into: &configuration)
      let count = configuration.layerCount
      if let layers = reader.value("no_rope_layers") {
        // 1: the block has positions.
        guard let flags = layers.array?.map(\.int), flags.count == count, flags.allSatisfy({ $0 == 0 || $0 == 1 })
        else {
          throw reader.wrong("no_rope_layers", layers, expected: "0 or 1 for each of \(count) layers")
        }
        configuration.layersWithoutRope = Set(flags.indices.filter { flags[$0] == 0 })
      } else {
        let every = try reader.optionalInteger("no_rope_layer_interval", 1...1 << 20) ?? 4
        configuration.layersWithoutRope = Set((0..<count).filter { ($0 + 1) % every == 0 })
      }
      try reader.readQwenWindow(into: &configuration)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "attention_bias": .bool(configuration.outputBias), "mlp_bias": .bool(configuration.mlpBias),
        "no_rope_layers": .array(
          (0..<configuration.layerCount).map { configuration.layersWithoutRope.contains($0) ? 0 : 1 }),
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(smolLM3)
      configuration.layersWithoutRope = Set((0..<configuration.layerCount).filter { ($0 + 1) % 4 == 0 })
      return configuration
    })

  /// YaRN, and q that grows with its position. Ministral 3; the text part of mistral3.
  static let ministral3: Family = Family(
    name: "ministral3", classes: ("Ministral3ForCausalLM", "Ministral3ForSequenceClassification"),
    ggufArchitecture: "mistral3", modules: llamaModules, permutesQueryKeyInGGUF: true,
    wholeModel: "mistral3", defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        ministral3,
        RotaryDefaults(epsilon: 1e-5, keyValueHeads: 8, headSize: 128, base: 1_000_000, bosToken: 1, eosToken: 2))
      configuration.slidingWindow = try reader.window(absent: nil)
      let settings = reader.value("rope_scaling") ?? reader.value("rope_parameters")
      if let beta = settings?["llama_4_scaling_beta"], !beta.isNull {
        guard let number = beta.double, number >= 0, number.isFinite else {
          throw reader.wrong("rope_parameters.llama_4_scaling_beta", beta, expected: "a number of at least 0")
        }
        let original = settings?["original_max_position_embeddings"]?.int ?? configuration.contextLength
        try configuration.grow(beta: number, originalContext: original, file: reader.file)
      }
      return configuration
    },
    writeHuggingFace: { configuration in
      var json = configuration.rotaryJSON.with(["sliding_window": configuration.slidingWindow.map(JSON.int) ?? .null])
      if let growth = configuration.queryGrowth, var rope = json["rope_scaling"]?.object {
        rope["llama_4_scaling_beta"] = .real(growth.beta)
        json["rope_scaling"] = .object(rope)
      }
      return json
    },
    writeShape: { $0.rotaryJSON.with(["rope_parameters": ["rope_type": "default"]]) },
    readGGUF: { reader in
      var configuration = try reader.rotary(ministral3)
      if let beta = try reader.optionalPositive("attention.temperature_scale") {
        let original = try reader.optionalInteger("rope.scaling.original_context_length", Limits.contextLength)
        try configuration.grow(
          beta: beta, originalContext: original ?? configuration.contextLength, file: reader.file)
      }
      return configuration
    },
    writeGGUF: { configuration in
      configuration.queryGrowth.map { [("attention.temperature_scale", .double($0.beta))] } ?? []
    })

  /// Qwen 3; the text part of Qwen3-VL, whose positions of text are plain ones.
  static let qwen3VL: Family = Family(
    name: "qwen3_vl_text", classes: ("Qwen3VLTextForCausalLM", "Qwen3VLTextForSequenceClassification"),
    ggufArchitecture: "qwen3vl", modules: llamaModules, wholeModel: "qwen3_vl",
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        qwen3VL, RotaryDefaults(keyValueHeads: 32, headSize: 128, contextLength: 128_000, base: 500_000))
      configuration.queryKeyNorm = .heads
      try reader.readAttentionBias(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(qwen3VL)
      configuration.queryKeyNorm = .heads
      // They are for images.
      for key in ["rope.dimension_sections", "n_deepstack_layers"] { _ = reader.value("qwen3vl.\(key)") }
      return configuration
    },
    writeGGUF: { configuration in
      [
        ("rope.dimension_sections", .ints(Rope.sections(ofHalf: configuration.headSize / 2))),
        ("n_deepstack_layers", .int(0)),
      ]
    },
    sameAs: ({ qwen3 }, { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) }))

  /// Norms behind the branches, norms of the heads of q and k, and where some blocks have a window no positions in the others.
  static let exaone4: Family = Family(
    name: "exaone4", classes: ("Exaone4ForCausalLM", "Exaone4ForSequenceClassification"), ggufArchitecture: "exaone4",
    modules: olmoModules, llamaHasWindow: { $0.layerCount == 64 }, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        exaone4,
        RotaryDefaults(epsilon: 1e-5, keyValueHeads: 32, contextLength: 2048, bosToken: 0, eosToken: 2))
      (configuration.normPosition, configuration.queryKeyNorm) = (.after, .heads)
      if let window = try reader.window(absent: nil) {
        let full = try reader.fullLayers(configuration.layerCount, pattern: 4)
        configuration.setWindow(window, except: full)
        configuration.layersWithoutRope = full
      }
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with($0.windowJSON) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(exaone4)
      (configuration.normPosition, configuration.queryKeyNorm) = (.after, .heads)
      // llama.cpp knows the model with windows by its number of blocks.
      guard configuration.layerCount == 64 else {
        for key in ["", "_pattern"] { _ = reader.value("exaone4.attention.sliding_window\(key)") }
        return configuration
      }
      try reader.readPatternWindow(into: &configuration, pattern: 4, absent: 4096)
      configuration.layersWithoutRope = configuration.layersWithoutWindow
      return configuration
    })

  /// Norms of the heads of q and k behind their rotation.
  static let hunyuan: Family = Family(
    name: "hunyuan_v1_dense", classes: ("HunYuanDenseV1ForCausalLM", "HunYuanDenseV1ForSequenceClassification"),
    ggufArchitecture: "hunyuan-dense",
    modules: llamaModules([
      .queryNorm: "model.layers.#.self_attn.query_layernorm", .keyNorm: "model.layers.#.self_attn.key_layernorm",
    ]),
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        hunyuan, RotaryDefaults(epsilon: 1e-5, contextLength: 2048, bosToken: 1, eosToken: 2))
      configuration.queryKeyNorm = .turnedHeads
      try reader.readAttentionBias(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(hunyuan)
      configuration.queryKeyNorm = .turnedHeads
      return configuration
    })

  /// Gate and up in one layer, neighbours in a part of each head turned. GLM-4-9B.
  static let glm: Family = Family(
    name: "glm", classes: ("GlmForCausalLM", "GlmForSequenceClassification"), ggufArchitecture: "chatglm",
    modules: llamaModules([.fusedGateUp: "model.layers.#.mlp.gate_up_proj"]),
    ggufNames: [.fusedGateUp: "ffn_up"], defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in try reader.glm(glm) },
    writeHuggingFace: { $0.glmJSON },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(glm, interleaved: true)
      configuration.fusedGateUp = true
      return configuration
    })

  /// The same with norms on both sides of both branches.
  static let glm4: Family = Family(
    name: "glm4", classes: ("Glm4ForCausalLM", "Glm4ForSequenceClassification"), ggufArchitecture: "glm4",
    modules: llamaModules([
      .fusedGateUp: "model.layers.#.mlp.gate_up_proj",
      .attentionPostNorm: "model.layers.#.post_self_attn_layernorm",
      .mlpPostNorm: "model.layers.#.post_mlp_layernorm",
    ]),
    ggufNames: [.fusedGateUp: "ffn_up"], defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.glm(glm4)
      configuration.normPosition = .around
      return configuration
    },
    writeHuggingFace: { $0.glmJSON },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(glm4, interleaved: true)
      (configuration.normPosition, configuration.fusedGateUp) = (.around, true)
      return configuration
    })

  /// Neighbours turned.
  static let ernie4_5: Family = Family(
    name: "ernie4_5", classes: ("Ernie4_5ForCausalLM", "Ernie4_5ForSequenceClassification"),
    ggufArchitecture: "ernie4_5", modules: llamaModules, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        ernie4_5,
        RotaryDefaults(
          epsilon: 1e-5, keyValueHeads: 2, headSize: 128, contextLength: 131_072, base: 500_000, interleaved: true,
          tiedHead: true, bosToken: 1, eosToken: 2))
      configuration.queryKeyValueBias = try reader.bool("use_bias", default: false)
      (configuration.outputBias, configuration.mlpBias) = (
        configuration.queryKeyValueBias, configuration.queryKeyValueBias
      )
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["use_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in try reader.rotary(ernie4_5, interleaved: true) })

  /// Biases of q, k and v.
  static let seedOSS: Family = Family(
    name: "seed_oss", classes: ("SeedOssForCausalLM", "SeedOssForSequenceClassification"), ggufArchitecture: "seed_oss",
    modules: llamaModules, ggufNames: [.mlpNorm: "post_attention_norm"], defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        seedOSS,
        RotaryDefaults(keyValueHeads: 8, headSize: 128, contextLength: 524_288, bosToken: 0, eosToken: 2))
      configuration.queryKeyValueBias = try reader.bool("attention_bias", default: true)
      configuration.outputBias = try reader.bool("attention_out_bias", default: false)
      configuration.mlpBias = try reader.bool("mlp_bias", default: false)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "attention_bias": .bool(configuration.queryKeyValueBias), "attention_out_bias": .bool(configuration.outputBias),
        "mlp_bias": .bool(configuration.mlpBias),
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in try reader.rotary(seedOSS) })

  /// An MLP of two layers with the square of a ReLU between them. AFM.
  static let arcee: Family = Family(
    name: "arcee", classes: ("ArceeForCausalLM", "ArceeForSequenceClassification"), ggufArchitecture: "arcee",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        arcee,
        RotaryDefaults(
          epsilon: 1e-5, activation: "relu2", contextLength: 4096, bosToken: 128_000, eosToken: 128_001))
      configuration.gatedMLP = false
      try reader.readBiases(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias), "mlp_bias": .bool($0.mlpBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(arcee)
      (configuration.gatedMLP, configuration.activation) = (false, .reluSquared)
      return configuration
    })

  /// LayerNorm, biases everywhere, an MLP of two layers.
  static let starcoder2: Family = Family(
    name: "starcoder2", classes: ("Starcoder2ForCausalLM", "Starcoder2ForSequenceClassification"),
    ggufArchitecture: "starcoder2",
    modules: llamaModules([.up: "model.layers.#.mlp.c_fc", .down: "model.layers.#.mlp.c_proj"]),
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        starcoder2,
        RotaryDefaults(
          norm: .layer, epsilonKey: "norm_epsilon", epsilon: 1e-5, activation: "gelu_pytorch_tanh", keyValueHeads: 2,
          contextLength: 4096, tiedHead: true, bosToken: 50_256, eosToken: 50_256))
      configuration.gatedMLP = false
      let biased = try reader.bool("use_bias", default: true)
      (configuration.queryKeyValueBias, configuration.outputBias, configuration.mlpBias) = (biased, biased, biased)
      configuration.slidingWindow = try reader.window(absent: nil)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.layerNormJSON("norm_epsilon").with([
        "use_bias": .bool(configuration.outputBias),
        "sliding_window": configuration.slidingWindow.map(JSON.int) ?? .null,
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(starcoder2, norm: .layer)
      (configuration.gatedMLP, configuration.activation) = (false, .geluTanh)
      configuration.slidingWindow = try reader.window()
      return configuration
    })

  /// LayerNorm that computes with 1 + w, an MLP as AFM's, a part of each head turned.
  static let nemotron: Family = Family(
    name: "nemotron", classes: ("NemotronForCausalLM", "NemotronForSequenceClassification"),
    ggufArchitecture: "nemotron", modules: llamaModules, normsAddOne: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        nemotron,
        RotaryDefaults(
          norm: .layer, epsilonKey: "norm_eps", epsilon: 1e-5, activation: "relu2", contextLength: 4096, turned: 0.5,
          bosToken: 2, eosToken: 3))
      configuration.gatedMLP = false
      try reader.readBiases(into: &configuration)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.layerNormJSON("norm_eps").with([
        "attention_bias": .bool(configuration.outputBias), "mlp_bias": .bool(configuration.mlpBias),
        "partial_rotary_factor": configuration.turnedShare,
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(nemotron, norm: .layer)
      (configuration.gatedMLP, configuration.activation) = (false, .reluSquared)
      return configuration
    })

  /// Nothing but the name; transformers reads it as Llama.
  static let internLM2: Family = Family(
    name: "internlm2", classes: ("InternLM2ForCausalLM", "InternLM2ForSequenceClassification"),
    ggufArchitecture: "internlm2", modules: llamaModules, permutesQueryKeyInGGUF: true,
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(internLM2, RotaryDefaults(bosToken: 1, eosToken: 2))
      try reader.readBiases(into: &configuration)
      return configuration
    },
    writeHuggingFace: { $0.rotaryJSON.with(["attention_bias": .bool($0.outputBias)]) },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in try reader.rotary(internLM2) },
    sameAs: ({ llama }, { _ in [:] }))

  /// Biases of q, k and v and of the rest by settings of their own. In GGUF it says it is "llama".
  static let internLM3: Family = Family(
    name: "internlm3", classes: ("InternLM3ForCausalLM", "InternLM3ForSequenceClassification"),
    ggufArchitecture: "llama", modules: llamaModules, permutesQueryKeyInGGUF: true,
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(internLM3, RotaryDefaults(contextLength: 32_768, bosToken: 1, eosToken: 2))
      configuration.queryKeyValueBias = try reader.bool("qkv_bias", default: false)
      configuration.outputBias = try reader.bool("bias", default: false)
      configuration.mlpBias = configuration.outputBias
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "qkv_bias": .bool(configuration.queryKeyValueBias), "bias": .bool(configuration.outputBias),
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: llama.readGGUF)
}

extension HuggingFaceReader {
  fileprivate func glm(_ family: Family) throws -> DecoderConfiguration {
    var configuration = try rotary(
      family,
      RotaryDefaults(
        epsilon: 1.5625e-7, keyValueHeads: 2, headSize: 128, contextLength: 131_072, turned: 0.5, interleaved: true))
    configuration.fusedGateUp = true
    configuration.queryKeyValueBias = try bool("attention_bias", default: true)
    if json["eos_token_id"] == nil {
      configuration.eosTokens = [151_329, 151_336, 151_338].filter { $0 < configuration.vocabularySize }
    }
    return configuration
  }
}

extension DecoderConfiguration {
  fileprivate var glmJSON: JSONObject {
    rotaryJSON.with(["attention_bias": .bool(queryKeyValueBias), "partial_rotary_factor": turnedShare])
  }

  fileprivate mutating func grow(beta: Double, originalContext: Int, file: String) throws {
    guard Limits.contextLength.contains(originalContext) else {
      throw DPOError.format(
        file, "original_max_position_embeddings: expected a positive integer, found \(originalContext)")
    }
    guard beta > 0 else { return }
    guard rope?.size == headSize else {
      throw DPOError(.unsupported, "\(file): llama_4_scaling_beta with a partial_rotary_factor is not supported")
    }
    queryGrowth = QueryGrowth(beta: beta, originalContext: originalContext)
  }
}
