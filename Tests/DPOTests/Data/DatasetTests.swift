import DPO
import DPOBase
import Testing

/// The rules that TRL's trainers prepare data by.
@Suite(.timeLimit(.minutes(10))) struct DatasetTests {
  func pair(_ text: String, _ change: (inout DatasetOptions) -> Void = { _ in }) throws -> TokenizedDataset.Pair {
    var options = DatasetOptions()
    change(&options)
    return try load(text, options).pair(0)
  }

  @Test func textGetsBOSAndAnEOSUnlessItHasOne() throws {
    let row = try pair(#"{"prompt": "x:", "chosen": " y", "rejected": " z</s>"}"#)
    #expect(try Array(row.chosen.prompt) == [1] + ids("x:"))
    #expect(try Array(row.chosen.completion) == ids(" y") + [2])
    #expect(try Array(row.rejected.completion) == ids(" z") + [2])
    #expect(row.sharesPrompt)
  }

  @Test func aMergeAcrossTheBoundaryBelongsToBothCompletions() throws {
    let data = try load(#"{"prompt": "xa", "chosen": "bc", "rejected": "z"}"#)
    let row = data.pair(0)
    #expect(try Array(row.chosen.prompt) == [1] + ids("x"))
    #expect(try Array(row.chosen.completion) == [3] + ids("c") + [2])
    #expect(try Array(row.rejected.completion) == ids("az") + [2])
    #expect(data.report.movedBoundaries == 1 && data.report.firstMovedBoundary == 1)
  }

  @Test func anImplicitPromptEndsAtTheFirstDifferenceBeforeOneBlank() throws {
    let rows: [(String, String, String, String, String)] = [
      ("Say: yes", "Say: no", "Say:", " yes", " no"),
      ("Say:yes", "Say:no", "Say:", "yes", "no"),
      ("abc", "abcd", "ab", "c", "cd"),  // no difference in the shorter one
      ("xe\u{301}", "xe\u{300}", "xe", "\u{301}", "\u{300}"),  // by Unicode scalar, not by character
      ("x", "y", "", "x", "y"),
    ]
    for (chosen, rejected, prompt, y, z) in rows {
      let row = try pair(JSON.object(["chosen": .string(chosen), "rejected": .string(rejected)]).description)
      let joined = try [1] + ids(prompt)
      #expect(Array(row.chosen.prompt) == joined, "\(chosen)")
      #expect(try Array(row.chosen.completion) == ids(y) + [2])
      #expect(try Array(row.rejected.completion) == ids(z) + [2])
    }
    #expect(message { _ = try load(#"{"chosen": "", "rejected": "a"}"#) }.contains("line 1"))
  }

  @Test func chatRowsAreRenderedWithAndWithoutTheGenerationPrompt() throws {
    let explicit = """
      {"prompt": [{"role": "user", "content": "hi"}], "chosen": [{"role": "assistant", "content": "A"}], \
      "rejected": [{"role": "assistant", "content": "B"}], "tools": "[{}, {}]"}
      """
    let row = try pair(explicit)
    #expect(try Array(row.chosen.prompt) == ids("[2]<u>hi;<a>"))
    #expect(try Array(row.chosen.completion) == ids("A;"))
    let implicit = """
      {"chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "A"}], \
      "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "B"}], "tools": [{}, {}]}
      """
    #expect(try Array(pair(implicit).rejected.completion) == ids("B;"))
    #expect(try Array(pair(implicit).rejected.prompt) == ids("[2]<u>hi;<a>"))
  }

  @Test func keepStartCutsCompletionsAndDropsRowsWhosePromptFillsTheLimit() throws {
    let text = """
      {"prompt": "xyz", "chosen": "1234", "rejected": "1"}
      {"prompt": "vwxyz", "chosen": "1", "rejected": "2"}
      """
    var options = DatasetOptions()
    options.maxLength = 6
    let data = try load(text, options)
    #expect(data.count == 1 && data.report.droppedRows == 1 && data.report.truncatedRows == 1)
    #expect(try Array(data.pair(0).chosen.completion) == ids("12"))
    #expect(try Array(data.pair(0).rejected.completion) == ids("1") + [2])
    options.maxLength = 1
    #expect(message { _ = try load(text, options) }.contains("max_length"))
  }

  @Test func keepEndCutsPromptsSeparately() throws {
    let row = try pair(#"{"prompt": "xyz", "chosen": "12345", "rejected": "1"}"#) {
      $0.maxLength = 5
      $0.truncation = .keepEnd
    }
    #expect(try Array(row.chosen.prompt) == [] && Array(row.chosen.completion) == ids("2345") + [2])
    #expect(row.chosen.completionCount == 5 && row.chosen.targetCount == 4)
    #expect(try Array(row.rejected.prompt) == ids("xyz") && Array(row.rejected.completion) == ids("1") + [2])
    #expect(!row.sharesPrompt)
  }

  @Test func unpairedRowsKeepTheirLabels() throws {
    let data = try load(
      """
      {"prompt": "x", "completion": "1", "label": true}
      {"prompt": "x", "completion": "2", "label": 0}
      {"prompt": "x", "completion": "3", "label": 1.0}
      """, DatasetOptions(.unpaired))
    #expect(data.labels.map(Array.init) == [true, false, true])
    #expect(
      try data.mismatched([0, 1, 2], group: 3).map { Array($0.completion) }
        == [ids("3"), ids("1"), ids("2")].map { $0 + [2] })
    #expect(
      try data.mismatched([0, 1], group: 2).map { Array($0.completion) } == [ids("2"), ids("1")].map { $0 + [2] })
  }

  @Test func pairsAreTakenApartInBlocks() throws {
    let text = (0..<1002).map { #"{"prompt": "p", "chosen": "c\#($0)", "rejected": "r\#($0)", "weight": 2}"# }
    let data = try load(text.joined(separator: "\n"), DatasetOptions(.unpaired))
    #expect(data.count == 2004 && data.lines[1000] == 1 && data.lines[2000] == 1001)
    #expect(try Array(data.sequence(1000).completion) == ids("r0") + [2])
    #expect(data.labels?[999] == true && data.labels?[1000] == false && data.weights?.allSatisfy { $0 == 2 } == true)
  }

  @Test func supervisedRowsLearnTheCompletionOrEverything() throws {
    let text = #"{"prompt": "x", "completion": "1", "label": 7}"#
    let row = try load(text, DatasetOptions(.supervised)).sequence(0)
    #expect(try Array(row.prompt) == [1] + ids("x") && Array(row.completion) == ids("1") + [2])
    var options = DatasetOptions(.supervised)
    options.completionOnlyLoss = false
    let whole = try load(text, options).sequence(0)
    #expect(try whole.prompt.isEmpty && Array(whole.completion) == [1] + ids("x1") + [2] && whole.targetCount == 3)
    let plain = try load(#"{"text": "abc"}"#, DatasetOptions(.supervised)).sequence(0)
    #expect(try Array(plain.completion) == [1, 3] + ids("c") + [2])
    let chat = try load(#"{"messages": [{"role": "user", "content": "q"}]}"#, DatasetOptions(.supervised)).sequence(0)
    #expect(try Array(chat.completion) == ids("<u>q;"))
  }

  @Test func everyBadRowIsNamedWithItsKey() {
    let good = #"{"prompt": "x", "chosen": "y", "rejected": "z"}"#
    let bad: [(String, String)] = [
      (#"{"chosen": "y", "rejected": "z"}"#, "\"prompt\" is missing"),
      (#"{"prompt": "x", "chosen": "y"}"#, "\"rejected\" is missing"),
      (#"{"prompt": null, "chosen": "y", "rejected": "z"}"#, "\"prompt\" is missing"),
      (#"{"prompt": "x", "chosen": 7, "rejected": "z"}"#, "\"chosen\" is a number"),
      (#"{"prompt": "x", "chosen": [], "rejected": "z"}"#, "\"chosen\" is an empty list"),
      (#"{"prompt": "x", "chosen": [7], "rejected": "z"}"#, "message 1 is a number"),
      (
        #"{"prompt": [{"role": "user", "content": "a"}], "chosen": "y", "rejected": "z"}"#,
        "\"prompt\" holds chat messages"
      ),
      (#"{"prompt": "x", "chosen": "y", "rejected": "z", "weight": -1}"#, "\"weight\" is -1"),
      (#"{"prompt": "x", "chosen": "y", "rejected": "z", "weight": true}"#, "\"weight\" is a boolean"),
      (#"{"prompt": "x", "chosen": "y", "rejected": "z", "ref_chosen_logps": 1}"#, "the first row has not"),
    ]
    for (row, expected) in bad {
      let found = message { _ = try load(good + "\n" + row) }
      #expect(found.contains("line 2") && found.contains(expected), "\(found)")
    }
    let chat =
      #"{"prompt": [{"role": "user", "content": "a"}], "chosen": [M], "rejected": [{"role": "a", "content": "b"}]}"#
    for message_ in [
      #"{"role": 7, "content": "x"}"#, #"{"role": "a", "content": 7}"#, #"{"role": "a", "content": null}"#,
      #"{"role": "a"}"#, #"{"content": "x"}"#,
    ] {
      #expect(message { _ = try load(chat.replacingFirst("M", message_)) }.contains("\"chosen\" message 1"))
    }
    for label in ["\"yes\"", "7", "-1", "[]", "null"] {
      let text =
        #"{"prompt": "a", "completion": "b", "label": true}"# + "\n"
        + #"{"prompt": "a", "completion": "b", "label": \#(label)}"#
      #expect(message { _ = try load(text, DatasetOptions(.unpaired)) }.contains("line 2: \"label\" is"))
    }
  }

  @Test func aFirstRowOfAnotherKindNamesWhatIsExpected() {
    let found = message { _ = try load(#"{"question": "x", "answer": "y"}"#) }
    #expect(found.contains("\"chosen\" and \"rejected\"") && found.contains("\"question\""))
    #expect(message { _ = try load(#"{"text": "x"}"#) }.contains("found the keys"))
    #expect(
      message { _ = try load(#"{"prompt": "x", "completions": []}"#, DatasetOptions(.supervised)) }.contains("\"text\"")
    )
  }

  @Test func supervisedLearningTakesTheChosenSideOfPairs() throws {
    let data = try load(
      """
      {"chosen": "x: y", "rejected": "x: z", "weight": 0.5}
      {"chosen": "x: w", "rejected": "x: z"}
      """, DatasetOptions(.supervised))
    #expect(data.kind == .completions && data.count == 2 && data.weights.map(Array.init) == [0.5, 1])
    #expect(try Array(data.sequence(1).completion) == ids(" w") + [2])
  }

  @Test func rankedAnswersShareTheirPromptAndKeepTheirRanks() throws {
    let data = try load(
      """
      {"prompt": "x", "completions": ["1", "23", "4"], "ranks": [2, 3, 1], "weight": 2}
      {"prompt": "x", "completions": ["5", "z"], "scores": [0.5, 7]}
      """, DatasetOptions(.ranked))
    #expect(data.kind == .ranked && data.weights.map(Array.init) == [2, 1])
    #expect(data.sequenceCount(0) == 3 && data.sequenceCount(1) == 2)
    #expect(data.ranks(0) == [2, 3, 1] && data.ranks(1) == [-0.5, -7])
    #expect(data.sequenceNames(1) == ["completion_1", "completion_2"])
    let forest = try data.forest(rows: [1, 0])
    #expect(try forest.tokens == [1] + ids("x") + ["5", "z", "1", "23", "4"].flatMap { try ids($0) })
    #expect(data.size(0) == (2 + 2 + 3 + 2, 7) && data.attendedTokens(0) == 4 + 5 + 4)
    #expect(message { try data.check(vocabularySize: 222) }.contains("line 2: token id 222"))
    let pairs = try load(#"{"chosen": "x: y", "rejected": "x: z"}"#, DatasetOptions(.ranked))
    #expect(pairs.kind == .pairs && pairs.ranks(0) == [1, 2])
    // Another order is another data set.
    let other = try load(#"{"prompt": "x", "completions": ["1", "2"], "ranks": [1, 2]}"#, DatasetOptions(.any))
    let reverse = try load(#"{"prompt": "x", "completions": ["1", "2"], "ranks": [2, 1]}"#, DatasetOptions(.any))
    #expect(other.fingerprint != reverse.fingerprint)
  }

  @Test func badRanksAreNamed() {
    let good = #"{"prompt": "x", "completions": ["1", "2"], "ranks": [1, 2]}"#
    let bad = [
      (#"{"prompt": "x", "completions": ["1", "2"]}"#, "neither \"ranks\" and \"scores\""),
      (#"{"prompt": "x", "completions": ["1", "2"], "ranks": [1, 2], "scores": [1, 2]}"#, "both \"ranks\""),
      (#"{"prompt": "x", "completions": ["1", "2"], "ranks": [1]}"#, "a list of 2 finite numbers"),
      (#"{"prompt": "x", "completions": ["1", "2"], "ranks": [1, "a"]}"#, "a list of 2 finite numbers"),
      (#"{"prompt": "x", "completions": ["1", "2"], "scores": 3}"#, "a list of 2 finite numbers"),
      (#"{"prompt": "x", "completions": ["1"], "ranks": [1]}"#, "a list of 1; expected 2 to 256 answers"),
      (#"{"prompt": "x", "completions": "12", "ranks": [1]}"#, "a string; expected 2 to 256 answers"),
      (#"{"prompt": "x", "completions": ["1", 2], "ranks": [1, 2]}"#, "\"completions[1]\" is a number"),
      (
        #"{"prompt": "x", "completions": ["1", [{"role": "a", "content": "b"}]], "ranks": [1, 2]}"#,
        "\"completions[1]\" chat messages"
      ),
      (#"{"completions": ["1", "2"], "ranks": [1, 2]}"#, "\"prompt\" is missing"),
    ]
    for (row, expected) in bad {
      let found = message { _ = try load(good + "\n" + row, DatasetOptions(.ranked)) }
      #expect(found.contains("line 2") && found.contains(expected), "\(found)")
    }
  }

  @Test func theReportOfRankedRowsComparesAllAnswers() throws {
    let report = try load(
      """
      {"prompt": "p", "completions": ["aaaa", "b", "cc"], "ranks": [1, 2, 3]}
      {"prompt": "p", "completions": ["aaaa", "b", "cc"], "ranks": [1, 2, 3]}
      {"prompt": "p", "completions": ["cc", "b"], "ranks": [1, 2]}
      {"prompt": "p", "completions": ["b", "d"], "ranks": [1, 1]}
      """, DatasetOptions(.any)
    ).report
    #expect(report.duplicateRows == 1 && report.contradictingRows == 1 && report.identicalRows == 1)
    #expect(report.answers == 10 && report.longestRow == 7)
    // Of rows 1 and 2 two of three, of row 3 one, of row 4 nothing is compared.
    #expect(abs(report.longerChosen - (2.0 / 3 + 2.0 / 3 + 1 + 0.5) / 4) < 1e-12)
    #expect(report.json["answers"] == 10 && report.text.contains("of 10 answers"))
    #expect(report.warnings.contains { $0.contains("all completions tie") })
  }

  @Test func weightsAndReferenceColumnsAreRead() throws {
    let data = try load(
      """
      {"prompt": "x", "chosen": "y", "rejected": "z", "ref_chosen_logps": -1.5, "ref_rejected_logps": -2}
      {"prompt": "x", "chosen": "z", "rejected": "y", "ref_chosen_logps": -3, "ref_rejected_logps": -4, "weight": 0.5}
      """)
    #expect(data.weights.map(Array.init) == [1, 0.5])
    #expect(data.referenceChosen.map(Array.init) == [-1.5, -3] && data.referenceRejected.map(Array.init) == [-2, -4])
    #expect(data.report.contradictingRows == 1 && data.report.duplicateRows == 0)
  }

  @Test func theReportCountsWhatMayGoWrong() throws {
    let rows = [("p", "aa", "b"), ("p", "aa", "b"), ("p", "b", "aa"), ("p", "c", "c"), ("q", "aaaa", "d")]
    let text = rows.map { #"{"prompt": "\#($0)", "chosen": "\#($1)", "rejected": "\#($2)"}"# }.joined(separator: "\n")
    let report = try load(text).report
    #expect(report.duplicateRows == 1 && report.contradictingRows == 1 && report.identicalRows == 1)
    #expect(report.longerChosen == 3.5 / 5)
    #expect(report.prompts.total == 10 && report.completions.maximum == 5 && report.longestRow == 7)
    #expect(report.warnings.count == 3)
    #expect(report.json["contradicting_rows"] == 1)
    #expect(try load(text).report(context: 6).rowsBeyondContext == 1)
    #expect(report.text.contains("contradict"))
  }

  @Test func rowsBeyondTheContextOrTheVocabularyAreNamed() throws {
    let data = try load(#"{"prompt": "x", "chosen": "yyyy", "rejected": "z"}"#)
    try data.check(contextLength: 7)
    #expect(message { try data.check(contextLength: 6) }.contains("line 1: 7 tokens"))
    try data.check(vocabularySize: 223)
    #expect(message { try data.check(vocabularySize: 222) }.contains("token id 222"))
  }

  @Test func tokenIdsFromAHostAreADataSetToo() throws {
    let data = try TokenizedDataset(
      .tokens([
        TokenizedRow(prompt: [1], completion: [2, 3], rejected: [4]),
        TokenizedRow(prompt: [], completion: [2], rejected: [5]),
      ]),
      options: DatasetOptions())
    #expect(Array(data.pair(1).rejected.completion) == [5] && data.pair(1).chosen.targetCount == 0)
    for bad in [TokenizedRow(prompt: [1], completion: [2]), TokenizedRow(prompt: [1], completion: [], rejected: [1])] {
      let found = message {
        _ = try TokenizedDataset(
          .tokens([TokenizedRow(prompt: [1], completion: [2], rejected: [4]), bad]), options: DatasetOptions())
      }
      #expect(found.contains("row 2"), "\(found)")
    }
  }

  @Test func aForestHoldsEveryPromptOnce() throws {
    let data = try load(
      """
      {"prompt": "x", "chosen": "1", "rejected": "2"}
      {"prompt": "x", "chosen": "3", "rejected": "45"}
      """)
    let forest = try data.forest(rows: [1, 0])
    #expect(try forest.tokens == [1] + ["x", "3", "45", "1", "2"].flatMap { try ids($0) })
    #expect(try forest.targets.map(\.token) == [ids("3"), ids("45"), ids("1"), ids("2")].flatMap { $0 + [2] })
    #expect(data.size(1) == (7, 5) && data.attendedTokens(1) == 9)
  }

  @Test func theFingerprintChangesWithWhatTrainingSees() throws {
    let text = #"{"prompt": "x", "chosen": "y", "rejected": "z"}"#
    let first = try load(text).fingerprint
    #expect(try load("\n" + text.replacingFirst("}", #", "note": 1}"#)).fingerprint == first)
    #expect(try load(text.replacingFirst("y", "w")).fingerprint != first)
    #expect(try load(text.replacingFirst("}", #", "weight": 2}"#)).fingerprint != first)
    var options = DatasetOptions()
    options.maxLength = 4
    #expect(try load(text, options).fingerprint != first)
  }
}
