import DPOBase

/// One row of the option table. `options/*.toml` are its source.
public struct OptionField: Sendable {
  /// What a value is.
  public enum Kind: Sendable, Equatable {
    /// True or false.
    case bool
    /// A whole number.
    case int
    /// A number.
    case real
    /// A text, or one of `choices`.
    case string
    /// A list of texts, each one of `choices` where there are any.
    case strings
    /// A list of numbers.
    case reals

    /// As descriptions of the table call it.
    package var name: String {
      switch self {
      case .bool: "bool"
      case .int: "int"
      case .real: "float"
      case .string: "string"
      case .strings: "strings"
      case .reals: "floats"
      }
    }

    /// The value that a text stands for: of a number "none" is null, items of a list are joined by commas.
    package func value(of text: String, _ name: String) throws -> JSON {
      func number(_ value: JSON?, _ expected: String) throws -> JSON {
        guard let value else {
          throw DPOError.argument("\(name) is \(DPOError.printable(text)), expected \(expected)")
        }
        return value
      }
      switch self {
      case .bool:
        return switch text {
        case "true", "1", "yes", "on": true
        case "false", "0", "no", "off": false
        default: try number(nil, "true or false")
        }
      case .int: return try number(text == "none" ? .null : Int(text).map(JSON.int), "a whole number")
      case .real: return try number(text == "none" ? .null : Double(text).map(JSON.real), "a number")
      case .string: return .string(text)
      case .strings: return .array(try OptionField.items(of: text, name).map(JSON.string))
      case .reals:
        return .array(
          try OptionField.items(of: text, name).map { item in
            guard let number = Double(item) else {
              throw DPOError.argument("\(name) is \(DPOError.printable(text)), expected numbers joined by commas")
            }
            return .real(number)
          })
      }
    }
  }

  /// What an option is about: the headings of a surface's help and of docs/options.md.
  public enum Group: String, Sendable, CaseIterable {
    /// Method and loss.
    case method
    /// The reference model.
    case reference
    /// Rollouts: methods that learn from the policy's own answers.
    case rollout
    /// The optimiser and the learning rate's schedule.
    case optimization
    /// What a step learns from, and how many steps there are.
    case batches
    /// How rows are cut.
    case rows
    /// The adapter that is trained instead of every weight.
    case lora
    /// When a run evaluates, and what it writes.
    case files
    /// How the run uses the machine.
    case machine
  }

  /// What may become of an option when a run goes on.
  public enum OnResume: Sendable {
    /// Another value makes it another run, and is refused.
    case fixed
    /// Another value is allowed and told: the run no longer ends as the first one would have.
    case noted
    /// Changes no number that the run computes.
    case free
  }

  /// Another option without which one is not read.
  struct Need: Sendable {
    let option: String
    /// Its values that read the one; none of a switch.
    let values: [String]
    /// The same of methods that have others.
    let ofMethods: [String: [String]]

    init(_ option: String, _ values: [String] = [], of methods: [String: [String]] = [:]) {
      (self.option, self.values, ofMethods) = (option, values, methods)
    }

    /// What some options lack, in words; nil: nothing.
    func lacking(in options: TrainingOptions) -> String? {
      let value = TrainingOptions.field(option)?.value(in: options) ?? .null
      if values.isEmpty { return value == true ? nil : option }
      let known = ofMethods[options.method.name] ?? values
      let chosen = value.array ?? [value]
      return chosen.contains { known.contains($0.string ?? "") } ? nil : "\(option) \(known.joined(separator: " or "))"
    }
  }

  /// What a row says of its option beside name, type and value.
  struct About: Sendable {
    let group: Group
    let methods: [String]
    let onResume: OnResume
    let needs: Need?
    let unset: String
    let range: String
    let source: String
    let help: String

    init(
      _ group: Group, methods: [String] = [], onResume: OnResume = .fixed, needs: Need? = nil, unset: String = "",
      range: String = "", source: String = "", _ help: String
    ) {
      (self.group, self.methods, self.onResume, self.needs) = (group, methods, onResume, needs)
      (self.unset, self.range, self.source, self.help) = (unset, range, source, help)
    }
  }

  /// As in the table, in C and in Python.
  public let name: String
  /// What its values are.
  public let kind: Kind
  /// Values a `string` or `strings` may take; empty when any will do.
  public let choices: [String]
  let about: About
  fileprivate let read: @Sendable (TrainingOptions) -> JSON
  fileprivate let write: @Sendable (inout TrainingOptions, JSON) throws -> Void

  /// What it is about.
  public var group: Group { about.group }
  /// Methods that have the option; empty: all.
  public var methods: [String] { about.methods }
  /// What may become of the option when a run is resumed.
  public var onResume: OnResume { about.onResume }
  /// What an option that is not set means; empty where it always has a value.
  public var unset: String { about.unset }
  /// In words; empty: any value.
  public var range: String { about.range }
  /// Paper and equation, or the option's name elsewhere.
  public var source: String { about.source }
  /// What the option does, with its unit.
  public var help: String { about.help }

