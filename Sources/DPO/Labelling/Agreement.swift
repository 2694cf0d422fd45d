import DPOBase

/// How far two annotators agree on what both have judged.
public struct Agreement: Sendable, Equatable {
  /// Questions that both have judged.
  public let count: Int
  /// Share of equal judgements.
  public let observed: Double
  /// Cohen's κ = (observed − chance)/(1 − chance), chance the agreement of independent annotators with the same shares of each
  /// judgement; nil where that is 1, or nothing was judged by both.
  public let kappa: Double?

  /// Of judgements of the same questions, one pair a question.
  public init(_ judgements: [(first: String, second: String)]) {
    count = judgements.count
    let total = Double(max(count, 1))
    observed = Double(judgements.count { $0.first == $0.second }) / total
    var (first, second) = ([String: Double](), [String: Double]())
    for judgement in judgements {
      first[judgement.first, default: 0] += 1 / total
      second[judgement.second, default: 0] += 1 / total
    }
    let chance = first.reduce(0) { $0 + $1.value * (second[$1.key] ?? 0) }
    kappa = count > 0 && chance < 1 - 1e-12 ? (observed - chance) / (1 - chance) : nil
  }

  /// Of two annotators' judgements by question.
  public init(_ first: [String: String], _ second: [String: String]) {
    self.init(first.compactMap { key, judgement in second[key].map { (judgement, $0) } })
  }
}

/// What one annotator judged: a judgement by question.
public struct AnnotatorJudgements: Sendable, Equatable {
  /// Who judged.
  public let name: String
  /// A verdict, or what stands for one in labelled rows, by question.
  public let judgements: [String: String]
}

extension AnnotatorJudgements {
  /// Reads what annotators judged from labelled rows (`{"prompt", "chosen", "rejected"}`, `{"prompt", "completions", "ranks"}` or
  /// `{"prompt", "completion", "label"}`; one annotator, named after the file), or from the log beside people's labels (ties too, and every annotator in it).
  public static func read(_ path: String) throws -> [AnnotatorJudgements] {
    var single: [String: String] = [:]
    var log = VerdictBook()
    var isLog = false
    /// The two answers in an order of their own, so that files can be compared and chance is one half.
    func compare(_ prompt: JSON, _ better: JSON, _ worse: JSON, isTie: Bool = false) {
      let answers = [better.description, worse.description].sorted()
      let verdict = isTie ? Verdict.tie : better.description == answers[0] ? .first : .second
      single[([prompt.description] + answers).joined(separator: "\n")] = verdict.rawValue
    }
    try RowFile(path).forEach { row, rowPlace in
      let place = rowPlace.description
      let prompt = row["prompt"] ?? .null
      if row["annotator"] != nil {
        isLog = true
        try log.apply(.object(row), place: place)
      } else if let chosen = row["chosen"], let rejected = row["rejected"] {
        compare(prompt, chosen, rejected)
      } else if let answers = row["completions"]?.array, let ranks = row["ranks"]?.array?.compactMap(\.double),
        ranks.count == answers.count
      {
        for (first, a) in ranks.enumerated() {
          for (second, b) in ranks.enumerated().dropFirst(first + 1) {
            compare(prompt, answers[a <= b ? first : second], answers[a <= b ? second : first], isTie: a == b)
          }
        }
      } else if let completion = row["completion"], let label = row["label"]?.bool {
        single[prompt.description + "\n" + completion.description] = label ? "up" : "down"
      } else {
        throw DPOError.format(
          place,
          "expected \"chosen\" and \"rejected\", \"completions\" and \"ranks\", \"completion\" and \"label\", or a line of an annotator's log"
        )
      }
    }
    guard isLog else { return [AnnotatorJudgements(name: nameOf(path), judgements: single)] }
    return log.annotators.map { name in
      AnnotatorJudgements(name: name, judgements: log.comparable(name))
    }
  }
}
