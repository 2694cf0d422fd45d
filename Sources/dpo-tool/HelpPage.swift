import ArgumentParser
import DPO
import DPOPlatform

/// The help of a command: what ArgumentParser knows of its arguments, the basic ones first, those of the option table in groups
/// and by method.
struct HelpPage {
  private struct Argument {
    var names: [String]
    let value: String?
    let text: String
    let section: String?
    let isPositional, isOptional, isRepeating: Bool
    /// The row of the option table.
    var field: OptionField?
  }

  /// "dpo train"
  private let name: String
  private let type: any ParsableCommand.Type
  private let arguments: [Argument]
  /// The method whose options are described; nil: none but the basic ones.
  private let method: String?
  private let isComplete: Bool
  private let style: TextStyle

  /// The page that arguments ask for; nil where they ask for none.
  ///
  /// - Throws: `ValidationError` for a command or method that there is not.
  init?(_ words: [String], root: any ParsableCommand.Type) throws {
    let flags = words.prefix { $0 != "--" }
    let isVerb = words.first == "help"
    isComplete = flags.contains { $0 == "--help-all" || $0 == "--help-hidden" }
    guard words.isEmpty || isVerb || isComplete || flags.contains("--help") || flags.contains("-h") else { return nil }
    var (type, name) = (root, [root._commandName])
    for word in isVerb ? words.dropFirst() : words[...] where !word.hasPrefix("-") {
      guard let next = try HelpPage.subcommand(word, of: type, name) else { break }
      type = next
      name.append(next._commandName)
    }
    (self.type, self.name) = (type, name.joined(separator: " "))
    arguments = try HelpPage.arguments(of: type, withHidden: isComplete)
    let given = words.firstIndex(of: "--method").flatMap { words.indices.contains($0 + 1) ? words[$0 + 1] : nil }
    method = given ?? words.first { $0.hasPrefix("--method=") }.map { String($0.dropFirst("--method=".count)) }
    if let method, !TrainingOptions.Method.names.contains(method) {
      throw ValidationError(
        "there is no method \(method)\(Suggestion.text(for: method, among: TrainingOptions.Method.names))")
    }
    style = TextStyle(STDOUT_FILENO)
  }

  /// What a word is to a command that has commands; nil for one that has none.
  static func subcommand(
    _ word: String, of type: any ParsableCommand.Type, _ name: [String]
  ) throws -> (any ParsableCommand.Type)? {
    let known = type.configuration.subcommands
    guard !known.isEmpty else { return nil }
    if let found = known.first(where: { $0._commandName == word }) { return found }
    throw ValidationError(
      "there is no command \(name.joined(separator: " ")) \(DPOError.printable(word))"
        + Suggestion.text(for: word, among: known.map { $0._commandName }))
  }

  private static func arguments(of type: any ParsableCommand.Type, withHidden: Bool) throws -> [Argument] {
    // ArgumentParser tells what it knows as JSON, and no other way.
    let told = try JSON.parse(type._dumpHelp(), file: "help")["command"]?["arguments"]?.array ?? []
    var arguments: [Argument] = []
    for argument in told where withHidden || argument["shouldDisplay"]?.bool == true {
      let names = argument["names"]?.array?.map { name in
        (name["kind"]?.string == "long" ? "--" : "-") + (name["name"]?.string ?? "")
      }
      if let last = names?.last, last.hasPrefix("--no-"), arguments.last?.names.last == "--" + last.dropFirst(5) {
        arguments[arguments.count - 1].names = ["--[no-]\(last.dropFirst(5))"]
        continue
      }
      // Commands that name threads themselves have those of the table as well.
      if let names, arguments.contains(where: { $0.names == names }) { continue }
      let isFlag = argument["kind"]?.string == "flag"
      var text = argument["abstract"]?.string ?? ""
      if let value = argument["defaultValue"]?.string, !isFlag { text += " (default: \(value))" }
      let value = (argument["valueName"]?.string ?? "").split(separator: "-").last.map { $0.uppercased() } ?? ""
      arguments.append(
        Argument(
          names: names ?? [value],
          value: isFlag || names == nil ? nil : argument["valueName"]?.string.map { $0.contains("|") ? $0 : value },
          text: text, section: argument["sectionTitle"]?.string, isPositional: names == nil,
          isOptional: argument["isOptional"]?.bool == true, isRepeating: argument["isRepeating"]?.bool == true))
    }
    // Options of the table are those of commands that train, or look at rows as training does.
    guard arguments.contains(where: { $0.names == ["--method"] }) else { return arguments }
    for index in arguments.indices {
      let name = arguments[index].names[0].drop { $0 == "-" }
      let plain = name.hasPrefix("[no-]") ? name.dropFirst(5) : name
      arguments[index].field = TrainingOptions.field(String(plain.map { $0 == "-" ? "_" : $0 }))
    }
    return arguments
  }

