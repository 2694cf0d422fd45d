import CJansson

/// A JSON document. Objects keep the order of their members.
public enum JSON: Sendable, Equatable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A whole number without a fraction or exponent.
  case int(Int)
  /// Any other number.
  case real(Double)
  /// Text; it may hold any character.
  case string(String)
  /// Values in order.
  case array([JSON])
  /// Values by their names.
  case object(JSONObject)
}

/// Members of a JSON object in file order, with look-up by key. Keys are the same only byte for byte: for `String`, two
/// spellings of "é" are equal, but in a vocabulary they are two tokens.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  /// In file order.
  public private(set) var keys: [String] = []
  private var values: [Name: JSON] = [:]

  private struct Name: Hashable {
    let text: String
    init(_ text: String) { self.text = text }
    static func == (left: Name, right: Name) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  /// An object without members.
  public init() {}
  /// Of a repeated key the last value counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    for (key, value) in elements { self[key] = value }
  }

  /// The number of members.
  public var count: Int { keys.count }
  /// Whether there are no members.
  public var isEmpty: Bool { keys.isEmpty }

  /// A member's value; nil where there is none. Setting nil removes it, new members come last.
  public subscript(key: String) -> JSON? {
    get { values[Name(key)] }
    set {
      guard let newValue else {
        if values.removeValue(forKey: Name(key)) != nil { keys.removeAll { Name($0) == Name(key) } }
        return
      }
      if values.updateValue(newValue, forKey: Name(key)) == nil { keys.append(key) }
    }
  }

  /// (key, value) in file order.
  public var members: [(key: String, value: JSON)] { keys.map { ($0, values[Name($0)] ?? .null) } }

  /// The members of `more` take the place of those of the same name, or follow.
  package func with(_ more: JSONObject) -> JSONObject {
    var all = self
    for (key, value) in more.members { all[key] = value }
    return all
  }
}

extension JSON {
  /// Nesting beyond this is refused: no file we read needs it, and recursion must stay within a small thread's stack.
  static let maximumDepth = 200

  /// Parses one document. `file` (with a line, where there is one) names it in errors. A repeated key is an error. A
  /// document that is one line of a file tells its column only.
  package static func parse(_ bytes: UnsafeRawBufferPointer, file: String, isLine: Bool = false) throws -> JSON {
    guard !isTooDeep(bytes) else { throw DPOError.format(file, "JSON nested deeper than \(maximumDepth) levels") }
    var failure = json_error_t()
    func load(_ flags: Int) -> UnsafeMutablePointer<json_t>? {
      bytes.baseAddress.flatMap { json_loadb($0.assumingMemoryBound(to: CChar.self), bytes.count, flags, &failure) }
    }
    let flags = Int(JSON_REJECT_DUPLICATES) | Int(JSON_DECODE_ANY) | Int(JSON_ALLOW_NUL)
    // Hugging Face's tokenizers say "model_max_length": 1000000000000000019884624838656. In a document with such a number
    // every number is read as a real one, and the whole ones become integers again.
    var (root, wholeReals) = (load(flags), false)
    if root == nil, json_error_code(&failure) == json_error_numeric_overflow {
      (root, wholeReals) = (load(flags | Int(JSON_DECODE_INT_AS_REAL)), true)
    }
    guard let root else {
      let reason =
        bytes.isEmpty
        ? "the document is empty"
        : withUnsafeBytes(of: failure.text) { raw in
          String(decoding: raw.prefix { $0 != 0 && $0 != 1 }, as: UTF8.self)
        }
      let keys = enclosingKeys(bytes, before: Int(failure.position)).suffix(3)
      let inside = keys.isEmpty ? "" : ", in " + keys.map { "\"\(DPOError.printable($0))\"" }.joined(separator: " → ")
      let line = isLine ? "" : "line \(max(1, failure.line)), "
      throw DPOError.format(file, "not valid JSON: \(reason) (\(line)column \(max(0, failure.column))\(inside))")
    }
    defer { json_decref(root) }
    return JSON(root, wholeReals: wholeReals)
  }

