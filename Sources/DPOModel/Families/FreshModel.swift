import DPOBase

extension ModelShape {
  /// The configuration, checked as one that comes from a file is.
  package func configuration(vocabularySize: Int, bosToken: Int?, eosToken: Int?) throws -> DecoderConfiguration {
    let place = ModelShape.place
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
    let json: JSONObject = [
      "model_type": .string(family.name), "vocab_size": .int(vocabularySize),
      "initializer_range": .real(initializerRange), "tie_word_embeddings": .bool(tiedHead),
      "bos_token_id": bosToken.map(JSON.int) ?? .null, "eos_token_id": eosToken.map(JSON.int) ?? .null,
    ]
    return try Family.configuration(huggingFace: .object(json.with(family.writeShape(self))), file: place)
  }

  /// In errors.
  static let place = "new model"

  var heads: Int { headCount ?? max(1, hiddenSize / 64) }
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