  // MARK: - The page

  var text: String {
    let configuration = type.configuration
    var out = style.paragraph(configuration.abstract) + "\n\n"
    out += style.bold("Usage: ") + (configuration.usage ?? usage) + "\n"
    if !configuration.discussion.isEmpty {
      out += "\n"
      for line in configuration.discussion.split(separator: "\n", omittingEmptySubsequences: false) {
        out += style.paragraph(String(line)) + "\n"
      }
    }
    let table = arguments.contains { $0.field != nil }
    if !table {
      for (title, members) in sections(arguments) { out += section(title ?? "Options", members) }
      if type is Feedback.TrainOnFeedback.Type, !isComplete {
        out += "\n" + style.row("\(name) --help-all", "describes the options of training as well")
      }
      return out + commands
    }
    let basic = arguments.filter(isBasic)
    out += section("Basics", basic)
    let rest = arguments.filter { !isBasic($0) && belongs($0) }
    // What looks at rows learns nothing.
    let idle: [OptionField.Group] = isTraining || isComplete ? [] : [.optimization, .lora, .files]
    let groups = OptionField.Group.allCases.filter { !idle.contains($0) }.map { group in
      (title: TrainingFlags.titles[group] ?? "", members: rest.filter { $0.field?.group == group })
    }
    for (title, members) in sections(rest.filter { $0.field == nil }) { out += section(title ?? "More", members) }
    if method != nil || isComplete {
      for group in groups { out += section(group.title, group.members) }
      return out
    }
    out += "\n" + style.bold("Methods, for --method") + "\n"
    for (name, summary) in TrainingFlags.methods { out += style.row(name, summary) }
    out += "\n" + style.bold("More options of dpo") + "\n"
    for group in groups where !group.members.isEmpty {
      out += style.row(group.title, group.members.map { $0.names[0] }.joined(separator: " "))
    }
    out += "\n" + style.row("\(name) --help --method NAME", "describes every option that a method has")
    return out + style.row("\(name) --help-all", "describes every option")
  }

  private var usage: String {
    let given = arguments.filter(\.isPositional).map { $0.isOptional ? "[\($0.names[0])]" : $0.names[0] }
    if !type.configuration.subcommands.isEmpty { return "\(name) COMMAND" }
    let needed = arguments.filter { !$0.isPositional && !$0.isOptional }.map {
      "\($0.names.last ?? "") \($0.value ?? "")"
    }
    return ([name] + given + needed + ["[options]"]).joined(separator: " ")
  }

  private func isBasic(_ argument: Argument) -> Bool {
    if let field = argument.field {
      guard TrainingFlags.basics.contains(field.name), belongs(argument) else { return false }
      return isTraining || field.group == .method || field.group == .rows
    }
    guard type is Train.Type else { return argument.section == nil }
    return argument.isPositional || Train.basics.contains(argument.names[0])
  }

