import ArgumentParser
import DPO

struct Logps: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Log-probs of completions given their prompts, summed over the completion.")

  @OptionGroup var model: ModelArguments
  @OptionGroup var rows: RowArguments

  @Flag(help: "Also the log-prob of every token.")
  var perToken = false

  @OptionGroup var batches: BatchArguments

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func run() throws {
    let model = try model.open()
    let data = try model.file.rows(rows.source(), options: rows.options)
    try data.check(contextLength: model.configuration.contextLength)
    var progress = Progress("row")
    var out: [JSON] = []
    for batch in batches.batches(of: data.count) {
      let scores = try model.score(data.forest(rows: batch))
      var sequence = 0
      var start = 0
      for row in batch {
        var object: JSONObject = ["line": .int(data.lineNumber(row))]
        if let file = data.fileName(row) { object["file"] = .string(file) }
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
