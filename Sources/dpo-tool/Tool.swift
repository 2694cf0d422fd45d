import ArgumentParser
import CArguments
import DPO
import DPOPlatform

@main
struct Tool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dpo",
    abstract: "Preference-tune language models on this machine: GGUF, Hugging Face or HDF5 in, LoRA or model out.",
    usage: "dpo COMMAND",
    discussion: """
      Exit codes: 0 success, 1 error, 2 usage, 130 interrupted. Results go to stdout (--json: one JSON document), \
      diagnostics to stderr.
      """,
    groupedSubcommands: [
      CommandGroup(name: "Train", subcommands: [Train.self, Evaluate.self, Export.self]),
      CommandGroup(
        name: "Preferences",
        subcommands: [ChatCommand.self, Sample.self, Label.self, Classifier.self, Feedback.self]),
      CommandGroup(
        name: "Look and measure",
        subcommands: [
          Inspect.self, Tokenize.self, Logps.self, Score.self, Generate.self, Bench.self, Version.self,
        ]),
      CommandGroup(name: "From text to a model", subcommands: [TokenizerCommand.self, Init.self]),
    ])

  @Flag(name: .customLong("version"), help: "Print the version.")
  var version = false

  func run() throws {
    guard version else { throw CleanExit.helpRequest(self) }
    print(Version.text)
  }

  static func main() {
    do {
      let words = Array(arguments.dropFirst())
      if let page = try HelpPage(words, root: Tool.self) {
        print(page.text, terminator: "")
        return
      }
      try checkVerb(words)
      var command = try parseAsRoot(words)
      do { try command.run() } catch let error as ValidationError { fail(error, of: type(of: command)) }
    } catch let error as DPOError {
      fail(error)
    } catch {
      fail(error, of: Tool.self)
    }
  }

  /// With the name of the program.
  private static var arguments: [String] {
    var count: Int32 = 0
    guard let words = dpo_arguments(&count) else { return CommandLine.arguments }
    return (0..<Int(count)).compactMap { words[$0].map { String(cString: $0) } }
  }

  /// What ArgumentParser says of an error, with the command's usage.
  private static func fail(_ error: any Error, of command: any ParsableCommand.Type) -> Never {
    let code = command.exitCode(for: error)
    let text = command.fullMessage(for: error)
    if code == .success {
      print(text)
    } else {
      Terminal.tell(text.hasPrefix("Error:") ? Terminal.red("Error:") + text.dropFirst("Error:".count) : text)
    }
    DPOPlatform.exit(code == .success ? 0 : code == .validationFailure ? 2 : code.rawValue)
  }

  /// A verb that there is not is told with the one that may be meant.
  private static func checkVerb(_ words: [String]) throws {
    var (type, name): (any ParsableCommand.Type, [String]) = (Tool.self, ["dpo"])
    for word in words {
      guard !word.hasPrefix("-"), let next = try HelpPage.subcommand(word, of: type, name) else { return }
      type = next
      name.append(word)
    }
  }

  /// One sentence on stderr; an interrupted run is 130.
  private static func fail(_ error: DPOError) -> Never {
    Terminal.tell(error.code == .cancelled ? error.message : Terminal.red("dpo: error:") + " \(error.message)")
    DPOPlatform.exit(error.code == .cancelled ? 130 : 1)
  }
}

/// Prints the one document of `--json`.
func printJSON(_ value: JSON) { print(value.description) }
