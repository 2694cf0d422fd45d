import ArgumentParser
import DPO

struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What a reward model says of answers: one score for each completion.",
    discussion: """
      For pairs also the margin (score of chosen - score of rejected). A higher score is a better answer to the same \
      prompt; zero and unit mean nothing by themselves. Accuracy and calibration over pairs: dpo evaluate --method reward.
      """)

  @OptionGroup var model: ModelArguments
  @OptionGroup var rows: RowArguments

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
      let scores = try model.rewards(data, rows: batch)
      var start = 0
      for row in batch {
        var object: JSONObject = ["line": .int(data.lineNumber(row))]
        if let file = data.fileName(row) { object["file"] = .string(file) }
        let own = scores[start..<start + data.sequenceCount(row)]
        start = own.endIndex
        for (name, score) in zip(data.sequenceNames(row), own) { object[name] = .real(score) }
        if data.isPaired, let chosen = own.first, let rejected = own.last {
          object["margin"] = .real(chosen - rejected)
        }
        out.append(.object(object))
        if !json { print(JSON.object(object)) }
      }
      if json { progress.show(done: out.count, total: data.count, detail: "") }
    }
    if json { printJSON(["rows": .array(out)]) }
  }
}
