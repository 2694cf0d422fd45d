import ArgumentParser
import DPO

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Sample completions of prompts.")

  @OptionGroup var model: ModelArguments

  @Option(help: "A prompt.")
  var prompt: String?

  @Option(help: "Rows with a \"prompt\": text, or chat messages.", completion: .file())
  var data: String?

  @Flag(help: "Put --prompt into the model's chat template as a user's message.")
  var chat = false

  @OptionGroup var generation: GenerationOptionFlags

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard (prompt == nil) != (data == nil) else { throw ValidationError("give one of --prompt and --data") }
  }

  func run() throws {
    let model = try model.open()
    let options = generation.options
    let prompts: [PromptRow]
    if let prompt {
      prompts = [PromptRow(chat ? .chat([.user(prompt)]) : .text(prompt))]
    } else {
      prompts = try PromptRow.read(data ?? "")
    }
    let tokens = try prompts.map { try model.tokens(of: $0) }
    // A single answer is shown as it comes; several would mix.
    let streams = !json && tokens.count == 1 && options.completionsPerPrompt == 1
    var decoder = try StreamingDecoder(model.tokenizer)
    let results = try model.generate(tokens, options: options) { _, _, token in
      if streams { print(model.isStop(token) ? "" : decoder.append(token), terminator: "") }
      return true
    }
    if streams { return print(decoder.finish()) }
    var rows: [JSON] = []
    for (prompt, completions) in zip(prompts, results) {
      let texts = try completions.map(model.text)
      rows.append([
        "prompt": prompt.prompt.json, "completions": .array(texts.map(JSON.string)),
        "token_ids": .array(completions.map { .array($0.tokens.map { .int(Int($0)) }) }),
        "finish_reasons": .array(completions.map { .string($0.finish.rawValue) }),
      ])
      if !json { texts.forEach { print($0) } }
    }
    if json { printJSON(["rows": .array(rows)]) }
  }
}
