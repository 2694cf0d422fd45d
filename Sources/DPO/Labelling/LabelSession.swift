import CKernels
import DPOBase
import DPOPlatform

/// People judging rows one question at a time. Every verdict is on the disk, in OUTPUT.log, before the call that gives it
/// returns; the output can be made from the log at any time.
///
/// Not for use from two threads at once.
public final class LabelSession {
  /// What people are asked.
  public enum Mode: String, Sendable, CaseIterable {
    /// Which of two answers is better; of a row, every two different answers.
    case pairs
    /// In what order a row's answers are, from the best to the worst.
    case ranking
    /// Whether an answer is good.
    case thumbs

    /// What verdicts of this mode can become; the first is the usual one.
    public var forms: [LabelForm] {
      switch self {
      case .pairs: [.allPairs]
      case .ranking: [.ranks, .allPairs, .bestWorst, .best]
      case .thumbs: [.thumbs]
      }
    }
  }

  /// Answers of a row in the order in which they are shown: two, all that differ, or one.
  public struct Question: Sendable, Equatable {
    /// Tells questions apart in the log.
    public let id: String
    /// The row that it is of.
    public let row: LabelRow
    /// Indices of the answers.
    public let shown: [Int]
  }

  /// Whether a verdict was taken.
  public enum Outcome: Sendable {
    /// It is on the disk.
    case done
    /// Nothing was changed: the page that asks has seen another revision or another question, or there is nothing to undo.
    case outdated
  }

  /// What is asked.
  public let mode: Mode
  /// Whose verdicts are taken.
  public let annotator: String
  /// Which rows the verdicts become.
  public let form: LabelForm
  /// Where the labelled rows go.
  public let output: String
  private let questions: [Question]
  private let log: OwnedAppendFile
  private var book = VerdictBook()
  private var next = 0
  private var isSaved = false

  /// Goes on with the log of the output, if there is one.
  ///
  /// - Parameters:
  ///   - form: one of the mode's; nil: its first.
  ///   - annotator: whose verdicts these are: 1 to 60 bytes.
  /// - Throws: `.state` while another process labels to the same output; `.mismatch` if the log is a judge's.
  public init(rows: [LabelRow], mode: Mode, form: LabelForm? = nil, annotator: String, output: String) throws {
    let form = form ?? mode.forms[0]
    guard mode.forms.contains(form) else {
      throw DPOError.argument(
        "form is \(form.rawValue); people's verdicts of mode \(mode.rawValue) become "
          + mode.forms.map(\.rawValue).joined(separator: ", "))
    }
    guard (1...60).contains(annotator.utf8.count) else {
      throw DPOError.argument("the annotator's name has \(annotator.utf8.count) bytes, expected 1 to 60")
    }
    self.mode = mode
    self.form = form
    self.annotator = annotator
    self.output = output
    questions = rows.flatMap { LabelSession.questions($0, mode: mode, annotator: annotator) }
    guard !questions.isEmpty else {
      throw DPOError.argument("there is nothing to compare: no row has two different answers")
    }
    try AtomicFile(output).discard()
    log = try OwnedAppendFile(LabelLog.path(of: output))
    var found = VerdictBook()
    try LabelLog.forEachLine(of: log) { event, place in try found.apply(event, place: place) }
    book = found
    findNext()
  }

