import DPOBase

// Llama with constant factors.

extension Family {
  static let granite: Family = Family(
    name: "granite", classes: ("GraniteForCausalLM", "GraniteForSequenceClassification"), ggufArchitecture: "granite",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.granite(granite)
      configuration.mlpBias = try reader.bool("mlp_bias", default: false)
      return configuration
    },
    writeHuggingFace: { $0.graniteJSON },
    writeShape: { shape in shape.rotaryJSON.with(["attention_multiplier": .real(shape.attentionScale)]) },
    readGGUF: { try $0.granite(granite) },
    writeGGUF: \.graniteMetadata)

  /// The same with other constants; transformers reads it as Granite.
  static let miniCPM: Family = Family(
    name: "minicpm", classes: ("MiniCPMForCausalLM", "MiniCPMForSequenceClassification"), ggufArchitecture: "minicpm",
    modules: llamaModules, permutesQueryKeyInGGUF: true, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(miniCPM, RotaryDefaults(bosToken: 1, eosToken: 2))
      try reader.readBiases(into: &configuration)
      configuration.embeddingScale = try reader.positive("scale_emb", in: reader.json, default: 1)
      configuration.residualScale =
        try reader.positive("scale_depth", in: reader.json, default: 1) / Double(configuration.layerCount).squareRoot()
      let base = try reader.optionalInteger("dim_model_base", Limits.hiddenSize) ?? 1
      configuration.logitScale = Double(base) / Double(configuration.hiddenSize)
      return configuration
    },
    writeHuggingFace: { configuration in
      let depth = configuration.residualScale * Double(configuration.layerCount).squareRoot()
      let base = configuration.logitScale * Double(configuration.hiddenSize)
      return configuration.rotaryJSON.with([
        "attention_bias": .bool(configuration.outputBias), "scale_emb": .real(configuration.embeddingScale),
        "scale_depth": .real(depth), "dim_model_base": .int(Int(base.rounded())),
      ])
    },
    writeShape: \.rotaryJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(miniCPM)
      configuration.embeddingScale = try reader.optionalPositive("embedding_scale") ?? 12
      configuration.residualScale =
        try reader.optionalPositive("residual_scale") ?? 1.4 / Double(configuration.layerCount).squareRoot()
      configuration.logitScale =
        try 1 / (reader.optionalPositive("logit_scale") ?? Double(configuration.hiddenSize) / 256)
      return configuration
    },
    writeGGUF: { configuration in
      [
        ("embedding_scale", .double(configuration.embeddingScale)),
        ("residual_scale", .double(configuration.residualScale)),
        ("logit_scale", .double(1 / configuration.logitScale)),
      ]
    },
    sameAs: ({ granite }, { $0.graniteJSON }))
}

extension HuggingFaceReader {
  func granite(_ family: Family) throws -> DecoderConfiguration {
    var configuration = try rotary(family, RotaryDefaults(bosToken: 1, eosToken: 2))
    try readAttentionBias(into: &configuration)
    func factor(_ key: String) throws -> Double { try positive(key, in: json, default: 1) }
    configuration.embeddingScale = try factor("embedding_multiplier")
    configuration.residualScale = try factor("residual_multiplier")
    configuration.attentionScale = try factor("attention_multiplier")
    configuration.logitScale = 1 / (try factor("logits_scaling"))
    return configuration
  }
}

extension GGUFReader {
  func granite(_ family: Family) throws -> DecoderConfiguration {
    var configuration = try rotary(family)
    configuration.embeddingScale = try optionalPositive("embedding_scale") ?? 1
    configuration.residualScale = try optionalPositive("residual_scale") ?? 1
    configuration.attentionScale = try optionalPositive("attention.scale")
    configuration.logitScale = 1 / (try positive("logit_scale", default: nil))
    return configuration
  }
}

extension DecoderConfiguration {
  var graniteMetadata: [(key: String, value: GGUFValue)] {
    [
      ("embedding_scale", .double(embeddingScale)), ("residual_scale", .double(residualScale)),
      ("attention.scale", .double(attentionScale ?? 0)), ("logit_scale", .double(1 / logitScale)),
    ]
  }

  var graniteJSON: JSONObject {
    rotaryJSON.with([
      "attention_bias": .bool(outputBias), "mlp_bias": .bool(mlpBias), "embedding_multiplier": .real(embeddingScale),
      "residual_multiplier": .real(residualScale), "logits_scaling": .real(1 / logitScale),
      "attention_multiplier": .real(attentionScale ?? 1 / Double(headSize).squareRoot()),
    ])
  }
}

extension ModelShape {
  var attentionScale: Double { 1 / Double(hiddenSize / heads).squareRoot() }
}
