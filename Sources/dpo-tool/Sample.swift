import ArgumentParser
import DPO

struct Sample: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sample completions of many prompts into a file, for labelling.",
    discussion: """
      Writes a row a prompt, {"prompt", "completions", …}, or with --pairs a row for every two different completions. What \
      was interrupted goes on with the same command, and ends in the same rows. `dpo label` reads the file.
      """)

  @OptionGroup var model: ModelArguments

  @Option(help: "Rows with a \"prompt\": text, or chat messages.", completion: .file())
  var data: String

  @Option(name: .shortAndLong, help: "File that the rows go to.", completion: .file())
  var output: String

  @OptionGroup var generation: GenerationOptionFlags

  @Flag(help: "Put prompts that are text into the model's chat template as a user's message.")
  var chat = false

  @Flag(help: "Rows of two different completions each, to be compared.")
  var pairs = false

  @Flag(help: "Replace the file instead of going on with it.")
  var overwrite = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard !pairs || generation.numReturnSequences >= 2 else {
      throw ValidationError("--pairs needs --num-return-sequences of at least 2")
    }
  }

  func run() throws {
    try generation.options.validate()
    let prompts = try PromptRow.read(data, chat: chat)
    let model = try model.open()
    Interrupt.install()
    var progress: Progress?
    var rate = 0.0
    let result = try model.sample(
      prompts, options: generation.options, pairs: pairs, to: output, overwrite: overwrite
    ) { state in
      rate = state.seconds > 0 ? Double(state.tokens) / state.seconds : 0
      var line = progress ?? Progress("prompt", from: state.prompts)
      line.show(done: state.prompts, total: state.total, detail: "\(Terminal.short(rate)) tokens/s")
      progress = line
      return !Interrupt.requested
    }
    if json {
      printJSON([
        "output": .string(output), "prompts": .int(result.prompts), "resumed_at": .int(result.resumedAt),
        "rows": .int(result.rows), "tokens": .int(result.tokens), "tokens_per_second": .real(rate),
      ])
    } else {
      let resumed = result.resumedAt > 0 ? ", \(result.resumedAt) prompts were there before" : ""
      print(
        "done: \(result.rows) rows of \(result.prompts) prompts in \(output), \(result.tokens) tokens drawn\(resumed)")
    }
  }
}
