import DPO
import DPOBase
import Testing

@Suite struct ScratchReport {
  @Test func write() throws {
    var healthy = ReportScenario.healthy
    healthy.samples = (0..<9).map {
      .init(prompt: "The film begins with a long <ride> through the \"desert\" & then \($0)", before: "it goes on and on, and nobody knows why. The actors look tired.", after: "it finds its feet: a warm, funny, beautifully shot story that I could watch again tomorrow.\n\nTwice.", beforeScore: 0.31, afterScore: 0.94)
    }
    var report = healthy.report
    report.verdict = "The model now writes more positive continuations: mean score 0.31 → 0.94 (95 % interval of the difference 0.55 … 0.71)."
    report.comparisons = [.init(name: "score of the sentiment classifier", before: .init(0.31, low: 0.27, high: 0.35), after: .init(0.94, low: 0.91, high: 0.96)), .init(name: "KL to the reference, nats an answer", before: .init(0, low: 0, high: 0), after: .init(6.2, low: 5.8, high: 6.7))]
    var biased = ReportScenario.fallingHealthy
    biased.data["longer_is_chosen"] = 0.77
    biased.data["contradicting_rows"] = 90
    biased.data["truncated_rows"] = 300
    biased.steps = 5000
    for (name, report) in [("healthy", report), ("falling", biased.report), ("fallingBadly", ReportScenario.fallingBadly.report), ("saturated", ReportScenario.saturated.report), ("overfitted", ReportScenario.overfitted.report), ("diverged", ReportScenario.diverged.report), ("idle", ReportScenario.idle.report), ("noisy", ReportScenario.noisy.report)] {
      try writeFile("/tmp/reports/\(name).html", report.html())
      try writeFile("/tmp/reports/\(name).svg", report.curvesSVG())
      print(name, report.diagnoses().map { "\($0.rule.rawValue):\($0.severity)" })
    }
  }
}
