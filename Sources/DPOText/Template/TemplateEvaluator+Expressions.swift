import DPOBase

extension TemplateEvaluator {
  func evaluate(_ expression: TemplateExpression, _ frame: TemplateFrame) throws -> TemplateValue {
    try spend()
    line = expression.line
    switch expression.kind {
    case .constant(let value): return value
    case .name(let name):
      if let value = frame.value(of: name) { return value }
      if let function = TemplateFunction(rawValue: name) { return .function(function) }
      return .undefined("'\(DPOError.printable(name))' is undefined")
    default: return try descend { try evaluateTree(expression, frame) }
    }
  }

  private func evaluateTree(_ expression: TemplateExpression, _ frame: TemplateFrame) throws -> TemplateValue {
    switch expression.kind {
    case .constant, .name: return .none
    case .attribute(let base, let name):
      let object = try evaluate(base, frame)
      line = expression.line
      return try attribute(name, of: object)
    case .item(let base, let key): return try evaluateItem(base, key, expression.line, frame)
    case .binary(let operation, let left, let right):
      return try evaluateBinary(operation, left, right, expression.line, frame)
    case .and(let left, let right):
      let value = try evaluate(left, frame)
      return value.isTrue ? try evaluate(right, frame) : value
    case .or(let left, let right):
      let value = try evaluate(left, frame)
      return value.isTrue ? value : try evaluate(right, frame)
    case .not(let operand): return .bool(!(try evaluate(operand, frame).isTrue))
    case .comparison(let first, let rest): return try evaluateComparison(first, rest, expression.line, frame)
    case .choice(let test, let then, let otherwise):
      if try evaluate(test, frame).isTrue { return try evaluate(then, frame) }
      guard let otherwise else {
        return .undefined(
          "the inline if-expression on line \(expression.line) evaluated to false and no else section was defined.")
      }
      return try evaluate(otherwise, frame)
    case .call(let callee, let arguments): return try evaluateCall(callee, arguments, expression.line, frame)
    case .filter(let operand, let call):
      let value = try evaluate(operand, frame)
      return try applyFilter(call, to: value, frame)
    case .test(let operand, let call): return try evaluateTest(operand, call, frame)
    case .concatenation(let parts): return try evaluateConcatenation(parts, expression.line, frame)
    case .list(let items): return try list(evaluateAll(items, frame))
    case .tuple(let items): return try tuple(evaluateAll(items, frame))
    case .dictionary(let items): return try evaluateDictionary(items, frame)
    case .slice(let base, let start, let stop, let step):
      return try evaluateSlice(base, start, stop, step, expression.line, frame)
    case .negative(let operand):
      let value = try evaluate(operand, frame)
      line = expression.line
      return try negated(value)
    case .positive(let operand):
      let value = try evaluate(operand, frame)
      line = expression.line
      if case .undefined(let undefined) = value { throw fail(undefined.reason) }
      guard value.number != nil else { throw fail("bad operand type for unary +: '\(value.typeName)'") }
      return value.integer.map { .int($0) } ?? value
    }
  }

  private func evaluateAll(_ expressions: [TemplateExpression], _ frame: TemplateFrame) throws -> [TemplateValue] {
    var values: [TemplateValue] = []
    values.reserveCapacity(expressions.count)
    for expression in expressions { values.append(try evaluate(expression, frame)) }
    return values
  }

  private func evaluateItem(
    _ base: TemplateExpression, _ key: TemplateExpression, _ line: Int, _ frame: TemplateFrame
  ) throws -> TemplateValue {
    let object = try evaluate(base, frame)
    let key = try evaluate(key, frame)
    self.line = line
    return try item(key, of: object)
  }

  private func evaluateBinary(
    _ operation: TemplateExpression.Operator, _ left: TemplateExpression, _ right: TemplateExpression, _ line: Int,
    _ frame: TemplateFrame
  ) throws -> TemplateValue {
    let a = try evaluate(left, frame)
    let b = try evaluate(right, frame)
    self.line = line
    return try arithmetic(operation, a, b)
  }

  private func evaluateComparison(
    _ first: TemplateExpression, _ rest: [(TemplateExpression.Comparison, TemplateExpression)], _ line: Int,
    _ frame: TemplateFrame
  ) throws -> TemplateValue {
    var left = try evaluate(first, frame)
    for (comparison, expression) in rest {
      let right = try evaluate(expression, frame)
      self.line = line
      guard try compare(comparison, left, right) else { return .bool(false) }
      left = right
    }
    return .bool(true)
  }

