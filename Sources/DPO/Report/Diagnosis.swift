/// One thing that a run's own numbers tell, in words.
public struct Diagnosis: Sendable, Equatable {
  /// How much it matters.
  public enum Severity: Int, Sendable, Comparable {
    /// As it should be.
    case good
    /// Worth knowing; nothing has to be done.
    case note
    /// The run may be worse than it could be: something should be tried.
    case warning
    /// The run went wrong; its result is not to be trusted.
    case problem
    /// The less serious one comes first.
    public static func < (a: Severity, b: Severity) -> Bool { a.rawValue < b.rawValue }
  }

  /// The rule that fired.
  public enum Rule: String, Sendable, CaseIterable {
    /// A loss or gradient that is not finite, or a loss that ends far above where it began.
    case divergence
    /// Loss, margin or score moved no more than they scatter from step to step, or the score fell.
    case noLearning = "no-learning"
    /// Fewer than ten steps: too few to tell.
    case shortRun = "short-run"
    /// Every training pair is ordered right and the loss is almost zero.
    case saturation
    /// Held-out loss rises again, or held-out accuracy is well below that of the training pairs.
    case overfitting
    /// Nothing was evaluated on held-out rows.
    case noEvaluation = "no-evaluation"
    /// Whether chosen answers lost probability while margins rose.
    case chosenFalls = "chosen-falls"
    /// Length tells chosen from rejected, or the model's answers changed in length.
    case lengthBias = "length-bias"
    /// Fewer than 200 rows.
    case fewPairs = "few-pairs"
    /// Pairs say the opposite of others, or labels cannot be fitted.
    case contradictions
    /// Many rows that are equal, cut, left out or repeated teach little.
    case wastedRows = "wasted-rows"
    /// The policy is far from its reference, or always says almost the same.
    case overOptimization = "over-optimization"
    /// At more than three tokens in ten the ratio is clipped.
    case largeSteps = "large-steps"
    /// The value function explains the returns worse than their mean does.
    case poorValues = "poor-values"
    /// The preference was learned, the loss fell, or the score rose.
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
