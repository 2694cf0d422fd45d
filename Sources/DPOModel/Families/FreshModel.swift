import DPOBase

extension ModelShape {
  /// The configuration, checked as one that comes from a file is.
  public func configuration(vocabularySize: Int, bosToken: Int?, eosToken: Int?) throws -> DecoderConfiguration {
    let place = "new model"
    let family = try Family.named(family, file: place)
    for (name, size, range) in [
      ("hidden size", hiddenSize, Limits.hiddenSize), ("number of layers", layerCount, Limits.layerCount),
      ("number of heads", heads, Limits.headCount), ("vocabulary", vocabularySize, Limits.vocabularySize),
      ("context", contextLength, Limits.contextLength),
    ] where !range.contains(size) {
      throw DPOError.argument("\(place): \(name) is \(size), expected \(range.lowerBound) to \(range.upperBound)")
    }
    guard hiddenSize % heads == 0 else {
      throw DPOError.argument("\(place): the hidden size \(hiddenSize) is not divisible by \(heads) heads")
    }
    guard family.name != .gpt2 || keyValueHeadCount ?? heads == heads else {
      throw DPOError.argument("\(place): gpt2 has a key head for every head, \(heads), not \(keyValueHeadCount ?? 0)")
    }
    var json: JSONObject = [
      "model_type": .string(family.name.rawValue), "vocab_size": .int(vocabularySize),
      "initializer_range": .real(initializerRange), "tie_word_embeddings": .bool(tiedHead),
      "bos_token_id": bosToken.map(JSON.int) ?? .null, "eos_token_id": eosToken.map(JSON.int) ?? .null,
    ]
    let own: JSONObject =
      family.name == .gpt2
      ? [
        "n_embd": .int(hiddenSize), "n_layer": .int(layerCount), "n_head": .int(heads),
        "n_inner": .int(intermediateSize ?? 4 * hiddenSize), "n_positions": .int(contextLength),
      ]
      : [
        "hidden_size": .int(hiddenSize), "num_hidden_layers": .int(layerCount), "num_attention_heads": .int(heads),
        "num_key_value_heads": .int(keyValueHeadCount ?? heads), "head_dim": .int(hiddenSize / heads),
        "intermediate_size": .int(intermediateSize ?? (hiddenSize * 8 / 3 + 31) / 32 * 32),
        "max_position_embeddings": .int(contextLength), "sliding_window": .null,
      ]
    for (key, value) in own.members { json[key] = value }
    return try Family.configuration(huggingFace: .object(json), file: place)
  }

  private var heads: Int { headCount ?? max(1, hiddenSize / 64) }
}

/// How a parameter of a new model starts.
package enum FreshValues: Equatable {
  case zeros
  case ones
  /// N(0, deviation²)
  case normal(deviation: Double)
}

extension Family {
  /// transformers' rule: biases 0, norms 1, everything else N(0, initializer_range²); GPT-2 divides the deviation of the
  /// layers that write to the residual stream by √(2 · layers).
  package func freshValues(_ parameter: ParameterDescription, _ configuration: DecoderConfiguration) -> FreshValues {
    if parameter.isBias { return .zeros }
    if parameter.shape.count == 1 { return .ones }
    let writesResidual = parameter.part == .attentionOutput || parameter.part == .down
    let scale = scalesResidualLayers && writesResidual ? 1 / (2 * Double(configuration.layerCount)).squareRoot() : 1
    return .normal(deviation: configuration.initializerRange * scale)
  }
}