  /// Whether brackets nest too deep, looked at before the parser recurses over them. Text that is no JSON may be told to be
  /// deeper or shallower than it is: the parser refuses it anyway.
  private static func isTooDeep(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var depth = 0
    var index = 0
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "\""):
        index += 1
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
          index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
        }
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        if depth > maximumDepth { return true }
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      default: break
      }
      index += 1
    }
    return false
  }

  /// Keys of the objects around a byte offset, outermost first, in a document that is valid up to there.
  private static func enclosingKeys(_ bytes: UnsafeRawBufferPointer, before end: Int) -> [String] {
    var keys: [Range<Int>] = []
    var string = 0..<0
    var index = 0
    let end = min(end, bytes.count)
    while index < end {
      switch bytes[index] {
      case UInt8(ascii: "\""):
        let start = index + 1
        index = start
        while index < end, bytes[index] != UInt8(ascii: "\"") { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
        string = start..<max(start, min(index, end))
      case UInt8(ascii: ","): if !keys.isEmpty { keys[keys.count - 1] = 0..<0 }
      case UInt8(ascii: ":"): if !keys.isEmpty { keys[keys.count - 1] = string }
      case UInt8(ascii: "{"), UInt8(ascii: "["): keys.append(0..<0)
      case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = keys.popLast()
      default: break
      }
      index += 1
    }
    return keys.filter { !$0.isEmpty }.map { String(decoding: bytes[$0], as: UTF8.self) }
  }

  /// Parses one document of UTF-8 text. `file` names it in errors. A repeated key is an error.
  public static func parse(_ bytes: [UInt8], file: String) throws -> JSON {
    try bytes.withUnsafeBytes { try parse($0, file: file) }
  }

  /// Parses one document. `file` names it in errors. A repeated key is an error.
  public static func parse(_ text: String, file: String) throws -> JSON { try parse(Array(text.utf8), file: file) }

  private init(_ value: UnsafeMutablePointer<json_t>, wholeReals: Bool) {
    switch value.pointee.type {
    case JSON_OBJECT:
      var object = JSONObject()
      var iterator = json_object_iter(value)
      while let current = iterator {
        if let key = json_object_iter_key(current), let item = json_object_iter_value(current) {
          object[String(cString: key)] = JSON(item, wholeReals: wholeReals)
        }
        iterator = json_object_iter_next(value, current)
      }
      self = .object(object)
    case JSON_ARRAY:
      let count = json_array_size(value)
      var items: [JSON] = []
      items.reserveCapacity(count)
      for index in 0..<count {
        guard let item = json_array_get(value, index) else { continue }
        items.append(JSON(item, wholeReals: wholeReals))
      }
      self = .array(items)
    case JSON_STRING:
      let bytes = UnsafeRawBufferPointer(start: json_string_value(value), count: json_string_length(value))
      self = .string(String(decoding: bytes, as: UTF8.self))
    case JSON_INTEGER: self = .int(Int(json_integer_value(value)))
    case JSON_REAL:
      let number = json_real_value(value)
      let whole = wholeReals ? Int(exactly: number) : nil
      self = whole.map { .int($0) } ?? .real(number)
    case JSON_TRUE: self = .bool(true)
    case JSON_FALSE: self = .bool(false)
    default: self = .null
    }
  }
}

extension JSON {
  /// A member of an object; nil if there is none, or this is no object.
  public subscript(key: String) -> JSON? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  /// Whether it is `null`.
  public var isNull: Bool { self == .null }
  /// The value of a boolean; nil for anything else.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The value of a whole number; nil for anything else.
  public var int: Int? { if case .int(let value) = self { value } else { nil } }
  /// The value of a string; nil for anything else.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The items of an array; nil for anything else.
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  /// The members of an object; nil for anything else.
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// A number of either kind.
  public var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .real(let value): value
    default: nil
    }
  }

  /// What a value is, for error messages.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .int, .real: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON: CustomStringConvertible {
  /// The document on one line. Numbers keep every bit; NaN and infinity, which JSON lacks, become null.
  public var description: String {
    var out = ""
    write(to: &out, indent: nil, level: 0)
    return out
  }

  /// The document over many lines, two blanks a level.
  public var pretty: String {
    var out = ""
    write(to: &out, indent: 2, level: 0)
    return out + "\n"
  }

  private func write(to out: inout String, indent: Int?, level: Int) {
    func line(_ level: Int) {
      if let indent { out += "\n" + String(repeating: " ", count: indent * level) }
    }
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .int(let value): out += String(value)
    case .real(let value): out += value.isFinite ? "\(value)" : "null"
    case .string(let value): JSON.quote(value, to: &out)
    case .array(let items):
      out += "["
      for (index, item) in items.enumerated() {
        if index > 0 { out += indent == nil ? ", " : "," }
        line(level + 1)
        item.write(to: &out, indent: indent, level: level + 1)
      }
      if !items.isEmpty { line(level) }
      out += "]"
    case .object(let object):
      out += "{"
      for (index, (key, value)) in object.members.enumerated() {
        if index > 0 { out += indent == nil ? ", " : "," }
        line(level + 1)
        JSON.quote(key, to: &out)
        out += ": "
        value.write(to: &out, indent: indent, level: level + 1)
      }
      if !object.isEmpty { line(level) }
      out += "}"
    }
  }

  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        out += "\\u" + hexadecimal(scalar.value, digits: 4)
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// A value written as a literal.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A value written as a literal.
  public init(integerLiteral value: Int) { self = .int(value) }
  /// A value written as a literal.
  public init(floatLiteral value: Double) { self = .real(value) }
  /// A value written as a literal.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// An array written as a literal.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// An object written as a literal; of a repeated key the last value counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}
