import ArgumentParser
import DPO

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show the tokens of a text or of data rows.")

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.", completion: .file())
  var model: String

  @Option(help: "A text.")
  var text: String?

  @Option(
    help: ArgumentHelp("Rows, tokenised as in training. \(DataSources.help)", valueName: "ROWS"), completion: .file())
  var data: String?

  @Flag(help: "Put --text into the chat template as a user's message.")
  var chat = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard (text == nil) != (data == nil) else { throw ValidationError("give one of --text and --data") }
  }

  func run() throws {
    let tokenizer = try Tokenizer.open(model)
    var rows: [JSON] = []
    if let text {
      let ids = try tokenizer.tokens(
        of: PromptRow(chat ? .chat([.user(text)]) : .text(text)), file: model)
      rows.append([
        "ids": list(ids), "tokens": .array(ids.map { .string(tokenizer.token($0) ?? "") }),
      ])
    } else {
      var options = DatasetOptions(.any)
      options.maxLength = nil
      let set = try TokenizedDataset(DataSources.source(data ?? ""), tokenizer: tokenizer, options: options)
      for row in 0..<set.count {
        var object: JSONObject = ["prompt_ids": list(Array(set.sequence(row).prompt))]
        for (name, sequence) in zip(set.sequenceNames(row), set.sequences(row)) {
          object[name + "_ids"] = list(Array(sequence.completion))
        }
        rows.append(.object(object))
      }
    }
    if json { return printJSON(["rows": .array(rows)]) }
    for row in rows { print(row) }
  }

  private func list(_ ids: [Int32]) -> JSON { .array(ids.map { .int(Int($0)) }) }
}
