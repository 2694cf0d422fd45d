import CKernels
import DPOBase
import DPOModel
import DPOTensor

/// A model as it lies in a file or directory: configuration, weights (mapped where possible), tokenizer.
public struct ModelFile: Sendable {
  /// What a model is stored as.
  public enum Format: String, Sendable {
    /// A GGUF file.
    case gguf
    /// A directory with config.json and safetensors files.
    case huggingFace = "huggingface"
    /// libdpo's own file.
    case hdf5
  }

  /// Where it lies.
  public let path: String
  /// What it is stored as.
  public let format: Format
  /// Sizes and kinds of its layers.
  public let configuration: DecoderConfiguration
  /// By Hugging Face's names, matrices as [out, in].
  package let tensors: [String: StoredTensor]
  /// config.json, made from the metadata for a GGUF file.
  public let huggingFaceConfiguration: JSON
  /// generation_config.json, where there is one.
  public let generationConfiguration: JSON?
  /// Of a GGUF file.
  package let metadata: GGUFMetadata?
  /// Where the model came from.
  public let provenance: JSON
  /// Where the file with the weights holds them as such.
  let embeddedTokenizer: TokenizerDocuments?
  let tokenizerCache: TokenizerCache
  /// Tensors of the file that the text model does without.
  let passedOver: [PassedOver]
  /// The weights as the file has them, whatever heads were put on the model since.
  let source: [String: StoredTensor]

  package init(
    path: String, format: Format, configuration: DecoderConfiguration, tensors: [String: StoredTensor],
    huggingFaceConfiguration: JSON, generationConfiguration: JSON? = nil,
    metadata: GGUFMetadata? = nil, provenance: JSON, embeddedTokenizer: TokenizerDocuments? = nil
  ) {
    self.init(
      path: path, format: format, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: huggingFaceConfiguration, generationConfiguration: generationConfiguration,
      metadata: metadata, provenance: provenance, embeddedTokenizer: embeddedTokenizer, passedOver: [])
  }

  init(
    path: String, format: Format, configuration: DecoderConfiguration, tensors: [String: StoredTensor],
    huggingFaceConfiguration: JSON, generationConfiguration: JSON? = nil,
    metadata: GGUFMetadata? = nil, provenance: JSON, embeddedTokenizer: TokenizerDocuments? = nil,
    passedOver: [PassedOver]
  ) {
    self.init(
      path: path, format: format, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: huggingFaceConfiguration, generationConfiguration: generationConfiguration,
      metadata: metadata, provenance: provenance, embeddedTokenizer: embeddedTokenizer, source: tensors,
      tokenizerCache: TokenizerCache(), passedOver: passedOver)
  }

  init(
    path: String, format: Format, configuration: DecoderConfiguration, tensors: [String: StoredTensor],
    huggingFaceConfiguration: JSON, generationConfiguration: JSON?, metadata: GGUFMetadata?, provenance: JSON,
    embeddedTokenizer: TokenizerDocuments?, source: [String: StoredTensor],
    tokenizerCache: TokenizerCache, passedOver: [PassedOver]
  ) {
    self.path = path
    self.format = format
    self.configuration = configuration
    self.tensors = tensors
    self.huggingFaceConfiguration = huggingFaceConfiguration
    self.generationConfiguration = generationConfiguration
    self.metadata = metadata
    self.provenance = provenance
    self.embeddedTokenizer = embeddedTokenizer
    self.source = source
    self.tokenizerCache = tokenizerCache
    self.passedOver = passedOver
  }

  /// Opens a GGUF file, a Hugging Face directory or a libdpo HDF5 file; which one, its content tells. Every name and shape
  /// is checked against the configuration, and every number for NaN and infinity.
  ///
  /// Weights stay in the file, mapped; with `inMemory` they are copied, and what happens to the file later does not matter.
  /// - Throws: `.io` if it cannot be read, `.format` if it is damaged or no model, `.unsupported` for models and encodings
  ///   that libdpo does not know, `.nonFinite`.
  public static func open(_ path: String, inMemory: Bool = false) throws -> ModelFile {
    let mapped = try map(path).endingSomewhere()
    return inMemory ? try mapped.inMemory() : mapped
  }

  private static func map(_ path: String) throws -> ModelFile {
    switch try FileContent(path) {
    case .huggingFaceDirectory: return try openHuggingFace(path)
    case .gguf(let mapped): return try openGGUF(mapped)
    case .hdf5: return try openHDF5(path)
    case .adapterDirectory:
      throw DPOError.format(path, "an adapter, not a model (it holds adapter_config.json, but no config.json)")
    case .safetensors:
      throw DPOError.format(path, "a single safetensors file; give the directory that holds it and its config.json")
    }
  }

  private func inMemory() throws -> ModelFile {
    let copies = try source.mapValues { try $0.copied(file: path) }
    for case let file as MappedFile in source.values.map(\.owner) { try file.checkUnchanged() }
    return ModelFile(
      path: path, format: format, configuration: configuration, tensors: copies,
      huggingFaceConfiguration: huggingFaceConfiguration, generationConfiguration: generationConfiguration,
      metadata: metadata, provenance: provenance, embeddedTokenizer: embeddedTokenizer, passedOver: passedOver)
  }

  /// Number of weights; a tied head counts once.
  public var parameterCount: Int { tensors.values.reduce(0) { $0 + $1.count } }

  /// Bytes that the weights take as they are stored.
  public var mappedBytes: Int { tensors.values.reduce(0) { $0 + $1.bytes.count } }

  /// Whether both are views of the same weights in memory.
  package func sharesWeights(with other: ModelFile) -> Bool {
    source.count == other.source.count
      && source.allSatisfy { $1.bytes.baseAddress == other.source[$0]?.bytes.baseAddress }
  }

  /// XXH3 over names, encodings, shapes and numbers: equal for equal weights in equal encodings, whatever the file is called.
  /// Heads that were put on the model after it was read do not count.
  public func fingerprint() -> UInt64 { DPOStorage.fingerprint(source) }
}

func fingerprint(_ tensors: [String: StoredTensor]) -> UInt64 {
  var text = ""
  for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
    let hash = tensor.bytes.baseAddress.map { ck_xxh3($0, tensor.bytes.count) } ?? 0
    (tensor.owner as? MappedFile)?.forget(tensor.bytes)
    text += "\(name) \(tensor.dtype.rawValue) \(tensor.shape) \(tensor.rowOrder) \(hash)\n"
  }
  return text.withUTF8 { ck_xxh3($0.baseAddress, $0.count) }
}
