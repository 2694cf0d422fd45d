import DPO
import DPOBase
import DPOText
import TestSupport
import Testing

/// The token ids that TRL's trainers made of every row of their data.
@Suite(.timeLimit(.minutes(10))) struct TRLRowsTests {
  static let runs = [
    "gpt2-sigmoid", "llama-tied-chat", "llama-tied-implicit", "llama-tied-sft-messages", "llama-tied-sigmoid",
    "llama-untied-ipo", "llama-untied-sft-text", "mistral-sigmoid", "qwen2-ipo", "qwen2-lora-sft-completions",
    "qwen3-sft-completions", "qwen3-sigmoid-sft",
  ]

  @Test(arguments: runs) func everyRowHasTRLsTokens(_ run: String) throws {
    let golden = try Fixtures.json("golden/trl/\(run).json")
    let model = golden["model"]?.string ?? ""
    var settings = try Fixtures.json("\(model)/tokenizer_config.json").object ?? JSONObject()
    if let template = try? readFile(Fixtures.path("\(model)/chat_template.jinja"), limit: 1 << 20) {
      settings["chat_template"] = .string(String(decoding: template, as: UTF8.self))
    }
    let tokenizer = try Tokenizer(
      tokenizerJSON: Fixtures.json("\(model)/tokenizer.json"), configuration: .object(settings), file: model)
    var options = DatasetOptions(golden["method"] == "sft" ? .supervised : .preference)
    options.maxLength = golden["options"]?["max_length"]?.int
    let path = Fixtures.path(golden["data"]?.string ?? "")
    let data = try TokenizedDataset(.file(path), tokenizer: tokenizer, options: options)
    let rows = golden["rows"]?.array ?? []
    #expect(data.count == rows.count && !rows.isEmpty)
    func expected(_ row: JSON, _ key: String) -> [Int32] {
      row[key]?.array?.compactMap { $0.int.map(Int32.init) } ?? []
    }
    for (index, row) in rows.enumerated() {
      guard options.purpose == .preference else {
        let sequence = data.sequence(index)
        #expect(Array(sequence.prompt + sequence.completion) == expected(row, "input_ids"))
        #expect(sequence.prompt.isEmpty == (data.kind != .completions) && !sequence.completion.isEmpty)
        continue
      }
      // TRL's ids are those before its collator cuts them.
      let limit = options.maxLength ?? .max
      let prompt = expected(row, "prompt_ids")
      #expect(Array(data.pair(index).chosen.prompt) == prompt)
      #expect(
        Array(data.pair(index).chosen.completion) == Array(expected(row, "chosen_ids").prefix(limit - prompt.count)))
      #expect(
        Array(data.pair(index).rejected.completion) == Array(expected(row, "rejected_ids").prefix(limit - prompt.count))
      )
    }
  }
}
