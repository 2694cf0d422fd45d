import DPOBase

/// What the diagnoses look at: metrics, settings with TRL's defaults, data statistics.
struct RunFacts {
  let settings: JSON
  let data: JSON
  let metrics: RunMetrics
  let samples: [RunReport.Sample]

  func setting(_ name: String) -> Double? { settings[name]?.double }
  var beta: Double { setting("beta") ?? 0.1 }
  var labelSmoothing: Double { setting("label_smoothing") ?? 0 }
  var lossTypes: [String] {
    settings["loss_type"]?.array?.compactMap(\.string) ?? settings["loss_type"]?.string.map { [$0] } ?? ["sigmoid"]
  }
  /// As given, else the largest of the run.
  var learningRate: Double? { setting("learning_rate") ?? metrics[.learningRate]?.values.max() }
  var method: String { settings["method"]?.string ?? "dpo" }
  /// Rewards are not log-ratios to a reference.
  var isReferenceFree: Bool {
    settings["reference_free"]?.bool ?? false || TrainingOptions.field("reference_free")?.belongs(to: method) != true
  }

  /// Whether the method has the options of a suggestion.
  func applies(_ suggestion: Diagnosis.Suggestion) -> Bool {
    guard case .set(let settings) = suggestion.step else { return true }
    return settings.allSatisfy { setting in
      setting.option == "loss_type"
        ? isDPO : TrainingOptions.field(setting.option)?.belongs(to: method) == true
    }
  }

  func number(_ name: String) -> Double? { data[name]?.double }
  var rows: Double? { number("rows") }
  /// Tokens of a typical chosen completion.
  var chosenTokens: Double? { data["chosen_tokens"]?["median"]?.double ?? data["completion_tokens"]?["median"]?.double }

  var isPreference: Bool { metrics[.rewardsMargins] != nil }
  /// The losses that are suggested are DPO's.
  var isDPO: Bool { method == "dpo" }
  /// Suggests cDPO where labels are taken at their word.
  func softerLabels(_ reason: String, rate: Double = 0.1) -> [Diagnosis.Suggestion] {
    guard isDPO, labelSmoothing == 0 else { return [] }
    return [smoothed("conservative", rate, reason)]
  }
  /// A loss that allows for labels of which a share is wrong.
  func smoothed(_ loss: String, _ rate: Double, _ reason: String) -> Diagnosis.Suggestion {
    .init(
      .set([OptionSetting("loss_type", .string(loss)), OptionSetting("label_smoothing", Self.about(rate))]), reason)
  }
  var margins: RunSeries? { metrics[.rewardsMargins] }
  var accuracy: RunSeries? { metrics[.rewardsAccuracies] }
  var loss: RunSeries? { metrics[.loss] }
  var evaluationLoss: RunSeries? { metrics[.loss.evaluated] }
  var evaluationAccuracy: RunSeries? { metrics[.rewardsAccuracies.evaluated] }

  /// Change of a completion's log-prob against the reference, in nats: reward / β.
  func drift(_ metric: Metrics.Name) -> RunSeries.Window? {
    guard let series = metrics[metric], beta > 0 else { return nil }
    let tail = series.tail
    return RunSeries.Window(mean: tail.mean / beta, standardError: tail.standardError / beta, count: tail.count)
  }

  /// The margin is above zero by more than the scatter of its steps.
  var hasLearned: Bool {
    guard let margin = margins?.tail else { return false }
    return margin.mean > max(0.02, 2 * margin.standardError) && (accuracy?.tail.mean ?? 1) > 0.55
  }
}

extension RunFacts {
  /// "5.00 ± 0.12"
  static func range(_ window: RunSeries.Window) -> String {
    ReportText.number(window.mean) + (window.count > 1 ? " ± " + ReportText.number(window.standardError) : "")
  }

  /// A value to suggest: two significant digits, whole numbers whole.
  static func about(_ value: Double) -> JSON { .real(ReportText.rounded(value)) }

  /// The same for an option that is a whole number.
  static func whole(_ value: Double) -> JSON { Int(exactly: value.rounded(.down)).map(JSON.int) ?? about(value) }
}
