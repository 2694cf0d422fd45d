import CDPO
import CHandles
import DPO
import DPOBase
import DPOPlatform

// Section 0 of dpo.h: structs of options whose fields are set by name.

/// Where the texts and arrays of a struct of options lie.
final class OptionMemory {
  private var blocks: [UnsafeMutableRawPointer] = []

  deinit { blocks.forEach { $0.deallocate() } }

  func array<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element>? {
    guard !elements.isEmpty else { return nil }
    let memory = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
    _ = memory.initialize(from: elements)
    guard let base = memory.baseAddress else { return nil }
    blocks.append(UnsafeMutableRawPointer(base))
    return UnsafePointer(base)
  }

  func text(_ text: String) -> UnsafePointer<CChar>? { array(Array(text.utf8CString)) }
}

/// A field of a struct of options: what it may hold, and how it is read and written.
struct NamedField<Struct> {
  typealias Path<Value> = WritableKeyPath<Struct, Value>

  let name: String
  let kind: OptionField.Kind
  let choices: [String]
  /// Whether it may have no value. Elsewhere null stands for the default.
  let takesNull: Bool
  let help: String
  let read: (Struct) -> JSON
  let write: (inout Struct, JSON, OptionMemory) throws -> Void

  init(
    _ name: String, _ kind: OptionField.Kind, choices: [String] = [], takesNull: Bool = false, _ help: String,
    read: @escaping (Struct) -> JSON, write: @escaping (inout Struct, JSON, OptionMemory) throws -> Void
  ) {
    (self.name, self.kind, self.choices, self.takesNull, self.help) = (name, kind, choices, takesNull, help)
    (self.read, self.write) = (read, write)
  }

  static func bool(_ name: String, _ path: Path<Int32>, _ help: String) -> Self {
    Self(
      name, .bool, help,
      read: { .bool($0[keyPath: path] != 0) },
      write: { values, value, _ in
        values[keyPath: path] = try OptionField.flag(value, name) ? 1 : 0
      })
  }

  /// `unset`: what stands for null.
  static func int<Value: FixedWidthInteger>(
    _ name: String, _ path: Path<Value>, unset: Value? = nil, _ help: String
  ) -> Self {
    Self(
      name, .int, takesNull: unset != nil, help,
      read: { values in
        let number = values[keyPath: path]
        return number == unset ? .null : Int(exactly: number).map(JSON.int) ?? .null
      },
      write: { values, value, _ in
        if let unset, value.isNull {
          values[keyPath: path] = unset
          return
        }
        let number = try OptionField.whole(value, name)
        guard let number = Value(exactly: number) else {
          throw DPOError.argument("\(name) is \(number), expected \(Value.min) to \(Value.max)")
        }
        values[keyPath: path] = number
      })
  }

  static func real(_ name: String, _ path: Path<Double>, unset: Double? = nil, _ help: String) -> Self {
    Self(
      name, .real, takesNull: unset != nil, help,
      read: { values in
        let number = values[keyPath: path]
        return number.isNaN || number == unset ? .null : .real(number)
      },
      write: { values, value, _ in
        if let unset, value.isNull {
          values[keyPath: path] = unset
          return
        }
        guard let number = value.double, number.isFinite else {
          throw DPOError.argument("\(name) is \(value.kind), expected a finite number")
        }
        values[keyPath: path] = number
      })
  }

  static func text(
    _ name: String, _ path: Path<UnsafePointer<CChar>?>, choices: [String] = [], _ help: String
  ) -> Self {
    Self(
      name, .string, choices: choices, help,
      read: { $0[keyPath: path].map { .string(String(cString: $0)) } ?? .null },
      write: { values, value, memory in
        guard let text = value.string, !text.utf8.contains(0) else {
          throw DPOError.argument("\(name) is \(value.kind), expected a text without NUL")
        }
        guard choices.isEmpty || choices.contains(text) else {
          throw DPOError.argument(
            "\(name) is \(DPOError.printable(text)), expected one of \(choices.joined(separator: ", "))")
        }
        values[keyPath: path] = memory.text(text)
      })
  }

