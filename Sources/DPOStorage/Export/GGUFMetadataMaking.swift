import DPOBase
import DPOModel
import DPOTensor

extension DType {
  /// `general.file_type` of llama.cpp for files that are mostly of this type.
  var ggufFileType: Int? {
    switch self {
    case .f32: 0
    case .f16: 1
    case .q8_0: 7
    case .bf16: 32
    default: nil
    }
  }
}

/// Metadata of a GGUF file for a model: those of the file it came from, or made from its configuration and `tokenizer`
/// (pairs under "tokenizer.").
func ggufMetadata(
  _ model: ModelFile, tokenizer: [(key: String, value: GGUFValue)], dtype: DType
) throws -> [(key: String, value: GGUFValue)] {
  guard let fileType = dtype.ggufFileType else {
    throw DPOError.unsupported("a GGUF file of \(dtype.rawValue) cannot be written (known: F32, F16, BF16, Q8_0)")
  }
  var out: [(key: String, value: GGUFValue)] = []
  if let original = model.metadata {
    // These tell how that file was written.
    let replaced = ["general.alignment", "general.file_type", "general.quantization_version"]
    for key in original.keys where !replaced.contains(key) && !key.hasPrefix("split.") {
      if let value = original[key] { out.append((key, value)) }
    }
  } else {
    let none: [(key: String, value: GGUFValue)] = [("tokenizer.ggml.model", .string("none"))]
    out = try modelMetadata(model) + (tokenizer.isEmpty ? none : tokenizer) + ends(model, tokenizer)
  }
  out.append(("general.file_type", .int(fileType)))
  if dtype == .q8_0 { out.append(("general.quantization_version", .int(2))) }
  return out
}

/// Keys of the tokens that end an answer beside the tokenizer's EOS and those that llama.cpp finds by their texts, and of
/// those that are never drawn.
private func ends(
  _ model: ModelFile, _ tokenizer: [(key: String, value: GGUFValue)]
) throws -> [(key: String, value: GGUFValue)] {
  guard !tokenizer.isEmpty else { return [] }
  var keys = ["eos_token_id", "eot_token_id", "eom_token_id"]
  var rest = model.configuration.eosTokens
  func value(_ key: String) -> GGUFValue? { tokenizer.first { $0.key == "tokenizer.ggml.\(key)" }?.value }
  if case .int(let first)? = value("eos_token_id") {
    keys.removeFirst()
    rest.removeAll { $0 == first }
  }
  if case .strings(let tokens)? = value("tokens") {
    let known = GGUFEnds.find(tokens, keys: [:])
    rest.removeAll(where: known.contains)
  }
  let suppressed = model.configuration.suppressedTokens
  return zip(keys, rest).map { ("tokenizer.ggml.\($0)", .int($1)) }
    + (suppressed.isEmpty ? [] : [("tokenizer.ggml.suppress_tokens", .ints(suppressed))])
}

private func modelMetadata(_ model: ModelFile) throws -> [(key: String, value: GGUFValue)] {
  let configuration = model.configuration
  let architecture = configuration.family.ggufArchitecture
  var out: [(key: String, value: GGUFValue)] = [
    ("general.architecture", .string(architecture)), ("general.type", .string("model")),
    ("general.name", .string(nameOf(model.path))),
  ]
  func set(_ name: String, _ value: GGUFValue) {
    let key = "\(architecture).\(name)"
    out.removeAll { $0.key == key }
    out.append((key, value))
  }
  set("context_length", .int(configuration.contextLength))
  set("embedding_length", .int(configuration.hiddenSize))
  set("block_count", .int(configuration.layerCount))
  set("feed_forward_length", .int(configuration.intermediateSize))
  set("vocab_size", .int(configuration.vocabularySize))
  set("attention.head_count", .int(configuration.headCount))
  set("attention.head_count_kv", .int(configuration.keyValueHeadCount))
  let epsilon = configuration.norm == .rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"
  set(epsilon, .double(Double(configuration.normEpsilon)))
  if configuration.headSize * configuration.headCount != configuration.hiddenSize {
    set("attention.key_length", .int(configuration.headSize))
    set("attention.value_length", .int(configuration.headSize))
  }
  if let window = configuration.slidingWindow {
    guard configuration.family.hasWindowInGGUF else {
      throw DPOError.unsupported(
        "llama.cpp has no place for windows in \(architecture) models; choose safetensors or hdf5")
    }
    set("attention.sliding_window", .int(window))
  }
  if let experts = configuration.experts, experts.weighsActiveOnly != configuration.family.llamaWeighsActiveOnly {
    throw DPOError.unsupported(
      "llama.cpp has no place for norm_topk_prob = \(experts.weighsActiveOnly) in \(architecture) models; choose safetensors or hdf5"
    )
  }
  if case .deltaNet(let net) = configuration.recurrence, net.keySize != net.valueSize {
    throw DPOError.unsupported(
      "llama.cpp has no place for delta nets with keys of \(net.keySize) and values of \(net.valueSize) numbers; "
        + "choose safetensors")
  }
  if let rope = configuration.rope {
    set("rope.dimension_count", .int(rope.size))
    set("rope.freq_base", .double(rope.base))
    for (key, value) in try rope.scaling.ggufMetadata(architecture) { set("rope.scaling.\(key)", value) }
  }
  if let rope = configuration.windowedRope { set("rope.freq_base_swa", .double(rope.base)) }
  for (key, value) in configuration.family.writeGGUF(configuration) { set(key, value) }
  return out
}

extension RopeScaling {
  /// Under "rope.scaling."; divisors go into tensors.
  fileprivate func ggufMetadata(_ architecture: String) throws -> [(key: String, value: GGUFValue)] {
    switch self {
    case .none, .divisors, .llama3, .proportional: return []
    case .linear(let factor): return [("type", .string("linear")), ("factor", .double(factor))]
    case .longrope(let rope):
      return [
        ("type", .string("longrope")), ("original_context_length", .int(rope.originalContext)),
        ("attn_factor", .double(rope.attentionFactor)),
      ]
    case .yarn(let yarn):
      guard yarn.truncates, architecture == "mistral3" || (yarn.fast, yarn.slow) == (32, 1) else {
        throw DPOError.unsupported(
          "llama.cpp has no place for truncate, beta_fast and beta_slow of YaRN in \(architecture) models; choose safetensors"
        )
      }
      var out: [(key: String, value: GGUFValue)] = [
        ("type", .string("yarn")), ("factor", .double(yarn.factor)),
        ("original_context_length", .int(yarn.originalContext)), ("yarn_beta_fast", .double(yarn.fast)),
        ("yarn_beta_slow", .double(yarn.slow)),
      ]
      // llama.cpp multiplies what it makes of the factor by this.
      let share = yarn.attentionFactor / YaRN.attentionFactor(yarn.factor)
      if abs(share - 1) > 1e-6 { out.append(("attn_factor", .double(share))) }
      return out
    }
  }
}

/// The divisors of the rotary frequencies, where llama.cpp reads them from a tensor.
func ropeDivisors(_ configuration: DecoderConfiguration) -> [Float]? {
  guard let rope = configuration.rope else { return nil }
  switch rope.scaling {
  case .none, .linear, .yarn, .longrope: return nil
  case .divisors(let divisors): return divisors
  case .proportional(let pairs, let factor):
    return (0..<rope.size / 2).map { $0 < pairs ? Float(factor) : RopeScaling.unturned }
  case .llama3:
    var plain = rope
    plain.scaling = .none
    return zip(plain.frequencies(), rope.frequencies()).map { Float($0 / $1) }
  }
}
