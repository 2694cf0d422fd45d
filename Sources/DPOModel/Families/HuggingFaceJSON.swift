import DPOBase

extension Family {
  /// What precedes the names of all parameters but the head's.
  package var bodyPrefix: String { (modules.first?.path.split(separator: ".").first).map { "\($0)." } ?? "" }

  /// config.json of a configuration, in the form that every version of transformers reads.
  package func huggingFaceJSON(_ configuration: DecoderConfiguration) -> JSON {
    var json: JSONObject = [
      "architectures": [.string(architectureName(configuration.heads))],
      "model_type": .string(name),
      "vocab_size": .int(configuration.vocabularySize),
      "tie_word_embeddings": .bool(configuration.tiedHead),
      "initializer_range": .real(configuration.initializerRange),
      "bos_token_id": configuration.bosToken.map(JSON.int) ?? .null,
      "eos_token_id": configuration.eosTokens.count > 1
        ? .array(configuration.eosTokens.map(JSON.int)) : configuration.eosTokens.first.map(JSON.int) ?? .null,
    ]
    // Where it is absent, transformers takes one of the family's own, which may be beyond the vocabulary.
    json["pad_token_id"] = configuration.padToken.map(JSON.int) ?? .null
    if configuration.heads == .score {
      json["id2label"] = ["0": "LABEL_0"]
      json["label2id"] = ["LABEL_0": 0]
    }
    return .object(json.with(writeHuggingFace(configuration)))
  }

  /// The same as transformers itself reads it: of a family that it has no class for that of another one.
  package func transformersJSON(_ configuration: DecoderConfiguration) -> JSON? {
    guard let sameAs, let own = huggingFaceJSON(configuration).object else { return nil }
    let family = sameAs.family()
    return .object(
      own.with([
        "model_type": .string(family.name), "architectures": [.string(family.architectureName(configuration.heads))],
      ]).with(sameAs.keys(configuration)))
  }

  /// transformers' class of a model with these heads.
  package func architectureName(_ heads: Heads) -> String { heads == .score ? classes.score : classes.language }

  /// The shortest decimal of a float: 1e-05 rather than 9.999999747378752e-06.
  static func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
}
