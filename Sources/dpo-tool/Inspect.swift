import ArgumentParser
import DPO

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a model, adapter, checkpoint or data file holds.",
    discussion: "With --model, a data file is examined row by row as training would see it: the data doctor.")

  @Argument(help: "File or directory.", completion: .file())
  var path: String

  @Option(help: "Model whose tokenizer reads the data.", completion: .file())
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
      let found = try Inspection.of(path)
      if json { printJSON(found) } else { describe(found) }
    }
  }

  private func describe(_ found: JSON) {
    for (key, value) in found.object?.members ?? [] where !["tensors", "trainable", "untrainable"].contains(key) {
      print("\(key): \(value.string ?? value.description)")
    }
    // Experts that look the same share a line.
    var lines: [(text: String, count: Int)] = []
    for tensor in found["tensors"]?.array ?? [] {
      let parts = (tensor["name"]?.string ?? "").split(separator: ".", omittingEmptySubsequences: false)
      let name = parts.indices.map { $0 > 0 && parts[$0 - 1] == "experts" && Int(parts[$0]) != nil ? "*" : parts[$0] }
      let text =
        "  \(name.joined(separator: "."))  \(tensor["dtype"]?.string ?? "")  \(tensor["shape"]?.description ?? "")"
      if lines.last?.text == text { lines[lines.count - 1].count += 1 } else { lines.append((text, 1)) }
    }
    for (text, count) in lines { print(count == 1 ? text : "\(text)  × \(count)") }
    if let reason = found["untrainable"]?.string { print("cannot be trained: \(reason)") }
    if let trainable = found["trainable"] { print(sentence(trainable)) }
  }

  private func sentence(_ trainable: JSON) -> String {
    func size(_ key: String) -> String {
      let megabytes = Double(trainable[key]?.int ?? 0) / 1e6
      return megabytes < 1000 ? "\(Int(megabytes.rounded(.up))) MB" : "\((megabytes / 100).rounded() / 10) GB"
    }
    return
      "trainable: a step over \(trainable["step"]?.string ?? "") takes \(size("lora_bytes")) with LoRA of rank 16 on all "
      + "linear layers and \(size("full_bytes")) with all weights; \(size("available_bytes")) are free here"
  }

  private func examine(_ model: ModelFile) throws {
    var options = try flags.options().dataset()
    if !flags.namesMethod { options.purpose = .any }
    let data = try model.rows(DataSources.source(path), options: options)
    let report = data.report(context: model.configuration.contextLength)
    data.notes.forEach(Terminal.tell)
    if json { return printJSON(report.json) }
    print(report.text)
    guard let tokenizer = try model.tokenizer else { return }
    for row in 0..<min(samples, data.count) {
      print("\nrow \(data.lineNumber(row)): tokens in brackets, ‖ where the completion starts")
      let show = { (ids: Column<Int32>) in
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
