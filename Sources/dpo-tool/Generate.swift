import ArgumentParser
import DPO

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Sample completions of prompts.")

  @OptionGroup var model: ModelArguments

  @Option(help: "A prompt.")
  var prompt: String?

  @Option(help: "JSON lines with a \"prompt\": text, or chat messages.")
  var data: String?

  @Flag(help: "Put --prompt into the model's chat template as a user's message.")
  var chat = false

  @Option(help: ArgumentHelp("Most tokens of a completion.", valueName: "N"))
  var maxNewTokens = 128

  @Option(help: ArgumentHelp("Sampling temperature; 0: greedy.", valueName: "T"))
  var temperature = 1.0

  @Option(help: ArgumentHelp("Sample among the K likeliest tokens; 0: all.", valueName: "K"))
  var topK = 0

  @Option(help: ArgumentHelp("Sample among the likeliest tokens that have probability P together.", valueName: "P"))
  var topP = 1.0

  @Option(help: ArgumentHelp("Leave out tokens less likely than P times the likeliest.", valueName: "P"))
  var minP = 0.0

  @Option(help: ArgumentHelp("Seed; the same seed gives the same text.", valueName: "S"))
  var seed: UInt64 = 42

  @Option(help: ArgumentHelp("Completions a prompt.", valueName: "N"))
  var numReturnSequences = 1

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard (prompt == nil) != (data == nil) else { throw ValidationError("give one of --prompt and --data") }
  }

  func run() throws {
    let model = try model.open()
    var options = GenerationOptions()
    options.maxNewTokens = maxNewTokens
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.seed = seed
    options.completionsPerPrompt = numReturnSequences
    let prompts: [JSON]
    if let prompt {
      prompts = [chat ? [["role": "user", "content": .string(prompt)]] : .string(prompt)]
    } else {
      prompts = try readPrompts(data ?? "")
    }
    let tokens = try prompts.map { try model.promptTokens($0) }
    // A single answer is shown as it comes; several would mix.
    let streams = !json && tokens.count == 1 && numReturnSequences == 1
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
        "prompt": prompt, "completions": .array(texts.map(JSON.string)),
        "token_ids": .array(completions.map { .array($0.tokens.map { .int(Int($0)) }) }),
        "finish_reasons": .array(completions.map { .string($0.finish.rawValue) }),
      ])
      if !json { texts.forEach { print($0) } }
    }
    if json { printJSON(["rows": .array(rows)]) }
  }

  private func readPrompts(_ path: String) throws -> [JSON] {
    var prompts: [JSON] = []
    try JSONLines(path).forEach { row, line in
      guard let prompt = row["prompt"], prompt.string != nil || prompt.array != nil else {
        throw DPOError.format(
          path, "line \(line): \"prompt\" is \(row["prompt"]?.kind ?? "missing"), expected text or messages")
      }
      prompts.append(prompt)
    }
    guard !prompts.isEmpty else { throw DPOError.format(path, "no rows; expected at least one prompt") }
    return prompts
  }
}
