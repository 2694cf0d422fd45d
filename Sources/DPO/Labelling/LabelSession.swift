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
    /// Which of two answers is better; a row's answers are compared two by two, the first with the second and so on.
    case pairs
    /// Whether an answer is good.
    case thumbs
  }

  /// Two answers of a row, or one, in the order in which they are shown.
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
  /// Where the labelled rows go.
  public let output: String
  private let questions: [Question]
  private let log: OwnedAppendFile
  private var book = VerdictBook()
  private var next = 0
  private var isSaved = false

  /// Goes on with the log of the output, if there is one.
  ///
  /// - Parameter annotator: whose verdicts these are: 1 to 60 bytes.
  /// - Throws: `.state` while another process labels to the same output; `.mismatch` if the log is a judge's.
  public init(rows: [LabelRow], mode: Mode, annotator: String, output: String) throws {
    guard (1...60).contains(annotator.utf8.count) else {
      throw DPOError.argument("the annotator's name has \(annotator.utf8.count) bytes, expected 1 to 60")
    }
    self.mode = mode
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
    skipAnswered()
  }

  private static func questions(_ row: LabelRow, mode: Mode, annotator: String) -> [Question] {
    switch mode {
    case .thumbs:
      return distinct(row.completions.map(\.description)).map {
        Question(id: "\(row.id):\($0)", row: row, shown: [$0])
      }
    case .pairs:
      return distinctPairs(row.completions.map(\.description)).map { first, second in
        let id = "\(row.id):\(first):\(second)"
        // As good as random, but the same when the page is loaded again.
        let hash = Array((id + annotator).utf8).withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) }
        return Question(id: id, row: row, shown: hash & 1 == 0 ? [first, second] : [second, first])
      }
    }
  }

  private func skipAnswered() {
    let verdicts = book.verdicts(of: annotator)
    next = questions.firstIndex { verdicts[$0.id] == nil } ?? questions.count
  }

  // MARK: - What is to be judged

  /// Questions there are.
  public var total: Int { questions.count }
  /// Questions that this annotator has answered or skipped.
  public var done: Int {
    let verdicts = book.verdicts(of: annotator)
    return questions.count { verdicts[$0.id] != nil }
  }
  /// The question to be answered; nil when all are.
  public var current: Question? { next < questions.count ? questions[next] : nil }
  /// Whether this annotator has given a verdict that can be taken back.
  public var canUndo: Bool { book.last(of: annotator) != nil }
  /// Grows with every event: a page that shows an older one is outdated.
  public var revision: Int { book.revision(of: annotator) }

  /// How often this annotator gave each verdict.
  public func counts() -> [Verdict: Int] {
    let verdicts = book.verdicts(of: annotator)
    return questions.reduce(into: [:]) { counts, question in
      if let verdict = verdicts[question.id] { counts[verdict, default: 0] += 1 }
    }
  }

  /// With every other annotator who judged some of the same questions.
  public func agreements() -> [(annotator: String, agreement: Agreement)] {
    func judgements(_ name: String) -> [String: String] {
      book.verdicts(of: name).filter { $0.value != .skip }.mapValues(\.rawValue)
    }
    let own = judgements(annotator)
    return book.annotators.filter { $0 != annotator }.map { ($0, Agreement(own, judgements($0))) }
      .filter { $0.1.count > 0 }
  }

  // MARK: - Verdicts

  /// Takes the verdict on the current question. Outdated if the page that asks has seen another revision.
  ///
  /// - Throws: `.invalidArgument` for a verdict that is not of this mode.
  public func answer(_ question: String, _ verdict: Verdict, revision: Int) throws -> Outcome {
    let isThumb = verdict == .up || verdict == .down
    guard verdict == .skip || isThumb == (mode == .thumbs) else {
      throw DPOError.argument("\(verdict.rawValue) is no verdict of mode \(mode.rawValue)")
    }
    guard revision == self.revision, question == current?.id else { return .outdated }
    try record(["question": .string(question), "verdict": .string(verdict.rawValue)])
    return .done
  }

  /// Takes the last verdict back, and its question is asked again.
  public func undo(revision: Int) throws -> Outcome {
    guard revision == self.revision, let last = book.last(of: annotator) else { return .outdated }
    try record(["undo": .string(last)])
    return .done
  }

  private func record(_ event: JSONObject) throws {
    var event = event
    event["annotator"] = .string(annotator)
    event["time"] = .int(time(nil))
    try log.append(JSON.object(event).description)
    try log.flush()
    try book.apply(.object(event), place: log.path)
    skipAnswered()
    isSaved = false
  }

  // MARK: - Output

  /// Writes the output, whole or not at all, if something has changed: a row for every question on which the annotators' votes
  /// (without skips) are not equal.
  ///
  /// - Returns: rows written, nil if nothing has changed.
  @discardableResult
  public func save() throws -> Int? {
    guard !isSaved else { return nil }
    let all = book.annotators.map(book.verdicts)
    let file = try AtomicFile(output)
    var written = 0
    for question in questions {
      let verdicts = all.compactMap { $0[question.id] }
      let balance = verdicts.count { $0 == .first || $0 == .up } - verdicts.count { $0 == .second || $0 == .down }
      guard balance != 0 else { continue }
      let shown = question.shown.sorted()
      let row =
        switch mode {
        case .pairs:
          LabelOutput.pair(
            question.row, chosen: balance > 0 ? shown[0] : shown[1], rejected: balance > 0 ? shown[1] : shown[0])
        case .thumbs: LabelOutput.thumb(question.row, shown[0], up: balance > 0)
        }
      try file.write(JSON.object(row).description + "\n")
      written += 1
    }
    try file.commit()
    isSaved = true
    return written
  }
}
