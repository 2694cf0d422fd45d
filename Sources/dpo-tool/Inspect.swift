import ArgumentParser
import DPO

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a model, adapter, checkpoint or data file holds.",
    discussion: "With --model, a data file is examined row by row as training would see it: the data doctor.")

  @Argument(help: "File or directory.")
  var path: String

  @Option(help: "Model whose tokenizer reads the data.")
  var model: String?

  @Option(help: ArgumentHelp("Rows whose tokens are shown.", valueName: "N"))
  var samples = 3

  @Flag(help: "One JSON document on stdout.")
  var json = false

  @OptionGroup(title: "Options of the rows") var flags: TrainingFlags

  func run() throws {
    if let model {
      try examine(try ModelFile.open(model))
    } else {
      let found = try DPO.inspect(path)
      if json { printJSON(found) } else { describe(found) }
    }
  }

  private func describe(_ found: JSON) {
    for (key, value) in found.object?.members ?? [] where key != "tensors" {
      print("\(key): \(value.string ?? value.description)")
    }
    for tensor in found["tensors"]?.array ?? [] {
      print(
        "  \(tensor["name"]?.string ?? "")  \(tensor["dtype"]?.string ?? "")  \(tensor["shape"]?.description ?? "")")
    }
  }

  private func examine(_ model: ModelFile) throws {
    var options = try flags.options().dataset()
    options.purpose = .any
    let data = try model.dataset(.file(path), options: options)
    let report = data.report(context: model.configuration.contextLength)
    if json { return printJSON(report.json) }
    print(report.text)
    guard let tokenizer = try model.tokenizer else { return }
    for row in 0..<min(samples, data.count) {
      print("\nrow \(data.lineNumber(row)): tokens in brackets, ‖ where the completion starts")
      let show = { (ids: ArraySlice<Int32>) in
        ids.map { "[\(printable(tokenizer.decode([$0], skipSpecialTokens: false)))]" }.joined()
      }
      for (name, sequence) in zip(data.sequenceNames(row), data.sequences(row)) {
        print("  \(name): \(show(sequence.prompt)) ‖ \(show(sequence.completion))")
      }
    }
  }

  private func printable(_ text: String) -> String {
    DPOError.printable(String(text.flatMap { $0 == "\n" ? "⏎" : String($0) }), limit: 60)
  }
}

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show the tokens of a text or of data rows.")

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.")
  var model: String

  @Option(help: "A text.")
  var text: String?

  @Option(help: "Rows as JSON lines, tokenised as in training.")
  var data: String?

  @Flag(help: "Put --text into the chat template as a user's message.")
  var chat = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard (text == nil) != (data == nil) else { throw ValidationError("give one of --text and --data") }
  }

  func run() throws {
    let model = try LanguageModel(path: model)
    var rows: [JSON] = []
    if let text {
      let ids = try model.promptTokens(chat ? [["role": "user", "content": .string(text)]] : .string(text))
      rows.append([
        "ids": list(ids), "tokens": .array(try ids.map { .string(try model.tokenizer.token($0) ?? "") }),
      ])
    } else {
      var options = DatasetOptions(.any)
      options.maxLength = nil
      let set = try model.file.dataset(.file(data ?? ""), options: options)
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
