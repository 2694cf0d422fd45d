import DPO
import TestSupport
import Testing

/// Rows of a file that lives as long as the value.
struct LabelPlace {
  let directory: TemporaryDirectory
  var data: String { directory.path + "/samples.jsonl" }
  var output: String { directory.path + "/out.jsonl" }
  var log: String { output + ".log" }

  init(_ lines: [String]) throws {
    directory = try TemporaryDirectory()
    try writeFile(data, lines.map { $0 + "\n" }.joined())
  }

  static func numbered(_ count: Int) throws -> LabelPlace {
    try LabelPlace((0..<count).map { #"{"prompt": "p\#($0)", "completions": ["a", "bb", "a", "ccc"]}"# })
  }

  func rows() throws -> [JSONObject] {
    var rows: [JSONObject] = []
    if try readFile(output, limit: 1 << 20).isEmpty { return [] }
    try RowFile(output).forEach { row, _ in rows.append(row) }
    return rows
  }
}

@Suite(.timeLimit(.minutes(10))) struct LabelRowTests {
  @Test func aRowIsKnownWhereverItStandsAndRepeatedRowsAreTold() throws {
    let one = #"{"prompt": "p", "completions": ["a", "b"], "index": 4}"#
    let place = try LabelPlace([one, #"{"completions": ["b", "a"], "prompt": "p"}"#, one])
    let rows = try LabelRow.read(place.data)
    #expect(rows.map(\.line) == [1, 2, 3])
    #expect(rows[2].id == rows[0].id + "-2" && rows[0].id != rows[1].id)
    let other = try LabelPlace([#"{"prompt": "q", "completions": ["a"]}"#, one])
    #expect(try LabelRow.read(other.data)[1].id == rows[0].id)
  }

  @Test func chatMessagesKeepWhatElseTheyHave() throws {
    let row =
      #"{"prompt": [{"role": "user", "content": "2+2?", "name": "Ann"}], "completions": ["4", "#
      + #"[{"role": "assistant", "content": "Adding.", "tool_calls": [{"name": "sum"}]}, {"role": "tool", "content": "4"}]], "#
      + #""tools": [{"name": "sum"}]}"#
    let place = try LabelPlace([row])
    let read = try LabelRow.read(place.data)[0]
    guard case .chat(let asked) = read.prompt, case .chat(let answer) = read.completions[1] else {
      Issue.record("expected chat messages")
      return
    }
    #expect(
      asked == [asked[0]] && asked[0].role == .user && asked[0].content == "2+2?" && asked[0]["name"] == "\"Ann\"")
    #expect(answer.map(\.role) == [.assistant, .tool] && answer[0]["tool_calls"] == #"[{"name": "sum"}]"#)
    #expect(read.completions[1].text == "Adding.\n\n4")
    #expect(read.template.texts == ["tools": #"[{"name": "sum"}]"#])
    #expect(try TemplateColumns(read.template.texts) == read.template)
    #expect(throws: DPOError.self) { try TemplateColumns(["tools": "3"]) }
    #expect(throws: DPOError.self) { try TemplateColumns(["label": "3"]) }
    _ = try LabelRow.label(
      [read], judge: Judge(identity: "second") { _, _ in [0, 1] }, options: LabelOptions(), to: place.output)
    let made = try place.rows()[0]
    #expect(made["prompt"] == read.prompt.json && made["chosen"] == read.completions[1].json)
    #expect(made["rejected"] == [["role": "assistant", "content": "4"]] && made["tools"] == [["name": "sum"]])
  }
}

@Suite(.timeLimit(.minutes(10))) struct LabellingTests {
  /// Scores are the lengths of the answers.
  let judge = Judge(identity: "length") { _, completions in completions.map { Double($0.text.utf8.count) } }

  @Test func scoresBecomeRowsAndAreNotAskedForAgain() throws {
    let place = try LabelPlace.numbered(4)
    let rows = try LabelRow.read(place.data)
    nonisolated(unsafe) var asked = 0
    let counting = Judge(identity: judge.identity) { prompt, completions in
      asked += 1
      return try judge.scores(prompt, completions)
    }
    var options = LabelOptions()
    let result = try LabelRow.label(rows, judge: counting, options: options, to: place.output)
    #expect(result.judged == 4 && result.written == 4 && result.ties == 0 && result.kept == 0)
    let first = try place.rows()[0]
    #expect(first["chosen"] == "ccc" && first["rejected"] == "a" && first["score_chosen"] == 3.0)
    options.form = .allPairs
    #expect(try LabelRow.label(rows, judge: counting, options: options, to: place.output).written == 20)
    options.form = .ranks
    #expect(try LabelRow.label(rows, judge: counting, options: options, to: place.output).written == 4)
    #expect(try place.rows()[0]["ranks"] == [3, 2, 3, 1])
    #expect(asked == 4)
    #expect(throws: DPOError.self) {
      try LabelRow.label(rows, judge: Judge(identity: "another") { _, _ in [] }, options: options, to: place.output)
    }
  }

  @Test func failuresKeepRowsForLaterAndThreeInARowEndTheWork() throws {
    let place = try LabelPlace.numbered(8)
    let rows = try LabelRow.read(place.data)
    final class Mood: @unchecked Sendable {
      var fails: [Content] = []
      var asked = 0
    }
    let mood = Mood()
    let judge = Judge(identity: "failing") { prompt, completions in
      mood.asked += 1
      if mood.fails.contains(prompt) { throw DPOError(.io, "gone") }
      return try self.judge.scores(prompt, completions)
    }
    mood.fails = ["p1", "p5"]
    let some = try LabelRow.label(rows, judge: judge, options: LabelOptions(), to: place.output)
    #expect(some.judged == 6 && some.kept == 2 && some.failure == "line 2: gone" && mood.asked == 8)
    mood.fails = []
    #expect(try LabelRow.label(rows, judge: judge, options: LabelOptions(), to: place.output).written == 8)
    #expect(mood.asked == 10)
    mood.fails = (0..<8).map { .text("p\($0)") }
    var options = LabelOptions()
    options.overwrite = true
    #expect(try LabelRow.label(rows, judge: judge, options: options, to: place.output).kept == 8)
    #expect(mood.asked == 13)
  }

  @Test func aJudgeServesSeveralThreads() async throws {
    let judge = try Judge.command(#"while read line; do echo '{"choice": 0}'; done"#, timeout: 20)
    try await withThrowingTaskGroup(of: [Double].self) { group in
      for _ in 0..<8 { group.addTask { try judge.scores("p", ["a", "b"]) } }
      for try await scores in group { #expect(scores == [1, -1]) }
    }
  }

  @Test func scoresThatAreNoNumbersAreFailures() throws {
    let place = try LabelPlace.numbered(1)
    for scores in [[1.0], [1, 2, 3, .nan]] {
      let judge = Judge(identity: "x") { _, _ in scores }
      #expect(
        try LabelRow.label(LabelRow.read(place.data), judge: judge, options: LabelOptions(), to: place.output).kept == 1
      )
    }
  }
}

@Suite(.timeLimit(.minutes(10))) struct LabelSessionTests {
  func session(
    _ place: LabelPlace, _ annotator: String = "a", mode: LabelSession.Mode = .pairs, form: LabelForm? = nil
  ) throws -> LabelSession {
    try LabelSession(
      rows: LabelRow.read(place.data), mode: mode, form: form, annotator: annotator, output: place.output)
  }

  /// Rows of two answers.
  func pairs(_ count: Int) throws -> LabelPlace {
    try LabelPlace((0..<count).map { #"{"prompt": "p\#($0)", "completions": ["a", "bb", "a"]}"# })
  }

  func say(_ verdict: Verdict, _ session: LabelSession, ranks: [Int?] = [], comment: String = "") throws {
    let question = try #require(session.current)
    let judgement = Judgement(verdict, ranks: ranks, comment: comment)
    #expect(try session.answer(question.id, judgement, revision: session.revision) == .done)
  }

  @Test func everyTwoDifferentAnswersAreComparedInARandomOrder() throws {
    let place = try LabelPlace.numbered(100)
    let session = try session(place)
    // "a", "bb", "a" again, "ccc": three pairs of different answers.
    #expect(session.total == 300)
    var swapped = 0
    var asked: [[Int]] = []
    while let question = session.current {
      asked.append(question.shown.sorted())
      swapped += question.shown[0] > question.shown[1] ? 1 : 0
      try say(.first, session)
    }
    #expect(Array(asked.prefix(3)) == [[0, 1], [0, 3], [1, 3]])
    #expect((115...185).contains(swapped))  // more than four standard deviations
    try session.save()
    let rows = try place.rows()
    #expect(rows.count == 300 && rows[2]["chosen"] == "bb" && rows[2]["rejected"] == "ccc")
  }

  @Test func aRankingBecomesRanksOrPairs() throws {
    let place = try LabelPlace.numbered(2)
    var session: LabelSession? = try session(place, mode: .ranking)
    #expect(session?.total == 2 && session?.current?.shown.sorted() == [0, 1, 3])
    for bad: [Int?] in [[], [1, 2, 3], [1, 2, 3, 4], [1, nil, nil, 2], [0, 1, nil, 2], [1, 2, nil, 4]] {
      let current = try #require(session)
      let question = try #require(current.current)
      #expect(throws: DPOError.self) {
        try current.answer(question.id, Judgement(.ranked, ranks: bad), revision: current.revision)
      }
    }
    try say(.ranked, #require(session), ranks: [2, 2, nil, 1], comment: "the long one")
    try say(.ranked, #require(session), ranks: [1, 1, nil, 1])
    try session?.save()
    // A row of which all answers tie says nothing.
    #expect(
      try place.rows() == [
        ["prompt": "p0", "completions": ["a", "bb", "ccc"], "ranks": [2, 2, 1], "comment": "the long one"]
      ])
    for (form, rows) in [
      (LabelForm.bestWorst, 1), (.allPairs, 2), (.best, 1),
    ] {
      session = nil
      session = try self.session(place, mode: .ranking, form: form)
      #expect(try session?.save() == rows)
    }
    #expect(try place.rows() == [["prompt": "p0", "completion": "ccc", "comment": "the long one"]])
    session = nil
    for (mode, form) in [(LabelSession.Mode.ranking, LabelForm.scores), (.pairs, .best), (.thumbs, .allPairs)] {
      #expect(throws: DPOError.self) { try self.session(place, mode: mode, form: form) }
    }
  }

  /// Answers are in the order of how many stand below them, less how many above, in all rankings; and rankings are compared
  /// pair by pair.
  @Test func rankingsOfSeveralAreCounted() throws {
    let place = try LabelPlace.numbered(1)
    for (name, ranks) in [("a", [1, 2, nil, 3]), ("b", [2, 1, nil, 3]), ("c", [1, 2, nil, 2])] {
      let session = try session(place, name, mode: .ranking)
      try say(.ranked, session, ranks: ranks)
      try session.save()
    }
    // a: 2 + 0 + 2, bb: 0 + 2 − 1, ccc: −2 − 2 − 1.
    #expect(try place.rows().map { $0["ranks"] } == [[1, 2, 3]])
    // a and b agree on two of three pairs, a and c on two, b and c on one.
    let logged = try AnnotatorJudgements.read(place.log)
    func observed(_ a: Int, _ b: Int) -> Double { Agreement(logged[a].judgements, logged[b].judgements).observed }
    #expect(abs(observed(0, 1) - 2.0 / 3) < 1e-12 && abs(observed(0, 2) - 2.0 / 3) < 1e-12)
    #expect(abs(observed(1, 2) - 1.0 / 3) < 1e-12)
    // Someone who compares the same answers two by two is compared with them.
    let pairs = try session(place, "d")
    for verdict in [Verdict.first, .first, .second] { try say(verdict, pairs) }
    #expect(pairs.agreements().map(\.agreement.count) == [3, 3, 3])
    // On (a, bb), (a, ccc) and (bb, ccc) d says first, first, second; the others first first first, second first first and
    // first first tie.
    let shares = pairs.agreements().map { ($0.agreement.observed * 3).rounded() }
    #expect(shares == [2, 1, 2])
  }

  @Test func whatWasSkippedComesAgainAtTheEndOnce() throws {
    let place = try pairs(3)
    var session: LabelSession? = try session(place)
    try say(.skip, #require(session), comment: "later")
    try say(.first, #require(session))
    try say(.skip, #require(session))
    #expect(session?.done == 1 && session?.postponed == 2 && session?.current?.row.prompt == "p0")
    #expect(session?.isAskedAgain == true)
    try say(.skip, #require(session))
    #expect(session?.done == 2 && session?.current?.row.prompt == "p2")
    session = nil
    let again = try self.session(place)
    #expect(again.current?.row.prompt == "p2" && again.isAskedAgain)
    try say(.second, again)
    #expect(again.current == nil && again.done == 3 && again.counts() == [.first: 1, .second: 1, .skip: 1])
    // Undone one by one: p2 is a skipped one again, then p0 is.
    #expect(try again.undo(revision: again.revision) == .done)
    #expect(again.current?.row.prompt == "p2" && again.isAskedAgain && again.postponed == 1)
    #expect(try again.undo(revision: again.revision) == .done)
    #expect(again.current?.row.prompt == "p0" && again.isAskedAgain && again.postponed == 2)
    #expect(again.last?.judgement == Judgement(.skip) && again.last?.question.row.prompt == "p2")
  }

  @Test func commentsAreKeptAndBothBadVotesForNeither() throws {
    let place = try pairs(2)
    for (name, comment) in [("a", "good"), ("b", ""), ("c", "so\nso")] {
      let session = try session(place, name)
      try say(.first, session, comment: comment)
      try say(.bothBad, session)
      let question = try #require(session.last?.question)
      #expect(throws: DPOError.self) {
        try session.answer(
          question.id, Judgement(.first, comment: String(repeating: "x", count: 4001)), revision: session.revision)
      }
      try session.save()
    }
    #expect(try place.rows() == [["prompt": "p0", "chosen": "a", "rejected": "bb", "comment": "good\nso\nso"]])
    var events: [JSONObject] = []
    try RowFile(place.log).forEach { event, _ in events.append(event) }
    #expect(events.map { $0["comment"] } == ["good", nil, nil, nil, "so\nso", nil])
    #expect(events.map { $0["verdict"] } == ["first", "both-bad", "first", "both-bad", "first", "both-bad"])
  }

  @Test func verdictsSurviveTheProcessAndUndoGoesBackStepByStep() throws {
    let place = try pairs(5)
    var session: LabelSession? = try session(place)
    for verdict in [Verdict.first, .tie, .second, .skip] { try say(verdict, #require(session)) }
    session = nil
    // A crash in the middle of a line.
    let log = try readFile(place.log, limit: 1 << 20)
    try writeFile(place.log, String(decoding: log, as: UTF8.self) + #"{"question": "#)
    let again = try self.session(place)
    #expect(again.done == 3 && again.postponed == 1 && again.counts() == [.first: 1, .tie: 1, .second: 1, .skip: 1])
    #expect(again.current?.row.prompt == "p4")
    #expect(try again.undo(revision: again.revision) == .done)
    #expect(try again.undo(revision: again.revision) == .done)
    #expect(again.current?.row.prompt == "p2" && again.done == 2)
    try say(.first, again)
    #expect(again.current?.row.prompt == "p3")
    #expect(try again.save() == 2)
    #expect(try again.save() == nil)
    #expect(try place.rows().map { $0["prompt"] } == ["p0", "p2"])
  }

  @Test func aPageThatIsOutdatedChangesNothing() throws {
    let session = try session(pairs(3))
    let question = try #require(session.current)
    #expect(try session.answer(question.id, Judgement(.first), revision: 0) == .done)
    #expect(try session.answer(question.id, Judgement(.second), revision: 0) == .outdated)
    #expect(try session.undo(revision: 0) == .outdated)
    #expect(session.counts() == [.first: 1])
    #expect(throws: DPOError.self) { try session.answer(question.id, Judgement(.up), revision: 1) }
  }

  @Test func oneProcessAtATimeLabelsToAFile() throws {
    let place = try pairs(3)
    let first = try session(place)
    #expect { try session(place, "b") } throws: { ($0 as? DPOError)?.code == .state }
    withExtendedLifetime(first) {}
  }

  @Test func annotatorsVoteAndTheirAgreementIsKnown() throws {
    let place = try pairs(4)
    for (name, verdicts) in [
      ("a", [Verdict.first, .first, .second, .tie]), ("b", [.first, .second, .second, .first]),
    ] {
      let session = try session(place, name)
      for verdict in verdicts { try say(verdict, session) }
      try session.save()
    }
    #expect(try place.rows().map { $0["prompt"] } == ["p0", "p2", "p3"])
    let session = try session(place, "a")
    let found = try #require(session.agreements().first)
    // Equal in two of four; chance: first ½·½ + second ¼·½ = 3/8.
    #expect(found.annotator == "b" && found.agreement.count == 4 && found.agreement.observed == 0.5)
    #expect(abs((try #require(found.agreement.kappa)) - (0.5 - 0.375) / (1 - 0.375)) < 1e-12)
    let logged = try AnnotatorJudgements.read(place.log)
    #expect(logged.map(\.name) == ["a", "b"])
    #expect(Agreement(logged[0].judgements, logged[1].judgements) == found.agreement)
  }

  @Test func thumbsMakeRowsForKTO() throws {
    let place = try LabelPlace([
      #"{"prompt": [{"role": "user", "content": "p"}], "completions": ["a", "b", "a", "c"]}"#
    ])
    let session = try session(place, mode: .thumbs)
    for verdict in [Verdict.up, .skip, .down, .skip] { try say(verdict, session) }
    #expect(session.current == nil && session.done == 3)
    try session.save()
    let rows = try place.rows()
    #expect(rows.map { $0["label"] } == [true, false])
    #expect(rows[0]["completion"] == [["role": "assistant", "content": "a"]])
  }
}

@Suite(.timeLimit(.minutes(10))) struct AgreementTests {
  @Test func kappaIsThatOfCohensTable() {
    // Cohen's kappa on 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no is 0.4 (the usual textbook example).
    let table = [("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15)]
    let agreement = Agreement(table.flatMap { Array(repeating: (first: $0.0, second: $0.1), count: $0.2) })
    #expect(agreement.count == 50 && abs(agreement.observed - 0.7) < 1e-12)
    #expect(abs((agreement.kappa ?? 0) - 0.4) < 1e-12)
    #expect(Agreement([]).kappa == nil)
    #expect(Agreement([("a", "a"), ("a", "a")]).kappa == nil)
  }
}
