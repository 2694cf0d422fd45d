import DPOBase

/// Reads the metadata of a GGUF file under "<architecture>.": every value has the right type and range, or an error
/// names its key.
struct GGUFReader {
  static let maximumContext = Limits.contextLength.upperBound

  let architecture: String
  private let metadata: GGUFMetadata
  /// Keys that were looked at.
  private let asked = Asked()
  var file: String { metadata.file }

  init(_ metadata: GGUFMetadata, architecture: String) {
    self.metadata = metadata
    self.architecture = architecture
  }

  private final class Asked {
    var keys: Set<String> = []
  }

  func value(_ key: String) -> GGUFValue? {
    asked.keys.insert(key)
    return metadata[key]
  }

  func wrong(_ key: String, _ value: GGUFValue?, expected: String) -> DPOError {
    DPOError.format(
      file, "\(key): expected \(expected), " + (value.map { "found \($0.brief)" } ?? "the key is missing"))
  }

  func optionalString(_ key: String) throws -> String? {
    let key = "\(architecture).\(key)"
    guard let value = value(key) else { return nil }
    guard case .string(let text) = value else { throw wrong(key, value, expected: "a string") }
    return text
  }

  func string(_ key: String) throws -> String {
    guard let text = try optionalString(key) else { throw wrong("\(architecture).\(key)", nil, expected: "a string") }
    return text
  }

