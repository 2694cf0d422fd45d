import DPOBase
import DPOModel
import DPOTensor

/// A LoRA adapter as it lies in a file or directory.
public struct AdapterFile: Sendable {
  /// What an adapter is stored as.
  public enum Format: String, Sendable {
    /// A PEFT directory, a GGUF adapter for llama.cpp, or libdpo's own file.
    case peft, gguf, hdf5
  }

  /// Where it lies.
  public let path: String
  /// What it is stored as.
  public let format: Format
  /// Rank, scale and the modules that it changes.
  public let configuration: LoRAConfiguration
  /// By PEFT's names: `base_model.model.<module>.lora_A.weight` [rank, in] and `….lora_B.weight` [out, rank]; of a reward
  /// model's adapter the whole of `base_model.model.score.weight` as well, of a policy with a value function that of
  /// `base_model.model.v_head.weight`.
  package let tensors: [String: StoredTensor]
  /// Where the adapter says its base model is.
  public let basePath: String?
  /// `.score`: it makes the model a reward model; `.languageAndValue`: it brings a value function.
  public let heads: Heads

  package init(
    path: String, format: Format, configuration: LoRAConfiguration, tensors: [String: StoredTensor], basePath: String?,
    heads: Heads = .language
  ) {
    self.path = path
    self.format = format
    self.configuration = configuration
    self.tensors = tensors
    self.basePath = basePath
    self.heads = heads
  }

  /// Opens a PEFT directory, a GGUF adapter or a libdpo HDF5 adapter, and checks that it fits `model`: a pair of matrices in
  /// the right shapes for every module that its configuration names, nothing else, finite numbers only.
  /// - Throws: `.io`, `.format` for a damaged adapter, `.unsupported` for variants of LoRA that change the computation,
  ///   `.mismatch` for an adapter of another model, `.nonFinite`.
  package static func open(_ path: String, for model: DecoderConfiguration) throws -> AdapterFile {
    if fileKind(path) == .directory {
      let adapter = try PEFTAdapter(path)
      let (configuration, tensors) = try adapter.byExpert(model)
      return AdapterFile(
        path: path, format: .peft, configuration: configuration,
        tensors: try check(
          inFileOrder(tensors, model), configuration,
          try model.with(heads: adapter.heads, adapter: path),
          file: adapter.weights, source: "adapter_config.json"),
        basePath: adapter.basePath, heads: adapter.heads)
    }
    switch try FileContent(path) {
    case .gguf(let mapped): return try openGGUF(mapped, for: model)
    case .hdf5: return try openHDF5(path, for: model)
    default: throw DPOError.format(path, "not an adapter: neither a PEFT directory nor a GGUF or HDF5 adapter")
    }
  }

  private static func inFileOrder(_ tensors: [FileTensor], _ model: DecoderConfiguration) throws -> [FileTensor] {
    let orders = model.ordersInHuggingFace
    guard !orders.isEmpty else { return tensors }
    return try tensors.map { tensor in
      for which in ["A", "B"] where tensor.name.hasSuffix(".lora_\(which).weight") {
        let module = tensor.name.dropFirst(prefix.count).dropLast(".lora_A.weight".count)
        let order = orders.ofMatrix(which, String(module))
        return try tensor.ordered(order.rows).withColumns(in: order.columns)
      }
      return tensor
    }
  }

  /// Opens an adapter for a model; see `open(_:for:)`.
  public static func open(_ path: String, for model: ModelFile) throws -> AdapterFile {
    try open(path, for: model.configuration)
  }

  /// The adapter with a value head beside its matrices or without one: one that it lacks starts at zero.
  package func with(heads: Heads) -> AdapterFile {
    guard heads != self.heads, heads == .language else { return self }
    return AdapterFile(
      path: path, format: format, configuration: configuration,
      tensors: tensors.filter { !$0.key.hasSuffix(".\(AdapterFile.valueHead).weight") }, basePath: basePath,
      heads: heads)
  }

  /// The module that PEFT would save whole.
  static let valueHead = "v_head"

  /// XXH3 over names, shapes and numbers.
  public func fingerprint() -> UInt64 { DPOStorage.fingerprint(tensors) }

  private static func openHDF5(_ path: String, for model: DecoderConfiguration) throws -> AdapterFile {
    let reader = try CheckpointReader(path)
    guard reader.hasAdapter, let settings = reader.header.adapterConfiguration else {
      throw DPOError.format(path, "a libdpo file without an adapter")
    }
    if let name = reader.header.configuration["model_type"]?.string {
      // Mistral's GGUF files cannot be told from Llama's.
      let family = try Family.named(name, file: path)
      guard family.ggufArchitecture == model.family.ggufArchitecture else {
        throw DPOError.mismatch("\(path): an adapter of a \(name) model; this one is \(model.family.name)")
      }
    }
    let peft = PEFTSettings(json: settings, file: "\(path): attribute adapter_config")
    let (configuration, heads) = (try peft.configuration(), try peft.heads())
    return AdapterFile(
      path: path, format: .hdf5, configuration: configuration,
      tensors: try check(
        reader.fileTensors(CheckpointFormat.adapter), configuration, model.with(heads: heads, adapter: path),
        file: path, source: "its adapter_config"),
      basePath: reader.header.baseModel?.path, heads: heads)
  }

  /// The tensors under their own names, if they are exactly those that the configuration asks for.
  package static func check(
    _ tensors: [FileTensor], _ configuration: LoRAConfiguration, _ model: DecoderConfiguration, file: String,
    source: String
  ) throws -> [String: StoredTensor] {
    let places: [LoRAConfiguration.Place]
    do {
      places = try configuration.resolve(model)
    } catch let error as DPOError {
      throw DPOError(error.code == .invalidArgument ? .mismatch : error.code, "\(file): \(source): \(error.message)")
    }
    var expected: [(name: String, shape: [Int])] = []
    for place in places {
      expected.append((LoRAAdapter.name(place.module, "A"), [place.rank, place.module.inputSize]))
      expected.append((LoRAAdapter.name(place.module, "B"), [place.module.outputSize, place.rank]))
    }
    if let head = LoRAAdapter.scalarHead(model) { expected.append((head.name, head.shape)) }
    let names = Set(expected.map(\.name))
    if let extra = tensors.map(\.name).sorted().first(where: { !names.contains($0) }) {
      throw DPOError.mismatch(
        "\(file): tensor \(DPOError.printable(extra)) does not belong to a module that \(source) names in this model")
    }
    let found = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    var out = [String: StoredTensor](minimumCapacity: expected.count)
    for (name, shape) in expected {
      guard let tensor = found[name] else {
        throw DPOError.mismatch("\(file): tensor \(name) is missing, which \(source) asks for in this model")
      }
      guard tensor.shape == shape else {
        throw DPOError.mismatch(
          "\(file): tensor \(name): shape \(tensor.shape), but \(source) and the model ask for \(shape)")
      }
      let stored = try tensor.stored(as: name)
      try TensorAssembly.requireFinite(stored, name: name, file: file)
      out[name] = stored
    }
    return out
  }
}

extension DecoderConfiguration {
  /// The configuration that an adapter belongs to: an adapter of a reward model makes one of a language model.
  fileprivate func with(heads: Heads, adapter: String) throws -> DecoderConfiguration {
    guard heads != .language || self.heads != .score else {
      throw DPOError.mismatch("\(adapter): an adapter of a language model; the model is a reward model")
    }
    var configuration = self
    configuration.heads = heads
    return configuration
  }
}
