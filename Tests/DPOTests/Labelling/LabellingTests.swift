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
    try JSONLines(output).forEach { row, _ in rows.append(row) }
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
}

@Suite(.timeLimit(.minutes(10))) struct LabellingTests {
  /// Scores are the lengths of the answers.
  let judge = Judge(identity: "length") { _, completions in completions.map { Double(LabelRow.text($0).utf8.count) } }

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
    #expect(asked == 4)
    #expect(throws: DPOError.self) {
      try LabelRow.label(rows, judge: Judge(identity: "another") { _, _ in [] }, options: options, to: place.output)
    }
  }

  @Test func failuresKeepRowsForLaterAndThreeInARowEndTheWork() throws {
    let place = try LabelPlace.numbered(8)
    let rows = try LabelRow.read(place.data)
    final class Mood: @unchecked Sendable {
      var fails: [JSON] = []
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
    mood.fails = (0..<8).map { .string("p\($0)") }
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
  func session(_ place: LabelPlace, _ annotator: String = "a", mode: LabelSession.Mode = .pairs) throws
    -> LabelSession
  {
    try LabelSession(rows: LabelRow.read(place.data), mode: mode, annotator: annotator, output: place.output)
  }

  func say(_ verdict: Verdict, _ session: LabelSession) throws {
    let question = try #require(session.current)
    #expect(try session.answer(question.id, verdict, revision: session.revision) == .done)
  }

  @Test func answersAreComparedTwoByTwoAndShownInARandomOrder() throws {
    let place = try LabelPlace.numbered(200)
    let session = try session(place)
    // "a", "bb", "a" again, "ccc": one pair of different answers and one left over.
    #expect(session.total == 200)
    var swapped = 0
    while let question = session.current {
      #expect(question.shown.sorted() == [0, 1])
      swapped += question.shown == [1, 0] ? 1 : 0
      try say(.first, session)
    }
    #expect((70...130).contains(swapped))  // more than four standard deviations
    try session.save()
    #expect(try place.rows().allSatisfy { $0["chosen"] == "a" && $0["rejected"] == "bb" })
  }

  @Test func verdictsSurviveTheProcessAndUndoGoesBackStepByStep() throws {
    let place = try LabelPlace.numbered(5)
    var session: LabelSession? = try session(place)
    for verdict in [Verdict.first, .tie, .second, .skip] { try say(verdict, #require(session)) }
    session = nil
    // A crash in the middle of a line.
    let log = try readFile(place.log, limit: 1 << 20)
    try writeFile(place.log, String(decoding: log, as: UTF8.self) + #"{"question": "#)
    let again = try self.session(place)
    #expect(again.done == 4 && again.counts() == [.first: 1, .tie: 1, .second: 1, .skip: 1])
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
    let session = try session(LabelPlace.numbered(3))
    let question = try #require(session.current)
    #expect(try session.answer(question.id, .first, revision: 0) == .done)
    #expect(try session.answer(question.id, .second, revision: 0) == .outdated)
    #expect(try session.undo(revision: 0) == .outdated)
    #expect(session.counts() == [.first: 1])
    #expect(throws: DPOError.self) { try session.answer(question.id, .up, revision: 1) }
  }

  @Test func oneProcessAtATimeLabelsToAFile() throws {
    let place = try LabelPlace.numbered(3)
    let first = try session(place)
    #expect { try session(place, "b") } throws: { ($0 as? DPOError)?.code == .state }
    withExtendedLifetime(first) {}
  }

  @Test func annotatorsVoteAndTheirAgreementIsKnown() throws {
    let place = try LabelPlace.numbered(4)
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
    for verdict in [Verdict.up, .skip, .down] { try say(verdict, session) }
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
