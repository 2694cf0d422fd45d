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
      Inspect.self, Tokenize.self, LogProbs.self, Score.self, Generate.self, Sample.self, Classifier.self, Label.self,
      Feedback.self, TokenizerCommand.self, Init.self, Train.self,
      Evaluate.self, Export.self, Bench.self,
      Version.self,
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

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the version and what this machine offers.")
  static let text = "dpo \(DPOVersion.string)"

  @Flag(help: "Also the engines of this build, which of them run here, and why this one is used.")
  var verbose = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func run() throws {
    let threads = ThreadTeam.availableProcessors
    if json {
      printJSON([
        "version": .string(DPOVersion.string), "threads": .int(threads), "engine": .string(Engine.best.name),
        "engine_reason": .string(DPOVersion.engineReason),
        "engines": .array(
          Engine.names.map { name in
            .object([
              "name": .string(name), "needs": .string(Engine.needs(name)),
              "runs_here": .bool((try? Engine(named: name)) != nil),
            ])
          }),
      ])
    } else {
      print("\(Version.text)\nengine: \(Engine.best.name), \(threads) threads")
      guard verbose else { return }
      for name in Engine.names {
        let padded = name + String(repeating: " ", count: max(0, 10 - name.count))
        let state = (try? Engine(named: name)) == nil ? "not here" : name == Engine.best.name ? "used" : "with --engine"
        print("  \(padded)\(state); needs \(Engine.needs(name))")
      }
      print(DPOVersion.engineReason)
    }
  }
}

/// Prints the one document of `--json`.
func printJSON(_ value: JSON) { print(value.description) }
