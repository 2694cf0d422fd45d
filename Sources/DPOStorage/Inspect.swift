import DPOBase
import DPOModel
import DPOTensor

/// What a model, adapter or checkpoint at `path` holds, after all its checks: an object with `kind` ("model", "adapter" or
/// "checkpoint"), `format`, `architecture`, `parameters` (their number), `tensors` (`name`, `dtype`, `shape` each, in our
/// layout) and more.
package func inspectFile(_ path: String) throws -> JSON {
  if fileKind(path) == .directory, HuggingFaceDirectory(path).isAdapter { return try inspectPEFT(path) }
  switch try FileContent(path) {
  case .gguf(let mapped):
    let file = try GGUFFile(mapped)
    if file.metadata["general.type"] == .string("adapter") { return inspectAdapter(file) }
  case .hdf5:
    let reader = try CheckpointReader(path)
    if reader.header.kind != .model { return inspectCheckpoint(reader) }
  default: break
  }
  return try ModelFile.open(path).inspection
}

extension ModelFile {
  /// The model as `inspectFile` shows it.
  package var inspection: JSON {
    let family = configuration.family
    let listed = family.parameters(configuration).compactMap { parameter in
      tensors[parameter.name].map { describe(name: $0.name, dtype: $0.dtype.rawValue, shape: $0.shape) }
    }
    return [
      "kind": "model",
      "format": .string(format.rawValue),
      "architecture": .string(configuration.family.name),
      "parameters": .int(parameterCount),
      "bytes": .int(mappedBytes),
      "configuration": family.huggingFaceJSON(configuration),
      "provenance": provenance,
      "tensors": .array(listed),
    ]
  }
}

private func describe(name: String, dtype: String, shape: [Int]) -> JSON {
  ["name": .string(name), "dtype": .string(dtype), "shape": .array(shape.map(JSON.int))]
}

private func adapterDescription(
  format: AdapterFile.Format, architecture: JSON, rank: JSON, alpha: Double, basePath: String?, tensors: [FileTensor]
) -> JSON {
  let count = tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
  return [
    "kind": "adapter",
    "format": .string(format.rawValue),
    "architecture": architecture,
    "parameters": .int(count),
    "rank": rank,
    "alpha": .real(alpha),
    "base": basePath.map(JSON.string) ?? .null,
    "tensors": .array(tensors.map { describe(name: $0.name, dtype: $0.dtypeName, shape: $0.shape) }),
  ]
}

private func inspectPEFT(_ path: String) throws -> JSON {
  let adapter = try PEFTAdapter(path)
  return adapterDescription(
    format: .peft, architecture: .null, rank: .int(adapter.configuration.rank), alpha: adapter.configuration.alpha,
    basePath: adapter.basePath, tensors: adapter.tensors.sorted { $0.name < $1.name })
}

private func inspectAdapter(_ file: GGUFFile) -> JSON {
  let architecture: JSON =
    if case .string(let name) = file.metadata["general.architecture"] { .string(name) } else { .null }
  let alpha = if case .double(let value) = file.metadata["adapter.lora.alpha"] { value } else { 0.0 }
  let rank = file.tensors.first { $0.name.hasSuffix(".lora_a") }?.shape.first
  return adapterDescription(
    format: .gguf, architecture: architecture, rank: rank.map(JSON.int) ?? .null, alpha: alpha, basePath: nil,
    tensors: file.tensors)
}

/// The tensors of /model or /adapter by their names, those of the optimiser and others by their paths.
private func inspectCheckpoint(_ reader: CheckpointReader) -> JSON {
  let group = reader.hasModel ? CheckpointFormat.model : CheckpointFormat.adapter
  let weights = reader.datasets.filter { directoryOf($0.path) == group }
  let listed = reader.datasets.map { dataset in
    describe(
      name: directoryOf(dataset.path) == group ? nameOf(dataset.path) : dataset.path, dtype: "F32", shape: dataset.shape
    )
  }
  let header = reader.header
  var out: JSONObject = [
    "kind": .string(header.kind.rawValue),
    "format": "hdf5",
    "architecture": header.configuration["model_type"] ?? .null,
    "parameters": .int(weights.reduce(0) { $0 + $1.shape.reduce(1, *) }),
    "provenance": header.provenance,
  ]
  if let adapter = header.adapterConfiguration { out["adapter_config"] = adapter }
  if let base = header.baseModel { out["base"] = .string(base.path) }
  if let step = header.trainer?["step"] { out["step"] = step }
  out["tensors"] = .array(listed)
  return .object(out)
}
