import DPOBase

/// Sizes beyond these are refused before any memory is taken.
enum Limits {
  static let hiddenSize = 1...65_536
  static let intermediateSize = 1...1_048_576
  static let layerCount = 1...1024
  static let expertCount = 1...1024
  static let headCount = 1...1024
  static let headSize = 1...4096
  static let kernel = 1...256
  static let vocabularySize = 1...(1 << 22)
  static let contextLength = 1...(1 << 30)
}

/// Reads config.json: every value has the right kind and range, or an error names its key.
struct HuggingFaceReader {
  let json: JSON
  let file: String

  init(_ json: JSON, file: String) throws {
    guard case .object = json else { throw DPOError.format(file, "expected an object, found \(json.kind)") }
    self.json = json
    self.file = file
  }

  /// Present and not null.
  func value(_ key: String) -> JSON? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  func wrong(_ key: String, _ value: JSON?, expected: String) -> DPOError {
    let found = value.map { "found \($0.brief)" } ?? "the key is missing"
    return DPOError.format(file, "\(key): expected \(expected), \(found)")
  }

  func string(_ key: String) throws -> String {
    guard let text = json[key]?.string else { throw wrong(key, json[key], expected: "a string") }
    return text
  }

  func bool(_ key: String, default absent: Bool) throws -> Bool {
    guard let value = value(key) else { return absent }
    guard let flag = value.bool else { throw wrong(key, value, expected: "true or false") }
    return flag
  }

  func optionalInteger(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let number = value.int, range.contains(number) else {
      throw wrong(key, value, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws -> Int {
    guard let number = try optionalInteger(key, range) else {
      throw wrong(key, json[key], expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func positive(_ key: String, in object: JSON, default absent: Double?) throws -> Double {
    guard let value = object[key], !value.isNull else {
      guard let absent else { throw wrong(key, nil, expected: "a positive number") }
      return absent
    }
    guard let number = value.double, number > 0, number.isFinite else {
      throw wrong(key, value, expected: "a positive number")
    }
    return number
  }

  func epsilon(_ key: String, default absent: Double) throws -> Float {
    let number = try positive(key, in: json, default: absent)
    guard number <= 1, Float(number) > 0 else {
      throw wrong(key, json[key], expected: "a positive number of at most 1")
    }
    return Float(number)
  }

  func initializerRange() throws -> Double {
    guard let value = value("initializer_range") else { return 0.02 }
    guard let number = value.double, (0...1).contains(number) else {
      throw wrong("initializer_range", value, expected: "a number from 0 to 1")
    }
    return number
  }

  func activation(_ key: String, default absent: String) throws -> Activation {
    let known: [String: Activation] = [
      "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
      "gelu_fast": .geluTanh, "relu2": .reluSquared,
    ]
    let value = value(key) ?? .string(absent)
    guard let activation = value.string.flatMap({ known[$0] }) else {
      throw wrong(key, value, expected: "one of \(known.keys.sorted().joined(separator: ", "))")
    }
    return activation
  }

  /// A token id, or null for none; `default` stands in for an absent key.
  func token(_ key: String, default absent: Int?, _ vocabularySize: Int) throws -> Int? {
    guard let value = json[key] else { return absent.flatMap { $0 < vocabularySize ? $0 : nil } }
    if value.isNull { return nil }
    guard let id = value.int, (0..<vocabularySize).contains(id) else {
      throw wrong(key, value, expected: "a token id below vocab_size (\(vocabularySize))")
    }
    return id
  }

  /// One token id, a list of them, or null for none.
  func tokens(_ key: String, default absent: Int?, _ vocabularySize: Int) throws -> [Int] {
    guard let items = json[key]?.array else {
      return try token(key, default: absent, vocabularySize).map { [$0] } ?? []
    }
    return try items.map { item in
      guard let id = item.int, (0..<vocabularySize).contains(id) else {
        throw wrong(key, item, expected: "token ids below vocab_size (\(vocabularySize))")
      }
      return id
    }
  }

  /// transformers' …ForSequenceClassification with one label is a reward model.
  func heads() throws -> Heads {
    guard let name = json["architectures"]?.array?.first?.string, name.hasSuffix("ForSequenceClassification") else {
      return .language
    }
    let labels = value("id2label")?.object?.count ?? value("num_labels")?.int ?? 2
    guard labels == 1 else {
      throw DPOError(
        .unsupported, "\(file): \(DPOError.printable(name)) with \(labels) labels; a reward model has one")
    }
    return .score
  }

  /// Settings that change the computation in ways the decoder does not know.
  func refuse(_ key: String, unless expected: Bool) throws {
    guard try bool(key, default: expected) == expected else {
      throw DPOError(.unsupported, "\(file): \(key) = \(!expected) is not supported")
    }
  }

  func refuseQuantization() throws {
    guard let value = value("quantization_config") else { return }
    let method = value["quant_method"]?.string ?? value.brief
    throw DPOError(
      .unsupported,
      "\(file): quantization_config (\(DPOError.printable(method))) is not supported; use unquantised weights or a GGUF file"
    )
  }

  func headSize(_ explicit: Int?, hiddenSize: Int, headCount: Int, key: String) throws -> Int {
    if let explicit { return explicit }
    guard hiddenSize % headCount == 0 else {
      throw DPOError.format(file, "\(key): hidden size \(hiddenSize) is not divisible by \(headCount) heads")
    }
    return hiddenSize / headCount
  }
}

extension JSON {
  /// The value itself if it is short, else what it is.
  var brief: String {
    switch self {
    case .string(let text): "\"\(DPOError.printable(text, limit: 40))\""
    case .array(let items): items.count <= 4 ? DPOError.printable(description, limit: 60) : "an array of \(items.count)"
    case .object: "an object"
    default: description
    }
  }
}
