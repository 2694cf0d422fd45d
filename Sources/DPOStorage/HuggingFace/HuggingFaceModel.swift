import DPOBase
import DPOModel
import DPOTensor

extension ModelFile {
  static func openHuggingFace(_ path: String) throws -> ModelFile {
    let directory = HuggingFaceDirectory(path)
    let whole = try directory.json("config.json")
    let json = Family.textPart(whole)
    let place = directory.file("config.json") + (json == whole ? "" : " (text_config)")
    var configuration = try Family.configuration(huggingFace: json, file: place)
    let generation = try directory.optionalJSON("generation_config.json")
    try configuration.read(generation: generation, file: directory.file("generation_config.json"))
    let family = configuration.family
    let found = try withHeadTied(try canonicalNames(directory.tensors(), family: family), configuration)
    let assembly = TensorAssembly(
      file: path, source: "config.json", vocabulary: "vocab_size of config.json",
      parameters: family.parameters(configuration))
    let (tensors, passedOver) = try assembly(found, format: .huggingFace) { companion($0, configuration) }
    return ModelFile(
      path: path, format: .huggingFace, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: json, generationConfiguration: generation,
      provenance: ["format": .string(Format.huggingFace.rawValue), "path": .string(path)], passedOver: passedOver)
  }

  /// A model whose configuration names no end of text has its tokenizer's.
  func endingSomewhere() -> ModelFile {
    // What is wrong with a tokenizer is said when it is needed.
    guard configuration.eosTokens.isEmpty, let id = (try? tokenizer)?.eosToken?.id,
      Int(id) < configuration.vocabularySize
    else { return self }
    var configuration = configuration
    configuration.eosTokens = [Int(id)]
    return ModelFile(
      path: path, format: format, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: huggingFaceConfiguration, generationConfiguration: generationConfiguration,
      metadata: metadata, provenance: provenance, embeddedTokenizer: embeddedTokenizer, source: source,
      tokenizerCache: tokenizerCache, passedOver: passedOver)
  }

  /// Files of bare models lack the prefix that the model with a head has ("wte.weight" for "transformer.wte.weight"); those of
  /// models with more than text have one more.
  private static func canonicalNames(_ tensors: [FileTensor], family: Family) -> [FileTensor] {
    let tensors = tensors.map { tensor in
      for (nested, plain) in [("model.language_model.", "model."), ("language_model.", "")]
      where tensor.name.hasPrefix(nested) {
        return tensor.renamed(plain + tensor.name.dropFirst(nested.count))
      }
      return tensor
    }
    let prefix = family.bodyPrefix
    guard !tensors.contains(where: { $0.name.hasPrefix(prefix) }) else { return tensors }
    let heads = [ModelPart.head, .scoreHead].compactMap(family.path)
    return tensors.map { tensor in
      heads.contains { tensor.name.hasPrefix("\($0).") } ? tensor : tensor.renamed(prefix + tensor.name)
    }
  }

  /// Some writers store a tied head once more.
  private static func withHeadTied(_ tensors: [FileTensor], _ configuration: DecoderConfiguration) throws
    -> [FileTensor]
  {
    func tensor(_ part: ModelPart) -> FileTensor? {
      guard let path = configuration.family.path(part) else { return nil }
      return tensors.first { $0.name == "\(path).weight" }
    }
    // Without the embedding there is something else to say.
    guard configuration.tiedHead, let head = tensor(.head), let body = tensor(.tokenEmbedding) else { return tensors }
    guard body.holdsSame(as: head) else {
      throw DPOError.format(
        head.file, "\(head.name) differs from the embedding, though tie_word_embeddings in config.json is true")
    }
    return tensors.filter { $0.name != head.name }
  }

  /// What a tensor that is no part of the text model belongs to; "": a table that old versions of transformers saved, which
  /// follows from the configuration.
  private static func companion(_ name: String, _ configuration: DecoderConfiguration) -> String? {
    let buffers = [".inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"]
    if buffers.contains(where: name.hasSuffix) { return "" }
    let parts = name.split(separator: ".").map(String.init)
    let owners = [
      "visual": "vision", "vision_tower": "vision", "vision_model": "vision", "multi_modal_projector": "vision",
      "audio_tower": "audio", "embed_vision": "vision", "embed_audio": "audio", "mtp": "multi-token prediction",
    ]
    for part in parts.prefix(2) { if let owner = owners[part] { return owner } }
    guard parts.count > 3, parts[1] == "layers", let layer = Int(parts[2]) else { return nil }
    return configuration.companion(
      ofLayer: layer, isKey: parts.dropFirst(4).first.map { ["k_proj", "v_proj", "k_norm"].contains($0) } ?? false)
  }
}

extension DecoderConfiguration {
  /// Takes from generation_config.json the tokens at which generation stops, where it names some, and those that are never
  /// drawn. Ids of no token are none of the latter, as in transformers.
  mutating func read(generation: JSON?, file: String) throws {
    func failure(_ key: String, _ found: JSON) -> DPOError {
      DPOError.format(
        file,
        "\(key): expected token ids below vocab_size (\(vocabularySize)), found \(DPOError.printable(found.description, limit: 60))"
      )
    }
    if let value = generation?["eos_token_id"], !value.isNull {
      eosTokens = try (value.array ?? [value]).map { item in
        guard let id = item.int, (0..<vocabularySize).contains(id) else { throw failure("eos_token_id", item) }
        return id
      }
    }
    if let value = generation?["suppress_tokens"], !value.isNull {
      guard let items = value.array else { throw failure("suppress_tokens", value) }
      suppressedTokens = try items.compactMap { item in
        guard let id = item.int else { throw failure("suppress_tokens", item) }
        return (0..<vocabularySize).contains(id) ? id : nil
      }
    }
  }
}

extension ModelFile {
  /// Settings of generation_config.json that change what transformers draws and that nothing here applies.
  var unappliedGenerationSettings: [String] {
    /// Of a setting that is there and does something: another value than these.
    let neutral: [(key: String, values: [JSON])] = [
      ("begin_suppress_tokens", [.array([])]), ("bad_words_ids", [.array([])]), ("sequence_bias", [.array([])]),
      ("forced_bos_token_id", []), ("forced_eos_token_id", []), ("repetition_penalty", [.real(1), .int(1)]),
      ("no_repeat_ngram_size", [.int(0)]), ("min_length", [.int(0)]), ("min_new_tokens", [.int(0)]),
    ]
    return neutral.compactMap { key, values in
      guard let value = generationConfiguration?[key], !value.isNull, !values.contains(value) else { return nil }
      return key
    }
  }
}
