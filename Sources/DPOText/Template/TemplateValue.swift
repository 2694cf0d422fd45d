import DPOBase

/// What an expression evaluates to. Lists and dictionaries are values: the sandbox that transformers uses forbids to
/// change them, so nothing can observe the difference. What does have identity (namespaces, macros, loops) is an index into
/// tables of the evaluator, which makes reference cycles impossible.
enum TemplateValue: Sendable {
  case undefined(TemplateUndefined)
  case none
  case bool(Bool)
  case int(Int)
  case real(Double)
  case string(TemplateText)
  case list(TemplateItems)
  case tuple(TemplateItems)
  case dictionary(TemplateDictionary)
  /// Iterators and views: iterable, not indexable.
  case iterable(Iterable, TemplateItems)
  case range(TemplateRange)
  case namespace(Int)
  case macro(Int)
  case loop(Int)
  case function(TemplateFunction)
  indirect case method(String, of: TemplateValue)

  enum Iterable: String, Sendable {
    case generator
    case keys = "dict_keys"
    case values = "dict_values"
    case items = "dict_items"
  }
}

/// Elements of a list, with the levels of containers below it (1: none): freeing and walking values recurse, so the
/// evaluator bounds the depth when it makes one.
struct TemplateItems: Sendable {
  let values: [TemplateValue]
  let depth: Int

  init(_ values: [TemplateValue]) {
    self.values = values
    var depth = 0
    for value in values { depth = max(depth, value.depth) }
    self.depth = depth + 1
  }
  var count: Int { values.count }
  var isEmpty: Bool { values.isEmpty }
}

/// Why there is no value: told when something is done with it.
final class TemplateUndefined: Sendable {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

enum TemplateFunction: String, Sendable, CaseIterable {
  case raiseException = "raise_exception"
  case strftimeNow = "strftime_now"
  case range, namespace
  case dictionary = "dict"
}

final class TemplateRange: Sendable {
  let start: Int
  let step: Int
  let count: Int

  init(start: Int, step: Int, count: Int) {
    self.start = start
    self.step = step
    self.count = count
  }
  /// Element `index`, which must be in 0..<count; the initialiser's caller has checked that none overflows.
  subscript(index: Int) -> TemplateValue { .int(start &+ index &* step) }
  var values: [TemplateValue] { (0..<count).map { self[$0] } }
}

/// A dictionary in order of insertion, with Python's key equality (1 == 1.0 == True).
struct TemplateDictionary: Sendable {
  enum Key: Hashable, Sendable {
    case none
    case int(Int)
    case real(Double)
    case string([UInt8])
    indirect case tuple([Key])
  }

  private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []
  private var index: [Key: Int] = [:]

  private(set) var depth = 1

  var count: Int { entries.count }

  init() {}

  subscript(key: Key) -> TemplateValue? { index[key].map { entries[$0].value } }
  subscript(text: TemplateText) -> TemplateValue? { self[.string(text.bytes)] }
  subscript(text: String) -> TemplateValue? { self[.string(Array(text.utf8))] }

  mutating func set(_ key: TemplateValue, hashed: Key, _ value: TemplateValue) {
    depth = max(depth, value.depth + 1, key.depth + 1)
    if let position = index[hashed] {
      entries[position].value = value
    } else {
      index[hashed] = entries.count
      entries.append((key, value))
    }
  }
  mutating func set(_ name: String, _ value: TemplateValue) {
    let text = TemplateText(name)
    set(.string(text), hashed: .string(text.bytes), value)
  }
}

extension TemplateValue {
  init(_ json: JSON) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .real(let value): self = .real(value)
    case .string(let value): self = .string(TemplateText(value))
    case .array(let items): self = .list(TemplateItems(items.map { TemplateValue($0) }))
    case .object(let object):
      var dictionary = TemplateDictionary()
      for (key, value) in object.members { dictionary.set(key, TemplateValue(value)) }
      self = .dictionary(dictionary)
    }
  }

  static func text(_ text: String) -> TemplateValue { .string(TemplateText(text)) }
  static func undefined(_ reason: String) -> TemplateValue { .undefined(TemplateUndefined(reason)) }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var isNone: Bool { if case .none = self { true } else { false } }

  /// Levels of containers, 0 for a plain value.
  var depth: Int {
    switch self {
    case .list(let items), .tuple(let items), .iterable(_, let items): items.depth
    case .dictionary(let dictionary): dictionary.depth
    case .method(_, let receiver): receiver.depth + 1
    default: 0
    }
  }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .real(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items), .tuple(let items): !items.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .iterable(let kind, let items): kind == .generator || !items.isEmpty
    case .range(let range): range.count > 0
    case .namespace, .macro, .loop, .function, .method: true
    }
  }

  /// An integer or a boolean, which Python counts among them.
  var integer: Int? {
    switch self {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  var number: Double? {
    if case .real(let value) = self { value } else { integer.map(Double.init) }
  }

  /// The type's name in messages, as Python has it.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .int: "int"
    case .real: "float"
    case .string: "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .iterable(let kind, _): kind.rawValue
    case .range: "range"
    case .namespace: "Namespace"
    case .macro: "Macro"
    case .loop: "LoopContext"
    case .function, .method: "function"
    }
  }
}
