import DPOBase

/// The report as one HTML page that needs nothing else: style and drawings stand in it, there is no script.
extension RunReport {
  static let maximumSamples = 40
  static let maximumText = 3000

  private func escape(_ text: String) -> String { ReportText.escape(text) }

  /// The page.
  public func html() -> String {
    let plots = plots()
    var page = """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(escape(ReportText.cut(title, 200)))</title>
      <style>
      \(ReportStyle.css)
      </style>
      </head>
      <body>
      <main>
      <h1>\(escape(ReportText.cut(title, 200)))</h1>

      """
    page += heading()
    page += findings()
    page += comparisonTable()
    if !plots.main.isEmpty { page += "<h2>Curves</h2>\n<div class=\"charts\">\n\(figures(plots.main))</div>\n" }
    if !plots.more.isEmpty {
      page +=
        "<details><summary>More curves</summary>\n<div class=\"charts\">\n\(figures(plots.more))</div>\n</details>\n"
    }
    page += sampleList()
    page += tables()
    return page
      + "<footer>Written by libdpo. Means at the start and the end are over a tenth of the steps, ± their standard error.</footer>\n"
      + "</main>\n</body>\n</html>\n"
  }

  private func figures(_ plots: [Plot]) -> String { plots.map { "<figure>\n\($0.svg())</figure>\n" }.joined() }

  // MARK: Heading

  private func heading() -> String {
    var words: [String] = []
    if let method = facts.settings["method"]?.string { words.append(method) }
    if facts.isPreference { words.append("loss " + facts.lossTypes.joined(separator: " + ")) }
    for key in ["model", "model_name_or_path"] {
      if let model = facts.settings[key]?.string {
        words.append(model)
        break
      }
    }
    if let rows = facts.rows { words.append("\(ReportText.number(rows)) rows") }
    var out =
      words.isEmpty ? "" : "<p class=\"sub\">\(escape(ReportText.cut(words.joined(separator: " · "), 400)))</p>\n"
    if let verdict { out += "<p class=\"verdict\">\(escape(ReportText.cut(verdict, Self.maximumText)))</p>\n" }
    let tiles = tiles()
    if !tiles.isEmpty {
      out += "<dl class=\"tiles\">\n"
      for (name, value, detail) in tiles {
        out +=
          "<div class=\"tile\"><dt>\(escape(name))</dt><dd>\(escape(value))\(detail.isEmpty ? "" : "<small>\(escape(detail))</small>")</dd></div>\n"
      }
      out += "</dl>\n"
    }
    return out
  }

  private func tiles() -> [(name: String, value: String, detail: String)] {
    var tiles: [(name: String, value: String, detail: String)] = []
    let metrics = facts.metrics
    if metrics.steps > 0 {
      tiles.append(
        (
          "Steps", ReportText.grouped(metrics.steps),
          metrics.lastEpoch.map { "\(ReportText.number($0)) epoch\($0 == 1 ? "" : "s")" } ?? ""
        ))
    }
    func tile(_ name: String, _ metric: Metrics.Name, asPercent: Bool = false) {
      guard let series = metrics[metric] else { return }
      func show(_ value: Double) -> String { asPercent ? ReportText.percent(value) : ReportText.number(value) }
      let held = metrics[metric.evaluated]?.last.map { "held out \(show($0))" } ?? "at first \(show(series.head.mean))"
      tiles.append((name, show(series.tail.mean), held))
    }
    tile("Accuracy", .rewardsAccuracies, asPercent: true)
    tile("Margin", .rewardsMargins)
    tile("Score", .objectiveScores)
    tile("KL", .objectiveKl)
    if !facts.isRollout { tile("Loss", .loss) }
    if !facts.isPreference { tile("Token accuracy", .meanTokenAccuracy, asPercent: true) }
    if let perplexity = metrics[.perplexity.evaluated]?.last {
      tiles.append(("Perplexity", ReportText.number(perplexity), "of the held-out text"))
    }
    if let chosen = facts.drift(.rewardsChosen), let rejected = facts.drift(.rewardsRejected),
      !facts.isReferenceFree
    {
      tiles.append(
        ("Chosen log-probs", signed(chosen.mean) + " nats", "rejected \(signed(rejected.mean)), against the reference"))
    }
    return tiles
  }

  private func signed(_ value: Double) -> String { (value > 0 ? "+" : "") + ReportText.number(value) }

  // MARK: Diagnoses

  private func findings() -> String {
    let diagnoses = diagnoses()
    guard !diagnoses.isEmpty else { return "" }
    var out = "<h2>What the numbers tell</h2>\n<div class=\"findings\">\n"
    for diagnosis in diagnoses {
      let (name, word) =
        switch diagnosis.severity {
        case .good: ("good", "Good")
        case .note: ("note", "Note")
        case .warning: ("warning", "Warning")
        case .problem: ("problem", "Problem")
        }
      out +=
        "<section class=\"found \(name)\">\n<h3><span class=\"tag\">\(word)</span>\(escape(diagnosis.title))</h3>\n"
      out += "<p>\(escape(diagnosis.text))</p>\n"
      if !diagnosis.evidence.isEmpty {
        out += "<ul>\n\(diagnosis.evidence.map { "<li>\(escape($0))</li>\n" }.joined())</ul>\n"
      }
      if !diagnosis.suggestions.isEmpty {
        let lead = diagnosis.severity >= .warning ? "Try:" : "If you want to change it:"
        out += "<ul class=\"try\">\n<li>\(lead)</li>\n"
        for suggestion in diagnosis.suggestions {
          out += "<li>\(shown(suggestion.step)) \(escape(suggestion.reason))</li>\n"
        }
        out += "</ul>\n"
      }
      out += "</section>\n"
    }
    return out + "</div>\n"
  }

