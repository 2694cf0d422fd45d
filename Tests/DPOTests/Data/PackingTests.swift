import DPO
import DPOBase
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct PackingTests {
  private func load(_ text: String, _ options: DatasetOptions, name: String = "data.jsonl") throws -> TokenizedDataset {
    let file = try TemporaryFile(Array(text.utf8), name: name)
    return try TokenizedDataset(.files([file.path]), rowTokenizer: byteTokenizer, options: options)
  }

  private func pretraining(_ maxLength: Int) -> DatasetOptions {
    var options = DatasetOptions(.pretraining)
    options.maxLength = maxLength
    return options
  }

  @Test func rowsFillPacksBestFitFirst() {
    // By hand: 9 | 7 2 | 6 3 1 | 5, and the 5 opens a pack since 4 do not remain anywhere.
    #expect(bestFitDecreasing([5, 9, 3, 7, 2, 6, 1], limit: 10) == [[1, 6], [3, 2], [5, 4], [0]])
    #expect(bestFitDecreasing([10, 10], limit: 10) == [[0], [1]])
    #expect(bestFitDecreasing([4, 4, 4], limit: 8) == [[0, 1], [2]])
    #expect(bestFitDecreasing([], limit: 8).isEmpty)
    // Blocks do not share packs.
    #expect(bestFitDecreasing([1, 1, 1], limit: 8, block: 2) == [[0, 1], [2]])
    // Lengths beyond a word of the table of lengths.
    #expect(bestFitDecreasing([100, 64, 63, 1, 28], limit: 128) == [[0, 4], [1, 2, 3]])
  }

  /// Every row is in one pack, none is too full, and no two packs could be one: what any packing by best fit promises.
  @Test func packsHoldEveryRowOnce() {
    var random = CounterRandom(key: 5)
    let lengths = (0..<3000).map { _ in 1 + Int(random.uniform() * 200) }
    let packs = bestFitDecreasing(lengths, limit: 256)
    #expect(packs.flatMap { $0 }.sorted() == Array(0..<3000))
    let sizes = packs.map { $0.reduce(0) { $0 + lengths[$1] } }
    #expect(sizes.allSatisfy { $0 <= 256 })
    #expect(sizes.count { $0 <= 128 } <= 3)  // one a block
  }

  @Test func documentsLongerThanALimitBecomePieces() throws {
    let data = try load(#"{"text": "0123456789"}"# + "\n" + #"{"text": "x"}"#, pretraining(5))
    // BOS, ten bytes, EOS: pieces overlap by one token, from which the next one is predicted.
    let digits = try ids("0123456789")
    #expect(data.count == 4 && data.report.splitRows == 1 && Array(data.lines) == [1, 1, 1, 2])
    #expect(Array(data.sequence(0).completion) == [1] + digits[..<4])
    #expect(Array(data.sequence(1).completion) == Array(digits[3..<8]))
    #expect(Array(data.sequence(2).completion) == Array(digits[7...]) + [2])
    // Every token but the documents' first is predicted once.
    #expect((0..<4).reduce(0) { $0 + data.size($1).targets } == 11 + 2)
    #expect(data.packCount == 4)
  }

  @Test func aTextFileIsADocumentAndADirectoryMany() throws {
    let one = try load("{\"text\": 1}\nab\n", pretraining(64), name: "notes.txt")
    #expect(one.count == 1 && Array(one.lines) == [1])
    #expect(try Array(one.sequence(0).completion) == [1] + ids("{\"text\": 1}\nab\n") + [2])
    let directory = try TemporaryDirectory()
    for (name, text) in [
      ("b.txt", "second"), ("a.jsonl", "{\"text\": \"first\"}\n{\"text\": \" \"}"), ("c.md", "no"), ("d.txt", "\n"),
    ] {
      try writeFile("\(directory.path)/\(name)", text)
    }
    let both = try TokenizedDataset(
      .files([directory.path]), rowTokenizer: byteTokenizer, options: pretraining(64))
    #expect(both.count == 2)
    #expect(try Array(both.sequence(0).completion) == [1] + ids("first") + [2])
    #expect(both.packCount == 1)
  }

  @Test func emptyAndBrokenCorporaAreErrors() throws {
    func error(_ bytes: [UInt8], name: String) -> String {
      do {
        let file = try TemporaryFile(bytes, name: name)
        _ = try TokenizedDataset(
          .file(file.path), rowTokenizer: byteTokenizer, options: pretraining(8))
        return "none"
      } catch { return "\(error)" }
    }
    #expect(error([], name: "a.txt").contains("an empty corpus"))
    #expect(error(Array(" \n\n".utf8), name: "a.txt").contains("an empty corpus"))
    #expect(error([], name: "a.jsonl").contains("empty"))
    #expect(error(Array(#"{"text": ""}"#.utf8), name: "a.jsonl").contains("an empty corpus"))
    #expect(error(Array(#"{"prompt": "x"}"#.utf8), name: "a.jsonl").contains("line 1: \"text\" is missing"))
    #expect(error(Array("good\n".utf8) + [0xFF, 0x0A], name: "a.txt").contains("line 2 is not UTF-8"))
    #expect(throws: DPOError.self) { try TextCorpus([]) }
    #expect(throws: DPOError.self) { try TextCorpus(["/nowhere/at/all"]) }
    let empty = try TemporaryDirectory()
    #expect(throws: DPOError.self) { try TextCorpus([empty.path]) }
    var unlimited = DatasetOptions(.pretraining)
    unlimited.maxLength = nil
    #expect(throws: DPOError.self) { try unlimited.validate() }
    #expect(throws: DPOError.self) { try pretraining(1).validate() }
  }

  @Test func plansCountPacks() throws {
    var plan = try BatchPlan(
      rows: 3, batchSize: 2, length: .epochs(1), shuffle: false, packs: [[4, 0], [1], [3, 2]])
    #expect(plan.totalSteps == 2)
    #expect(plan.step(0).microBatches == [[4, 0, 1]])
    #expect(plan.step(1).microBatches == [[3, 2]])
    #expect(throws: DPOError.self) { try BatchPlan(rows: 2, batchSize: 2, length: .epochs(1), packs: [[0]]) }
  }

  // MARK: - What is learned

  private func supervised(_ text: String, _ change: (inout DatasetOptions) -> Void) throws -> TokenizedDataset {
    var options = DatasetOptions(.supervised)
    options.assistantOnlyLoss = true
    change(&options)
    let file = try TemporaryFile(Array(text.utf8))
    return try TokenizedDataset(.file(file.path), rowTokenizer: byteTokenizer, options: options)
  }

  private static let turns = #"""
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]}
    """#

  @Test func assistantOnlyLearnsGenerationBlocks() throws {
    let data = try supervised(PackingTests.turns) { _ in }
    let sequence = data.sequence(0)
    #expect(try Array(sequence.completion) == ids("<u>x;<a>y;<u>z;"))
    #expect(sequence.labels.map(Array.init) == [0, 1, 0].flatMap { Array(repeating: $0 == 1, count: 5) })
    #expect(sequence.targetCount == 5 && data.size(0).targets == 5)
    let forest = try data.forest(rows: [0])
    #expect(forest.targets.map { $0.row } == [4, 5, 6, 7, 8])
    // What comes after the last learned token is not forwarded, nor is that token.
    #expect(forest.tokens.count == 9)
  }

  @Test func bothMasksHoldTogether() throws {
    let text = #"""
      {"prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}], "completion": [{"role": "assistant", "content": "w"}]}
      """#
    // The template's generation prompt "<a>" is the beginning of what it writes for the answer.
    let answer = try supervised(text) { _ in }.sequence(0)
    #expect(try Array(answer.completion) == ids("w;") && answer.targetCount == 2)
    let all = try supervised(text) { $0.completionOnlyLoss = false }.sequence(0)
    #expect(all.prompt.isEmpty && all.completion.count == 20 && all.targetCount == 10)
  }

  @Test func rowsWithoutAnythingToLearnAreErrorsOrLeftOut() throws {
    let message = #"{"messages": [{"role": "user", "content": "x"}]}"#
    #expect(throws: DPOError.self) { try supervised(message) { _ in } }
    #expect(throws: DPOError.self) { try supervised(#"{"text": "x"}"#) { _ in } }
    // The cut leaves nothing of the assistant's.
    #expect(throws: DPOError.self) { try supervised(PackingTests.turns) { $0.maxLength = 5 } }
    let short = #"{"messages": [{"role": "assistant", "content": "y"}]}"#
    let kept = try supervised(PackingTests.turns + "\n" + short) { $0.maxLength = 5 }
    #expect(kept.count == 1 && kept.report.droppedRows == 1 && Array(kept.lines) == [2])
    let end = try supervised(PackingTests.turns) {
      $0.maxLength = 7
      $0.truncation = .keepEnd
    }
    #expect(end.sequence(0).labels.map(Array.init) == [true, true, false, false, false, false, false])
  }
}
