import DPOBase

/// An option as a message names it, by its name in the table. Who shows the message spells it as its users write options.
public struct OptionSetting: Sendable, Equatable, CustomStringConvertible {
  /// Its name in the table.
  public let option: String
  /// nil: which value is for the user to find.
  public let value: JSON?

  /// Names an option, with or without a value to give it.
  public init(_ option: String, _ value: JSON? = nil) {
    self.option = option
    self.value = value
  }

  /// The value without the marks of any language: lists joined by commas, 5e-7 rather than 5e-07.
  public var valueText: String? { value.map(Self.text) }

  /// "max_length 2048"
  public var description: String { valueText.map { "\(option) \($0)" } ?? option }

  private static func text(_ value: JSON) -> String {
    switch value {
    case .string(let text): text
    case .real(let number): ReportText.setting(number)
    case .array(let items): items.map(text).joined(separator: ",")
    default: value.description
    }
  }
}
