import DPOBase

extension Family {
  /// What precedes the names of all parameters but the head's.
  package var bodyPrefix: String { (modules.first?.path.split(separator: ".").first).map { "\($0)." } ?? "" }

  /// config.json of a configuration, in the form that every version of transformers reads.
  public func huggingFaceJSON(_ configuration: DecoderConfiguration) -> JSON {
    var json: JSONObject = [
      "architectures": [.string(architectureName(configuration.heads))],
      "model_type": .string(name.rawValue),
      "vocab_size": .int(configuration.vocabularySize),
      "tie_word_embeddings": .bool(configuration.tiedHead),
      "initializer_range": .real(configuration.initializerRange),
      "bos_token_id": configuration.bosToken.map(JSON.int) ?? .null,
      "eos_token_id": configuration.eosTokens.count > 1
        ? .array(configuration.eosTokens.map(JSON.int)) : configuration.eosTokens.first.map(JSON.int) ?? .null,
    ]
    if configuration.heads == .score {
      json["id2label"] = ["0": "LABEL_0"]
      json["label2id"] = ["LABEL_0": 0]
      json["pad_token_id"] = configuration.padToken.map(JSON.int) ?? .null
    }
    guard let ropeBase = configuration.ropeBase else {
      json["n_embd"] = .int(configuration.hiddenSize)
      json["n_head"] = .int(configuration.headCount)
      json["n_layer"] = .int(configuration.layerCount)
      json["n_inner"] = .int(configuration.intermediateSize)
      json["n_positions"] = .int(configuration.contextLength)
      json["layer_norm_epsilon"] = .real(Family.decimal(configuration.normEpsilon))
      json["activation_function"] = .string(configuration.activation == .gelu ? "gelu" : "gelu_new")
      return .object(json)
    }
    json["hidden_size"] = .int(configuration.hiddenSize)
    json["intermediate_size"] = .int(configuration.intermediateSize)
    json["num_hidden_layers"] = .int(configuration.layerCount)
    json["num_attention_heads"] = .int(configuration.headCount)
    json["num_key_value_heads"] = .int(configuration.keyValueHeadCount)
    json["head_dim"] = .int(configuration.headSize)
    json["max_position_embeddings"] = .int(configuration.contextLength)
    json["rms_norm_eps"] = .real(Family.decimal(configuration.normEpsilon))
    json["hidden_act"] = .string(Family.name(of: configuration.activation))
    json["rope_theta"] = .real(ropeBase)
    json["rope_scaling"] = Family.ropeScalingJSON(configuration.ropeScaling)
    if name != .qwen2, name != .mistral { json["attention_bias"] = .bool(configuration.outputBias) }
    if name != .llama { json["sliding_window"] = configuration.slidingWindow.map(JSON.int) ?? .null }
    if name == .qwen2 || name == .qwen3, configuration.slidingWindow != nil {
      json["use_sliding_window"] = true
      json["max_window_layers"] = 0
    }
    return .object(json)
  }

  /// transformers' class of a model with these heads.
  package func architectureName(_ heads: Heads) -> String {
    let (stem, language) =
      switch name {
      case .llama: ("Llama", "ForCausalLM")
      case .mistral: ("Mistral", "ForCausalLM")
      case .qwen2: ("Qwen2", "ForCausalLM")
      case .qwen3: ("Qwen3", "ForCausalLM")
      case .gpt2: ("GPT2", "LMHeadModel")
      }
    return stem + (heads == .score ? "ForSequenceClassification" : language)
  }

  private static func name(of activation: Activation) -> String {
    switch activation {
    case .silu: "silu"
    case .geluTanh: "gelu_pytorch_tanh"
    case .gelu: "gelu"
    }
  }

  /// The shortest decimal of a float: 1e-05 rather than 9.999999747378752e-06.
  private static func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

  private static func ropeScalingJSON(_ scaling: RopeScaling) -> JSON {
    switch scaling {
    case .none: return .null
    case .linear(let factor): return ["rope_type": "linear", "factor": .real(factor)]
    case .llama3(let factor, let low, let high, let original):
      return [
        "rope_type": "llama3", "factor": .real(factor), "low_freq_factor": .real(low), "high_freq_factor": .real(high),
        "original_max_position_embeddings": .int(original),
      ]
    case .divisors(let divisors):
      return ["rope_type": "divisors", "factors": .array(divisors.map { .real(Double($0)) })]
    }
  }
}
