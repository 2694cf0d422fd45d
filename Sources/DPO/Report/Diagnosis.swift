/// One thing that a run's own numbers tell, in words.
public struct Diagnosis: Sendable, Equatable {
  public enum Severity: Int, Sendable, Comparable {
    case good, note, warning, problem
    public static func < (a: Severity, b: Severity) -> Bool { a.rawValue < b.rawValue }
  }

  /// The rule that fired.
  public enum Rule: String, Sendable, CaseIterable {
    case divergence
    case noLearning = "no-learning"
    case shortRun = "short-run"
    case saturation
    case overfitting
    case noEvaluation = "no-evaluation"
    case chosenFalls = "chosen-falls"
    case lengthBias = "length-bias"
    case fewPairs = "few-pairs"
    case contradictions
    case wastedRows = "wasted-rows"
    case overOptimization = "over-optimization"
    case largeSteps = "large-steps"
    case poorValues = "poor-values"
    case learned
  }

  public let rule: Rule
  public let severity: Severity
  public let title: String
  /// What happened, why, and whether it matters.
  public let text: String
  /// The numbers behind it.
  public let evidence: [String]
  /// Options to try, each with a reason, most promising first.
  public internal(set) var suggestions: [Suggestion]

  public struct Suggestion: Sendable, Equatable {
    /// As on the command line.
    public let option: String
    public let reason: String

    public init(_ option: String, _ reason: String) {
      self.option = option
      self.reason = reason
    }
  }

  init(
    _ rule: Rule, _ severity: Severity, _ title: String, _ text: String, evidence: [String] = [],
    try suggestions: [Suggestion] = []
  ) {
    self.rule = rule
    self.severity = severity
    self.title = title
    self.text = text
    self.evidence = evidence
    self.suggestions = suggestions
  }
}