  func optionalInteger(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    let key = "\(architecture).\(key)"
    guard let value = value(key) else { return nil }
    guard case .int(let number) = value, range.contains(number) else {
      throw wrong(key, value, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws -> Int {
    guard let number = try optionalInteger(key, range) else {
      throw wrong("\(architecture).\(key)", nil, expected: "an integer")
    }
    return number
  }

  /// A number for all blocks, or one for each.
  func integers(_ key: String, _ range: ClosedRange<Int>, blocks: Int) throws -> [Int] {
    let name = "\(architecture).\(key)"
    guard case .ints(let numbers) = value(name) else {
      return [Int](repeating: try integer(key, range), count: blocks)
    }
    guard numbers.count == blocks, numbers.allSatisfy(range.contains) else {
      throw wrong(
        name, value(name),
        expected: "an integer from \(range.lowerBound) to \(range.upperBound), or one for each of \(blocks) blocks")
    }
    return numbers
  }

  func positive(_ key: String, default absent: Double?) throws -> Double {
    let key = "\(architecture).\(key)"
    guard let value = value(key) else {
      guard let absent else { throw wrong(key, nil, expected: "a positive number") }
      return absent
    }
    guard case .double(let number) = value, number > 0, number.isFinite else {
      throw wrong(key, value, expected: "a positive number")
    }
    return number
  }

  /// A positive number; absent or 0: nil.
  func optionalPositive(_ key: String) throws -> Double? {
    let value = value("\(architecture).\(key)")
    return value == nil || value == .double(0) ? nil : try positive(key, default: nil)
  }

  func bool(_ key: String, default absent: Bool) throws -> Bool {
    let key = "\(architecture).\(key)"
    guard let value = value(key) else { return absent }
    guard case .bool(let flag) = value else { throw wrong(key, value, expected: "true or false") }
    return flag
  }

  func epsilon(_ key: String) throws -> Float {
    let number = try positive(key, default: nil)
    guard number <= 1, Float(number) > 0 else {
      throw wrong("\(architecture).\(key)", .double(number), expected: "a positive number of at most 1")
    }
    return Float(number)
  }

  func headSize(hiddenSize: Int, headCount: Int) throws -> Int {
    let lengths = (
      key: try optionalInteger("attention.key_length", Limits.headSize),
      value: try optionalInteger("attention.value_length", Limits.headSize)
    )
    let standard = headCount > 0 && hiddenSize % headCount == 0 ? hiddenSize / headCount : nil
    let explicit = lengths.key ?? (lengths.value == nil ? nil : standard)
    guard lengths.value ?? (lengths.key == nil ? nil : standard) == explicit else {
      throw DPOError(.unsupported, "\(file): \(architecture).attention.key_length and value_length must be equal")
    }
    if let explicit { return explicit }
    guard hiddenSize % headCount == 0 else {
      throw DPOError.format(
        file,
        "\(architecture).attention.head_count: embedding_length \(hiddenSize) is not divisible by \(headCount) heads")
    }
    return hiddenSize / headCount
  }

  /// The number of tokens, as in llama.cpp; a file without any tells it by the architecture's own key.
  func vocabularySize() throws -> Int {
    let key = "tokenizer.ggml.tokens"
    let tokens: Int? = if case .strings(let items) = value(key) { items.count } else { nil }
    guard let size = try tokens ?? optionalInteger("vocab_size", Limits.vocabularySize),
      Limits.vocabularySize.contains(size)
    else { throw wrong(key, value(key), expected: "an array of strings") }
    return size
  }

  func token(_ name: String, _ vocabularySize: Int) throws -> Int? {
    let key = "tokenizer.ggml.\(name)"
    guard let value = value(key) else { return nil }
    guard case .int(let id) = value else { throw wrong(key, value, expected: "a token id below \(vocabularySize)") }
    // llama.cpp takes an id that is none, such as 2³² − 1, for an absent one.
    return (0..<vocabularySize).contains(id) ? id : nil
  }

  /// Tokens that end an answer, as in llama.cpp; a chat model's file may name its base model's EOS alone.
  func eosTokens(_ vocabularySize: Int) throws -> [Int] {
    let tokens: [String] = if case .strings(let items)? = value("tokenizer.ggml.tokens") { items } else { [] }
    var keys: [String: Int] = [:]
    for key in GGUFEnds.keys { keys[key] = try token(key, vocabularySize) }
    let standard = metadata.standardTokens["eos_token"]
    if keys["eos_token_id"] == nil, let standard, tokens.count > standard { keys["eos_token_id"] = standard }
    return GGUFEnds.find(tokens.prefix(vocabularySize), keys: keys)
  }

  /// Tokens that are never drawn; ids of no token are none, as in llama.cpp.
  func suppressedTokens(_ vocabularySize: Int) throws -> [Int] {
    let key = "tokenizer.ggml.suppress_tokens"
    guard let value = value(key) else { return [] }
    guard case .ints(let ids) = value else { throw wrong(key, value, expected: "an array of token ids") }
    return ids.filter((0..<vocabularySize).contains)
  }

  // MARK: Keys that are not known

  /// llama.cpp does without them where these families are concerned.
  private static let idleKeys: Set = [
    "expert_used_count", "pooling_type", "rope.scale_linear", "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "tensor_data_layout", "vocab_size",
    "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon",
  ]

  /// These say nothing as long as they have this value.
  private static let neutralValues: [String: GGUFValue] = [
    "attention.causal": .bool(true), "rope.scaling.alpha": .double(0),
    "expert_shared_count": .int(0), "leading_dense_block_count": .int(0),
  ]

  /// - Throws: `.unsupported` for a key of the architecture that nobody looked at and that may change what the model computes.
  func refuseUnknownKeys() throws {
    let prefix = "\(architecture)."
    for key in metadata.keys where key.hasPrefix(prefix) {
      let name = String(key.dropFirst(prefix.count))
      guard !asked.keys.contains(key), !GGUFReader.idleKeys.contains(name), name != GGUFReader.attentionFactor,
        let value = metadata[key], GGUFReader.neutralValues[name] != value
      else { continue }
      throw unknown(key, value)
    }
  }

  private func unknown(_ key: String, _ value: GGUFValue) -> DPOError {
    DPOError(
      .unsupported,
      "\(file): \(DPOError.printable(key)) = \(value.brief) is not known here, and may change what the model computes")
  }

  /// - Throws: the same for a factor of cosines and sines that the model's positions do not have.
  func refuseAttentionFactor(of scaling: RopeScaling) throws {
    switch scaling {
    case .yarn, .longrope: return
    default:
      let key = "\(architecture).\(GGUFReader.attentionFactor)"
      if let value = value(key), value != .double(1) { throw unknown(key, value) }
    }
  }

  /// Whether the model has it is known only when its tensors are.
  private static let attentionFactor = "rope.scaling.attn_factor"
}

extension GGUFValue {
  /// The value itself if it is short, else what it is.
  var brief: String {
    switch self {
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let text): "\"\(DPOError.printable(text, limit: 40))\""
    case .ints(let items): "an array of \(items.count) integers"
    case .doubles(let items): "an array of \(items.count) numbers"
    case .bools(let items): "an array of \(items.count) booleans"
    case .strings(let items): "an array of \(items.count) strings"
    }
  }
}
