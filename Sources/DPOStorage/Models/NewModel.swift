import DPOBase
import DPOModel
import DPOTensor
import DPOText

extension ModelFile {
  /// A model with fresh weights, drawn as transformers does; they depend on shape and seed alone. Train it as it is, or
  /// write it with `save`.
  ///
  /// - Throws: `.invalidArgument` for sizes that do not go together or a vocabulary smaller than the tokenizer's, `.memory`
  ///   if the weights do not fit.
  public static func make(_ shape: ModelShape, tokenizer: Tokenizer?, seed: UInt64 = 42) throws -> ModelFile {
    guard let vocabularySize = shape.vocabularySize ?? tokenizer?.vocabularySize else {
      throw DPOError.argument("new model: expected the size of the vocabulary, or a tokenizer")
    }
    if let tokenizer, vocabularySize < tokenizer.vocabularySize {
      throw DPOError.argument(
        "new model: a vocabulary of \(vocabularySize) is smaller than the tokenizer's \(tokenizer.vocabularySize)")
    }
    let configuration = try shape.configuration(
      vocabularySize: vocabularySize, bosToken: (tokenizer?.bosToken?.id).map(Int.init),
      eosToken: (tokenizer?.eosToken?.id).map(Int.init))
    let family = configuration.family
    let parameters = family.parameters(configuration)
    let bytes = parameters.reduce(0) { $0 + 4 * $1.shape.reduce(1, *) }
    let available = Machine.availableMemory
    guard bytes <= available else {
      throw DPOError(.memory, "new model: its weights need \(bytes >> 20) MiB, and \(available >> 20) MiB are free")
    }
    var tensors: [String: StoredTensor] = [:]
    for (index, parameter) in parameters.enumerated() {
      let memory = try OwnedBytes(count: 4 * parameter.shape.reduce(1, *))
      fill(
        memory.bytes.assumingMemoryBound(to: Float.self), family.freshValues(parameter, configuration), (seed, index))
      tensors[parameter.name] = try StoredTensor(
        name: parameter.name, dtype: .f32, shape: parameter.shape, bytes: UnsafeRawBufferPointer(memory.bytes),
        owner: memory, file: "new model")
    }
    return ModelFile(
      path: "new model", format: .huggingFace, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: family.huggingFaceJSON(configuration),
      provenance: ["format": "fresh", "seed": .string("\(seed)")],
      embeddedTokenizer: TokenizerDocuments(
        json: tokenizer?.tokenizerJSON, configuration: tokenizer?.configurationJSON))
  }

  private static func fill(
    _ values: UnsafeMutableBufferPointer<Float>, _ kind: FreshValues, _ stream: (seed: UInt64, index: Int)
  ) {
    switch kind {
    case .zeros: values.update(repeating: 0)
    case .ones: values.update(repeating: 1)
    case .normal(let deviation):
      var random = CounterRandom(stream: [stream.seed, 0x494E_4954, UInt64(stream.index)])
      for index in values.indices { values[index] = Float(deviation * random.normal()) }
    }
  }

  /// Writes the model in F32: a path that ends in .h5 as libdpo's file, any other as a Hugging Face directory.
  public func save(to path: String, overwrite: Bool = false) throws {
    let weights = try WeightSource(self)
    if path.hasSuffix(".h5") {
      try exportHDF5(weights, to: path, overwrite: overwrite)
    } else {
      try exportHuggingFace(weights, to: path, dtype: .f32, overwrite: overwrite)
    }
  }
}

extension Tokenizer {
  /// The tokenizer of a directory with tokenizer.json, or of a model, whose weights are not looked at: models of other families
  /// have tokenizers as well.
  public static func open(_ path: String) throws -> Tokenizer {
    let directory = HuggingFaceDirectory(path)
    guard fileKind(path) == .directory else {
      if case .gguf(let mapped) = try FileContent(path) { return try fromGGUF(GGUFFile(mapped).metadata) }
      if let tokenizer = try ModelFile.open(path).tokenizer { return tokenizer }
      throw DPOError.format(path, "a model without a tokenizer")
    }
    let documents = try directory.tokenizerDocuments()
    guard let json = documents.json else {
      let others = ["tokenizer.model", "vocab.json"].filter { fileKind("\(path)/\($0)") == .file }
      let advice = others.first.map {
        "; transformers makes one of \($0): AutoTokenizer.from_pretrained(\"\(path)\").save_pretrained(\"\(path)\")"
      }
      throw DPOError.format(path, "no tokenizer: the directory holds no tokenizer.json\(advice ?? "")")
    }
    return try Tokenizer(
      tokenizerJSON: json, configuration: documents.configuration, file: directory.file("tokenizer.json"),
      templateFile: documents.templateFile)
  }

  /// Writes tokenizer.json and tokenizer_config.json, as transformers loads them.
  public func save(to directory: String, overwrite: Bool = false) throws {
    try writeDirectory(
      directory, overwrite: overwrite,
      owned: ["special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "additional_chat_templates"],
      last: "tokenizer.json", check: { _ = try Tokenizer.open($0) }
    ) { directory in
      let plain = TokenizerDocuments(json: tokenizerJSON).plainJSON ?? .null
      try writeFile("\(directory)/tokenizer.json", plain.pretty)
      try writeFile("\(directory)/tokenizer_config.json", configurationJSON.pretty)
    }
  }
}
