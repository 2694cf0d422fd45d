import ArgumentParser
import DPO

/// A model on the command line, with an adapter on it.
struct ModelArguments: ParsableArguments {
  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.")
  var model: String

  @Option(help: "Adapter on the model: PEFT directory, HDF5 file or GGUF LoRA.")
  var adapter: String?

  @Option(help: ArgumentHelp("Compute threads; 0: one a core.", valueName: "N"))
  var threads = 0

  @Option(
    help: ArgumentHelp(
      "Inner loops to compute with: \(Engine.names.joined(separator: ", ")); auto: the best for this processor.",
      valueName: "NAME"))
  var engine = "auto"

  @OptionGroup var mapping: MappingFlags

  func open() throws -> LanguageModel {
    try LanguageModel(
      path: model, adapter: adapter, threads: threads, engine: Engine(named: engine), inMemory: mapping.noMmap)
  }
}

struct MappingFlags: ParsableArguments {
  @Flag(help: "Copy the weights into memory instead of mapping the file, which may then be written to.")
  var noMmap = false
}

/// How rows become tokens: as in training, but nothing is cut unless that is asked for.
struct RowArguments: ParsableArguments {
  @Option(help: "Rows as JSON lines.")
  var data: String

  @Option(help: ArgumentHelp("Tokens of prompt and completion kept; unset: all.", valueName: "N"))
  var maxLength: Int?

  var options: DatasetOptions {
    var options = DatasetOptions(.any)
    options.maxLength = maxLength
    return options
  }
}

struct LogProbs: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logps", abstract: "Log-probs of completions given their prompts, summed over the completion.")

  @OptionGroup var model: ModelArguments
  @OptionGroup var rows: RowArguments

  @Flag(help: "Also the log-prob of every token.")
  var perToken = false

  @Option(help: ArgumentHelp("Rows of a batch.", valueName: "N"))
  var batchSize = 8

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard batchSize >= 1 else { throw ValidationError("--batch-size is \(batchSize), expected at least 1") }
  }

  func run() throws {
    let model = try model.open()
    let data = try model.file.dataset(.file(rows.data), options: rows.options)
    try data.check(contextLength: model.configuration.contextLength)
    var progress = Progress("row")
    var out: [JSON] = []
    for first in stride(from: 0, to: data.count, by: batchSize) {
      let batch = Array(first..<min(data.count, first + batchSize))
      let scores = try model.score(data.forest(rows: batch))
      var sequence = 0
      var start = 0
      for row in batch {
        var object: JSONObject = ["line": .int(data.lineNumber(row))]
        for (name, tokens) in zip(data.sequenceNames(row), data.sequences(row)) {
          let end = start + scores.counts[sequence]
          guard scores.sums[sequence].isFinite else {
            throw DPOError(.nonFinite, "\(data.place(row)): the log-prob is \(scores.sums[sequence])")
          }
          object[name] = .real(scores.sums[sequence])
          object[name + "_tokens"] = .int(tokens.completionCount)
          if perToken { object[name + "_logps"] = .array(scores.logProbs[start..<end].map { .real(Double($0)) }) }
          sequence += 1
          start = end
        }
        out.append(.object(object))
      }
      if json { progress.show(done: out.count, total: data.count, detail: "") }
      if !json { for row in out.suffix(batch.count) { print(row) } }
    }
    if json { printJSON(["rows": .array(out)]) }
  }
}
