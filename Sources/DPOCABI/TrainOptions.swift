import CDPO
import DPO
import DPOBase

// Section 3 of dpo.h, first half: the option table as a struct.

func trainingOptions(_ options: UnsafePointer<dpo_train_options>?) throws -> TrainingOptions {
  try dpo_train_options.read(options, defaults: .defaults).trainingOptions()
}

extension OptionSetting {
  /// As a host assigns it: "max_length = 2048".
  var assignment: String { value.map { "\(option) = \($0)" } ?? option }
}

@_cdecl("dpo_train_options_init") @implementation
public func dpo_train_options_init(_ options: UnsafeMutablePointer<dpo_train_options>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_train_options.write(.defaults, to: options, size: struct_size) }
}

/// Made once, kept for the life of the program.
private nonisolated(unsafe) let description: UnsafePointer<CChar>? = {
  let fields = TrainingOptions.fields.map { field -> JSON in
    [
      "name": .string(field.name), "type": .string(field.kind.name), "default": field.defaultValue,
      "choices": .array(field.choices.map(JSON.string)), "help": .string(field.help),
    ]
  }
  return UnsafePointer(try? copiedText(JSON.array(fields).description).text)
}()

@_cdecl("dpo_train_options_describe") @implementation
public func dpo_train_options_describe() -> UnsafePointer<CChar>? { description ?? staticText("[]") }
