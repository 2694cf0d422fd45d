import DPOBase
import DPOModel
import DPOTensor

/// Brings a file's tensors and a model's parameters together: each parameter found once, in its shape, with finite numbers
/// only, and nothing left over.
struct TensorAssembly {
  /// The file or directory, for errors about what it lacks.
  let file: String
  /// Where the shapes are written down, for errors: "config.json" or "its metadata".
  let source: String
  let parameters: [ParameterDescription]

  /// Tensors by Hugging Face's names in our layout. `fileName` is a parameter's name in the file; `ignored` names tensors
  /// that carry no weights.
  func callAsFunction(
    _ tensors: [FileTensor], format: ModelFile.Format, ignored: (String) -> Bool
  ) throws -> [String: StoredTensor] {
    var found: [String: FileTensor] = [:]
    for tensor in tensors where found.updateValue(tensor, forKey: tensor.name) != nil {
      throw DPOError.format(tensor.file, "tensor \(DPOError.printable(tensor.name)) stands twice in the model")
    }
    var out = [String: StoredTensor](minimumCapacity: parameters.count)
    for parameter in parameters {
      let name = format == .gguf ? parameter.ggufName : parameter.name
      guard let tensor = found.removeValue(forKey: name) else {
        throw DPOError.format(file, "tensor \(name) is missing, which \(source) asks for")
      }
      let expected = format == .huggingFace ? parameter.fileShape : parameter.shape
      guard tensor.shape == expected else {
        throw DPOError.format(
          tensor.file, "tensor \(name): shape \(tensor.shape), but \(source) asks for \(expected)")
      }
      let stored =
        format == .huggingFace && parameter.transposedInFile
        ? try tensor.transposed(as: parameter.name)
        : try tensor.ordered(format == .gguf ? parameter.rowOrderInGGUF : .natural).stored(as: parameter.name)
      try TensorAssembly.requireFinite(stored, name: name, file: tensor.file)
      out[parameter.name] = stored
    }
    if let extra = found.keys.sorted().first(where: { !ignored($0) }) {
      throw DPOError.format(
        found[extra]?.file ?? file,
        "tensor \(DPOError.printable(extra)) has no place in the model that \(source) describes")
    }
    return out
  }

  static func requireFinite(_ tensor: StoredTensor, name: String, file: String) throws {
    guard let index = tensor.firstNonFinite else { return }
    let place =
      tensor.shape.count > 1 ? "row \(index / tensor.columns), column \(index % tensor.columns)" : "element \(index)"
    throw DPOError(
      .nonFinite, "\(file): tensor \(DPOError.printable(name)) holds NaN or infinity at \(place) of the file")
  }
}
