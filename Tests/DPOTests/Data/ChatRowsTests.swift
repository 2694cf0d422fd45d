import DPO
import DPOBase
import TestSupport
import Testing

/// Rows with tools and several turns under the templates of real models: TRL's token ids and masks (make_chat_rows.py).
@Suite(.timeLimit(.minutes(10))) struct ChatRowsTests {
  private static func golden(_ part: String) throws -> [(template: String, data: String, rows: [JSON])] {
    let golden = try Fixtures.json("golden/chat_rows.json")
    return try #require(golden[part]?.object).members.map { name, rows in
      let words = name.split(separator: " ").map(String.init)
      return (words[0], words[1], rows.array ?? [])
    }
  }

  /// The day on which the goldens were made: some templates write it.
  private static let day = 1_795_694_400

  private static func load(template: String, data: String, options: DatasetOptions) throws -> TokenizedDataset {
    let model = "models/llama-tied"
    var settings = try Fixtures.json("\(model)/tokenizer_config.json").object ?? JSONObject()
    let source = try readFile(Fixtures.path("templates/\(template).jinja"), limit: 1 << 20)
    settings["chat_template"] = .string(String(decoding: source, as: UTF8.self))
    let tokenizer = try Tokenizer(
      tokenizerJSON: Fixtures.json("\(model)/tokenizer.json"), configuration: .object(settings), file: model)
    var options = options
    options.templateTime = day
    return try TokenizedDataset(.file(Fixtures.path("data/\(data).jsonl")), tokenizer: tokenizer, options: options)
  }

  private func ids(_ row: JSON, _ key: String) -> [Int32] {
    row[key]?.array?.compactMap { $0.int.map(Int32.init) } ?? []
  }

  @Test func pairsHaveTRLsTokens() throws {
    var options = DatasetOptions(.preference)
    options.maxLength = nil
    let cases = try ChatRowsTests.golden("pairs")
    #expect(cases.count >= 18)
    for (template, name, rows) in cases {
      let data = try ChatRowsTests.load(template: template, data: name, options: options)
      try #require(data.count == rows.count && !rows.isEmpty)
      for (index, row) in rows.enumerated() {
        let pair = data.pair(index)
        #expect(Array(pair.chosen.prompt) == ids(row, "prompt_ids"), "\(template) \(name) \(index)")
        #expect(Array(pair.chosen.completion) == ids(row, "chosen_ids"), "\(template) \(name) \(index)")
        #expect(Array(pair.rejected.completion) == ids(row, "rejected_ids"), "\(template) \(name) \(index)")
      }
    }
  }

  @Test func theAssistantsTokensAreTRLs() throws {
    var options = DatasetOptions(.supervised)
    options.maxLength = nil
    options.assistantOnlyLoss = true
    let cases = try ChatRowsTests.golden("supervised")
    #expect(cases.count >= 7)
    for (template, name, rows) in cases {
      let data = try ChatRowsTests.load(template: template, data: name, options: options)
      try #require(data.count == rows.count && !rows.isEmpty)
      for (index, row) in rows.enumerated() {
        let sequence = data.sequence(index)
        #expect(Array(sequence.completion) == ids(row, "input_ids"), "\(template) \(name) \(index)")
        #expect(
          sequence.labels.map(Array.init) == ids(row, "labels").map { $0 >= 0 }, "\(template) \(name) \(index)")
      }
    }
  }
}