  /// The value that an option has where nobody sets it; null: decided when the run starts, as `unset` tells.
  public var defaultValue: JSON { read(TrainingOptions()) }

  /// The option's value in some options.
  public func value(in options: TrainingOptions) -> JSON { read(options) }

  /// The items of a list as text: joined by commas, with blanks around them or not.
  ///
  /// - Throws: `.invalidArgument` where nothing stands between two commas.
  package static func items(of text: String, _ name: String) throws -> [String] {
    guard text.contains(where: { $0 != " " }) else { return [] }
    return try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      let item = part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
      guard !item.isEmpty else {
        throw DPOError.argument("\(name) is \(DPOError.printable(text)): nothing stands between two commas")
      }
      return String(item)
    }
  }

  /// Whether a method has the option.
  public func belongs(to method: String) -> Bool { methods.isEmpty || methods.contains(method) }
}

extension TrainingOptions {
  /// The row of an option; nil where there is none of that name.
  public static func field(_ name: String) -> OptionField? { fieldsByName[name] }

  private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })

  /// Sets an option by its name in the table.
  ///
  /// - Throws: `.invalidArgument` when there is no such option, or the value is of another kind or out of range.
  public mutating func set(_ name: String, to value: JSON) throws {
    guard let field = TrainingOptions.field(name) else { throw DPOError.argument("there is no option \(name)") }
    try field.write(&self, value)
  }

  /// Throws `.invalidArgument` for a value out of range, for options that do not go together, and for those that the run
  /// would not read: who sets one expects another run than the one that would follow.
  public func validate() throws {
    for field in TrainingOptions.fields {
      let value = field.value(in: self)
      var scratch = self
      try field.write(&scratch, value)
      guard field.belongs(to: method.name) || value == field.defaultValue else {
        throw DPOError.argument(
          "\(field.name) is \(value), but method \(method.name) has no such option; "
            + "it is one of \(field.methods.joined(separator: ", "))")
      }
      if value != field.defaultValue, let lacking = field.about.needs?.lacking(in: self) {
        throw DPOError.argument("\(field.name) needs \(lacking)")
      }
    }
  }

  /// All options by name.
  public var json: JSON {
    var object = JSONObject()
    for field in TrainingOptions.fields { object[field.name] = field.value(in: self) }
    return .object(object)
  }

  /// Reads what `json` gives. `file` names it in errors.
  public init(json: JSON, file: String) throws {
    self.init()
    for (name, value) in json.object?.members ?? [] {
      do { try set(name, to: value) } catch let error as DPOError { throw DPOError.format(file, error.message) }
    }
  }
}

// MARK: - Building rows of the table

extension OptionField {
  typealias Path<Value> = WritableKeyPath<TrainingOptions, Value> & Sendable

  /// The largest whole number of an option: it is an int32_t in C.
  static let most = Int(Int32.max)
  static let any = Double.greatestFiniteMagnitude

  private init(
    _ name: String, _ kind: Kind, choices: [String] = [], _ about: About,
    read: @escaping @Sendable (TrainingOptions) -> JSON,
    write: @escaping @Sendable (inout TrainingOptions, JSON) throws -> Void
  ) {
    (self.name, self.kind, self.choices, self.about) = (name, kind, choices, about)
    (self.read, self.write) = (read, write)
  }

  static func bool(_ name: String, _ path: Path<Bool>, _ about: About) -> OptionField {
    OptionField(
      name, .bool, about,
      read: { .bool($0[keyPath: path]) },
      write: { options, value in
        options[keyPath: path] = try flag(value, name)
      })
  }

  static func int(_ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>, _ about: About) -> OptionField {
    OptionField(
      name, .int, about,
      read: { .int($0[keyPath: path]) },
      write: { $0[keyPath: path] = try checked(name, $1, range) })
  }

  static func optionalInt(
    _ name: String, _ path: Path<Int?>, _ range: ClosedRange<Int>, _ about: About
  ) -> OptionField {
    OptionField(
      name, .int, about,
      read: { $0[keyPath: path].map(JSON.int) ?? .null },
      write: { $0[keyPath: path] = $1.isNull ? nil : try checked(name, $1, range) })
  }

  static func real(
    _ name: String, _ path: Path<Double>, _ range: ClosedRange<Double>, open: Bool = false, _ about: About
  ) -> OptionField {
    OptionField(
      name, .real, about,
      read: { .real($0[keyPath: path]) },
      write: { $0[keyPath: path] = try checked(name, $1, range, open: open) })
  }

  static func optionalReal(
    _ name: String, _ path: Path<Double?>, _ range: ClosedRange<Double>, _ about: About
  ) -> OptionField {
    OptionField(
      name, .real, about,
      read: { $0[keyPath: path].map(JSON.real) ?? .null },
      write: { $0[keyPath: path] = $1.isNull ? nil : try checked(name, $1, range, open: false) })
  }

