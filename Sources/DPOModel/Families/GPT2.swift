import DPOBase

extension Family {
  /// LayerNorm, learned positions, biases everywhere, one matrix for q, k and v, weights stored as [in, out].
  static let gpt2: Family = Family(
    name: "gpt2", classes: ("GPT2LMHeadModel", "GPT2ForSequenceClassification"), ggufArchitecture: "gpt2",
    modules: [
      (.tokenEmbedding, "transformer.wte"),
      (.positionEmbedding, "transformer.wpe"),
      (.attentionNorm, "transformer.h.#.ln_1"),
      (.fusedQueryKeyValue, "transformer.h.#.attn.c_attn"),
      (.attentionOutput, "transformer.h.#.attn.c_proj"),
      (.mlpNorm, "transformer.h.#.ln_2"),
      (.up, "transformer.h.#.mlp.c_fc"),
      (.down, "transformer.h.#.mlp.c_proj"),
      (.finalNorm, "transformer.ln_f"),
      (.head, "lm_head"),
    ],
    transposesLinear: true, scalesResidualLayers: true, tokenizerClass: ("GPT2Tokenizer", always: false),
    defaultLoRATargets: ["c_attn"],
    readHuggingFace: { reader in
      let hiddenSize = try reader.integer("n_embd", Limits.hiddenSize)
      let headCount = try reader.integer("n_head", Limits.headCount)
      let headSize = try reader.headSize(nil, hiddenSize: hiddenSize, headCount: headCount, key: "n_head")
      let vocabularySize = try reader.integer("vocab_size", Limits.vocabularySize)
      try reader.refuse("scale_attn_weights", unless: true)
      try reader.refuse("scale_attn_by_inverse_layer_idx", unless: false)
      try reader.refuse("add_cross_attention", unless: false)
      try reader.refuseQuantization()
      return gpt2Configuration(
        vocabularySize: vocabularySize, hiddenSize: hiddenSize, headCount: headCount, headSize: headSize,
        intermediateSize: try reader.optionalInteger("n_inner", Limits.intermediateSize) ?? 4 * hiddenSize,
        layerCount: try reader.integer("n_layer", Limits.layerCount),
        contextLength: try reader.integer("n_positions", Limits.contextLength),
        normEpsilon: try reader.epsilon("layer_norm_epsilon", default: 1e-5),
        activation: try reader.activation("activation_function", default: "gelu_new"),
        tiedHead: try reader.bool("tie_word_embeddings", default: true),
        initializerRange: try reader.initializerRange(),
        bosToken: try reader.token("bos_token_id", default: 50256, vocabularySize),
        eosTokens: try reader.tokens("eos_token_id", default: 50256, vocabularySize))
    },
    writeHuggingFace: { configuration in
      [
        "n_embd": .int(configuration.hiddenSize), "n_head": .int(configuration.headCount),
        "n_layer": .int(configuration.layerCount), "n_inner": .int(configuration.intermediateSize),
        "n_positions": .int(configuration.contextLength),
        "layer_norm_epsilon": .real(Family.decimal(configuration.normEpsilon)),
        "activation_function": .string(configuration.activation == .gelu ? "gelu" : "gelu_new"),
      ]
    },
    writeShape: { shape in
      guard shape.keyValueHeadCount ?? shape.heads == shape.heads else {
        throw DPOError.argument(
          "\(ModelShape.place): gpt2 has a key head for every head, \(shape.heads), not \(shape.keyValueHeadCount ?? 0)"
        )
      }
      return [
        "n_embd": .int(shape.hiddenSize), "n_layer": .int(shape.layerCount), "n_head": .int(shape.heads),
        "n_inner": .int(shape.intermediateSize ?? 4 * shape.hiddenSize), "n_positions": .int(shape.contextLength),
      ]
    },
    readGGUF: { reader in
      let hiddenSize = try reader.integer("embedding_length", Limits.hiddenSize)
      let headCount = try reader.integer("attention.head_count", Limits.headCount)
      let vocabularySize = try reader.vocabularySize()
      _ = try reader.optionalInteger("attention.head_count_kv", headCount...headCount)
      return gpt2Configuration(
        vocabularySize: vocabularySize, hiddenSize: hiddenSize, headCount: headCount,
        headSize: try reader.headSize(hiddenSize: hiddenSize, headCount: headCount),
        intermediateSize: try reader.optionalInteger("feed_forward_length", Limits.intermediateSize) ?? 4 * hiddenSize,
        layerCount: try reader.integer("block_count", Limits.layerCount),
        contextLength: try reader.integer("context_length", Limits.contextLength),
        normEpsilon: try reader.epsilon("attention.layer_norm_epsilon"), activation: .geluTanh, tiedHead: true,
        initializerRange: 0.02, bosToken: try reader.token("bos_token_id", vocabularySize),
        eosTokens: try reader.eosTokens(vocabularySize))
    })

  private static func gpt2Configuration(
    vocabularySize: Int, hiddenSize: Int, headCount: Int, headSize: Int, intermediateSize: Int, layerCount: Int,
    contextLength: Int, normEpsilon: Float, activation: Activation, tiedHead: Bool, initializerRange: Double,
    bosToken: Int?, eosTokens: [Int]
  ) -> DecoderConfiguration {
    DecoderConfiguration(
      family: gpt2, vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: intermediateSize,
      layerCount: layerCount, headCount: headCount, keyValueHeadCount: headCount, headSize: headSize,
      contextLength: contextLength, norm: .layer, normEpsilon: normEpsilon, rope: nil, activation: activation,
      gatedMLP: false, fusedQKV: true, queryKeyValueBias: true, outputBias: true, mlpBias: true, tiedHead: tiedHead,
      initializerRange: initializerRange, bosToken: bosToken, eosTokens: eosTokens)
  }
}
