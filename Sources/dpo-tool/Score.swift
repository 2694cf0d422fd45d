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

  func open() throws -> LanguageModel { try LanguageModel(path: model, adapter: adapter, threads: threads) }
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
    let data = try model.dataset(jsonl: rows.data, options: rows.options)
    try data.check(contextLength: model.configuration.contextLength)
    let names = data.sequenceNames
    var progress = Progress("row")
    var out: [JSON] = []
    for first in stride(from: 0, to: data.count, by: batchSize) {
      let batch = Array(first..<min(data.count, first + batchSize))
      let scores = try model.score(data.forest(rows: batch))
      var start = 0
      for (sequence, count) in scores.counts.enumerated() {
        let row = batch[sequence / names.count]
        let name = names[sequence % names.count]
        guard scores.sums[sequence].isFinite else {
          throw DPOError(.nonFinite, "\(data.place(row)): the log-prob is \(scores.sums[sequence])")
        }
        if sequence % names.count == 0 { out.append(.object(["line": .int(data.lineNumber(row))])) }
        var object = out[out.count - 1].object ?? [:]
        object[name] = .real(scores.sums[sequence])
        object[name + "_tokens"] = .int(data.sequences(row)[sequence % names.count].completionCount)
        if perToken {
          object[name + "_logps"] = .array(scores.logProbs[start..<start + count].map { .real(Double($0)) })
        }
        out[out.count - 1] = .object(object)
        start += count
      }
      if json { progress.show(done: out.count, total: data.count, detail: "") }
      if !json { for row in out.suffix(batch.count) { print(row) } }
    }
    if json { printJSON(["rows": .array(out)]) }
  }
}

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Loss, rewards and accuracy of a model on pairs, against a reference model; perplexity on text.",
    discussion: "--method says what the data are: dpo (pairs), sft, pretrain (text, gives the perplexity), kto, reward."
  )

  @OptionGroup var model: ModelArguments

  @Option(
    help: ArgumentHelp(
      "Rows as JSON lines; for pretrain also text files and directories, and it may be repeated.", valueName: "data"))
  var data: [String]

  @Option(help: "Model to compare with; unset: the model without its adapter.")
  var refModel: String?

  @OptionGroup(title: "Options of the loss and of the rows") var flags: TrainingFlags

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func run() throws {
    var options = try flags.options()
    if model.threads > 0 { options.threads = model.threads }
    let file = try ModelFile.open(model.model)
    let record = try Trainer.evaluate(
      model: file, adapter: model.adapter.map { try AdapterFile.open($0, for: file) },
      referenceModel: refModel.map(ModelFile.open), data: file.dataset(data, options: options.dataset()),
      options: options)
    if json {
      var object = JSONObject()
      for (name, value) in record.metrics { object[name] = .real(value) }
      printJSON(.object(object))
    } else {
      for (name, value) in record.metrics { print("\(name)\t\(value)") }
    }
  }
}