  private func evaluateCall(
    _ callee: TemplateExpression, _ arguments: TemplateArguments, _ line: Int, _ frame: TemplateFrame
  ) throws -> TemplateValue {
    let function = try evaluate(callee, frame)
    let values = try evaluate(arguments, frame)
    self.line = line
    return try call(function, values)
  }

  private func evaluateTest(_ operand: TemplateExpression, _ call: TemplateCall, _ frame: TemplateFrame) throws
    -> TemplateValue
  {
    let value = try evaluate(operand, frame)
    let arguments = try evaluate(call.arguments, frame)
    line = call.line
    return .bool(try test(call.name, value, arguments))
  }

  func applyFilter(_ call: TemplateCall, to value: TemplateValue, _ frame: TemplateFrame) throws -> TemplateValue {
    let arguments = try evaluate(call.arguments, frame)
    line = call.line
    return try filter(call.name, value, arguments)
  }

  private func evaluateConcatenation(_ parts: [TemplateExpression], _ line: Int, _ frame: TemplateFrame) throws
    -> TemplateValue
  {
    var bytes: [UInt8] = []
    for part in parts {
      let value = try evaluate(part, frame)
      self.line = line
      let text = try text(value)
      try charge(text.bytes.count)
      bytes += text.bytes
    }
    return try string(bytes)
  }

  private func evaluateDictionary(
    _ items: [(key: TemplateExpression, value: TemplateExpression)], _ frame: TemplateFrame
  ) throws -> TemplateValue {
    var dictionary = TemplateDictionary()
    for (key, value) in items {
      let name = try evaluate(key, frame)
      dictionary.set(name, hashed: try hashed(name), try evaluate(value, frame))
    }
    return try self.dictionary(dictionary)
  }

  // MARK: Slices

  private func evaluateSlice(
    _ base: TemplateExpression, _ start: TemplateExpression?, _ stop: TemplateExpression?, _ step: TemplateExpression?,
    _ line: Int,
    _ frame: TemplateFrame
  ) throws -> TemplateValue {
    let object = try evaluate(base, frame)
    let bounds = try [start, stop, step].map { try $0.map { try evaluate($0, frame) } ?? .none }
    self.line = line
    if case .undefined(let undefined) = object { throw fail(undefined.reason) }
    guard bounds.allSatisfy({ $0.isNone || $0.integer != nil }) else {
      return .undefined("slice indices must be integers")
    }
    let step = bounds[2].integer ?? 1
    guard step != 0 else { throw fail("slice step cannot be zero") }
    func pick<Element>(_ items: [Element]) throws -> [Element] {
      try charge(items.count, times: MemoryLayout<Element>.stride)
      return sliceIndices(items.count, bounds[0].integer, bounds[1].integer, step).map { items[$0] }
    }
    switch object {
    case .list(let items): return try list(pick(items.values))
    case .tuple(let items): return try tuple(pick(items.values))
    case .range(let range): return try list(pick(range.values))
    case .string(let text):
      if text.isASCII { return try string(pick(text.bytes), isMarkup: text.isMarkup) }
      if step == 1 { return try substring(text, bounds[0].integer, bounds[1].integer) }
      try charge(text.bytes.count, times: 32)
      return try string(Array(pick(text.characters).joined()), isMarkup: text.isMarkup)
    default: return .undefined("'\(object.typeName)' object cannot be sliced")
    }
  }

  /// text[start:stop] in code points, without cutting the text into characters.
  private func substring(_ text: TemplateText, _ start: Int?, _ stop: Int?) throws -> TemplateValue {
    try scan(text.bytes.count)
    let bounds = sliceBounds(text.count, start, stop, 1)
    var bytes: [UInt8] = []
    var position = -1
    for byte in text.bytes {
      if byte & 0xC0 != 0x80 { position += 1 }
      if position >= bounds.end { break }
      if position >= bounds.start { bytes.append(byte) }
    }
    return try string(bytes, isMarkup: text.isMarkup)
  }

