import DPOBase
import DPOModel
import DPOTensor

extension ModelFile {
  /// The model with other heads on it, as training of a reward model or of a policy with a value function starts. A score
  /// head that the file lacks gets fresh numbers, N(0, initializer_range²), as in transformers; a value head starts at zero.
  ///
  /// - Throws: `.unsupported` for a reward model where log-probs are needed: it has no language head.
  package func with(heads: Heads, seed: UInt64 = 0) throws -> ModelFile {
    guard heads != configuration.heads else { return self }
    guard configuration.heads != .score else {
      throw DPOError.unsupported("\(path): a reward model, which has no log-probs of tokens")
    }
    var configuration = configuration
    var json = huggingFaceConfiguration.object ?? JSONObject()
    configuration.heads = heads
    if heads == .score {
      // TRL's rule: the tokenizer's padding token, else EOS. transformers reads the score at the last other token.
      let tokenizer = try tokenizer
      // Some tokenizers pad with a token that the embedding has no row for, which no model can read.
      let pads = [tokenizer?.padToken, tokenizer?.eosToken].compactMap { ($0?.id).map(Int.init) }
      configuration.padToken = pads.first { $0 < configuration.vocabularySize }
      json["architectures"] = [.string(configuration.family.architectureName(.score))]
      json["id2label"] = ["0": "LABEL_0"]
      json["label2id"] = ["LABEL_0": 0]
      json["pad_token_id"] = configuration.padToken.map(JSON.int) ?? .null
    }
    var kept: [String: StoredTensor] = [:]
    for parameter in configuration.family.parameters(configuration) {
      kept[parameter.name] =
        try tensors[parameter.name]
        ?? scalarHead(
          parameter, deviation: parameter.part == .scoreHead ? configuration.initializerRange : 0, seed: seed)
    }
    return ModelFile(
      path: path, format: format, configuration: configuration, tensors: kept, huggingFaceConfiguration: .object(json),
      generationConfiguration: generationConfiguration, metadata: metadata, provenance: provenance,
      embeddedTokenizer: embeddedTokenizer, source: source, tokenizerCache: tokenizerCache,
      passedOver: passedOver)
  }

  private func scalarHead(_ parameter: ParameterDescription, deviation: Double, seed: UInt64) throws -> StoredTensor {
    let count = parameter.shape.reduce(1, *)
    let memory = try OwnedBytes(count: 4 * count)
    var random = CounterRandom(stream: [seed, 0x5343_4F52])
    for index in 0..<count {
      let value = deviation == 0 ? 0 : Float(deviation * random.normal())
      memory.bytes.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
    }
    return try StoredTensor(
      name: parameter.name, dtype: .f32, shape: parameter.shape, bytes: UnsafeRawBufferPointer(memory.bytes),
      owner: memory, file: path)
  }
}