  /// What is learnt, and how fast, says something.
  private var isTraining: Bool { type is Train.Type || type is Bench.Type || type is Feedback.TrainOnFeedback.Type }

  private func belongs(_ argument: Argument) -> Bool {
    if isComplete { return true }
    let method = method ?? TrainingOptions.Method.standard.name
    if let field = argument.field { return field.belongs(to: method) }
    guard type is Train.Type, let option = Train.companions[argument.names[0]] else { return true }
    return TrainingOptions.field(option)?.belongs(to: method) ?? true
  }

  private func sections(_ arguments: [Argument]) -> [(title: String?, members: [Argument])] {
    var found: [(title: String?, members: [Argument])] = []
    for argument in arguments {
      if let index = found.firstIndex(where: { $0.title == argument.section }) {
        found[index].members.append(argument)
      } else {
        found.append((argument.section, [argument]))
      }
    }
    return found
  }

  private func section(_ title: String, _ members: [Argument]) -> String {
    guard !members.isEmpty else { return "" }
    var out = "\n" + style.bold(title) + "\n"
    for argument in members {
      let names = argument.names.joined(separator: ", ")
      out += style.row(argument.value.map { "\(names) \($0)" } ?? names, words(argument))
    }
    return out
  }

  /// On a method's page every option is one that the method has.
  private func words(_ argument: Argument) -> String {
    guard let field = argument.field, !field.methods.isEmpty, !isComplete else {
      guard argument.names == ["--method"], !isComplete else { return argument.text }
      let summary = TrainingFlags.methods.first { $0.name == method }?.summary
      return summary.map { "\(method ?? ""): \($0)" } ?? "What is trained, and on which rows. (default: dpo)"
    }
    let names = field.methods
    let list = names.count == 1 ? names[0] : names.dropLast().joined(separator: ", ") + " and " + (names.last ?? "")
    return argument.text.replacing(" For \(list).", with: "")
  }

  private var commands: String {
    var out = ""
    let configuration = type.configuration
    for group in [(name: "Commands", subcommands: configuration.ungroupedSubcommands)]
      + configuration.groupedSubcommands.map({ (name: $0.name, subcommands: $0.subcommands) })
    where !group.subcommands.isEmpty {
      out += "\n" + style.bold(group.name) + "\n"
      for command in group.subcommands { out += style.row(command._commandName, command.configuration.abstract) }
    }
    return out.isEmpty ? "" : out + "\n" + style.row("\(name) help COMMAND", "describes a command")
  }
}

/// Text of the width of a terminal, in bold where it can show that.
struct TextStyle {
  private let width: Int
  private let column: Int
  private let hasColours: Bool

  init(_ descriptor: Int32) {
    width = min(110, max(40, Terminal.columns(descriptor)))
    column = width >= 100 ? 34 : 26
    hasColours = Terminal.hasColours(descriptor)
  }

  func bold(_ text: String) -> String { hasColours ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

  /// A line as it stands where it fits, which may be one of a table.
  func paragraph(_ text: String) -> String {
    text.count <= width ? text : lines(text, width).joined(separator: "\n")
  }

  /// What a name means, beside it.
  func row(_ name: String, _ text: String) -> String {
    let head = "  " + name
    let indent = String(repeating: " ", count: column)
    var rows = lines(text, width - column).map { indent + $0 }
    if head.count + 2 <= column, !rows.isEmpty {
      rows[0] = head + rows[0].dropFirst(head.count)
      return rows.joined(separator: "\n") + "\n"
    }
    return ([head] + rows).joined(separator: "\n") + "\n"
  }

  private func lines(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    var used = 0
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      let count = word.count
      if used > 0, used + 1 + count > width {
        lines.append(line)
        (line, used) = ("", 0)
      }
      line += (used > 0 ? " " : "") + word
      used += (used > 0 ? 1 : 0) + count
    }
    return used > 0 ? lines + [line] : lines
  }
}
