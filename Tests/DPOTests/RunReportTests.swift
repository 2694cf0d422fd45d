import DPO
import DPOBase
import Testing

@Suite(.timeLimit(.minutes(10))) struct RunReportTests {
  private func found(_ scenario: ReportScenario) -> [Diagnosis.Rule: Diagnosis.Severity] {
    Dictionary(scenario.report.diagnoses().map { ($0.rule, $0.severity) }, uniquingKeysWith: max)
  }

  private func changed(_ scenario: ReportScenario = .healthy, _ change: (inout ReportScenario) -> Void)
    -> ReportScenario
  {
    var scenario = scenario
    change(&scenario)
    return scenario
  }

  @Test func aHealthyRunIsCalledHealthy() {
    #expect(found(.healthy) == [.learned: .good, .chosenFalls: .good])
  }

  @Test func divergenceIsToldFromARisingLossOrBrokenSteps() {
    #expect(found(.diverged)[.divergence] == .problem)
    #expect(found(.diverged)[.learned] == nil)
    #expect(found(changed { $0.brokenSteps = [7] })[.divergence] == .problem)
    for run in [ReportScenario.healthy, .idle, .saturated, .overfitted] { #expect(found(run)[.divergence] == nil) }
  }

  @Test func noLearningTellsAStandingModelFromWrongLabels() throws {
    let idle = try #require(ReportScenario.idle.report.diagnoses().first { $0.rule == .noLearning })
    #expect(idle.severity == .warning)
    #expect(idle.title.contains("hardly moved"))
    #expect(idle.suggestions.first?.step == .set([OptionSetting("learning_rate", 5e-7)]))
    let noisy = try #require(ReportScenario.noisy.report.diagnoses().first { $0.rule == .noLearning })
    #expect(noisy.title.contains("not towards the chosen"))
    for run in [ReportScenario.healthy, .saturated, .fallingBadly] { #expect(found(run)[.noLearning] == nil) }
  }

  @Test func fallingChosenLogProbsAreJudgedByTheirSize() {
    #expect(found(.fallingHealthy)[.chosenFalls] == .note)
    #expect(found(.fallingBadly)[.chosenFalls] == .warning)
    #expect(found(.healthy)[.chosenFalls] == .good)
    #expect(found(.idle)[.chosenFalls] == nil)
    #expect(found(changed(.fallingBadly) { $0.settings["reference_free"] = true })[.chosenFalls] == nil)
  }

  @Test func saturationIsToldFromTheStepOnWhichNothingIsLeft() throws {
    let diagnosis = try #require(ReportScenario.saturated.report.diagnoses().first { $0.rule == .saturation })
    #expect(diagnosis.severity == .warning)
    #expect(diagnosis.suggestions.contains { $0.step == .set([OptionSetting("beta", 0.3)]) })
    #expect(found(.healthy)[.saturation] == nil)
    #expect(found(.noisy)[.saturation] == nil)
  }

  @Test func overfittingIsToldFromHeldOutRows() throws {
    let diagnosis = try #require(ReportScenario.overfitted.report.diagnoses().first { $0.rule == .overfitting })
    #expect(diagnosis.severity == .warning)
    #expect(diagnosis.title.contains("Over-fitting since step"))
    #expect(diagnosis.suggestions.contains { $0.step == .set([OptionSetting("num_train_epochs", 1)]) })
    #expect(found(.healthy)[.overfitting] == nil)
    #expect(found(changed(.overfitted) { $0.evaluates = false })[.overfitting] == nil)
    #expect(found(changed(.overfitted) { $0.evaluates = false })[.noEvaluation] == .note)
    #expect(found(.healthy)[.noEvaluation] == nil)
  }

  @Test func lengthBiasIsToldFromTheDataOrTheSamples() {
    #expect(found(changed { $0.data["longer_is_chosen"] = 0.65 })[.lengthBias] == .note)
    #expect(found(changed { $0.data["longer_is_chosen"] = 0.8 })[.lengthBias] == .warning)
    #expect(found(changed { $0.data["longer_is_chosen"] = 0.2 })[.lengthBias] == .warning)
    func samples(_ after: String) -> [RunReport.Sample] {
      (0..<9).map { _ in .init(prompt: "p", before: "ten letter", after: after) }
    }
    #expect(found(changed { $0.samples = samples("ten letters and many more") })[.lengthBias] == .warning)
    #expect(found(changed { $0.samples = samples("ten others") })[.lengthBias] == nil)
    #expect(found(.healthy)[.lengthBias] == nil)
  }

  @Test func fewContradictingAndWastedRowsAreTold() {
    #expect(found(changed { $0.data["rows"] = 30 })[.fewPairs] == .warning)
    #expect(found(changed { $0.data["rows"] = 150 })[.fewPairs] == .note)
    #expect(found(.healthy)[.fewPairs] == nil)
    #expect(found(changed { $0.data["contradicting_rows"] = 90 })[.contradictions] == .warning)
    #expect(found(changed { $0.data["contradicting_rows"] = 3 })[.contradictions] == .note)
    #expect(found(.healthy)[.contradictions] == nil)
    for key in ["identical_rows", "truncated_rows", "dropped_rows", "duplicate_rows"] {
      #expect(found(changed { $0.data[key] = 300 })[.wastedRows] == .note, "\(key)")
    }
    #expect(found(.healthy)[.wastedRows] == nil)
  }

  /// Whoever follows a suggestion is not refused.
  @Test func suggestionsNameOptionsThatTheMethodHasAndValuesThatTheyTake() throws {
    let runs: [ReportScenario] = [
      .healthy, .diverged, .idle, .noisy, .saturated, .overfitted, .fallingBadly, changed { $0.evaluates = false },
      changed(.overfitted) { $0.settings["lora_r"] = 8 }, changed { $0.data["longer_is_chosen"] = 0.8 },
      changed { $0.data["contradicting_rows"] = 90 }, changed { $0.data["truncated_rows"] = 300 },
    ]
    var found: Set<String> = []
    for suggestion in runs.flatMap({ $0.report.diagnoses() }).flatMap(\.suggestions) {
      guard case .set(let settings) = suggestion.step else { continue }
      var options = TrainingOptions()
      for setting in settings {
        found.insert(setting.option)
        #expect(TrainingOptions.field(setting.option)?.belongs(to: "dpo") == true, "\(setting)")
        if let value = setting.value { try options.set(setting.option, to: value) }
      }
    }
    #expect(
      found.isSuperset(of: ["eval_steps", "lora_dropout", "disable_dropout", "loss_weights", "max_length", "ld_alpha"]))
  }

  @Test func thePageSpellsOptionsAsItsHostDoes() {
    var report = ReportScenario.idle.report
    #expect(report.html().contains("<code>learning_rate 5e-7</code>"))
    report.spelling = { "--\($0.option)=\($0.valueText ?? "")" }
    #expect(report.html().contains("<code>--learning_rate=5e-7</code>"))
    #expect(OptionSetting("loss_type", ["sigmoid", "sft"]).description == "loss_type sigmoid,sft")
    #expect(OptionSetting("disable_dropout", false).description == "disable_dropout false")
  }

  @Test func aShortRunIsNotJudged() {
    #expect(found(changed { $0.steps = 5 })[.shortRun] == .note)
    #expect(found(changed { $0.steps = 5 })[.learned] == nil)
    #expect(found(.healthy)[.shortRun] == nil)
  }

  @Test func lossOnlyRunsAreJudgedByTheirLoss() {
    func report(_ loss: (Double) -> Double) -> RunReport {
      let rows = (1...100).map { step -> JSON in
        ["step": .int(step), "loss": .real(loss(Double(step)) + (step % 2 == 0 ? 0.01 : -0.01))]
      }
      return RunReport(settings: ["method": "sft"], data: .null, metrics: rows)
    }
    #expect(report { 3 - 0.01 * $0 }.diagnoses().contains { $0.rule == .learned })
    #expect(report { _ in 3 }.diagnoses().contains { $0.rule == .noLearning })
    #expect(report { 3 + 0.02 * $0 }.diagnoses().first?.rule == .divergence)
  }

  /// A run of PPO: 40 rollouts of four steps, metrics as functions of the part of the run that is done.
  private func policy(_ change: [String: (Double) -> Double] = [:]) -> RunReport {
    var values: [String: (Double) -> Double] = [
      "loss": { 0.1 + $0 }, "objective/scores": { 1 + 2 * $0 }, "objective/kl": { 4 * $0 },
      "objective/rlhf_reward": { 1 + 1.8 * $0 }, "policy/entropy_avg": { 2 - 0.5 * $0 },
      "policy/clipfrac_avg": { _ in 0.1 }, "val/explained_variance": { 0.6 * $0 },
      "completions/mean_length": { _ in 20 },
    ]
    values.merge(change) { $1 }
    let rows = (0..<160).map { step -> JSON in
      let rollout = step / 4
      var row: JSONObject = ["step": .int(step + 1), "episode": .int(8 * (rollout + 1))]
      for (name, value) in values.sorted(by: { $0.key < $1.key }) {
        row[name] = .real(value(Double(rollout) / 39) + 0.02 * (rollout % 2 == 0 ? 1 : -1))
      }
      return .object(row)
    }
    return RunReport(settings: ["method": "ppo", "kl_coef": 0.05], data: .null, metrics: rows)
  }

  @Test func policiesAreJudgedByWhatTheyEarnAndWhatItCosts() throws {
    func rules(_ report: RunReport) -> [Diagnosis.Rule] {
      report.diagnoses().map(\.rule).filter { $0 != .noEvaluation }
    }
    // A loss that rises says nothing here.
    #expect(rules(policy()) == [.learned])
    let learned = try #require(policy().diagnoses().first { $0.rule == .learned })
    #expect(learned.evidence[0].contains("40 rollouts"))
    #expect(rules(policy(["objective/scores": { _ in 1 }])) == [.noLearning])
    #expect(policy(["objective/scores": { 1 - $0 }]).diagnoses().first?.title == "The score fell")
    #expect(rules(policy(["objective/kl": { 30 * $0 }])) == [.overOptimization, .learned])
    #expect(rules(policy(["policy/entropy_avg": { 2 - 1.95 * $0 }])) == [.overOptimization, .learned])
    #expect(rules(policy(["policy/clipfrac_avg": { _ in 0.5 }])) == [.largeSteps, .learned])
    #expect(rules(policy(["val/explained_variance": { _ in -1 }])) == [.poorValues, .learned])
    let page = policy().html()
    for words in ["Score of the completions", "KL to the reference", "Clip fraction", "Explained variance", "Entropy"] {
      #expect(page.contains(words), "\(words)")
    }
  }

  @Test func theMostSeriousComesFirst() {
    let severities = changed(.overfitted) { $0.data["contradicting_rows"] = 1 }.report.diagnoses().map(\.severity)
    #expect(severities == severities.sorted(by: >))
  }

  @Test func textFromDataIsEscaped() {
    var run = changed(.healthy) {
      $0.steps = 20
      $0.settings["model"] = "<script>alert('m')</script>"
      $0.data["<b>"] = "\"&\u{1B}"
      $0.samples = [.init(prompt: "<script>p</script>", before: "</div><img src=x onerror=y>", after: "a & b")]
    }.report
    run.title = "<i>title</i>"
    run.verdict = "1 < 2"
    let page = run.html()
    // The one script is the page's own.
    #expect(occurrences("<script", page) == 1 && page.contains("</main>\n<script>\n\"use strict\";"))
    #expect(
      !page.contains("<img") && !page.contains("<i>") && !page.contains("<b>")
        && !page.contains("\u{1B}"))
    #expect(page.contains("&lt;script&gt;p&lt;/script&gt;") && page.contains("a &amp; b") && page.contains("1 &lt; 2"))
    #expect(!page.contains("http://") || !page.contains("src=\"http"))
    #expect(run.curvesSVG().contains("&lt;i&gt;title&lt;/i&gt;"))
  }

  private func occurrences(_ word: String, _ page: String) -> Int {
    let (word, page) = (Array(word.utf8), Array(page.utf8))
    return page.indices.count { page[$0...].starts(with: word) }
  }

  @Test func trainingAndHeldOutNumbersAreNamedApart() throws {
    let page = ReportScenario.healthy.report.html()
    #expect(page.contains("<small>training</small>") && page.contains("<small>held out</small>"))
    let training = try #require(page.firstRange(of: "Training: means over a tenth"))
    let heldOut = try #require(page.firstRange(of: "Held out: the first and the last"))
    let margins = try #require(page.firstRange(of: "<td>rewards/<wbr>margins"))
    let evaluated = try #require(page.firstRange(of: "<td>eval_<wbr>rewards/<wbr>margins"))
    #expect(training.lowerBound < margins.lowerBound && margins.lowerBound < heldOut.lowerBound)
    #expect(heldOut.lowerBound < evaluated.lowerBound)
    // The last evaluation, not a mean.
    let evaluations = ReportScenario.healthy.metrics.compactMap { $0["eval_rewards/margins"]?.double }
    let last = try #require(evaluations.last)
    let cents = Int((last * 100).rounded())
    #expect(cents > 100 && page.contains("<dd>\(cents / 100).\(cents % 100) <small>held out</small></dd>"))
  }

  /// Scores and a KL that are measured on held-out prompts while DPO trains make no rollouts of it.
  @Test func heldOutScoresOfATrainedModelAreNoRollouts() throws {
    func report(kl: Double) -> RunReport {
      let rows = (1...60).map { step -> JSON in
        let part = Double(step) / 60
        var row: JSONObject = [
          "step": .int(step), "loss": .real(0.69 - 0.4 * part), "rewards/margins": .real(part),
          "rewards/accuracies": .real(0.5 + 0.4 * part),
        ]
        if step % 10 == 0 {
          row["eval_objective/scores"] = .real(1 + part)
          row["eval_objective/kl"] = .real(kl * part)
        }
        return .object(row)
      }
      return RunReport(
        settings: ["method": "dpo", "max_completion_length": 53, "beta": 0.1],
        data: ["rows": 500, "chosen_tokens": ["median": 20]], metrics: rows)
    }
    #expect(report(kl: 2).diagnoses().map(\.rule) == [.learned])
    let evidence = report(kl: 2).diagnoses().flatMap(\.evidence)
    #expect(evidence.contains { $0.contains("held-out prompts 1.17 → 2") }, "\(evidence)")
    let far = report(kl: 30).diagnoses()
    #expect(far.map(\.rule) == [.overOptimization, .learned])
    #expect(far[0].suggestions.contains { $0.step == .set([OptionSetting("beta", 0.3)]) })
    let page = report(kl: 2).html()
    #expect(
      page.contains("Score of the completions")
        && page.contains("<small>held out</small></dd><dd class=\"start\">at first 1.17</dd>"))
  }

  @Test func aComparisonIsAnEvaluation() {
    var report = ReportScenario.idle.report
    #expect(report.diagnoses().contains { $0.rule == .noEvaluation })
    report.comparisons = [.init(name: "KL", before: nil, after: Estimate(bootstrap: [1, 2, 3], seed: 1))]
    report.comparisonNote = "On 24 <others>."
    #expect(!report.diagnoses().contains { $0.rule == .noEvaluation })
    #expect(report.html().contains("On 24 &lt;others&gt;."))
  }

  @Test func settingsAreShownIfChosenAndFoldedIfDefaults() throws {
    var options = TrainingOptions(method: .kto(beta: 0.3), optimization: .init(learningRate: 1e-4))
    options.lora.rank = 8
    var settings = try #require(options.json.object)
    settings["model"] = "m.gguf"
    settings["plan"] = ["steps": 12, "memory_bytes": ["head": 83_886_080]]
    let page = RunReport(settings: .object(settings), data: .null, metrics: []).html()
    let start = try #require(page.firstRange(of: "<h2>Settings</h2>"))
    let fold = try #require(page.firstRange(of: "more options of the method"))
    func rows(_ part: Substring) -> [String] {
      part.split(separator: "\n").filter { $0.hasPrefix("<tr><th>") }.map {
        String($0.dropFirst(8).prefix { $0 != "<" })
      }
    }
    let open = rows(page[start.upperBound..<fold.lowerBound])
    // Swift's kto names its loss.
    #expect(open == ["method", "loss_type", "beta", "learning_rate", "lora_r", "model"])
    let folded = rows(page[fold.upperBound...])
    #expect(folded.contains("desirable_weight") && folded.contains("seed") && folded.contains("lora_alpha"))
    for other in ["cliprange", "f_divergence_type", "packing", "simpo_gamma"] {
      #expect(!open.contains(other) && !folded.contains(other), "\(other)")
    }
    #expect(page.contains("<td class=\"value\">not set: lora_r</td>"))
    #expect(
      page.contains("<th>plan") == false && page.contains("<th>memory_bytes.head</th><td class=\"value\">80 MiB</td>"))
  }

  @Test func samplesBeyondFiveAreFolded() throws {
    func page(_ count: Int) -> String {
      changed { run in run.samples = (0..<count).map { .init(prompt: "prompt \($0)", after: "a") } }.report.html()
    }
    #expect(!page(5).contains("more sample"))
    let seven = page(7)
    let fold = try #require(seven.firstRange(of: "<details><summary>2 more samples</summary>"))
    let fifth = try #require(seven.firstRange(of: "prompt 4<"))
    let sixth = try #require(seven.firstRange(of: "prompt 5<"))
    #expect(fifth.lowerBound < fold.lowerBound && fold.lowerBound < sixth.lowerBound)
    #expect(occurrences("<details>", seven) == occurrences("</details>", seven))
  }

  @Test func emptyAndStrangeMetricsGiveAPage() {
    for metrics: [JSON] in [
      [], [1, "x", .null], [["step": 1, "loss": 0.5]], [["loss": .real(.nan)], ["loss": .null]],
      [["step": "x", "loss": 1e308], ["step": 2, "loss": -1e308]],
      [["step": 1, "loss": 0, "grad_norm": 0, "rewards/margins": 0, "rewards/accuracies": 0]],
    ] {
      let report = RunReport(settings: [1, 2], data: "x", metrics: metrics)
      _ = report.diagnoses()
      #expect(report.html().hasSuffix("</html>\n"))
      #expect(report.curvesSVG().hasSuffix("</svg>\n"))
    }
  }
}
