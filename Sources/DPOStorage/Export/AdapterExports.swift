import DPOBase
import DPOModel
import DPOTensor

extension AdapterFile {
  /// All tensors: the matrices of these places, and a scalar head.
  fileprivate func outputs(
    _ model: DecoderConfiguration, _ places: [LoRAConfiguration.Place], dtype: DType = .f32, orders: MatrixOrders = [:],
    naming: (String) -> String = { $0 }
  ) throws -> [OutputTensor] {
    let matrices = try places.matrices.map { place, which, name in
      try output(name, name: naming(name), dtype: dtype, orders: orders.ofMatrix(which, place.module.path))
    }
    return try matrices
      + (LoRAAdapter.scalarHead(model).map { [try output($0.name, name: $0.name, dtype: dtype)] } ?? [])
  }

  /// A matrix under another name, multiplied by `factor`, its rows and columns in the file's order.
  fileprivate func output(
    _ source: String, name: String, dtype: DType, factor: Float = 1,
    orders: (rows: RowOrder, columns: RowOrder) = (.natural, .natural)
  ) throws -> OutputTensor {
    guard let tensor = tensors[source] else {
      throw DPOError(.internal, "\(path): tensor \(source) is missing")
    }
    return OutputTensor(name: name, dtype: dtype, shape: tensor.shape) { out in
      tensor.dequantize(rows: 0..<tensor.rows, into: out)
      if factor != 1 { for index in 0..<tensor.count { out[index] *= factor } }
      try reorder(out, shape: tensor.shape, rows: orders.rows, columns: orders.columns)
    }
  }
}

extension [LoRAConfiguration.Place] {
  /// Names of the low-rank matrices, in the model's order.
  fileprivate var matrices: [(place: LoRAConfiguration.Place, which: String, name: String)] {
    flatMap { place in ["A", "B"].map { (place, $0, LoRAAdapter.name(place.module, $0)) } }
  }
}

/// Orders of rows and columns of the modules that have others in some kind of files, by the modules' paths.
typealias MatrixOrders = [String: (rows: RowOrder, columns: RowOrder)]

extension DecoderConfiguration {
  var ordersInHuggingFace: MatrixOrders { orders { ($0.rowOrderInFile, $0.columnOrderInFile) } }
  var ordersInGGUF: MatrixOrders { orders { ($0.rowOrderInGGUF, $0.columnOrderInGGUF) } }

  private func orders(_ of: (ParameterDescription) -> (rows: RowOrder, columns: RowOrder)) -> MatrixOrders {
    var out: MatrixOrders = [:]
    for parameter in family.parameters(self) where !parameter.isBias {
      let orders = of(parameter)
      if orders != (.natural, .natural) { out[parameter.module] = orders }
    }
    return out
  }
}

extension MatrixOrders {
  /// Of a module's A, which shares its columns, or B, which shares its rows.
  func ofMatrix(_ which: String, _ module: String) -> (rows: RowOrder, columns: RowOrder) {
    guard let orders = self[module] else { return (.natural, .natural) }
    return which == "A" ? (.natural, orders.columns) : (orders.rows, .natural)
  }
}

/// adapter_config.json and adapter_model.safetensors, as PEFT loads them.
func exportPEFT(
  _ adapter: AdapterFile, model: DecoderConfiguration, basePath: String?, to directory: String, dtype: DType,
  overwrite: Bool
) throws {
  let places = try adapter.configuration.resolve(model)
  let all = model.fusedLayers.filter { $0.name == nil || !model.family.namesExpertsInPEFT }
  let fusedPaths = Set(all.flatMap(\.paths))
  let placeOf = Dictionary(places.map { ($0.module.path, $0) }) { first, _ in first }
  let fused = try all.compactMap { try FusedAdapter($0, placeOf, adapter) }
  let single = places.filter { !fusedPaths.contains($0.module.path) }
  let configuration = try adapter.configuration.peftJSON(model: model, basePath: basePath)
    .adapting(fused, single, adapter.configuration)
  var tensors = try adapter.outputs(
    model, single, dtype: dtype, orders: model.ordersInHuggingFace, naming: model.peftName)
  for (fused, wrapped) in zip(fused, fused.map(\.fused).wrapped) {
    tensors += fused.outputs(dtype: dtype, wraps: wrapped.wraps)
  }
  try writeDirectory(
    directory, overwrite: overwrite, owned: ["adapter_model.bin"], last: "adapter_config.json",
    check: { _ = try AdapterFile.open($0, for: model) }
  ) { directory in
    try writeSafetensors("\(directory)/adapter_model.safetensors", tensors)
    try writeFile("\(directory)/adapter_config.json", configuration.pretty)
  }
}

