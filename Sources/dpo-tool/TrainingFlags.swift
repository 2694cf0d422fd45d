import ArgumentParser
import DPO

extension TrainingFlags {
  /// Whether --method was given.
  var namesMethod: Bool { given.contains { $0.0 == "method" } }

  /// - Parameter config: what stands in a file, which flags override.
  func options(over config: [(name: String, value: JSON)] = []) throws -> TrainingOptions {
    var options = TrainingOptions()
    for (name, value) in config + given { try options.set(name, to: value) }
    let threads = ThreadTeam.useful(options.machine.threads)
    if threads < options.machine.threads {
      Terminal.tell(
        "\(options.machine.threads) threads are asked for; this process may use \(threads) "
          + "\(threads == 1 ? "processor" : "processors"), and so many threads compute")
    }
    return options
  }
}

/// Takes a name that is one of these.
func oneOf(_ names: [String]) -> @Sendable (String) throws -> String {
  { text in
    guard names.contains(text) else {
      throw ValidationError("\(text) is unknown, expected one of \(names.joined(separator: ", "))")
    }
    return text
  }
}

/// Reads a flag's text as the option's kind; "none" unsets an option that may be unset.
func optionValue(_ name: String) -> @Sendable (String) throws -> JSON {
  { text in
    guard let field = TrainingOptions.field(name) else { throw DPOError.argument("there is no option \(name)") }
    do {
      let value = try field.kind.value(of: text, name)
      var scratch = TrainingOptions()
      try scratch.set(name, to: value)
      return value
    } catch let error as DPOError {
      throw ValidationError(error.message)
    }
  }
}
