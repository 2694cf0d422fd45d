import DPOBase

/// The report as one HTML page that needs nothing else: style, drawings and one script stand in it.
extension RunReport {
  static let maximumSamples = 40
  /// More samples are folded.
  static let openSamples = 5
  static let maximumText = 3000

  private func escape(_ text: String) -> String { ReportText.escape(text) }

  /// A name that may go on in another line after a slash or underscore.
  private func breakable(_ name: String) -> String {
    name.reduce(into: "") { $0 += escape(String($1)) + ($1 == "/" || $1 == "_" ? "<wbr>" : "") }
  }

  /// The page.
  public func html() -> String {
    let plots = plots()
    var page = """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-\(ReportScript.hash)'">
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
      + "</main>\n<script>\n\(ReportScript.code)</script>\n</body>\n</html>\n"
  }

  private func figures(_ plots: [Plot]) -> String {
    plots.map { "<figure>\n\($0.svg(hasValues: true))</figure>\n" }.joined()
  }

  // MARK: Heading

  private func heading() -> String {
    var words: [String] = []
    if let method = facts.settings["method"]?.string { words.append(method) }
    // Methods that have no sigmoid loss find the default there and take their own.
    if facts.isPreference, facts.isDPO || facts.lossTypes != ["sigmoid"] {
      words.append("loss " + facts.lossTypes.joined(separator: " + "))
    }
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
      for tile in tiles {
        out += "<div class=\"tile\"><dt>\(escape(tile.name))</dt>"
        out += tile.values.map { "<dd>\(escape($0.value)) <small>\(escape($0.of))</small></dd>" }.joined()
        out += tile.start.map { "<dd class=\"start\">at first \(escape($0))</dd>" } ?? ""
        out += "</div>\n"
      }
      out += "</dl>\n"
    }
    return out
  }

  /// A quantity and its values, each with what it is of.
  private struct Tile {
    let name: String
    var values: [(value: String, of: String)]
    /// What it was at the beginning of the run.
    var start: String?
  }

  private func tiles() -> [Tile] {
    var tiles: [Tile] = []
    let metrics = facts.metrics
    if metrics.steps > 0 {
      let epochs = metrics.lastEpoch.map { "\(ReportText.number($0)) epoch\($0 == 1 ? "" : "s")" }
      tiles.append(Tile(name: "Steps", values: [(ReportText.grouped(metrics.steps), epochs ?? "")]))
    }
    func tile(_ name: String, _ metric: Metrics.Name, asPercent: Bool = false) {
      func show(_ value: Double) -> String { asPercent ? ReportText.percent(value) : ReportText.number(value) }
      var tile = Tile(name: name, values: [])
      let held = metrics[metric.evaluated]
      if let series = metrics[metric] {
        tile.values.append((show(series.tail.mean), "training"))
        if held == nil { tile.start = show(series.head.mean) }
      }
      if let held, let last = held.last {
        if tile.values.isEmpty, held.count > 1 { tile.start = show(held.values[0]) }
        tile.values.append((show(last), "held out"))
      }
      if !tile.values.isEmpty { tiles.append(tile) }
    }
    tile("Accuracy", .rewardsAccuracies, asPercent: true)
    tile("Margin", .rewardsMargins)
    tile("Score", .objectiveScores)
    tile("KL", .objectiveKl)
    if !facts.isRollout { tile("Loss", .loss) }
    if !facts.isPreference { tile("Token accuracy", .meanTokenAccuracy, asPercent: true) }
    if let perplexity = metrics[.perplexity.evaluated]?.last {
      tiles.append(Tile(name: "Perplexity", values: [(ReportText.number(perplexity), "held out")]))
    }
    if let chosen = facts.drift(.rewardsChosen), let rejected = facts.drift(.rewardsRejected),
      !facts.isReferenceFree
    {
      tiles.append(
        Tile(
          name: "Log-probs less the reference's, training, nats",
          values: [(signed(chosen.mean), "chosen"), (signed(rejected.mean), "rejected")]))
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
    var out = "<h2>Before and after, on held-out prompts</h2>\n"
    if let comparisonNote {
      out += "<p class=\"sub\">\(escape(ReportText.cut(comparisonNote, Self.maximumText)))</p>\n"
    }
    out +=
      "<div class=\"scroll\"><table class=\"wide\">\n"
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
    let shown = facts.samples.prefix(Self.maximumSamples)
    for (index, sample) in shown.enumerated() {
      if index == Self.openSamples {
        let count = shown.count - index
        out += "<details><summary>\(count) more sample\(count == 1 ? "" : "s")</summary>\n"
      }
      out +=
        "<article class=\"sample\">\n<div class=\"prompt\"><span class=\"label\">prompt</span>"
        + "<div class=\"words\">\(escape(ReportText.cut(sample.prompt, Self.maximumText)))</div></div>\n<div class=\"answers\">\n"
      if let before = sample.before { out += answer("before", before, sample.beforeScore) }
      out += answer("after", sample.after, sample.afterScore) + "</div>\n</article>\n"
    }
    if shown.count > Self.openSamples { out += "</details>\n" }
    let rest = facts.samples.count - Self.maximumSamples
    return out + (rest > 0 ? "<p class=\"sub\">and \(rest) more</p>\n" : "")
  }

  // MARK: Tables

  private func tables() -> String {
    var out = numbers()
    let settings = facts.shownSettings
    let data = Self.flattened(facts.data)
    let isEmpty = settings.changed.isEmpty && settings.unchanged.isEmpty && settings.plan.isEmpty
    guard !isEmpty || !data.isEmpty else { return out }
    func table(_ rows: [(key: String, value: String)]) -> String {
      rows.isEmpty
        ? ""
        : "<table>\n"
          + rows.prefix(300).map { key, value in
            "<tr><th>\(escape(ReportText.cut(key, 80)))</th><td class=\"value\">\(escape(ReportText.cut(value, 400)))</td></tr>\n"
          }.joined() + "</table>"
    }
    func folded(_ summary: String, _ rows: [(key: String, value: String)]) -> String {
      rows.isEmpty ? "" : "<details><summary>\(escape(summary))</summary>\n\(table(rows))</details>\n"
    }
    out += "<div class=\"columns\">\n"
    if !isEmpty {
      out += "<section><h2>Settings</h2>\n\(table(settings.changed))\n"
      out += folded("\(settings.unchanged.count) more options of the method, at their defaults", settings.unchanged)
      out += folded("Plan: steps, tokens and memory", settings.plan) + "</section>\n"
    }
    if !data.isEmpty { out += "<section><h2>Training data</h2>\n\(table(data))</section>\n" }
    return out + "</div>\n"
  }

  /// Training and held-out metrics apart.
  private func numbers() -> String {
    let metrics = facts.metrics
    guard !metrics.names.isEmpty else { return "" }
    var out =
      "<h2>Numbers</h2>\n<div class=\"scroll\"><table class=\"wide\">\n"
      + "<tr><th>metric</th><th class=\"n\">at first</th><th class=\"n\">at the end</th><th class=\"n\">lowest</th><th class=\"n\">highest</th></tr>\n"
    for (heading, isEvaluated) in [
      ("Training: means over a tenth of the steps", false), ("Held out: the first and the last evaluation", true),
    ] {
      let names = metrics.names.filter { $0.isEvaluated == isEvaluated }
      if !names.isEmpty { out += "<tr class=\"group\"><th colspan=\"5\">\(heading)</th></tr>\n" }
      for name in names.prefix(200) {
        guard let series = metrics[name], let first = series.values.first, let last = series.last else { continue }
        let ends = isEvaluated ? [first, last] : [series.head.mean, series.tail.mean]
        let cells: [Double] = ends + [series.values.min() ?? 0, series.values.max() ?? 0]
        out +=
          "<tr><td>\(breakable(ReportText.cut(name.text, 80)))</td>"
          + cells.map { "<td class=\"n\">\(escape(ReportText.number($0)))</td>" }.joined() + "</tr>\n"
      }
    }
    return out + "</table></div>\n"
  }

  /// Members of nested objects as "outer.inner".
  static func flattened(_ json: JSON, prefix: String = "", depth: Int = 0) -> [(key: String, value: String)] {
    guard let object = json.object else { return [] }
    return object.members.flatMap { key, value -> [(key: String, value: String)] in
      let name = prefix + key
      switch value {
      case .object where value["median"] != nil: return [(name, distribution(value))]
      case .object where depth < 4: return flattened(value, prefix: name + ".", depth: depth + 1)
      case .array(let items) where items.allSatisfy({ $0.array == nil && $0.object == nil }):
        return items.isEmpty ? [] : [(name, items.map(words).joined(separator: ", "))]
      default:
        if let count = value.double, name.hasSuffix("_bytes") || prefix.hasSuffix("_bytes.") {
          return [(name, ReportText.bytes(count))]
        }
        return [(name, words(value))]
      }
    }
  }

  /// "7 to 20, median 13, 95 % at most 20, 158 in all", as far as it is known.
  private static func distribution(_ value: JSON) -> String {
    func part(_ key: String, _ before: String, _ after: String = "") -> String? {
      value[key]?.double.map { before + ReportText.number($0) + after }
    }
    let range = [part("min", ""), part("max", "")].compactMap(\.self).joined(separator: " to ")
    return [
      range.isEmpty ? nil : range, part("median", "median "), part("p95", "95 % at most "),
      part("total", "", " in all"),
    ]
    .compactMap(\.self).joined(separator: ", ")
  }

  static func words(_ value: JSON) -> String {
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

extension RunFacts {
  typealias Rows = [(key: String, value: String)]

  /// The settings in the order in which a reader asks for them. Options of other methods are in none of the parts.
  ///
  /// - Returns: `changed`: what someone chose, and whatever is no option; `unchanged`: options at their defaults; `plan`: the trainer's.
  var shownSettings: (changed: Rows, unchanged: Rows, plan: Rows) {
    var changed: Rows = []
    var unchanged: Rows = []
    for (name, value) in settings.object?.members ?? [] where name != "plan" {
      let rows = RunReport.flattened(.object([name: value]))
      guard let field = TrainingOptions.field(name), name != "method" else {
        changed += rows
        continue
      }
      guard field.belongs(to: method) else { continue }
      let standard = RunReport.flattened(.object([name: field.defaultValue]))
      if rows.map(\.value) != standard.map(\.value) {
        changed += rows
      } else {
        let standing = value.isNull && !field.unset.isEmpty ? "not set: \(field.unset)" : rows.first?.value ?? "–"
        // A method without the default loss takes its own.
        unchanged.append((name, name == "loss_type" && !isDPO ? "the method's own" : standing))
      }
    }
    return (changed, unchanged, RunReport.flattened(settings["plan"] ?? .null))
  }
}
