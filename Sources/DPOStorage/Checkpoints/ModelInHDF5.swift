import DPOBase
import DPOModel

extension ModelFile {
  /// The model in a libdpo HDF5 file that holds a whole one.
  static func openHDF5(_ path: String) throws -> ModelFile {
    let reader = try CheckpointReader(path)
    let header = reader.header
    guard reader.hasModel else {
      throw DPOError.format(
        path, "holds an adapter, not a whole model; give its base model and this file as the adapter")
    }
    var configuration = try Family.configuration(
      huggingFace: header.configuration, file: "\(path): attribute configuration")
    try configuration.read(
      generation: header.generationConfiguration, file: "\(path): attribute generation_config")
    let found = try reader.fileTensors(CheckpointFormat.model)
    // A policy's value function is nothing that a config.json tells of.
    if configuration.heads == .language, found.contains(where: { $0.name == "\(AdapterFile.valueHead).weight" }) {
      configuration.heads = .languageAndValue
    }
    let assembly = TensorAssembly(
      file: path, source: "its attribute configuration", vocabulary: "vocab_size of its attribute configuration",
      parameters: configuration.family.parameters(configuration))
    let (tensors, _) = try assembly(found, format: .hdf5) { _ in nil }
    return ModelFile(
      path: path, format: .hdf5, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: header.configuration, generationConfiguration: header.generationConfiguration,
      provenance: header.provenance,
      embeddedTokenizer: TokenizerDocuments(json: header.tokenizerJSON, configuration: header.tokenizerConfiguration))
  }
}

extension CheckpointReader {
  /// A group's tensors as the file has them.
  func fileTensors(_ group: String) throws -> [FileTensor] {
    try tensors(group).values.map { tensor in
      FileTensor(
        name: tensor.name, dtypeName: tensor.dtype.rawValue, dtype: tensor.dtype, shape: tensor.shape,
        bytes: tensor.bytes, owner: tensor.owner, file: path)
    }
  }
}