  /// Names that the struct has joined by commas.
  static func names(
    _ name: String, _ path: Path<UnsafePointer<CChar>?>, choices: [String] = [], _ help: String
  ) -> Self {
    Self(
      name, .strings, choices: choices, help,
      read: { values in
        let text = values[keyPath: path].map { String(cString: $0) } ?? ""
        return .array((try? OptionField.items(of: text, name))?.map(JSON.string) ?? [])
      },
      write: { values, value, memory in
        let items = try OptionField.strings(value, name)
        for item in items where item.utf8.contains(UInt8(ascii: ",")) || item.utf8.contains(0) {
          throw DPOError.argument("\(name) is \(DPOError.printable(item)), expected a name without a comma")
        }
        values[keyPath: path] = memory.text(items.joined(separator: ","))
      })
  }

  static func texts(
    _ name: String, _ path: Path<UnsafePointer<UnsafePointer<CChar>?>?>, count: Path<Int>, _ help: String
  ) -> Self {
    Self(
      name, .strings, help,
      read: { values in
        .array(
          (0..<values[keyPath: count]).map { index in
            values[keyPath: path]?[index].map { .string(String(cString: $0)) } ?? .null
          })
      },
      write: { values, value, memory in
        let items = try OptionField.strings(value, name)
        values[keyPath: path] = memory.array(items.map(memory.text))
        values[keyPath: count] = items.count
      })
  }

  /// `beside`: the field whose list has the same length.
  static func reals(
    _ name: String, _ path: Path<UnsafePointer<Double>?>, count: Path<Int>, beside other: String? = nil, _ help: String
  ) -> Self {
    Self(
      name, .reals, help,
      read: { values in
        guard let numbers = values[keyPath: path] else { return [] }
        return .array((0..<values[keyPath: count]).map { .real(numbers[$0]) })
      },
      write: { values, value, memory in
        let items = try OptionField.reals(value, name)
        if let other, !items.isEmpty, items.count != values[keyPath: count] {
          throw DPOError.argument("\(name) is \(value), expected a number for each of the \(other)")
        }
        values[keyPath: path] = memory.array(items)
        if other == nil { values[keyPath: count] = items.count }
      })
  }

  /// A name for which the struct has a number.
  static func number<Value: NumberedName>(
    _ name: String, _ path: Path<Int32>, of _: Value.Type, _ help: String
  ) -> Self {
    Self(
      name, .string, choices: Value.allCases.map(\.rawValue), help,
      read: { .string(Value(number: $0[keyPath: path])?.rawValue ?? "") },
      write: { values, value, _ in values[keyPath: path] = try Value.named(value.string ?? value.description, name) })
  }

  /// Names for which the struct has numbers; NULL stands for `none`.
  static func numbers<Value: NumberedName>(
    _ name: String, _ path: Path<UnsafePointer<Int32>?>, count: Path<Int>, none: [Value], of _: Value.Type,
    _ help: String
  ) -> Self {
    Self(
      name, .strings, choices: Value.allCases.map(\.rawValue), help,
      read: { values in
        let found = values[keyPath: path].map { numbers in
          (0..<values[keyPath: count]).map { Value(number: numbers[$0])?.rawValue ?? "" }
        }
        return .array((found ?? none.map(\.rawValue)).map(JSON.string))
      },
      write: { values, value, memory in
        let numbers = try OptionField.strings(value, name).map { try Value.named($0, name) }
        values[keyPath: path] = memory.array(numbers)
        values[keyPath: count] = numbers.count
      })
  }
}

/// Names that are numbers of an enum in dpo.h.
protocol NumberedName: RawRepresentable<String>, CaseIterable {
  var number: Int32 { get }
}

extension NumberedName {
  init?(number: Int32) {
    guard let value = Self.allCases.first(where: { $0.number == number }) else { return nil }
    self = value
  }

  /// The number of a name.
  fileprivate static func named(_ text: String, _ option: String) throws -> Int32 {
    guard let value = Self(rawValue: text) else {
      let known = allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError.argument("\(option): \(DPOError.printable(text)) is unknown, expected one of \(known)")
    }
    return value.number
  }
}

