import DPOBase

/// What people can say of a question. First and second are the answers in the row's order, wherever they were shown.
public enum Verdict: String, Sendable, CaseIterable {
  /// The first of two answers is better.
  case first
  /// The second of two answers is better.
  case second
  /// Two answers are equally good: a judgement that votes for neither.
  case tie
  /// No judgement; the question is not asked again.
  case skip
  /// The answer is good.
  case up
  /// The answer is bad.
  case down
}

/// Every annotator's verdicts, from the events of a log:
/// `{"annotator", "question", "verdict", "time"}` and `{"annotator", "undo": question, "time"}`.
struct VerdictBook {
  private var given: [String: [String: Verdict]] = [:]
  /// Questions that can be undone, the last one last.
  private var order: [String: [String]] = [:]
  /// Names in the order of their first verdict.
  private(set) var annotators: [String] = []
  /// Events of each annotator so far.
  private var events: [String: Int] = [:]

  func verdicts(of annotator: String) -> [String: Verdict] { given[annotator] ?? [:] }
  func last(of annotator: String) -> String? { order[annotator]?.last }
  func revision(of annotator: String) -> Int { events[annotator] ?? 0 }

  mutating func apply(_ event: JSON, place: String) throws {
    guard let annotator = event["annotator"]?.string else {
      throw DPOError.mismatch("\(place) is no verdict; expected a line of an annotator's log")
    }
    if !annotators.contains(annotator) { annotators.append(annotator) }
    events[annotator, default: 0] += 1
    if let question = event["undo"]?.string {
      given[annotator]?[question] = nil
      order[annotator]?.removeAll { $0 == question }
    } else if let question = event["question"]?.string,
      let verdict = event["verdict"]?.string.flatMap(Verdict.init(rawValue:))
    {
      given[annotator, default: [:]][question] = verdict
      order[annotator, default: []].append(question)
    } else {
      throw DPOError.mismatch("\(place) is no verdict; expected \"question\" and \"verdict\", or \"undo\"")
    }
  }
}