  private static func questions(_ row: LabelRow, mode: Mode, annotator: String) -> [Question] {
    let different = distinct(row.completions.map(\.json.description))
    // Orders are as good as random, but the same when the page is loaded again.
    func hash(_ text: String) -> UInt64 {
      Array((text + annotator).utf8).withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) }
    }
    switch mode {
    case .thumbs: return different.map { Question(id: "\(row.id):\($0)", row: row, shown: [$0]) }
    case .ranking:
      guard different.count > 1 else { return [] }
      let shown = different.map { (hash("\(row.id):\($0):"), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
      return [Question(id: row.id + rankingMark, row: row, shown: shown)]
    case .pairs:
      return different.enumerated().flatMap { place, first in
        different.dropFirst(place + 1).map { second in
          let id = pairID(row.id, first, second)
          return Question(id: id, row: row, shown: hash(id) & 1 == 0 ? [first, second] : [second, first])
        }
      }
    }
  }

  private static let rankingMark = ":ranking"

  /// The question about two answers of a row.
  static func pairID(_ row: String, _ first: Int, _ second: Int) -> String { "\(row):\(first):\(second)" }

  /// The row of a question about a ranking.
  static func row(ofRanking question: String) -> String {
    question.hasSuffix(rankingMark) ? String(question.dropLast(rankingMark.count)) : question
  }

  /// The first question without a verdict; where there is none, the first that was skipped and not yet asked again.
  private func findNext() {
    let given = book.judgements(of: annotator)
    next =
      questions.firstIndex { given[$0.id] == nil } ?? questions.firstIndex { !isSettled($0, given) } ?? questions.count
  }

  private func isSettled(_ question: Question, _ given: [String: Judgement]) -> Bool {
    guard let judgement = given[question.id] else { return false }
    return judgement.verdict != .skip || book.skips(of: question.id, by: annotator) > 1
  }

  // MARK: - What is to be judged

  /// Questions there are.
  public var total: Int { questions.count }
  /// Questions that this annotator has answered, or skipped twice.
  public var done: Int {
    let given = book.judgements(of: annotator)
    return questions.count { isSettled($0, given) }
  }
  /// Questions that this annotator has skipped and that will be asked again.
  public var postponed: Int {
    let given = book.judgements(of: annotator)
    return questions.count { given[$0.id] != nil && !isSettled($0, given) }
  }
  /// The question to be answered; nil when all are.
  public var current: Question? { next < questions.count ? questions[next] : nil }
  /// Whether it was skipped before.
  public var isAskedAgain: Bool { current.map { book.skips(of: $0.id, by: annotator) > 0 } ?? false }
  /// What this annotator said last, which can be taken back, and its question; nil where there is nothing.
  public var last: (question: Question, judgement: Judgement)? {
    guard let (id, judgement) = book.last(of: annotator), let question = questions.first(where: { $0.id == id }) else {
      return nil
    }
    return (question, judgement)
  }
  /// Grows with every event: a page that shows an older one is outdated.
  public var revision: Int { book.revision(of: annotator) }

  /// How often this annotator gave each verdict.
  public func counts() -> [Verdict: Int] {
    let given = book.judgements(of: annotator)
    return questions.reduce(into: [:]) { counts, question in
      if let judgement = given[question.id] { counts[judgement.verdict, default: 0] += 1 }
    }
  }

  /// With every other annotator who judged some of the same questions.
  public func agreements() -> [(annotator: String, agreement: Agreement)] {
    let own = book.comparable(annotator)
    return book.annotators.filter { $0 != annotator }.map { ($0, Agreement(own, book.comparable($0))) }
      .filter { $0.1.count > 0 }
  }

  // MARK: - Verdicts

  /// Takes the judgement of the current question. Outdated if the page that asks has seen another revision.
  ///
  /// - Throws: `.invalidArgument` for a verdict that is not of this mode, ranks that are not those of the answers shown, or a
  ///   comment that is too long.
  public func answer(_ question: String, _ judgement: Judgement, revision: Int) throws -> Outcome {
    let verdict = judgement.verdict
    guard verdict == .skip || mode.verdicts.contains(verdict) else {
      throw DPOError.argument("\(verdict.rawValue) is no verdict of mode \(mode.rawValue)")
    }
    guard judgement.comment.utf8.count <= Judgement.longestComment else {
      throw DPOError.argument(
        "the comment has \(judgement.comment.utf8.count) bytes, expected at most \(Judgement.longestComment)")
    }
    guard revision == self.revision, let current, question == current.id else { return .outdated }
    if verdict == .ranked {
      let places = judgement.ranks.indices.filter { judgement.ranks[$0] != nil }
      let count = current.shown.count
      guard judgement.ranks.count == current.row.completions.count, places == current.shown.sorted(),
        judgement.ranks.allSatisfy({ $0.map((1...count).contains) ?? true })
      else { throw DPOError.argument("ranks are not one number of 1 to \(count) for each of the \(count) answers") }
    }
    try record((["question": .string(question)] as JSONObject).with(judgement.columns))
    return .done
  }

  /// Takes the last verdict back, and its question is asked again.
  public func undo(revision: Int) throws -> Outcome {
    guard revision == self.revision, let last else { return .outdated }
    try record(["undo": .string(last.question.id)])
    return .done
  }

  private func record(_ event: JSONObject) throws {
    var event = event
    event["annotator"] = .string(annotator)
    event["time"] = .int(time(nil))
    try log.append(JSON.object(event).description)
    try log.flush()
    try book.apply(.object(event), place: log.path)
    findNext()
    isSaved = false
  }

  // MARK: - Output

  /// Writes the output, whole or not at all, if something has changed: rows of the questions on which the annotators' votes are not
  /// equal. Of rankings, an answer has as many votes as answers stand below it, less those above. Comments on a question are
  /// the rows' column "comment".
  ///
  /// - Returns: rows written, nil if nothing has changed.
  @discardableResult
  public func save() throws -> Int? {
    guard !isSaved else { return nil }
    let all = book.annotators.map(book.judgements)
    let file = try AtomicFile(output)
    var written = 0
    for question in questions {
      let judgements = all.compactMap { $0[question.id] }
      let comment = judgements.map(\.comment).filter { !$0.isEmpty }.joined(separator: "\n")
      for var row in labelled(question, judgements) {
        if !comment.isEmpty { row["comment"] = .string(comment) }
        try file.write(JSON.object(row).description + "\n")
        written += 1
      }
    }
    try file.commit()
    isSaved = true
    return written
  }

  private func labelled(_ question: Question, _ judgements: [Judgement]) -> [JSONObject] {
    let row = question.row
    let shown = question.shown.sorted()
    func votes(_ verdict: Verdict) -> Int { judgements.count { $0.verdict == verdict } }
    switch mode {
    case .pairs:
      let balance = votes(.first) - votes(.second)
      guard balance != 0 else { return [] }
      return [LabelOutput.pair(row, chosen: shown[balance > 0 ? 0 : 1], rejected: shown[balance > 0 ? 1 : 0])]
    case .thumbs:
      let balance = votes(.up) - votes(.down)
      return balance == 0 ? [] : [LabelOutput.thumb(row, shown[0], up: balance > 0)]
    case .ranking:
      let rankings = judgements.filter { $0.verdict == .ranked }.map { judgement in
        shown.map { judgement.ranks[$0] ?? 0 }
      }
      let scores = shown.indices.map { own in
        rankings.reduce(0) { sum, ranks in
          ranks.reduce(sum) { $0 + ($1 > ranks[own] ? 1 : $1 < ranks[own] ? -1 : 0) }
        }
      }
      guard Set(scores).count > 1 else { return [] }
      var options = LabelOptions()
      options.form = form
      var ties = 0
      let different = LabelRow(
        id: row.id, line: row.line, prompt: row.prompt, completions: shown.map { row.completions[$0] },
        template: row.template)
      return different.labelled(scores.map(Double.init), options, keepsScores: false, &ties)
    }
  }
}

extension LabelSession.Mode {
  /// What people can say, besides that they skip.
  fileprivate var verdicts: [Verdict] {
    switch self {
    case .pairs: [.first, .second, .tie, .bothBad]
    case .ranking: [.ranked]
    case .thumbs: [.up, .down]
    }
  }
}
