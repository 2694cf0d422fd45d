import ArgumentParser
import DPO
import DPOPlatform

@main
struct Tool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dpo",
    abstract: "Preference-tune language models on this machine: GGUF, Hugging Face or HDF5 in, LoRA or model out.",
    discussion: """
      Exit codes: 0 success, 1 error, 2 usage, 130 interrupted. Results go to stdout (--json: one JSON document), \
      diagnostics to stderr.
      """,
    subcommands: [
      Inspect.self, Tokenize.self, Logps.self, Score.self, Generate.self, ChatCommand.self, Sample.self,
      Classifier.self, Label.self, Feedback.self, TokenizerCommand.self, Init.self, Train.self, Evaluate.self,
      Export.self, Bench.self, Version.self,
    ])

  @Flag(name: .customLong("version"), help: "Print the version.")
  var version = false

  func run() throws {
    guard version else { throw CleanExit.helpRequest(self) }
    print(Version.text)
  }

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as DPOError {
      fail(error)
    } catch {
      let code = exitCode(for: error)
      let text = fullMessage(for: error)
      if code == .success {
        print(text)
      } else {
        Terminal.tell(text)
      }
      DPOPlatform.exit(code == .success ? 0 : code == .validationFailure ? 2 : code.rawValue)
    }
  }

  /// One sentence on stderr; an interrupted run is 130.
  private static func fail(_ error: DPOError) -> Never {
    Terminal.tell(error.code == .cancelled ? error.message : "dpo: error: \(error.message)")
    DPOPlatform.exit(error.code == .cancelled ? 130 : 1)
  }
}

/// Prints the one document of `--json`.
func printJSON(_ value: JSON) { print(value.description) }
