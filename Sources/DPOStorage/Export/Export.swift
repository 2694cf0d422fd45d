import DPOBase
import DPOModel
import DPOTensor

/// What models and adapters can be written as.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// libdpo's own file: a model, or an adapter.
  case hdf5
  /// A Hugging Face directory.
  case safetensors
  /// A GGUF file, as llama.cpp reads it.
  case gguf
  /// A PEFT directory.
  case peft
  /// An adapter for llama.cpp.
  case ggufLoRA = "gguf-lora"
}

extension DType {
  /// The number format of an export by its name in options/export.toml.
  package init(exportNamed name: String) throws {
    let known: [DType] = [.f32, .f16, .bf16, .q8_0]
    guard let type = known.first(where: { $0.rawValue.lowercased() == name }) else {
      throw DPOError.argument("dtype is \(DPOError.printable(name)), expected one of f32, f16, bf16, q8_0")
    }
    self = type
  }
}

extension ModelFile {
  /// Writes a model or adapter in another format. The output appears whole or not at all.
  ///
  /// - Parameters:
  ///   - input: a model, or an adapter (PEFT directory, HDF5, GGUF), whose base model is then looked up where it says.
  ///   - adapter: an adapter for the model at `input`.
  ///   - dtype: of matrices in safetensors and adapters (F32, F16, BF16) and GGUF (these and Q8_0); vectors in a GGUF file
  ///     stay F32. HDF5 is F32.
  ///   - merge: adds the adapter to the weights: W + s·B·A.
  ///   - overwrite: replace a file, or files in a directory that is not empty.
  /// - Returns: what the user should know of the output, in sentences.
  /// - Throws: `.invalidArgument` for combinations that make no sense and for outputs that exist, `.mismatch` for an adapter
  ///   of another model, `.io`, and what opening the input throws.
  @discardableResult
  public static func export(
    input: String, adapter: String? = nil, to format: ExportFormat, dtype: DType = .f32, merge: Bool = false,
    output: String, overwrite: Bool = false
  ) throws -> [String] {
    let subject = try ExportSubject(input: input, adapter: adapter)
    let wantsAdapter = format == .peft || format == .ggufLoRA
    guard subject.adapterPath != nil || !(wantsAdapter || merge) else {
      throw DPOError.argument("\(input): there is no adapter to \(merge ? "merge" : "write as \(format.rawValue)")")
    }
    guard !(merge && wantsAdapter) else {
      throw DPOError.argument(
        "a merged model cannot be written as \(format.rawValue); choose safetensors, gguf or hdf5")
    }
    guard subject.adapterPath == nil || merge || wantsAdapter || format == .hdf5 else {
      throw DPOError.argument(
        "\(format.rawValue) holds whole models: merge the adapter, or write it as peft or gguf-lora")
    }
    guard dtype == .f32 || format != .hdf5 else {
      throw DPOError.argument("hdf5 is always written as F32, not \(dtype.rawValue)")
    }
    guard dtype != .q8_0 || !wantsAdapter else {
      throw DPOError.argument("\(format.rawValue) is written as F32, F16 or BF16, not \(dtype.rawValue)")
    }

    if let adapterPath = subject.adapterPath, !merge {
      var model = try subject.configuration()
      let adapter = try AdapterFile.open(adapterPath, for: model).inference(for: format)
      model.heads = adapter.heads
      switch format {
      case .peft:
        try exportPEFT(
          adapter, model: model, basePath: subject.basePath, to: output, dtype: dtype, overwrite: overwrite)
      case .ggufLoRA:
        return try exportGGUFLoRA(adapter, model: model, to: output, dtype: dtype, overwrite: overwrite)
      default:
        let header = try subject.adapterHeader(adapter)
        try exportHDF5(adapter, header: header, model: model, to: output, overwrite: overwrite)
      }
      return []
    }
    var model = try subject.model()
    if format != .hdf5, model.configuration.heads == .languageAndValue { model = try model.with(heads: .language) }
    let weights = try WeightSource(
      model,
      adapter: subject.adapterPath.map { try AdapterFile.open($0, for: model.configuration).inference(for: format) })
    switch format {
    case .safetensors: try exportHuggingFace(weights, to: output, dtype: dtype, overwrite: overwrite)
    case .gguf: return try exportGGUF(weights, to: output, dtype: dtype, overwrite: overwrite)
    default: try exportHDF5(weights, to: output, overwrite: overwrite)
    }
    return []
  }
}

