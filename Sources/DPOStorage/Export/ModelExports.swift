import DPOBase
import DPOModel
import DPOTensor

/// config.json, model.safetensors and the tokenizer's files, as transformers loads them.
func exportHuggingFace(_ weights: WeightSource, to directory: String, dtype: DType, overwrite: Bool) throws {
  let names: [DType: String] = [.f32: "float32", .f16: "float16", .bf16: "bfloat16"]
  guard let dtypeName = names[dtype] else {
    throw DPOError.unsupported("safetensors of \(dtype.rawValue) cannot be written (known: f32, f16, bf16)")
  }
  let model = weights.model
  if case .divisors = model.configuration.rope?.scaling {
    throw DPOError.unsupported(
      "\(model.path): transformers has no name for its scaling of rotary positions; export it as gguf or hdf5")
  }
  let family = model.configuration.family
  var configuration =
    (family.transformersJSON(model.configuration) ?? model.huggingFaceConfiguration).object ?? JSONObject()
  for key in [Family.nestedKey, Family.tiledKey] { configuration[key] = nil }
  // transformers 5 calls it dtype, and reads both.
  configuration[configuration["dtype"] == nil ? "torch_dtype" : "dtype"] = .string(dtypeName)
  let generation = model.generationConfiguration ?? generationDefaults(model.configuration)
  let tokenizer = try model.tokenizerDocuments()
  // Of another model these would change what a reader finds.
  let owned = [
    "model*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "additional_chat_templates",
    "generation_config.json", "adapter_config.json", "adapter_model.safetensors",
  ]
  try writeDirectory(
    directory, overwrite: overwrite, owned: owned, last: "config.json", check: ModelFile.checkReadable
  ) { directory in
    try writeSafetensors("\(directory)/model.safetensors", weights.huggingFace(dtype: dtype))
    if let json = tokenizer.plainJSON { try writeFile("\(directory)/tokenizer.json", json.pretty) }
    if let settings = tokenizer.configuration { try writeFile("\(directory)/tokenizer_config.json", settings.pretty) }
    try writeFile("\(directory)/generation_config.json", generation.pretty)
    try writeFile("\(directory)/config.json", JSON.object(configuration).pretty)
  }
}

extension ModelFile {
  /// Opens a model that was written, with its tokenizer.
  fileprivate static func checkReadable(_ path: String) throws { _ = try open(path).tokenizer }
}

private func generationDefaults(_ configuration: DecoderConfiguration) -> JSON {
  let ends = configuration.eosTokens
  var defaults: JSONObject = [
    "bos_token_id": configuration.bosToken.map(JSON.int) ?? .null,
    "eos_token_id": ends.count == 1 ? .int(ends[0]) : ends.isEmpty ? .null : .array(ends.map(JSON.int)),
  ]
  if !configuration.suppressedTokens.isEmpty {
    defaults["suppress_tokens"] = .array(configuration.suppressedTokens.map(JSON.int))
  }
  return .object(defaults)
}

/// A whole model as libdpo's own HDF5 file.
func exportHDF5(_ weights: WeightSource, to path: String, overwrite: Bool) throws {
  try checkOutputFile(path, overwrite: overwrite)
  let model = weights.model
  let tokenizer = try model.tokenizerDocuments()
  let writer = try HDF5Writer(path)
  try CheckpointHeader(
    kind: .model, configuration: model.huggingFaceConfiguration,
    generationConfiguration: model.generationConfiguration, tokenizerJSON: tokenizer.json,
    tokenizerConfiguration: tokenizer.configuration, provenance: weights.provenance
  ).write(to: writer)
  for parameter in weights.parameters {
    let tensor = weights.hdf5(parameter)
    try writer.dataset(
      "\(CheckpointFormat.model)/\(tensor.name)", shape: tensor.shape, element: .float32,
      source: .produced { buffer in
        if let base = buffer.assumingMemoryBound(to: Float.self).baseAddress { try tensor.fill(base) }
      })
  }
  try writer.commit(check: ModelFile.checkReadable)
}

/// A model for llama.cpp. Returns what the user should know of it.
func exportGGUF(_ weights: WeightSource, to path: String, dtype: DType, overwrite: Bool) throws -> [String] {
  let model = weights.model
  guard model.configuration.heads == .language else {
    throw DPOError.unsupported("\(model.path): a reward model cannot be written as gguf; choose safetensors or hdf5")
  }
  try checkOutputFile(path, overwrite: overwrite)
  let metadata = try ggufMetadata(
    model, tokenizer: model.metadata == nil ? tokenizerMetadata(model) : [], dtype: dtype)
  var tensors = weights.gguf { ggufType($0, dtype) }
  func append(_ name: String, _ divisors: [Float]) {
    tensors.append(
      OutputTensor(name: name, dtype: .f32, shape: [divisors.count]) { out in
        for (index, divisor) in divisors.enumerated() { out[index] = divisor }
      })
  }
  if let divisors = ropeDivisors(model.configuration) { append("rope_freqs.weight", divisors) }
  if case .longrope(let rope) = model.configuration.rope?.scaling {
    append("rope_factors_long.weight", rope.long)
    append("rope_factors_short.weight", rope.short)
  }
  try writeGGUF(path, metadata: metadata, tensors: tensors, check: ModelFile.checkReadable)
  return try ggufRemarks(model)
}

/// What a GGUF file does not say of a model that was none, in sentences.
private func ggufRemarks(_ model: ModelFile) throws -> [String] {
  var remarks = model.configuration.ggufRemarks
  guard model.metadata == nil, let tokenizer = try model.tokenizer else { return remarks }
  let rows = model.configuration.vocabularySize
  if tokenizer.vocabularySize > rows {
    remarks.append(
      "tokens from id \(rows) on (\(tokenizer.vocabularySize - rows)) have no row in the embedding and were left out")
  }
  return remarks + tokenizer.ggufLosses
}

/// llama.cpp keeps vectors, positions and single rows in F32, and rows that do not fill blocks in F16.
private func ggufType(_ parameter: ParameterDescription, _ dtype: DType) -> DType {
  guard parameter.shape.count > 1, parameter.shape[0] > 1, parameter.part != .positionEmbedding,
    !parameter.part.isConvolution
  else {
    return .f32
  }
  return parameter.shape[1] % dtype.blockElements == 0 ? dtype : .f16
}

extension DecoderConfiguration {
  /// What llama.cpp computes otherwise from a GGUF file, in sentences.
  fileprivate var ggufRemarks: [String] {
    var remarks: [String] = []
    if let slidingWindow, !family.llamaHasWindow(self) {
      remarks.append(
        "llama.cpp computes \(family.ggufArchitecture) without a window: beyond \(slidingWindow) tokens its log-probs are others"
      )
    }
    if !family.llamaHasQueryScale(self) {
      remarks.append(
        "llama.cpp has no key for query_pre_attn_scalar, and takes the head size: its log-probs are others")
    }
    return remarks
  }
}
