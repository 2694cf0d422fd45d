import DPOBase

/// What people can say of a question. First and second are the answers in the row's order, wherever they were shown.
public enum Verdict: String, Sendable, CaseIterable {
  /// The first of two answers is better.
  case first
  /// The second of two answers is better.
  case second
  /// Two answers are equally good: a judgement that votes for neither.
  case tie
  /// Neither of two answers is any good: a judgement that votes for neither.
  case bothBad = "both-bad"
  /// The answers in an order.
  case ranked
  /// No judgement; the question is asked once more when all others are answered.
  case skip
  /// The answer is good.
  case up
  /// The answer is bad.
  case down
}

/// What one annotator said of a question.
public struct Judgement: Sendable, Equatable {
  /// The verdict itself.
  public var verdict: Verdict
  /// Of `.ranked`: the place of each completion of the row, 1 for the best, equal for ties; nil where none was shown because it
  /// repeats an earlier one.
  public var ranks: [Int?]
  /// The annotator's own words; empty: none.
  public var comment: String

  /// Most bytes of a comment.
  public static let longestComment = 4000

  /// A verdict, with or without a comment.
  public init(_ verdict: Verdict, ranks: [Int?] = [], comment: String = "") {
    (self.verdict, self.ranks, self.comment) = (verdict, ranks, comment)
  }

  /// As the log has it.
  var columns: JSONObject {
    var columns: JSONObject = ["verdict": .string(verdict.rawValue)]
    if verdict == .ranked { columns["ranks"] = .array(ranks.map { $0.map(JSON.int) ?? .null }) }
    if !comment.isEmpty { columns["comment"] = .string(comment) }
    return columns
  }

  /// nil where the event of a log holds none.
  init?(_ event: JSON) {
    guard let verdict = event["verdict"]?.string.flatMap(Verdict.init(rawValue:)) else { return nil }
    let ranks = event["ranks"]?.array ?? []
    guard verdict != .ranked || !ranks.isEmpty, ranks.allSatisfy({ $0.isNull || $0.int != nil }) else { return nil }
    self.init(verdict, ranks: ranks.map(\.int), comment: event["comment"]?.string ?? "")
  }
}

/// Every annotator's judgements, from the events of a log:
/// `{"annotator", "question", "verdict", "time"}`, with `"ranks"` of a ranking and `"comment"` where there is one, and
/// `{"annotator", "undo": question, "time"}`.
struct VerdictBook {
  private struct Annotator {
    /// What stands, by question.
    var given: [String: Judgement] = [:]
    /// What can be undone, the last one last.
    var order: [(question: String, judgement: Judgement)] = []
    var skips: [String: Int] = [:]
    var events = 0
  }
  private var books: [String: Annotator] = [:]
  /// Names in the order of their first verdict.
  private(set) var annotators: [String] = []

  func judgements(of annotator: String) -> [String: Judgement] { books[annotator]?.given ?? [:] }
  func last(of annotator: String) -> (question: String, judgement: Judgement)? { books[annotator]?.order.last }
  func revision(of annotator: String) -> Int { books[annotator]?.events ?? 0 }
  /// How often the question was skipped, of which the last time may be undone.
  func skips(of question: String, by annotator: String) -> Int { books[annotator]?.skips[question] ?? 0 }

  /// What can be compared with other annotators: words by question, without skips. A ranking says something of every two answers, as
  /// people do who compare them two by two.
  func comparable(_ annotator: String) -> [String: String] {
    var words: [String: String] = [:]
    for (question, judgement) in judgements(of: annotator) where judgement.verdict != .skip {
      guard judgement.verdict == .ranked else {
        words[question] = judgement.verdict.rawValue
        continue
      }
      for (first, a) in judgement.ranks.enumerated() {
        for (second, b) in judgement.ranks.enumerated().dropFirst(first + 1) {
          guard let a, let b else { continue }
          let verdict = a == b ? Verdict.tie : a < b ? .first : .second
          words[LabelSession.pairID(LabelSession.row(ofRanking: question), first, second)] = verdict.rawValue
        }
      }
    }
    return words
  }

  mutating func apply(_ event: JSON, place: String) throws {
    guard let annotator = event["annotator"]?.string else {
      throw DPOError.mismatch("\(place) is no verdict; expected a line of an annotator's log")
    }
    if !annotators.contains(annotator) { annotators.append(annotator) }
    var book = books.removeValue(forKey: annotator) ?? Annotator()
    defer { books[annotator] = book }
    book.events += 1
    if let question = event["undo"]?.string {
      guard let last = book.order.lastIndex(where: { $0.question == question }) else { return }
      if book.order.remove(at: last).judgement.verdict == .skip { book.skips[question, default: 1] -= 1 }
      // A question that was skipped and answered later is a skipped one again.
      book.given[question] = book.order.last { $0.question == question }?.judgement
    } else if let question = event["question"]?.string, let judgement = Judgement(event) {
      book.given[question] = judgement
      book.order.append((question, judgement))
      if judgement.verdict == .skip { book.skips[question, default: 0] += 1 }
    } else {
      throw DPOError.mismatch("\(place) is no verdict; expected \"question\" and \"verdict\", or \"undo\"")
    }
  }
}