extension LossType: NumberedName {}
extension FDivergence: NumberedName {}

/// A struct of options with its fields by name.
protocol NamedStruct: SizedStruct {
  static var fields: [NamedField<Self>] { get }
  /// Throws for a value out of range.
  func check() throws
}

/// A struct of options, and what its fields point to.
protocol NamedOptions: AnyObject {
  /// The struct; valid until the next `set`.
  var values: UnsafeRawPointer { get }
  /// Sets what the members name, all or nothing. A member without a value: its default.
  func set(_ members: [(name: String, value: JSON?)]) throws
  /// The value that a text stands for.
  func value(of text: String, for name: String) throws -> JSON
  /// The fields with their values.
  var description: [JSON] { get }
}

/// What a dpo_options stands for.
final class OptionsBox {
  let options: any NamedOptions

  /// A struct of size 0, which every function refuses.
  nonisolated(unsafe) static let none: UnsafeMutablePointer<Int> = {
    let none = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    none.initialize(to: 0)
    return none
  }()

  /// Those of a kind of dpo.h.
  init(_ kind: String) throws {
    options =
      switch kind {
      case "training": OptionsOf(dpo_train_options.defaults)
      case "feedback_training": OptionsOf(dpo_train_options.feedbackDefaults)
      case "generation": OptionsOf(dpo_generation_options.defaults)
      case "feedback": FeedbackOptionsByName()
      case "tokenizer": OptionsOf(dpo_tokenizer_options.defaults)
      case "shape": OptionsOf(dpo_model_shape.defaults)
      case "export": OptionsOf(dpo_export_options.defaults)
      case "loss": OptionsOf(dpo_loss_options.defaults)
      case "ppo": OptionsOf(dpo_ppo_options.defaults)
      default:
        throw DPOError.argument(
          "kind is \(DPOError.printable(kind)), expected one of training, feedback_training, generation, feedback, "
            + "tokenizer, shape, export, loss, ppo")
      }
  }
}

private class OptionsOf<Struct: NamedStruct>: NamedOptions {
  private let defaults: Struct
  private let fields = Struct.fields
  private var given: [String: JSON] = [:]
  private let current: UnsafeMutablePointer<Struct>
  private var memory = OptionMemory()

  init(_ defaults: Struct) {
    self.defaults = defaults
    current = .allocate(capacity: 1)
    current.initialize(to: defaults)
  }

  deinit { current.deallocate() }

  var values: UnsafeRawPointer { UnsafeRawPointer(current) }

  fileprivate func field(_ name: String) throws -> NamedField<Struct> {
    guard let field = fields.first(where: { $0.name == name }) else {
      throw DPOError.argument(
        "\(Struct.name) has no option \(DPOError.printable(name)), expected one of "
          + fields.map(\.name).joined(separator: ", "))
    }
    return field
  }

  /// What makes the options those with `members`; nothing is changed before it is called.
  fileprivate func setting(_ members: [(name: String, value: JSON?)]) throws -> () -> Void {
    var given = given
    for (name, value) in members {
      let field = try field(name)
      given[name] = value == .null && !field.takesNull ? nil : value
    }
    let (memory, values) = (OptionMemory(), UnsafeMutablePointer<Struct>.allocate(capacity: 1))
    values.initialize(to: defaults)
    defer { values.deallocate() }
    for field in fields {
      if let value = given[field.name] { try field.write(&values.pointee, value, memory) }
    }
    try values.pointee.check()
    let struct_ = values.pointee
    return { [self] in
      current.pointee = struct_
      (self.memory, self.given) = (memory, given)
    }
  }

  func set(_ members: [(name: String, value: JSON?)]) throws { try setting(members)() }

  func value(of text: String, for name: String) throws -> JSON {
    try field(name).kind.value(of: text, name)
  }

  var description: [JSON] {
    fields.map { field in
      [
        "name": .string(field.name), "type": .string(field.kind.name), "default": field.read(defaults),
        "value": field.read(current.pointee), "choices": .array(field.choices.map(JSON.string)),
        "help": .string(field.help),
      ]
    }
  }