  private func shown(_ step: Diagnosis.Suggestion.Step) -> String {
    switch step {
    case .set(let settings): settings.map { "<code>\(escape(spelling($0)))</code>" }.joined(separator: " ")
    case .act(let words): "<strong>\(escape(words))</strong>:"
    }
  }

  // MARK: Before and after

  private func comparisonTable() -> String {
    guard !comparisons.isEmpty else { return "" }
    var out =
      "<h2>Before and after, on held-out prompts</h2>\n<div class=\"scroll\"><table class=\"wide\">\n"
      + "<tr><th>95 % intervals</th><th class=\"n\">before</th><th class=\"n\">after</th></tr>\n"
    func show(_ estimate: Estimate?) -> String {
      guard let estimate else { return "–" }
      return
        "\(ReportText.number(estimate.value)) <span class=\"label\">\(ReportText.number(estimate.low)) … \(ReportText.number(estimate.high))</span>"
    }
    for comparison in comparisons {
      out +=
        "<tr><td>\(escape(comparison.name))</td><td class=\"n\">\(show(comparison.before))</td><td class=\"n\">\(show(comparison.after))</td></tr>\n"
    }
    return out + "</table></div>\n"
  }

  private func sampleList() -> String {
    guard !facts.samples.isEmpty else { return "" }
    var out = "<h2>Samples</h2>\n"
    func answer(_ label: String, _ text: String, _ score: Double?) -> String {
      let score = score.map { " · score \(ReportText.number($0))" } ?? ""
      return
        "<div><span class=\"label\">\(label)\(score)</span><div class=\"words\">\(escape(ReportText.cut(text, Self.maximumText)))</div></div>\n"
    }
    for sample in facts.samples.prefix(Self.maximumSamples) {
      out +=
        "<article class=\"sample\">\n<div class=\"prompt\"><span class=\"label\">prompt</span>"
        + "<div class=\"words\">\(escape(ReportText.cut(sample.prompt, Self.maximumText)))</div></div>\n<div class=\"answers\">\n"
      if let before = sample.before { out += answer("before", before, sample.beforeScore) }
      out += answer("after", sample.after, sample.afterScore) + "</div>\n</article>\n"
    }
    let rest = facts.samples.count - Self.maximumSamples
    return out + (rest > 0 ? "<p class=\"sub\">and \(rest) more</p>\n" : "")
  }

  // MARK: Tables

  private func tables() -> String {
    var out = ""
    let metrics = facts.metrics
    if !metrics.names.isEmpty {
      out +=
        "<h2>Numbers</h2>\n<div class=\"scroll\"><table class=\"wide\">\n"
        + "<tr><th>metric</th><th class=\"n\">at first</th><th class=\"n\">at the end</th><th class=\"n\">lowest</th><th class=\"n\">highest</th></tr>\n"
      for name in metrics.names.prefix(200) {
        guard let series = metrics[name] else { continue }
        let cells: [Double] = [series.head.mean, series.tail.mean, series.values.min() ?? 0, series.values.max() ?? 0]
        out +=
          "<tr><td>\(escape(ReportText.cut(name.text, 80)))</td>"
          + cells.map { "<td class=\"n\">\(escape(ReportText.number($0)))</td>" }.joined() + "</tr>\n"
      }
      out += "</table></div>\n"
    }
    let settings = Self.flattened(facts.settings)
    let data = Self.flattened(facts.data)
    guard !settings.isEmpty || !data.isEmpty else { return out }
    out += "<div class=\"columns\">\n"
    for (heading, rows) in [("Settings", settings), ("Data", data)] where !rows.isEmpty {
      out += "<section><h2>\(heading)</h2>\n<table>\n"
      for (key, value) in rows.prefix(300) {
        out +=
          "<tr><th>\(escape(ReportText.cut(key, 80)))</th><td class=\"value\">\(escape(ReportText.cut(value, 400)))</td></tr>\n"
      }
      out += "</table></section>\n"
    }
    return out + "</div>\n"
  }

  /// Members of nested objects as "outer.inner".
  private static func flattened(_ json: JSON, prefix: String = "", depth: Int = 0) -> [(key: String, value: String)] {
    guard let object = json.object else { return [] }
    return object.members.flatMap { key, value -> [(key: String, value: String)] in
      let name = prefix + key
      switch value {
      case .object where depth < 4: return flattened(value, prefix: name + ".", depth: depth + 1)
      case .array(let items) where items.allSatisfy({ $0.array == nil && $0.object == nil }):
        return items.isEmpty ? [] : [(name, items.map(words).joined(separator: ", "))]
      default: return [(name, words(value))]
      }
    }
  }

  private static func words(_ value: JSON) -> String {
    switch value {
    case .null: "–"
    case .bool(let flag): flag ? "yes" : "no"
    case .string(let text): text
    case .int(let number): abs(Double(number)) < 1e15 ? String(number) : ReportText.number(Double(number))
    case .real(let number): ReportText.setting(number)
    default: value.description
    }
  }
}
