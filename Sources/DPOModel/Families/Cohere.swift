import DPOBase

// LayerNorm without biases, both branches beside each other behind one norm, scaled logits.

extension Family {
  private static let cohereModules = llamaModules.filter { $0.part != .mlpNorm }

  /// Command R 7B and Aya 23.
  static let cohere: Family = Family(
    name: "cohere", classes: ("CohereForCausalLM", "CohereForSequenceClassification"), ggufArchitecture: "command-r",
    modules: cohereModules, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      try reader.refuse("use_qk_norm", unless: false)
      return try reader.cohere(cohere, base: 500_000)
    },
    writeHuggingFace: { configuration in configuration.cohereJSON },
    writeShape: { $0.rotaryJSON.with(["logit_scale": 1]) },
    readGGUF: { reader in
      var configuration = try reader.rotary(cohere, norm: .layer, interleaved: true).cohere
      configuration.logitScale = try reader.optionalPositive("logit_scale") ?? 1
      return configuration
    },
    writeGGUF: { [("logit_scale", .double($0.logitScale))] })

  /// A window in three of four blocks, and no positions in the others. Command R7B.
  static let cohere2: Family = Family(
    name: "cohere2", classes: ("Cohere2ForCausalLM", "Cohere2ForSequenceClassification"), ggufArchitecture: "cohere2",
    modules: cohereModules, llamaHasWindow: { _ in true }, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.cohere(cohere2, base: 10_000)
      try reader.readPatternWindow(into: &configuration, pattern: 4, absent: 4096)
      configuration.layersWithoutRope = configuration.layersWithoutWindow
      return configuration
    },
    writeHuggingFace: { $0.cohereJSON.with($0.windowJSON) },
    writeShape: { $0.rotaryJSON.with(["logit_scale": 1]) },
    readGGUF: { reader in
      var configuration = try reader.rotary(cohere2, norm: .layer, interleaved: true).cohere
      configuration.logitScale = try reader.positive("logit_scale", default: nil)
      try reader.readPatternWindow(into: &configuration, pattern: 4)
      configuration.layersWithoutRope = configuration.layersWithoutWindow
      return configuration
    },
    writeGGUF: { [("logit_scale", .double($0.logitScale))] })
}

extension HuggingFaceReader {
  fileprivate func cohere(_ family: Family, base: Double) throws -> DecoderConfiguration {
    var configuration = try rotary(
      family,
      RotaryDefaults(
        norm: .layer, epsilonKey: "layer_norm_eps", epsilon: 1e-5, contextLength: 8192, base: base, interleaved: true,
        tiedHead: true, bosToken: 5, eosToken: 255_001)
    ).cohere
    try readAttentionBias(into: &configuration)
    configuration.logitScale = try positive("logit_scale", in: json, default: 0.0625)
    return configuration
  }
}

extension DecoderConfiguration {
  fileprivate var cohere: DecoderConfiguration {
    var configuration = self
    (configuration.normBias, configuration.parallelBranches, configuration.sharesNorm) = (false, true, true)
    return configuration
  }

  fileprivate var cohereJSON: JSONObject {
    layerNormJSON("layer_norm_eps").with([
      "attention_bias": .bool(outputBias), "logit_scale": .real(logitScale), "use_qk_norm": false,
    ])
  }
}