  /// Points to options of another struct, which live as long as these.
  fileprivate func point(
    _ path: WritableKeyPath<Struct, UnsafePointer<dpo_train_options>?>, to options: any NamedOptions
  ) {
    current.pointee[keyPath: path] = options.values.assumingMemoryBound(to: dpo_train_options.self)
  }
}

/// Options of feedback with those of its runs under "training": as an object, or as "training.lora_r".
private final class FeedbackOptionsByName: OptionsOf<dpo_feedback_options> {
  private let training = OptionsOf(dpo_train_options.feedbackDefaults)

  init() {
    super.init(.defaults)
    point(\.training, to: training)
  }

  private func ofTraining(_ name: String) -> String? {
    name.hasPrefix("training.") ? String(name.dropFirst("training.".count)) : nil
  }

  override func set(_ members: [(name: String, value: JSON?)]) throws {
    var own: [(name: String, value: JSON?)] = []
    var inner: [(name: String, value: JSON?)] = []
    for (name, value) in members {
      if let name = ofTraining(name) {
        inner.append((name, value))
      } else if name == "training" {
        guard let object = value?.object else {
          throw DPOError.argument("training is \(value?.kind ?? "NULL"), expected an object of training options")
        }
        inner += object.members.map { ($0.key, $0.value) }
      } else {
        own.append((name, value))
      }
    }
    let (setOwn, setInner) = (try setting(own), try training.setting(inner))
    setOwn()
    setInner()
    point(\.training, to: training)
  }

  override func value(of text: String, for name: String) throws -> JSON {
    if let name = ofTraining(name) { return try training.value(of: text, for: name) }
    return try super.value(of: text, for: name)
  }

  override var description: [JSON] {
    super.description
      + training.description.map { option in
        guard var fields = option.object else { return option }
        fields["name"] = .string("training." + (fields["name"]?.string ?? ""))
        return .object(fields)
      }
  }
}

extension HandleKind where Object == OptionsBox {
  static var options: HandleKind { HandleKind(code: 7, name: "options") }
}

@_cdecl("dpo_options_create") @implementation
public func dpo_options_create(
  _ kind: UnsafePointer<CChar>?, _ options: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let options = try required(options, "options")
    options.pointee = try HandleKind.options.make(OptionsBox(text(kind, "kind")))
  }
}

@_cdecl("dpo_options_set") @implementation
public func dpo_options_set(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?
) -> Int32 {
  withStatus(options) {
    let name = try text(name, "name")
    let value = try optionalText(value, "value")
    try HandleKind.options.use(options) { box in
      try box.options.set([(name, try value.map { try box.options.value(of: $0, for: name) })])
    }
  }
}

@_cdecl("dpo_options_set_json") @implementation
public func dpo_options_set_json(_ options: OpaquePointer?, _ json: UnsafePointer<CChar>?) -> Int32 {
  withStatus(options) {
    guard let members = try JSON.parse(text(json, "json"), file: "json").object?.members else {
      throw DPOError.format("json", "expected an object of options")
    }
    try HandleKind.options.use(options) { try $0.options.set(members.map { ($0.key, $0.value) }) }
  }
}

@_cdecl("dpo_options_describe") @implementation
public func dpo_options_describe(
  _ options: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus(options) {
    let json = try required(json, "json")
    json.pointee = try HandleKind.options.use(options) {
      try copiedText(JSON.array($0.options.description).description).text
    }
  }
}

@_cdecl("dpo_options_struct") @implementation
public func dpo_options_struct(_ options: OpaquePointer?) -> UnsafeRawPointer? {
  var values: UnsafeRawPointer?
  _ = withStatus(options) { values = try HandleKind.options.use(options) { $0.options.values } }
  return values ?? UnsafeRawPointer(OptionsBox.none)
}

@_cdecl("dpo_options_release") @implementation
public func dpo_options_release(_ options: OpaquePointer?) { HandleKind.options.release(options) }
