import DPOBase
import DPOModel
import DPOTensor

extension ModelFile {
  static func openGGUF(_ mapped: MappedFile) throws -> ModelFile {
    let file = try GGUFFile(mapped)
    let path = mapped.path
    try refuseOtherContent(file.metadata)
    var configuration = try Family.configuration(gguf: file.metadata)
    var found = file.tensors
    try configuration.adapt(to: &found)
    let family = configuration.family
    let assembly = TensorAssembly(
      file: path, source: "its metadata (\(family.ggufArchitecture).block_count and others)",
      parameters: family.parameters(configuration))
    let tensors = try assembly(found, format: .gguf, ignored: { _ in false })
    let name = if case .string(let text) = file.metadata["general.name"] { JSON.string(text) } else { JSON.null }
    return ModelFile(
      path: path, format: .gguf, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: family.huggingFaceJSON(configuration), metadata: file.metadata,
      provenance: ["format": .string(Format.gguf.rawValue), "path": .string(path), "name": name])
  }

  /// Adapters and multi-file models are GGUF files as well.
  private static func refuseOtherContent(_ metadata: GGUFMetadata) throws {
    if case .string(let type) = metadata["general.type"], type != "model" {
      throw DPOError.format(metadata.file, "general.type is \"\(DPOError.printable(type))\", expected \"model\"")
    }
    if case .int(let count) = metadata["split.count"], count > 1 {
      throw DPOError(.unsupported, "\(metadata.file): one of \(count) parts of a split model; merge them first")
    }
  }
}

extension DecoderConfiguration {
  /// What a GGUF file tells by the tensors it has rather than by its metadata; those tensors are taken out.
  fileprivate mutating func adapt(to tensors: inout [FileTensor]) throws {
    let named = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    let head = named["output.weight"]
    tiedHead = head.map { named["token_embd.weight"]?.holdsSame(as: $0) == true } ?? true
    if tiedHead { tensors.removeAll { $0.name == "output.weight" } }
    if !fusedQKV {
      queryKeyValueBias = queryKeyValueBias || named["blk.0.attn_q.bias"] != nil
      outputBias = outputBias || named["blk.0.attn_output.bias"] != nil
    }
    if let divisors = named["rope_freqs.weight"] {
      ropeScaling = try ropeScaling(divisors)
      tensors.removeAll { $0.name == "rope_freqs.weight" }
    }
  }

  /// Divisors of the rotary frequencies. Those of the `llama3` scaling are recognised, so that the model can be written as
  /// a Hugging Face directory.
  private func ropeScaling(_ tensor: FileTensor) throws -> RopeScaling {
    guard let ropeBase, tensor.shape == [headSize / 2], tensor.dtype == .f32, ropeScaling == .none else {
      throw DPOError.format(
        tensor.file,
        "tensor rope_freqs.weight: expected \(headSize / 2) F32 numbers for rotary positions without other scaling")
    }
    let stored = try tensor.stored(as: tensor.name)
    var divisors = [Float](repeating: 0, count: headSize / 2)
    divisors.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { stored.dequantize(rows: 0..<1, into: base) }
    }
    guard divisors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw DPOError.format(tensor.file, "tensor rope_freqs.weight: expected positive numbers")
    }
    let plain = RopeScaling.none.frequencies(base: ropeBase, headSize: headSize)
    for power in 4...20 {
      let scaling = RopeScaling.llama3(
        factor: Double(divisors.max() ?? 1), lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 1 << power)
      let scaled = scaling.frequencies(base: ropeBase, headSize: headSize)
      let agrees = zip(divisors, zip(plain, scaled)).allSatisfy { divisor, frequencies in
        abs(Double(divisor) * frequencies.1 / frequencies.0 - 1) < 1e-5
      }
      if agrees { return scaling }
    }
    return .divisors(divisors)
  }
}