/// An adapter as libdpo's own HDF5 file.
func exportHDF5(
  _ adapter: AdapterFile, header: CheckpointHeader, model: DecoderConfiguration, to path: String, overwrite: Bool
) throws {
  try checkOutputFile(path, overwrite: overwrite)
  let writer = try HDF5Writer(path)
  try header.write(to: writer)
  for tensor in try adapter.outputs(model, adapter.configuration.resolve(model)) {
    try writer.dataset(
      "\(CheckpointFormat.adapter)/\(tensor.name)", shape: tensor.shape, element: .float32,
      source: .produced { buffer in
        if let base = buffer.assumingMemoryBound(to: Float.self).baseAddress { try tensor.fill(base) }
      })
  }
  try writer.commit(check: { _ = try AdapterFile.open($0, for: model) })
}

/// An adapter that llama.cpp applies to a GGUF file of the base model.
///
/// Matrices of all experts of a block come in one tensor, [experts, rank, in] and [experts, out, rank].
///
/// llama.cpp computes W x + (alpha/rank)·B(A x) with one alpha for all; where s differs from that (rsLoRA, patterns), B takes
/// the rest. Rows of q's and k's B are in the order of the model file's q and k.
///
/// Returns what the user should know of it.
func exportGGUFLoRA(
  _ adapter: AdapterFile, model: DecoderConfiguration, to path: String, dtype: DType, overwrite: Bool
) throws -> [String] {
  guard model.heads == .language else {
    throw DPOError.unsupported("\(adapter.path): llama.cpp has no adapters of reward models; choose peft or hdf5")
  }
  try checkOutputFile(path, overwrite: overwrite)
  let family = model.family
  // llama.cpp takes an alpha of 0 for "scale 1".
  let alpha = adapter.configuration.alpha > 0 ? Float(adapter.configuration.alpha) : 1
  var parameters: [String: ParameterDescription] = [:]
  for parameter in family.parameters(model) where !parameter.isBias { parameters[parameter.module] = parameter }
  var tensors: [OutputTensor] = []
  var experts: [String: [OutputTensor]] = [:]
  let orders = model.ordersInGGUF
  let places = try adapter.configuration.resolve(model)
  for (place, which, name) in places.matrices {
    guard let parameter = parameters[place.module.path] else { continue }
    let suffix = which == "A" ? ".lora_a" : ".lora_b"
    let ratio = place.scale / (alpha / Float(place.rank))
    let factor = which == "A" || abs(ratio - 1) < 1e-6 ? 1 : ratio
    let output = try adapter.output(
      name, name: parameter.ggufName + suffix, dtype: dtype, factor: factor,
      orders: orders.ofMatrix(which, place.module.path))
    if place.module.expert == nil { tensors.append(output) } else { experts[output.name, default: []].append(output) }
  }
  for (name, matrices) in experts.sorted(by: { $0.key < $1.key }) {
    guard let first = matrices.first, matrices.count == model.experts?.count,
      matrices.allSatisfy({ $0.shape == first.shape })
    else {
      throw DPOError.unsupported(
        "\(adapter.path): \(name): llama.cpp has adapters of all experts of a block, with one rank; choose hdf5, or merge the adapter"
      )
    }
    tensors.append(
      OutputTensor(name: name, dtype: dtype, shape: [matrices.count] + first.shape) { out in
        for (index, matrix) in matrices.enumerated() { try matrix.fill(out + index * matrix.count) }
      })
  }
  try writeGGUF(
    path,
    metadata: [
      ("general.architecture", .string(family.ggufArchitecture)), ("general.type", .string("adapter")),
      ("general.name", .string(nameOf(adapter.path))), ("adapter.type", .string("lora")),
      ("adapter.lora.alpha", .double(Double(alpha))), ("general.file_type", .int(dtype.ggufFileType ?? 0)),
    ],
    tensors: tensors, check: { _ = try AdapterFile.open($0, for: model) })
  guard places.contains(where: { $0.module.part == .perLayerProjection }) else {
    return []
  }
  return ["llama.cpp applies no adapter to \(ModelPart.perLayerProjection.rawValue): its log-probs are others"]
}
