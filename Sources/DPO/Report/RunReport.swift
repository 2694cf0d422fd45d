import DPOBase

/// The report of a training run: what happened in words, the curves, samples, settings. Pure functions of the run's own
/// numbers; nothing is read or written here.
public struct RunReport: Sendable {
  /// One prompt with the model's answers before and after training.
  public struct Sample: Sendable, Equatable {
    /// What the model was asked.
    public var prompt: String
    /// The untrained model's answer, where there is one to compare with.
    public var before: String?
    /// The trained model's answer.
    public var after: String
    /// What a judge or classifier gives the answers.
    public var beforeScore: Double?
    /// The same of the trained model's.
    public var afterScore: Double?

    /// An answer, alone or beside the one from before.
    public init(
      prompt: String, before: String? = nil, after: String, beforeScore: Double? = nil, afterScore: Double? = nil
    ) {
      self.prompt = prompt
      self.before = before
      self.after = after
      self.beforeScore = beforeScore
      self.afterScore = afterScore
    }
  }

  /// A quantity measured before and after training on held-out prompts, each with a 95 % interval.
  public struct Comparison: Sendable, Equatable {
    /// What was measured.
    public var name: String
    /// nil where nothing was measured before.
    public var before: Estimate?
    /// After training.
    public var after: Estimate

    /// A quantity and its two measurements.
    public init(name: String, before: Estimate?, after: Estimate) {
      self.name = name
      self.before = before
      self.after = after
    }
  }

  /// Heading of the page.
  public var title = "Training report"
  /// The run's own conclusion in a sentence, shown under the heading.
  public var verdict: String?
  /// Shown in a table before the curves.
  public var comparisons: [Comparison] = []
  /// On what the comparisons were measured, and how that differs from what the curves show; a sentence or two.
  public var comparisonNote: String?
  /// How the page writes the options that it suggests.
  public var spelling: @Sendable (OptionSetting) -> String = { $0.description }

  let facts: RunFacts

  /// - Parameters:
  ///   - settings: the run's options by TRL's names (`beta`, `learning_rate`, `loss_type`, `lora_r` …) and whatever else the
  ///     table should show; nested objects are flattened.
  ///   - data: `DataReport.json` of the training rows.
  ///   - metrics: the rows of metrics.jsonl: `step`, `epoch` and TRL's metric names; `eval_…` where evaluated.
  ///   - samples: shown side by side; their lengths tell of length bias.
  public init(settings: JSON, data: JSON, metrics: [JSON], samples: [Sample] = []) {
    facts = RunFacts(settings: settings, data: data, metrics: RunMetrics(metrics), samples: samples)
  }

  /// What the numbers tell, the most serious first.
  public func diagnoses() -> [Diagnosis] {
    let found = [
      facts.divergence, facts.overOptimization, facts.rewardChange, facts.largeSteps, facts.poorValues,
      facts.noLearning, facts.contradictions, facts.overfitting, facts.saturation, facts.chosenFalls,
      facts.lengthBias, facts.fewPairs, facts.wastedRows, facts.noEvaluation, facts.shortRun, facts.learned,
    ].compactMap(\.self).filter { $0.rule != .noEvaluation || comparisons.isEmpty }
    return found.enumerated().sorted { ($1.element.severity, $0.offset) < ($0.element.severity, $1.offset) }.map {
      var diagnosis = $0.element
      diagnosis.suggestions = diagnosis.suggestions.filter(facts.applies)
      return diagnosis
    }
  }
}
