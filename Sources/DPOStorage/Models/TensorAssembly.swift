import DPOBase
import DPOModel
import DPOPlatform
import DPOTensor

/// Tensors of a file that the text model does without.
struct PassedOver: Sendable {
  /// What they are for.
  let owner: String
  var count: Int
  var bytes: Int
}

/// Brings a file's tensors and a model's parameters together: each parameter found once, in its shape, with finite numbers
/// only, and nothing left over.
struct TensorAssembly {
  /// The file or directory, for errors about what it lacks.
  let file: String
  /// Where the shapes are written down, for errors: "config.json" or "its metadata".
  let source: String
  /// Where the number of tokens is written down, for errors.
  let vocabulary: String
  let parameters: [ParameterDescription]

  /// Tensors by Hugging Face's names in our layout, and those that are none of the text model's. `companion` says what a tensor
  /// without a place belongs to, "" if it carries no weights; nil: it is an error.
  func callAsFunction(
    _ tensors: [FileTensor], format: ModelFile.Format, companion: (String) -> String?
  ) throws -> (tensors: [String: StoredTensor], passedOver: [PassedOver]) {
    var found: [String: FileTensor] = [:]
    for tensor in tensors where found.updateValue(tensor, forKey: tensor.name) != nil {
      throw DPOError.format(tensor.file, "tensor \(DPOError.printable(tensor.name)) stands twice in the model")
    }
    var out = [String: StoredTensor](minimumCapacity: parameters.count)
    var shared: Set<String> = []
    for parameter in parameters {
      let own = format == .gguf ? parameter.ggufName : parameter.name
      let share = parameter.share(format) ?? (found[own] == nil ? parameter.otherShare(format) : nil)
      let name = share?.tensor ?? own
      guard let tensor = found[name] else {
        throw DPOError.format(file, "tensor \(name) is missing, which \(source) asks for")
      }
      if share == nil { found[name] = nil } else { shared.insert(name) }
      let shape =
        switch format {
        case .gguf: parameter.shape
        case .huggingFace: parameter.fileShape
        case .hdf5: parameter.transposedInFile ? parameter.fileShape : parameter.shape
        }
      let expected = share?.shape(holding: shape) ?? shape
      if parameter.part.isOfVocabulary, tensor.shape.dropFirst() == expected.dropFirst(), tensor.shape != expected {
        throw DPOError.format(
          tensor.file, "tensor \(name) has \(tensor.shape[0]) rows, but \(vocabulary) is \(expected[0])")
      }
      // llama.cpp does not tell a row from a vector.
      let isRow = format == .gguf && parameter.part == .sharedRowGate && tensor.shape == [shape[1]]
      guard tensor.shape == expected || isRow else {
        throw DPOError.format(
          tensor.file, "tensor \(name): shape \(tensor.shape), but \(source) asks for \(expected)")
      }
      let stored = try stored(share.map { try tensor.part($0, shape: shape) } ?? tensor, parameter, format)
      try TensorAssembly.requireFinite(stored, name: name, file: tensor.file)
      out[parameter.name] = stored
    }
    for name in shared { found[name] = nil }
    var passedOver: [PassedOver] = []
    for name in found.keys.sorted() {
      guard let tensor = found[name], let owner = companion(name) else {
        throw DPOError.format(
          found[name]?.file ?? file,
          "tensor \(DPOError.printable(name)) has no place in the model that \(source) describes")
      }
      guard !owner.isEmpty else { continue }
      if let index = passedOver.firstIndex(where: { $0.owner == owner }) {
        passedOver[index].count += 1
        passedOver[index].bytes += tensor.bytes.count
      } else {
        passedOver.append(PassedOver(owner: owner, count: 1, bytes: tensor.bytes.count))
      }
    }
    return (out, passedOver)
  }

  private func stored(
    _ tensor: FileTensor, _ parameter: ParameterDescription, _ format: ModelFile.Format
  ) throws -> StoredTensor {
    switch format {
    case .gguf:
      let stored = try tensor.reshaped(parameter.shape).ordered(parameter.rowOrderInGGUF).stored(as: parameter.name)
      guard parameter.part == .deltaDecay else { return stored }
      return try stored.inModelsForm(file: tensor.file) { speed in
        guard speed < 0 else {
          throw DPOError.format(tensor.file, "tensor \(tensor.name): expected negative numbers, found \(speed)")
        }
        return log(-speed)
      }
    case .hdf5 where !parameter.transposedInFile: return try tensor.stored(as: parameter.name)
    case .hdf5, .huggingFace:
      if parameter.transposedInFile { return try tensor.transposed(as: parameter.name) }
      let matrix = parameter.part.isConvolution ? tensor.reshaped(parameter.shape) : tensor
      let stored = try matrix.ordered(parameter.rowOrderInFile).stored(as: parameter.name)
      let offset = parameter.offset
      return offset == 0 ? stored : try stored.inModelsForm(file: tensor.file) { $0 + offset }
    }
  }

  static func requireFinite(_ tensor: StoredTensor, name: String, file: String) throws {
    guard let index = tensor.firstNonFinite else { return }
    let place =
      tensor.shape.count > 1 ? "row \(index / tensor.columns), column \(index % tensor.columns)" : "element \(index)"
    throw DPOError(
      .nonFinite, "\(file): tensor \(DPOError.printable(name)) holds NaN or infinity at \(place) of the file")
  }
}

extension ParameterDescription {
  /// Where it stands in a tensor with others; nil: it has one of its own.
  func share(_ format: ModelFile.Format) -> TensorShare? {
    switch format {
    case .gguf: shareInGGUF
    case .huggingFace: shareInFile
    case .hdf5: nil
    }
  }

  fileprivate func otherShare(_ format: ModelFile.Format) -> TensorShare? {
    format == .huggingFace ? shareInSomeFiles : nil
  }
}

extension StoredTensor {
  /// The same numbers otherwise, as F32.
  fileprivate func inModelsForm(file: String, _ change: (Float) throws -> Float) throws -> StoredTensor {
    let floats = try floats()
    let memory = try OwnedBytes(count: 4 * count)
    for index in 0..<count {
      memory.bytes.storeBytes(of: try change(floats.pointer[index]), toByteOffset: 4 * index, as: Float.self)
    }
    return try StoredTensor(
      name: name, dtype: .f32, shape: shape, bytes: UnsafeRawBufferPointer(memory.bytes), owner: memory, file: file)
  }
}

extension DecoderConfiguration {
  /// What a tensor that has no place in a block belongs to; `isKey`: it would be a layer or norm of k or v.
  func companion(ofLayer layer: Int, isKey: Bool) -> String? {
    if (layerCount..<layerCount + predictingLayers).contains(layer) { return "multi-token prediction" }
    return isKey && (0..<layerCount).contains(layer) && keySource(layer) != nil
      ? "blocks that take the keys and values of others" : nil
  }
}
