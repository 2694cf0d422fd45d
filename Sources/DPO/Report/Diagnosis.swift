/// One thing that a run's own numbers tell, in words.
public struct Diagnosis: Sendable, Equatable {
  /// How much it matters.
  public enum Severity: Int, Sendable, Comparable {
    case good, note, warning, problem
    /// The less serious one comes first.
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

  /// What was found.
  public let rule: Rule
  /// How much it matters.
  public let severity: Severity
  /// It in a few words.
  public let title: String
  /// What happened, why, and whether it matters.
  public let text: String
  /// The numbers behind it.
  public let evidence: [String]
  /// What to try, most promising first.
  public internal(set) var suggestions: [Suggestion]

  /// Something to try, with a reason.
  public struct Suggestion: Sendable, Equatable {
    /// What can be done.
    public enum Step: Sendable, Equatable {
      /// Options to give these values, together.
      case set([OptionSetting])
      /// What no option does.
      case act(String)
    }

    /// What to do.
    public let step: Step
    /// Why, as the rest of a sentence.
    public let reason: String

    /// A step and why it may help.
    public init(_ step: Step, _ reason: String) {
      self.step = step
      self.reason = reason
    }

    static func set(_ option: String, to value: JSON? = nil, _ reason: String) -> Suggestion {
      Suggestion(.set([OptionSetting(option, value)]), reason)
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