  /// Python's `slice.indices(count)`.
  private func sliceBounds(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> (start: Int, end: Int) {
    func clamp(_ index: Int?, _ fallback: Int) -> Int {
      guard var index else { return fallback }
      if index < 0 { index = index < -count ? (step < 0 ? -1 : 0) : index + count }
      return min(index, step < 0 ? count - 1 : count)
    }
    return (clamp(start, step < 0 ? count - 1 : 0), clamp(stop, step < 0 ? -1 : count))
  }

  private func sliceIndices(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> [Int] {
    let (first, end) = sliceBounds(count, start, stop, step)
    var position = first
    var indices: [Int] = []
    while step > 0 ? position < end : position > end {
      indices.append(position)
      let (following, overflow) = position.addingReportingOverflow(step)
      if overflow { break }
      position = following
    }
    return indices
  }

  // MARK: Attributes and items

  /// Methods that would change their object: the sandbox hides them.
  private static let unsafeMethods: [String: Set<String>] = [
    "list": ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
    "dict": ["clear", "pop", "popitem", "setdefault", "update"],
  ]

  private func unsafe(_ name: String, of object: TemplateValue) -> String {
    "access to attribute '\(DPOError.printable(name))' of '\(object.typeName)' object is unsafe."
  }

  private func method(_ name: String, of object: TemplateValue) -> TemplateValue? {
    if Self.unsafeMethods[object.typeName]?.contains(name) == true { return .undefined(unsafe(name, of: object)) }
    return hasMethod(name, object) ? .method(name, of: object) : nil
  }

  /// `object.name`: a method first, then a key, as jinja2 does.
  func attribute(_ name: String, of object: TemplateValue) throws -> TemplateValue {
    if case .undefined(let undefined) = object { throw fail(undefined.reason) }
    if name.hasPrefix("__"), name.hasSuffix("__") { throw fail(unsafe(name, of: object)) }
    switch object {
    case .namespace(let index):
      if let value = namespaces[index][name] { return value }
    case .loop(let index):
      if let value = try loopAttribute(name, index) { return value }
    case .macro(let index):
      if name == "name" { return .text(macros[index].macro.name) }
    default:
      if let method = method(name, of: object) { return method }
      if case .dictionary(let dictionary) = object, let value = dictionary[name] { return value }
    }
    return .undefined("'\(object.typeName) object' has no attribute '\(DPOError.printable(name))'")
  }

  /// `object[key]`: a key or index first, then a method.
  func item(_ key: TemplateValue, of object: TemplateValue) throws -> TemplateValue {
    switch object {
    case .undefined(let undefined): throw fail(undefined.reason)
    case .dictionary(let dictionary):
      if let hashed = try? hashed(key), let value = dictionary[hashed] { return value }
    case .list(let items), .tuple(let items):
      if let index = key.integer, let position = position(index, items.count) { return items.values[position] }
    case .range(let range):
      if let index = key.integer, let position = position(index, range.count) { return range[position] }
    case .string(let text):
      if let index = key.integer {
        try scan(text.bytes.count)
        if text.isASCII {
          if let position = position(index, text.bytes.count) { return .string(TemplateText([text.bytes[position]])) }
        } else {
          try charge(text.bytes.count)
          let characters = text.characters
          if let position = position(index, characters.count) { return .string(TemplateText(characters[position])) }
        }
      }
    default: break
    }
    guard case .string(let name) = key else {
      return .undefined(
        "\(object.typeName) object has no element \(DPOError.printable((try? representation(key).string) ?? ""))")
    }
    return try attribute(name.string, of: object)
  }

  private func position(_ index: Int, _ count: Int) -> Int? {
    if index >= 0 { return index < count ? index : nil }
    return index >= -count ? index + count : nil
  }

  private func loopAttribute(_ name: String, _ index: Int) throws -> TemplateValue? {
    guard index < loops.count else { throw fail("'loop' is used after its loop") }
    let loop = loops[index]
    switch name {
    case "index": return .int(loop.index + 1)
    case "index0": return .int(loop.index)
    case "revindex": return .int(loop.items.count - loop.index)
    case "revindex0": return .int(loop.items.count - loop.index - 1)
    case "first": return .bool(loop.index == 0)
    case "last": return .bool(loop.index == loop.items.count - 1)
    case "length": return .int(loop.items.count)
    case "depth": return .int(loop.depth + 1)
    case "depth0": return .int(loop.depth)
    case "previtem": return loop.index > 0 ? loop.items[loop.index - 1] : .undefined("there is no previous item")
    case "nextitem":
      return loop.index + 1 < loop.items.count ? loop.items[loop.index + 1] : .undefined("there is no next item")
    case "cycle", "changed": return .method(name, of: .loop(index))
    default: return nil
    }
  }

  /// What a `for` loop goes through.
  func elements(_ value: TemplateValue) throws -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .list(let items), .tuple(let items), .iterable(_, let items): return items.values
    case .dictionary(let dictionary):
      try charge(dictionary.count, times: MemoryLayout<TemplateValue>.stride)
      return dictionary.entries.map(\.key)
    case .range(let range):
      try charge(range.count, times: MemoryLayout<TemplateValue>.stride)
      return range.values
    case .string(let text):
      try charge(text.bytes.count, times: 64)
      return text.characters.map { .string(TemplateText($0)) }
    default: throw fail("'\(value.typeName)' object is not iterable")
    }
  }
}
