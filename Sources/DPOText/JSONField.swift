import DPOBase

/// A JSON value together with the file and the keys that lead to it, so that every error can name both.
struct JSONField {
  let value: JSON
  let file: String
  let path: String

  init(_ value: JSON, file: String, path: String = "") {
    self.value = value
    self.file = file
    self.path = path
  }

  func error(_ message: String) -> DPOError {
    DPOError.format(file, path.isEmpty ? message : "\(DPOError.printable(path, limit: 120)): \(message)")
  }

  func unsupported(_ message: String) -> DPOError {
    DPOError.unsupported("\(file): \(path.isEmpty ? "" : DPOError.printable(path, limit: 120) + ": ")\(message)")
  }

  private func mismatch(_ expected: String) -> DPOError {
    if case .real(let number) = value { return error("expected \(expected), found \(number)") }
    return error("expected \(expected), found \(value.kind)")
  }

  /// The member `key`; nil if it is missing or null.
  subscript(key: String) -> JSONField? {
    guard let member = value[key], !member.isNull else { return nil }
    return JSONField(member, file: file, path: path.isEmpty ? key : "\(path).\(key)")
  }

  func required(_ key: String) throws -> JSONField {
    guard case .object = value else { throw mismatch("an object") }
    guard let member = self[key] else { throw error("\(key) is missing") }
    return member
  }

  func string() throws -> String {
    guard let text = value.string else { throw mismatch("a string") }
    return text
  }

  func bool() throws -> Bool {
    guard let flag = value.bool else { throw mismatch("true or false") }
    return flag
  }

  func int(in range: ClosedRange<Int>) throws -> Int {
    guard let number = value.int else { throw mismatch("a whole number") }
    guard range.contains(number) else {
      throw error("\(number) is outside of \(range.lowerBound)…\(range.upperBound)")
    }
    return number
  }

  func object() throws -> JSONObject {
    guard let object = value.object else { throw mismatch("an object") }
    return object
  }

  func elements() throws -> [JSONField] {
    guard let items = value.array else { throw mismatch("an array") }
    return items.enumerated().map { JSONField($1, file: file, path: "\(path)[\($0)]") }
  }

  /// One Unicode scalar.
  func scalar() throws -> Unicode.Scalar {
    let text = try string().unicodeScalars
    guard let first = text.first, text.count == 1 else { throw error("expected one character") }
    return first
  }

  func flag(_ key: String, default value: Bool) throws -> Bool { try self[key]?.bool() ?? value }
}
