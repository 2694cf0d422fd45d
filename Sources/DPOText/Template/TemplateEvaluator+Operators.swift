import DPOBase
import DPOPlatform

/// Python's arithmetic, comparisons and conversions to text. Integers are 64 bits wide: what needs more is an error.
extension TemplateEvaluator {
  // MARK: Arithmetic

  private func overflow() -> DPOError { fail("an integer does not fit 64 bits") }

  func negated(_ value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .undefined(let undefined): throw fail(undefined.reason)
    case .real(let number): return .real(-number)
    default:
      guard let number = value.integer else { throw fail("bad operand type for unary -: '\(value.typeName)'") }
      guard number != .min else { throw overflow() }
      return .int(-number)
    }
  }

  func arithmetic(_ operation: TemplateExpression.Operator, _ a: TemplateValue, _ b: TemplateValue) throws
    -> TemplateValue
  {
    if operation == .modulo, case .string(let format) = a { return try formatted(format, b) }
    if case .undefined(let undefined) = a { throw fail(undefined.reason) }
    if case .undefined(let undefined) = b { throw fail(undefined.reason) }
    if let x = a.integer, let y = b.integer { return try integerArithmetic(operation, x, y) }
    if let x = a.number, let y = b.number { return try realArithmetic(operation, x, y) }
    switch (operation, a, b) {
    case (.add, .string(let x), .string(let y)): return try joined(x, y)
    case (.add, .list(let x), .list(let y)): return try list(x.values + y.values)
    case (.add, .tuple(let x), .tuple(let y)): return try tuple(x.values + y.values)
    case (.multiply, _, _):
      if let count = b.integer, let value = try repeated(a, count) { return value }
      if let count = a.integer, let value = try repeated(b, count) { return value }
    default: break
    }
    throw fail("unsupported operand types for \(operation.rawValue): '\(a.typeName)' and '\(b.typeName)'")
  }

  private func joined(_ a: TemplateText, _ b: TemplateText) throws -> TemplateValue {
    let isMarkup = a.isMarkup || b.isMarkup
    let left = isMarkup && !a.isMarkup ? try escaped(a) : a
    let right = isMarkup && !b.isMarkup ? try escaped(b) : b
    try charge(left.bytes.count + right.bytes.count)
    return .string(TemplateText(left.bytes + right.bytes, isMarkup: isMarkup))
  }

  private func repeated(_ value: TemplateValue, _ count: Int) throws -> TemplateValue? {
    let count = max(0, count)
    switch value {
    case .string(let text):
      try charge(count, times: text.bytes.count)
      return .string(
        TemplateText([UInt8](repeated: text.bytes, count: text.isEmpty ? 0 : count), isMarkup: text.isMarkup))
    case .list(let items):
      try charge(count, times: items.count * MemoryLayout<TemplateValue>.stride)
      return try list([TemplateValue](repeated: items.values, count: items.isEmpty ? 0 : count))
    case .tuple(let items):
      try charge(count, times: items.count * MemoryLayout<TemplateValue>.stride)
      return try tuple([TemplateValue](repeated: items.values, count: items.isEmpty ? 0 : count))
    default: return nil
    }
  }

  private func integerArithmetic(_ operation: TemplateExpression.Operator, _ x: Int, _ y: Int) throws -> TemplateValue {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case .add: result = x.addingReportingOverflow(y)
    case .subtract: result = x.subtractingReportingOverflow(y)
    case .multiply: result = x.multipliedReportingOverflow(by: y)
    case .divide:
      guard y != 0 else { throw fail("division by zero") }
      return .real(Double(x) / Double(y))
    case .floorDivide, .modulo:
      guard y != 0 else { throw fail("division by zero") }
      if y == -1 {
        // The one quotient that overflows, and whose remainder Swift refuses.
        result = operation == .modulo ? (0, false) : (0).subtractingReportingOverflow(x)
      } else {
        let (quotient, remainder) = x.quotientAndRemainder(dividingBy: y)
        let floors = remainder != 0 && (remainder < 0) != (y < 0)
        result =
          operation == .modulo ? (floors ? remainder + y : remainder, false) : (floors ? quotient - 1 : quotient, false)
      }
    case .power:
      guard y >= 0 else {
        guard x != 0 else { throw fail("zero cannot be raised to a negative power") }
        return .real(pow(Double(x), Double(y)))
      }
      return .int(try power(x, y))
    }
    guard !result.overflow else { throw overflow() }
    return .int(result.partialValue)
  }

  private func power(_ base: Int, _ exponent: Int) throws -> Int {
    if exponent == 0 || base == 1 { return 1 }
    if base == 0 { return 0 }
    if base == -1 { return exponent % 2 == 0 ? 1 : -1 }
    var value = 1
    for _ in 0..<min(exponent, 64) {
      let (product, isTooBig) = value.multipliedReportingOverflow(by: base)
      guard !isTooBig else { throw overflow() }
      value = product
    }
    return value
  }

  private func realArithmetic(_ operation: TemplateExpression.Operator, _ x: Double, _ y: Double) throws
    -> TemplateValue
  {
    switch operation {
    case .add: return .real(x + y)
    case .subtract: return .real(x - y)
    case .multiply: return .real(x * y)
    case .divide, .floorDivide, .modulo:
      guard y != 0 else { throw fail("division by zero") }
      if operation == .divide { return .real(x / y) }
      var remainder = fmod(x, y)
      if remainder != 0, (remainder < 0) != (y < 0) { remainder += y }
      return .real(operation == .modulo ? remainder : ((x - remainder) / y).rounded())
    case .power: return .real(pow(x, y))
    }
  }

  // MARK: Comparison

  func compare(_ comparison: TemplateExpression.Comparison, _ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    switch comparison {
    case .equal: return try isEqual(a, b)
    case .notEqual: return try !isEqual(a, b)
    case .less: return try isLess(a, b, "<")
    case .greater: return try isLess(b, a, ">")
    case .lessOrEqual: return try !isLess(b, a, "<=") && !isUnordered(a, b)
    case .greaterOrEqual: return try !isLess(a, b, ">=") && !isUnordered(a, b)
    case .contained: return try contains(b, a)
    case .notContained: return try !contains(b, a)
    }
  }

  private func isUnordered(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
    (a.number?.isNaN ?? false) || (b.number?.isNaN ?? false)
  }

  func isEqual(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    if let x = a.integer, let y = b.integer { return x == y }
    if let x = a.number, let y = b.number {
      // Python compares an integer with a float exactly.
      if let whole = a.integer { return Int(exactly: y) == whole }
      if let whole = b.integer { return Int(exactly: x) == whole }
      return x == y
    }
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let x), .string(let y)):
      try scan(min(x.bytes.count, y.bytes.count))
      return x == y
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      guard x.count == y.count else { return false }
      return try descend {
        for (left, right) in zip(x.values, y.values) {
          try spend()
          if try !isEqual(left, right) { return false }
        }
        return true
      }
    case (.dictionary(let x), .dictionary(let y)):
      guard x.count == y.count else { return false }
      return try descend {
        for (key, value) in x.entries {
          try spend()
          guard let other = try y[hashed(key)], try isEqual(value, other) else { return false }
        }
        return true
      }
    case (.range(let x), .range(let y)):
      return x.count == y.count && (x.count == 0 || (x.start == y.start && (x.count == 1 || x.step == y.step)))
    case (.namespace(let x), .namespace(let y)), (.macro(let x), .macro(let y)), (.loop(let x), .loop(let y)):
      return x == y
    case (.function(let x), .function(let y)): return x == y
    default: return false
    }
  }

  /// a < b; `symbol` is what the template says, for the message.
  func isLess(_ a: TemplateValue, _ b: TemplateValue, _ symbol: String) throws -> Bool {
    if case .undefined(let undefined) = a { throw fail(undefined.reason) }
    if case .undefined(let undefined) = b { throw fail(undefined.reason) }
    if let x = a.integer, let y = b.integer { return x < y }
    if let x = a.number, let y = b.number { return x < y }
    switch (a, b) {
    case (.string(let x), .string(let y)):
      try scan(min(x.bytes.count, y.bytes.count))
      return x < y
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      return try descend {
        for (left, right) in zip(x.values, y.values) {
          try spend()
          if try !isEqual(left, right) { return try isLess(left, right, symbol) }
        }
        return x.count < y.count
      }
    default: throw fail("'\(symbol)' is not supported between '\(a.typeName)' and '\(b.typeName)'")
    }
  }

  func contains(_ container: TemplateValue, _ value: TemplateValue) throws -> Bool {
    switch container {
    case .string(let text):
      guard case .string(let part) = value else {
        throw fail("'in' needs a string on its left, found '\(value.typeName)'")
      }
      try scan(text.bytes.count)
      return TemplateBytes.find(part.bytes, in: text.bytes) != nil
    case .dictionary(let dictionary): return try dictionary[hashed(value)] != nil
    default:
      guard let items = try? elements(container) else { throw fail("'in' cannot look into '\(container.typeName)'") }
      try spend(items.count)
      for item in items where try isEqual(item, value) { return true }
      return false
    }
  }

  func hashed(_ value: TemplateValue) throws -> TemplateDictionary.Key {
    if let whole = value.integer { return .int(whole) }
    switch value {
    case .none: return .none
    case .real(let number): return Int(exactly: number).map { .int($0) } ?? .real(number)
    case .string(let text):
      try scan(text.bytes.count)
      return .string(text.bytes)
    case .tuple(let items): return .tuple(try descend { try items.values.map { try hashed($0) } })
    default: throw fail("unhashable type: '\(value.typeName)'")
    }
  }

  // MARK: Text

  /// `str(value)`
  func text(_ value: TemplateValue) throws -> TemplateText {
    switch value {
    case .string(let text): return text
    case .undefined: return ""
    default: return try representation(value)
    }
  }

  /// `repr(value)`
  func representation(_ value: TemplateValue) throws -> TemplateText {
    var out: [UInt8] = []
    try represent(value, &out)
    try charge(out.count)
    return TemplateText(out)
  }

  private func represent(_ value: TemplateValue, _ out: inout [UInt8]) throws {
    try spend()
    guard out.count <= Self.maximumSize else { return try charge(out.count) }
    func sequence(_ open: String, _ items: [TemplateValue], _ close: String) throws {
      out += open.utf8
      try descend {
        for (index, item) in items.enumerated() {
          if index > 0 { out += ", ".utf8 }
          try represent(item, &out)
        }
      }
      out += close.utf8
    }
    func mapping(_ dictionary: TemplateDictionary) throws {
      out += "{".utf8
      try descend {
        for (index, (key, item)) in dictionary.entries.enumerated() {
          if index > 0 { out += ", ".utf8 }
          try represent(key, &out)
          out += ": ".utf8
          try represent(item, &out)
        }
      }
      out += "}".utf8
    }
    switch value {
    case .undefined: out += "Undefined".utf8
    case .none: out += "None".utf8
    case .bool(let value): out += (value ? "True" : "False").utf8
    case .int(let value): out += String(value).utf8
    case .real(let value): out += TemplateFormat.real(value).utf8
    case .string(let text):
      try scan(text.bytes.count)
      if text.isMarkup { out += "Markup(".utf8 }
      TemplateFormat.quote(text, to: &out)
      if text.isMarkup { out += ")".utf8 }
    case .list(let items): try sequence("[", items.values, "]")
    case .tuple(let items): try sequence("(", items.values, items.count == 1 ? ",)" : ")")
    case .dictionary(let dictionary): try mapping(dictionary)
    case .iterable(.generator, _): throw fail("a generator cannot be written; make it a list with '| list'")
    case .iterable(let kind, let items): try sequence(kind.rawValue + "([", items.values, "])")
    case .range(let range):
      let end = range.start &+ range.count &* range.step
      out += "range(\(range.start), \(end)\(range.step == 1 ? "" : ", \(range.step)"))".utf8
    case .namespace(let index):
      out += "<Namespace ".utf8
      try mapping(namespaces[index])
      out += ">".utf8
    case .macro(let index): out += "<Macro '\(macros[index].macro.name)'>".utf8
    case .loop(let index):
      guard index < loops.count else { throw fail("'loop' is used after its loop") }
      out += "<LoopContext \(loops[index].index + 1)/\(loops[index].items.count)>".utf8
    case .function, .method: throw fail("a function cannot be written; call it with ()")
    }
  }

  /// markupsafe's `escape`.
  func escaped(_ text: TemplateText) throws -> TemplateText {
    if text.isMarkup { return text }
    var out: [UInt8] = []
    out.reserveCapacity(text.bytes.count)
    for byte in text.bytes {
      switch byte {
      case UInt8(ascii: "&"): out += "&amp;".utf8
      case UInt8(ascii: "<"): out += "&lt;".utf8
      case UInt8(ascii: ">"): out += "&gt;".utf8
      case UInt8(ascii: "'"): out += "&#39;".utf8
      case UInt8(ascii: "\""): out += "&#34;".utf8
      default: out.append(byte)
      }
    }
    try charge(out.count)
    return TemplateText(out, isMarkup: true)
  }
}

extension Array {
  /// `items`, `count` times over, by doubling.
  fileprivate init(repeated items: [Element], count: Int) {
    self = []
    guard count > 0, !items.isEmpty else { return }
    let total = items.count * count
    reserveCapacity(total)
    append(contentsOf: items)
    while self.count < total { append(contentsOf: self[..<Swift.min(self.count, total - self.count)]) }
  }
}
