import DPOBase

/// Reads the metadata of a GGUF file under "<architecture>.": every value has the right type and range, or an error
/// names its key.
struct GGUFReader {
  static let maximumContext = Limits.contextLength.upperBound

  let metadata: GGUFMetadata
  let architecture: String
  var file: String { metadata.file }

  init(_ metadata: GGUFMetadata, architecture: String) {
    self.metadata = metadata
    self.architecture = architecture
  }

  func wrong(_ key: String, _ value: GGUFValue?, expected: String) -> DPOError {
    DPOError.format(
      file, "\(key): expected \(expected), " + (value.map { "found \($0.brief)" } ?? "the key is missing"))
  }

  func optionalString(_ key: String) throws -> String? {
    let key = "\(architecture).\(key)"
    guard let value = metadata[key] else { return nil }
    guard case .string(let text) = value else { throw wrong(key, value, expected: "a string") }
    return text
  }

  func string(_ key: String) throws -> String {
    guard let text = try optionalString(key) else { throw wrong("\(architecture).\(key)", nil, expected: "a string") }
    return text
  }

  func optionalInteger(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    let key = "\(architecture).\(key)"
    guard let value = metadata[key] else { return nil }
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

  func positive(_ key: String, default absent: Double?) throws -> Double {
    let key = "\(architecture).\(key)"
    guard let value = metadata[key] else {
      guard let absent else { throw wrong(key, nil, expected: "a positive number") }
      return absent
    }
    guard case .double(let number) = value, number > 0, number.isFinite else {
      throw wrong(key, value, expected: "a positive number")
    }
    return number
  }

  func epsilon(_ key: String) throws -> Float {
    let number = try positive(key, default: nil)
    guard number <= 1, Float(number) > 0 else {
      throw wrong("\(architecture).\(key)", .double(number), expected: "a positive number of at most 1")
    }
    return Float(number)
  }

  func headSize(hiddenSize: Int, headCount: Int) throws -> Int {
    let explicit = try optionalInteger("attention.key_length", Limits.headSize)
    guard try optionalInteger("attention.value_length", Limits.headSize) == explicit else {
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

  /// The number of tokens, unless the architecture's own key tells another one (a padded embedding).
  func vocabularySize() throws -> Int {
    let tokens: Int? = if case .strings(let items) = metadata["tokenizer.ggml.tokens"] { items.count } else { nil }
    let size = try optionalInteger("vocab_size", Limits.vocabularySize) ?? tokens
    guard let size, Limits.vocabularySize.contains(size), (tokens ?? 0) <= size else {
      let expected = size.map { "at most \(architecture).vocab_size = \($0) strings" } ?? "an array of strings"
      throw wrong("tokenizer.ggml.tokens", metadata["tokenizer.ggml.tokens"], expected: expected)
    }
    return size
  }

  func token(_ name: String, _ vocabularySize: Int) throws -> Int? {
    let key = "tokenizer.ggml.\(name)"
    guard let value = metadata[key] else { return nil }
    guard case .int(let id) = value, (0..<vocabularySize).contains(id) else {
      throw wrong(key, value, expected: "a token id below \(vocabularySize)")
    }
    return id
  }

  func eosTokens(_ vocabularySize: Int) throws -> [Int] {
    var ids: [Int] = []
    for name in ["eos_token_id", "eot_token_id"] {
      if let id = try token(name, vocabularySize), !ids.contains(id) { ids.append(id) }
    }
    return ids
  }
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