  static func name(_ name: String, _ path: Path<String>, _ choices: [String], _ about: About) -> OptionField {
    OptionField(
      name, .string, choices: choices, about,
      read: { .string($0[keyPath: path]) },
      write: { $0[keyPath: path] = try checked(name, $1, choices) })
  }

  /// A directory, or nothing.
  static func optionalName(
    _ name: String, _ path: Path<String?>, _ choices: [String], _ about: About
  ) -> OptionField {
    OptionField(
      name, .string, choices: choices, about,
      read: { $0[keyPath: path].map(JSON.string) ?? .null },
      write: { options, value in
        guard value.isNull || value.string != nil else {
          throw DPOError.argument("\(name) is \(value.kind), expected a text")
        }
        options[keyPath: path] = value.string == "none" ? nil : value.string
      })
  }

  static func choice<Value: RawRepresentable<String> & SendableMetatype>(
    _ name: String, _ path: Path<Value>, _ choices: [String], _ about: About
  ) -> OptionField {
    OptionField(
      name, .string, choices: choices, about,
      read: { .string($0[keyPath: path].rawValue) },
      write: { options, value in
        guard let choice = Value(rawValue: try checked(name, value, choices)) else {
          throw DPOError(.internal, "\(name): \(value) stands in the option table, but is not served")
        }
        options[keyPath: path] = choice
      })
  }

  static func names(_ name: String, _ path: Path<[String]>, _ choices: [String], _ about: About) -> OptionField {
    OptionField(
      name, .strings, choices: choices, about,
      read: { .array($0[keyPath: path].map(JSON.string)) },
      write: { options, value in
        let items = try strings(value, name)
        for item in items where !choices.isEmpty && !choices.contains(item) {
          throw DPOError.argument("\(name) is \(item), expected one of \(choices.joined(separator: ", "))")
        }
        options[keyPath: path] = items
      })
  }

  static func reals(_ name: String, _ path: Path<[Double]>, _ about: About) -> OptionField {
    OptionField(
      name, .reals, about,
      read: { .array($0[keyPath: path].map(JSON.real)) },
      write: { options, value in
        options[keyPath: path] = try reals(value, name)
      })
  }

  // MARK: - Values of a kind, also for the structs of the C interface

  package static func flag(_ value: JSON, _ name: String) throws -> Bool {
    guard let flag = value.bool else { throw DPOError.argument("\(name) is \(value.kind), expected true or false") }
    return flag
  }

  package static func whole(_ value: JSON, _ name: String) throws -> Int {
    guard let number = value.int else { throw DPOError.argument("\(name) is \(value.kind), expected a whole number") }
    return number
  }

  /// One string is a list of it.
  package static func strings(_ value: JSON, _ name: String) throws -> [String] {
    let items = value.string.map { [$0] } ?? value.array?.compactMap(\.string) ?? []
    guard value.string != nil || items.count == value.array?.count else {
      throw DPOError.argument("\(name) is \(value.kind), expected a list of strings")
    }
    return items
  }

  package static func reals(_ value: JSON, _ name: String) throws -> [Double] {
    let items = value.array?.compactMap(\.double) ?? []
    guard let array = value.array, items.count == array.count, items.allSatisfy(\.isFinite) else {
      throw DPOError.argument("\(name) is \(value.kind), expected a list of finite numbers")
    }
    return items
  }

  private static func checked(_ name: String, _ value: JSON, _ choices: [String]) throws -> String {
    guard let text = value.string, choices.isEmpty || choices.contains(text) else {
      let expected = choices.isEmpty ? "a text" : "one of \(choices.joined(separator: ", "))"
      throw DPOError.argument("\(name) is \(value.string ?? value.kind), expected \(expected)")
    }
    return text
  }

  private static func checked(_ name: String, _ value: JSON, _ range: ClosedRange<Int>) throws -> Int {
    let number = try whole(value, name)
    guard range.contains(number) else {
      let upper = range.upperBound == most ? "" : " to \(range.upperBound)"
      throw DPOError.argument("\(name) is \(number), expected \(range.lowerBound)\(upper.isEmpty ? " or more" : upper)")
    }
    return number
  }

  private static func checked(_ name: String, _ value: JSON, _ range: ClosedRange<Double>, open: Bool) throws -> Double
  {
    guard let number = value.double else { throw DPOError.argument("\(name) is \(value.kind), expected a number") }
    guard number.isFinite, range.contains(number), !(open && number == range.lowerBound) else {
      let above = open ? "more than \(range.lowerBound)" : "at least \(range.lowerBound)"
      let bounds = range.upperBound == .greatestFiniteMagnitude ? above : "\(above) and at most \(range.upperBound)"
      throw DPOError.argument("\(name) is \(number), expected \(bounds)")
    }
    return number
  }
}
