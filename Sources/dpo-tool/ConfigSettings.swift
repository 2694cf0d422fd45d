import ArgumentParser
import DPO

/// What a `--config` file says: values of the command's own flags, and of the option table.
struct ConfigSettings {
  /// By the names of `Train`'s flags.
  private(set) var flags: [String: [String]] = [:]
  private(set) var options: [(name: String, value: JSON)] = []
  /// What the file says that is of no meaning here.
  private(set) var notes: [String] = []

  /// Names of flags, and those that TRL has for them.
  private static let names = [
    "model": "model", "model_name_or_path": "model", "data": "data", "dataset_name": "data", "datasets": "data",
    "train_dataset": "data", "eval_data": "eval_data", "eval_dataset": "eval_data", "output_dir": "output_dir",
    "adapter": "adapter", "ref_model": "ref_model", "reward_model": "reward_model", "reward_model_path": "reward_model",
    "reward_model_name_or_path": "reward_model", "reward_adapter": "reward_adapter", "classifier": "classifier",
    "completion_only": "completion_only", "command": "command", "timeout": "timeout",
    "resume_from_checkpoint": "resume_from_checkpoint", "allow_mismatch": "allow_mismatch", "no_mmap": "no_mmap",
    "distributed": "distributed", "ddp_timeout": "ddp_timeout",
  ]
  private static let switches: Set<String> = ["completion_only", "allow_mismatch", "no_mmap"]
  private static let lists: Set<String> = ["data", "eval_data"]

  /// - Throws: a sentence that names the file and the line.
  init(_ path: String) throws {
    let file = try ConfigFile(path)
    for entry in file.entries {
      do { try take(entry) } catch let error as DPOError {
        throw file.failure(entry.line, error.message)
      } catch let error as ValidationError {
        throw file.failure(entry.line, error.message)
      }
    }
    notes = notes.map { "\(path): \($0)" }
  }

  private mutating func take(_ entry: ConfigFile.Entry) throws {
    let key = String(entry.key.map { $0 == "-" ? "_" : $0 })
    if let name = ConfigSettings.names[key] {
      if case .scalar(nil) = entry.value.content { return }
      guard flags[name] == nil else { throw DPOError.argument("\(key) says again what \(name) is") }
      flags[name] = try values(entry, name)
    } else if let field = TrainingOptions.field(key) {
      options.append((key, try ConfigSettings.value(entry, field)))
    } else if let instead = TRLSettings.instead[key] {
      switch entry.value.content {
      case .scalar(nil), .scalar("no"), .scalar("false"), .scalar("False"): return
      default: break
      }
      guard instead.isEmpty else { throw DPOError.argument("\(key) is no option here: \(instead)") }
      notes.append("line \(entry.line): \(key) has no meaning here and is not read")
    } else {
      let known = Array(ConfigSettings.names.keys) + TrainingOptions.fields.map(\.name)
      throw DPOError.argument(
        "there is no option \(DPOError.printable(entry.key))\(Suggestion.text(for: key, among: known.sorted()))")
    }
  }

  private func values(_ entry: ConfigFile.Entry, _ name: String) throws -> [String] {
    switch entry.value.content {
    case .scalar(let text?) where ConfigSettings.switches.contains(name):
      return [try ConfigSettings.bool(text, entry.key) ? "true" : "false"]
    case .scalar(let text?) where name == "resume_from_checkpoint":
      return (try? ConfigSettings.bool(text, "")) == false
        ? [] : [(try? ConfigSettings.bool(text, "")) == true ? "last" : text]
    case .scalar(let text?): return [text]
    case .list(let items) where ConfigSettings.lists.contains(name):
      return try items.flatMap { try source($0, entry.key) }
    default:
      throw DPOError.argument(
        "\(entry.key): expected \(ConfigSettings.lists.contains(name) ? "a path or a list of paths" : "one value")")
    }
  }

  /// A path, or TRL's form of one with more about it.
  private func source(_ item: ConfigFile.Node, _ key: String) throws -> [String] {
    switch item.content {
    case .scalar(let path?): return [path]
    case .map(let entries):
      var (path, weight) = (nil as String?, "")
      for entry in entries {
        guard case .scalar(let text) = entry.value.content else {
          throw DPOError.argument("\(key): \(entry.key): expected one value")
        }
        switch entry.key {
        case "path": path = text
        case "weight": weight = text.map { "=\($0)" } ?? ""
        default: throw DPOError.argument("\(key): \(entry.key) is not known here; a source has path and weight")
        }
      }
      if let path { return [path + weight] }
    default: break
    }
    throw DPOError.argument("\(key): expected paths, or path and weight of each source")
  }

  private static func value(_ entry: ConfigFile.Entry, _ field: OptionField) throws -> JSON {
    switch entry.value.content {
    case .scalar(let text?) where field.kind == .bool: return .bool(try bool(text, field.name))
    case .scalar(let text?): return try optionValue(field.name)(text)
    case .scalar(nil):
      var scratch = TrainingOptions()
      try scratch.set(field.name, to: .null)
      return .null
    case .list(let items) where field.kind == .strings || field.kind == .reals:
      let texts = try items.map { item in
        guard case .scalar(let text?) = item.content else {
          throw DPOError.argument("\(field.name): expected a list of values")
        }
        return text
      }
      return try optionValue(field.name)(texts.joined(separator: ","))
    default:
      throw DPOError.argument(
        "\(field.name): expected \(field.kind == .strings || field.kind == .reals ? "a list" : "one value")")
    }
  }

  /// As flags take them, and with capitals as Python writes them.
  private static func bool(_ text: String, _ name: String) throws -> Bool {
    guard let flag = (try? OptionField.Kind.bool.value(of: text.lowercased(), name))?.bool else {
      throw DPOError.argument("\(name) is \(DPOError.printable(text)), expected true or false")
    }
    return flag
  }
}
