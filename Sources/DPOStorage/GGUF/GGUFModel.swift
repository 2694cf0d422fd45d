import DPOBase
import DPOModel
import DPOTensor

extension ModelFile {
  static func openGGUF(_ mapped: MappedFile) throws -> ModelFile {
    let file = try GGUFFile(parts: mapped)
    let path = mapped.path
    try refuseOtherContent(file.metadata)
    var configuration = try Family.configuration(gguf: file.metadata)
    var found = file.tensors
    try configuration.adapt(to: &found, metadata: file.metadata)
    let family = configuration.family
    let hasTokens = file.metadata["tokenizer.ggml.tokens"] != nil
    let assembly = TensorAssembly(
      file: path, source: "its metadata (\(family.ggufArchitecture).block_count and others)",
      vocabulary: hasTokens ? "the number of tokenizer.ggml.tokens" : "\(family.ggufArchitecture).vocab_size",
      parameters: family.parameters(configuration))
    let (tensors, passedOver) = try assembly(found, format: .gguf) { ggufCompanion($0, configuration) }
    let name = if case .string(let text) = file.metadata["general.name"] { JSON.string(text) } else { JSON.null }
    return ModelFile(
      path: path, format: .gguf, configuration: configuration, tensors: tensors,
      huggingFaceConfiguration: family.huggingFaceJSON(configuration), metadata: file.metadata,
      provenance: ["format": .string(Format.gguf.rawValue), "path": .string(path), "name": name],
      passedOver: passedOver)
  }

  /// Adapters are GGUF files as well.
  private static func refuseOtherContent(_ metadata: GGUFMetadata) throws {
    if case .string(let type) = metadata["general.type"], type != "model" {
      throw DPOError.format(metadata.file, "general.type is \"\(DPOError.printable(type))\", expected \"model\"")
    }
  }
}

/// What a tensor that is no part of the text model belongs to.
private func ggufCompanion(_ name: String, _ configuration: DecoderConfiguration) -> String? {
  if name.hasPrefix("v.") || name.hasPrefix("mm.") { return "vision" }
  if name.hasPrefix("a.") { return "audio" }
  let parts = name.split(separator: ".")
  guard parts.count > 2, parts[0] == "blk", let layer = Int(parts[1]) else { return nil }
  return configuration.companion(ofLayer: layer, isKey: ["attn_k", "attn_v", "attn_k_norm"].contains(parts[2]))
}

extension DecoderConfiguration {
  /// What a GGUF file tells by the tensors it has rather than by its metadata; those tensors are taken out.
  fileprivate mutating func adapt(to tensors: inout [FileTensor], metadata: GGUFMetadata) throws {
    let named = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    let attentive = layersWithAttention.first ?? 0
    func has(_ name: String) -> Bool { named[name] != nil }
    let head = named["output.weight"]
    tiedHead = head.map { named["token_embd.weight"]?.holdsSame(as: $0) == true } ?? true
    if tiedHead { tensors.removeAll { $0.name == "output.weight" } }
    queryKeyValueBias = has("blk.\(attentive).attn_q.bias") || has("blk.\(attentive).attn_qkv.bias")
    outputBias = has("blk.\(attentive).attn_output.bias")
    mlpBias = has("blk.0.ffn_down.bias") || has("blk.0.ffn_down_exps.bias")
    headBias = has("output.bias")
    if norm == .layer { normBias = has("output_norm.bias") || has("blk.0.attn_norm.bias") }
    family.readGGUFTensors(&self, has)
    try readRopeDivisors(named, metadata)
    try Family.refuseAttentionFactor(gguf: metadata, of: rope?.scaling ?? .none)
    tensors.removeAll { ropeTensors.contains($0.name) }
  }

  private var ropeTensors: [String] { ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"] }

  private mutating func readRopeDivisors(_ named: [String: FileTensor], _ metadata: GGUFMetadata) throws {
    let found = try ropeTensors.map { name in try named[name].map { try divisors($0) } }
    if let divisors = found[0] {
      let scaling = try scaling(divisors)
      rope?.scaling = scaling
    } else if let short = found[1], let long = found[2] {
      rope?.scaling = .longrope(
        try Family.longRoPE(gguf: metadata, short: short, long: long, contextLength: contextLength))
    } else if found[1] != nil || found[2] != nil {
      let missing = found[1] == nil ? ropeTensors[1] : ropeTensors[2]
      throw DPOError.format(metadata.file, "tensor \(missing) is missing, which goes with the other rope_factors")
    } else if family.needsRopeDivisorsInGGUF, !(0..<layerCount).allSatisfy(isWindowed) {
      throw DPOError.format(
        metadata.file, "tensor \(ropeTensors[0]) is missing, which says what blocks without a window turn")
    }
  }

  private func divisors(_ tensor: FileTensor) throws -> [Float] {
    let count = (rope?.size ?? 0) / 2
    guard rope?.scaling == RopeScaling.none, tensor.shape == [count], tensor.dtype == .f32 else {
      throw DPOError.format(
        tensor.file,
        "tensor \(tensor.name): expected \(count) F32 numbers for rotary positions without other scaling")
    }
    let stored = try tensor.stored(as: tensor.name)
    var divisors = [Float](repeating: 0, count: count)
    divisors.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { stored.dequantize(rows: 0..<1, into: base) }
    }
    guard divisors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw DPOError.format(tensor.file, "tensor \(tensor.name): expected positive numbers")
    }
    return divisors
  }

  /// Those of the scalings `proportional` and `llama3` are recognised, so that the model can be written as a Hugging Face
  /// directory.
  private func scaling(_ divisors: [Float]) throws -> RopeScaling {
    guard let rope else { return .divisors(divisors) }
    if let factor = divisors.first, factor < RopeScaling.unturned {
      let turned = divisors.prefix { $0 == factor }.count
      if divisors.dropFirst(turned).allSatisfy({ $0 >= RopeScaling.unturned }) {
        return .proportional(pairs: turned, factor: Double(factor))
      }
    }
    let plain = rope.frequencies()
    for power in 4...20 {
      var scaled = rope
      scaled.scaling = .llama3(
        factor: Double(divisors.max() ?? 1), lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 1 << power)
      let agrees = zip(divisors, zip(plain, scaled.frequencies())).allSatisfy { divisor, frequencies in
        abs(Double(divisor) * frequencies.1 / frequencies.0 - 1) < 1e-5
      }
      if agrees { return scaled.scaling }
    }
    return .divisors(divisors)
  }
}
