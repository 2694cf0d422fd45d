import ArgumentParser
import DPO

/// Who says which answer is better, without people.
struct JudgeFlags: ParsableArguments {
  @Option(help: "Judge by a text classifier of `dpo classifier train`.", completion: .file())
  var classifier: String?

  @Option(help: "Judge by a reward model.", completion: .file())
  var rewardModel: String?

  @Option(help: "Judge by a program: a line {\"prompt\", \"completions\", …} in, {\"scores\"} or {\"choice\"} out.")
  var command: String?

  @Option(help: ArgumentHelp("Most seconds that a program may take for an answer.", valueName: "S"))
  var timeout = 60.0

  @Flag(help: "The classifier sees completions without their prompts.")
  var completionOnly = false

  /// How many judges were asked for.
  var count: Int { [classifier, rewardModel, command].count { $0 != nil } }

  /// nil where none was asked for. `adapter`, threads and engine are the reward model's.
  func judge(adapter: String?, threads: Int, engine: Engine = .best) throws -> Judge? {
    if let classifier { return .classifier(try TextClassifier.load(classifier), completionOnly: completionOnly) }
    if let rewardModel {
      return try .rewardModel(LanguageModel(path: rewardModel, adapter: adapter, threads: threads, engine: engine))
    }
    return try command.map { try .command($0, timeout: timeout) { Interrupt.requested } }
  }
}
