import DPOBase

/// `value is name(arguments)`
extension TemplateEvaluator {
  static let testNames: Set<String> = [
    "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "==", "escaped", "even", "false", "filter",
    "float", "ge",
    "gt", "greaterthan", ">", ">=", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "<", "<=", "mapping",
    "ne",
    "!=", "none", "number", "odd", "sameas", "sequence", "string", "test", "true", "undefined", "upper",
  ]

  func test(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> Bool {
    func operand() throws -> TemplateValue {
      guard let operand = try bind(arguments, ["other"], of: "the test '\(name)'")[0] else {
        throw fail("the test '\(name)' needs an argument")
      }
      return operand
    }
    switch name {
    case "eq", "equalto", "==": return try isEqual(value, operand())
    case "ne", "!=": return try !isEqual(value, operand())
    case "lt", "lessthan", "<": return try compare(.less, value, operand())
    case "le", "<=": return try compare(.lessOrEqual, value, operand())
    case "gt", "greaterthan", ">": return try compare(.greater, value, operand())
    case "ge", ">=": return try compare(.greaterOrEqual, value, operand())
    case "in": return try contains(operand(), value)
    case "sameas": return try isSame(value, operand())
    case "divisibleby":
      guard case .int(0) = try arithmetic(.modulo, value, operand()) else { return false }
      return true
    default: break
    }
    guard Self.testNames.contains(name) else { throw fail("no test named '\(DPOError.printable(name))'") }
    _ = try bind(arguments, [], of: "the test '\(name)'")
    return try simpleTest(name, value)
  }

  private func simpleTest(_ name: String, _ value: TemplateValue) throws -> Bool {
    switch (name, value) {
    case ("defined", _): return !value.isUndefined
    case ("undefined", _): return value.isUndefined
    case ("none", _): return value.isNone
    case ("boolean", .bool): return true
    case ("true", .bool(let flag)): return flag
    case ("false", .bool(let flag)): return !flag
    case ("integer", .int): return true
    case ("float", .real): return true
    case ("number", .int), ("number", .real), ("number", .bool): return true
    case ("string", .string): return true
    case ("escaped", .string(let text)): return text.isMarkup
    case ("mapping", .dictionary): return true
    case ("sequence", .string), ("sequence", .list), ("sequence", .tuple), ("sequence", .dictionary),
      ("sequence", .range),
      ("sequence", .undefined):
      return true
    case ("iterable", .string), ("iterable", .list), ("iterable", .tuple), ("iterable", .dictionary),
      ("iterable", .range),
      ("iterable", .iterable), ("iterable", .undefined), ("iterable", .loop):
      return true
    case ("callable", .function), ("callable", .method), ("callable", .macro), ("callable", .loop),
      ("callable", .undefined):
      return true
    case ("filter", .string(let text)): return Self.filterNames.contains(text.string)
    case ("test", .string(let text)): return Self.testNames.contains(text.string)
    case ("lower", _): return try hasCase(value, lower: true)
    case ("upper", _): return try hasCase(value, lower: false)
    case ("odd", _), ("even", _):
      guard case .int(let remainder) = try arithmetic(.modulo, value, .int(2)) else { return false }
      return (remainder == 1) == (name == "odd")
    default: return false
    }
  }

  /// Python's `is`, as far as values can tell.
  private func isSame(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    if case .undefined(let x) = a, case .undefined(let y) = b { return x === y }
    guard a.typeName == b.typeName else { return false }
    return try isEqual(a, b)
  }

  private func hasCase(_ value: TemplateValue, lower: Bool) throws -> Bool {
    let text = try text(value).string
    try scan(text.utf8.count)
    let isCased = text.unicodeScalars.contains { $0.properties.isUppercase || $0.properties.isLowercase }
    return isCased && text == (lower ? text.lowercased() : text.uppercased())
  }
}