/// The parts of what `export` takes: the model, and the path of the adapter on it if there is one.
package func exportSource(input: String, adapter: String? = nil) throws -> (model: ModelFile, adapter: String?) {
  let subject = try ExportSubject(input: input, adapter: adapter)
  return (try subject.model(), subject.adapterPath)
}

/// Whether an adapter lies at a path, and not a model.
package func isAdapter(_ path: String) throws -> Bool { try ExportSubject.adapter(at: path) != nil }

extension AdapterFile {
  /// Other programs have no use for a value function: it stays in our own files only.
  fileprivate func inference(for format: ExportFormat) -> AdapterFile {
    heads == .languageAndValue && format != .hdf5 ? with(heads: .language) : self
  }
}

/// What is to be exported: a model, or an adapter and its base model.
private final class ExportSubject {
  let adapterPath: String?
  /// Where the model is: the base model if there is an adapter.
  let basePath: String?
  /// Of an adapter in libdpo's own format: knows the base model's configuration without opening it.
  private let header: CheckpointHeader?
  private var opened: ModelFile?

  init(input: String, adapter: String?) throws {
    guard let adapter else {
      let found = try ExportSubject.adapter(at: input)
      adapterPath = found == nil ? nil : input
      basePath = found == nil ? input : found?.basePath
      header = found?.header
      return
    }
    guard try ExportSubject.adapter(at: input) == nil else {
      throw DPOError.argument("\(input): is an adapter itself; another adapter goes with a model only")
    }
    adapterPath = adapter
    basePath = input
    header = try ExportSubject.adapter(at: adapter)?.header
  }

  /// nil if there is a model at the path, or nothing that can be told at a glance.
  static func adapter(at path: String) throws -> (basePath: String?, header: CheckpointHeader?)? {
    if fileKind(path) == .directory {
      guard HuggingFaceDirectory(path).isAdapter else { return nil }
      return (try PEFTAdapter(path).basePath, nil)
    }
    switch try FileContent(path) {
    case .gguf(let mapped):
      return try GGUFFile(mapped).metadata["general.type"] == .string("adapter") ? (nil, nil) : nil
    case .hdf5:
      let reader = try CheckpointReader(path)
      return reader.hasModel ? nil : (reader.header.baseModel?.path, reader.header)
    default: return nil
    }
  }

  func configuration() throws -> DecoderConfiguration {
    guard let header, opened == nil else { return try model().configuration }
    return try Family.configuration(
      huggingFace: header.configuration, file: "\(adapterPath ?? ""): attribute configuration")
  }

  func model() throws -> ModelFile {
    if let opened { return opened }
    guard let path = basePath else {
      throw DPOError.argument(
        "\(adapterPath ?? ""): does not say where its base model is; give the model as the input and this as the adapter"
      )
    }
    // A relative path may be meant from the adapter's place.
    let beside = "\(directoryOf(adapterPath ?? path))/\(path)"
    guard let found = [path, beside].first(where: { fileKind($0) != .none }) else {
      let what = adapterPath.map { "\($0): its base model \(path)" } ?? path
      throw DPOError(
        .io,
        "\(what) is not there" + (adapterPath == nil ? "" : "; give the model as the input and this as the adapter"))
    }
    let model = try ModelFile.open(found)
    if let expected = header?.baseModel?.fingerprint, expected != model.fingerprint() {
      throw DPOError.mismatch("\(adapterPath ?? ""): was trained on another model than \(found): the weights differ")
    }
    opened = model
    return model
  }

  func adapterHeader(_ adapter: AdapterFile) throws -> CheckpointHeader {
    if var header {
      header.kind = .adapter
      header.trainer = nil
      return header
    }
    let model = try model().with(heads: adapter.heads)
    let tokenizer = try model.tokenizerDocuments()
    return CheckpointHeader(
      kind: .adapter, configuration: model.huggingFaceConfiguration,
      generationConfiguration: model.generationConfiguration, tokenizerJSON: tokenizer.json,
      tokenizerConfiguration: tokenizer.configuration,
      adapterConfiguration: try adapter.configuration.peftJSON(model: model.configuration, basePath: model.path),
      baseModel: CheckpointHeader.BaseModel(path: model.path, fingerprint: model.fingerprint()),
      provenance: ["format": .string(adapter.format.rawValue), "path": .string(adapter.path)])
  }
}
