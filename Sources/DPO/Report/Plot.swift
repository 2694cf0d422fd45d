import DPOBase
import DPOPlatform

/// Colours of a drawing: CSS variables on the page, which follow light and dark; plain ones in a file of its own.
struct PlotPalette {
  let back: String
  let text: String
  let muted: String
  let grid: String
  let lines: [String]

  static let page = PlotPalette(
    back: "var(--back)", text: "var(--text)", muted: "var(--muted)", grid: "var(--grid)",
    lines: ["var(--blue)", "var(--green)", "var(--orange)", "var(--purple)"])
  static let paper = PlotPalette(
    back: "#ffffff", text: "#1b1f24", muted: "#57606a", grid: "#e3e6ea",
    lines: ["#0969b3", "#0b7f5c", "#c2500a", "#9a3f86"])
}

/// A line chart over training steps, drawn as SVG.
struct Plot {
  enum Color: Int { case blue, green, orange, purple }

  struct Line {
    let label: String
    let color: Color
    let series: RunSeries
    /// Few measured points, joined by a dashed line, rather than a dense curve.
    var isEvaluation = false
  }

  let title: String
  let lines: [Line]
  /// A dashed horizontal line with a word on it.
  var reference: (value: Double, label: String)?
  var range: ClosedRange<Double>?
  /// Ticks at powers of ten; ignored when a value is not positive.
  var isLogarithmic = false

  static let width = 440.0
  static let height = 268.0
  private static let fontSize = 12.0
  private static let characterWidth = 6.7
  /// More points than this are drawn as the band between their extremes.
  private static let maximumPoints = 360
  /// More points than this do not all show their value under the pointer.
  private static let maximumValues = 300

  // MARK: Scales

  private struct Scale {
    let low: Double
    let high: Double
    let ticks: [Double]
    let isLogarithmic: Bool

    /// 0 at `low`, 1 at `high`.
    func position(_ value: Double) -> Double {
      isLogarithmic ? (log10(value) - log10(low)) / (log10(high) - log10(low)) : (value - low) / (high - low)
    }
  }

  /// A step of 1, 2 or 5 times a power of ten that cuts `span` into about `count` parts.
  static func niceStep(_ span: Double, _ count: Int) -> Double {
    guard span > 0, span.isFinite else { return 1 }
    let rough = span / Double(count)
    let power = pow(10, floor(log10(rough)))
    guard power > 0, power.isFinite else { return 1 }
    let factor = rough / power
    return power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10)
  }

  private static func linear(_ low: Double, _ high: Double, _ count: Int, isTight: Bool = false) -> Scale {
    var (low, high) = (low, high)
    if !(high > low) || high - low < max(abs(low), abs(high)) * 1e-9 {
      let margin = max(abs(low) * 0.1, 1e-9)
      (low, high) = (low - margin, high + margin)
    }
    let step = niceStep(high - low, count)
    if !isTight {
      low = floor(low / step + 1e-9) * step
      high = ceil(high / step - 1e-9) * step
    }
    let first = ceil(low / step - 1e-9)
    let count = Int(min(50, max(0, floor(high / step + 1e-9) - first)))
    return Scale(low: low, high: high, ticks: (0...count).map { (first + Double($0)) * step }, isLogarithmic: false)
  }

  private static func logarithmic(_ low: Double, _ high: Double) -> Scale {
    let bottom = Int(floor(log10(low) + 1e-9))
    let top = max(bottom + 1, Int(ceil(log10(high) - 1e-9)))
    let stride = max(1, (top - bottom + 4) / 5)
    var ticks: [Double] = []
    for power in bottom...top {
      if (power - bottom) % stride == 0 { ticks.append(pow(10, Double(power))) }
      if top - bottom == 1, power < top { ticks += [2, 5].map { $0 * pow(10, Double(power)) } }
    }
    return Scale(low: pow(10, Double(bottom)), high: pow(10, Double(top)), ticks: ticks, isLogarithmic: true)
  }

  private func verticalScale() -> Scale {
    var low = Double.infinity
    var high = -Double.infinity
    for line in lines {
      for value in line.series.values {
        low = min(low, value)
        high = max(high, value)
      }
    }
    if !low.isFinite { (low, high) = (0, 1) }
    if let range { (low, high) = (range.lowerBound, range.upperBound) }
    if isLogarithmic, low > 0 { return Self.logarithmic(low, high) }
    // The reference is shown where it does not squeeze the curves.
    if let reference, range == nil, reference.value > low - (high - low), reference.value < high + (high - low) {
      (low, high) = (min(low, reference.value), max(high, reference.value))
    }
    return Self.linear(low, high, 5)
  }

  private static func tickLabel(_ value: Double, _ scale: Scale) -> String {
    if scale.isLogarithmic { return label(value, 0) }
    let step = scale.ticks.count > 1 ? scale.ticks[1] - scale.ticks[0] : abs(value)
    let digits = step > 0 ? max(0, Int(ceil(-log10(step) - 1e-9))) : 0
    return label(value, digits)
  }

  private static func label(_ value: Double, _ digits: Int) -> String {
    let size = abs(value)
    if size < 1e-12 { return "0" }
    if digits > 4 || size >= 1e7 || (size < 1e-3 && digits == 0) { return ReportText.number(value) }
    if size >= 10_000, digits == 0 {
      let thousands = value / 1000
      return ReportText.fixed(thousands, thousands.rounded() == thousands ? 0 : 1) + "k"
    }
    if digits == 0, size < 1 { return ReportText.number(value) }
    return ReportText.fixed(value, digits)
  }

  // MARK: Drawing

  /// The chart as one `<svg>` element, `description` for those who cannot see it.
  ///
  /// - Parameter hasValues: with what the page's script needs to show values under the pointer.
  func svg(palette: PlotPalette = .page, hasValues: Bool = false, x: Double = 0, y: Double = 0) -> String {
    let vertical = verticalScale()
    let steps = lines.flatMap(\.series.steps)
    let lowStep = steps.min() ?? 0
    let highStep = max(steps.max() ?? 1, lowStep + 1)
    let horizontal = Self.linear(lowStep, highStep, 5, isTight: true)
    let tickLabels = vertical.ticks.map { Self.tickLabel($0, vertical) }
    let left = 14 + Double(tickLabels.map(\.count).max() ?? 1) * Self.characterWidth
    let (top, right, bottom) = (54.0, 14.0, 36.0)
    let plotWidth = Self.width - left - right
    let plotHeight = Self.height - top - bottom
    func px(_ value: Double) -> Double { left + horizontal.position(value) * plotWidth }
    func py(_ value: Double) -> Double { top + (1 - min(1.5, max(-0.5, vertical.position(value)))) * plotHeight }
    let c = ReportText.coordinate

    var out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(c(Self.width)) \(c(Self.height))\" x=\"\(c(x))\" y=\"\(c(y))\" "
      + "width=\"\(c(Self.width))\" height=\"\(c(Self.height))\" role=\"img\" aria-label=\"\(ReportText.escape(description))\" "
      + "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"\(c(Self.fontSize))\""
    if hasValues {
      let values: JSON = [
        "x": .array([left, plotWidth, horizontal.low, horizontal.high].map(JSON.real)),
        "y": .array([top, plotHeight, vertical.low, vertical.high].map(JSON.real) + [.bool(vertical.isLogarithmic)]),
        "lines": .array(lines.map { $0.values(palette, atMost: Self.maximumValues) }),
      ]
      out += " data-plot=\"\(ReportText.escape(values.description))\""
    }
    out += ">\n"
    out += text(title, left: 4, baseline: 17, palette.text, attributes: " font-size=\"14\" font-weight=\"600\"")
    out += legend(palette)
    for (tick, label) in zip(vertical.ticks, tickLabels) {
      let height = py(tick)
      out +=
        "<path d=\"M\(c(left)) \(c(height))H\(c(left + plotWidth))\" style=\"stroke:\(palette.grid);stroke-width:1\"/>\n"
      out += text(label, left: left - 6, baseline: height + 4, palette.muted, attributes: " text-anchor=\"end\"")
    }
    for tick in horizontal.ticks {
      let label = Self.tickLabel(tick, horizontal)
      let place = min(px(tick), left + plotWidth - Double(label.count) * 3)
      out += text(
        label, left: place, baseline: top + plotHeight + 16, palette.muted, attributes: " text-anchor=\"middle\"")
    }
    out += text(
      "step", left: left + plotWidth, baseline: Self.height - 4, palette.muted, attributes: " text-anchor=\"end\"")
    for line in lines {
      let color = palette.lines[line.color.rawValue]
      let points = zip(line.series.steps, line.series.values).map { (px($0), py($1)) }
      if line.isEvaluation {
        out += path(points, "stroke:\(color);stroke-width:1.6;stroke-dasharray:5 3")
        for (index, point) in points.enumerated() where points.count <= 60 {
          let label =
            "step \(ReportText.number(line.series.steps[index])): \(ReportText.number(line.series.values[index]))"
          out +=
            "<circle cx=\"\(c(point.0))\" cy=\"\(c(point.1))\" r=\"3\" style=\"fill:\(color)\"><title>\(ReportText.escape(label))</title></circle>\n"
        }
      } else if points.count == 1 {
        out += "<circle cx=\"\(c(points[0].0))\" cy=\"\(c(points[0].1))\" r=\"3\" style=\"fill:\(color)\"/>\n"
      } else if points.count < 30 {
        out += path(points, "stroke:\(color);stroke-width:2")
      } else {
        out += path(thinned(points), "stroke:\(color);stroke-width:1;opacity:0.28")
        let smooth = zip(line.series.steps, line.series.smoothed).map { (px($0), py($1)) }
        let every = max(1, smooth.count / Self.maximumPoints)
        out += path(
          smooth.indices.filter { $0 % every == 0 || $0 == smooth.count - 1 }.map { smooth[$0] },
          "stroke:\(color);stroke-width:2.2")
      }
    }
    if let reference, reference.value >= vertical.low, reference.value <= vertical.high {
      let height = py(reference.value)
      out +=
        "<path d=\"M\(c(left)) \(c(height))H\(c(left + plotWidth))\" style=\"stroke:\(palette.muted);stroke-width:1;stroke-dasharray:2 3\"/>\n"
      out += text(
        reference.label, left: left + plotWidth, baseline: height - 4, palette.muted,
        attributes:
          " text-anchor=\"end\" font-size=\"11\" stroke=\"\(palette.back)\" stroke-width=\"3\" paint-order=\"stroke\"")
    }
    return out + "</svg>\n"
  }

  /// The chart in words: where each curve begins and ends.
  var description: String {
    title + ". "
      + lines.map {
        "\($0.label): from \(ReportText.number($0.series.head.mean)) to \(ReportText.number($0.series.tail.mean))"
      }
      .joined(separator: "; ")
  }

  private func text(_ text: String, left: Double, baseline: Double, _ color: String, attributes: String = "") -> String
  {
    "<text x=\"\(ReportText.coordinate(left))\" y=\"\(ReportText.coordinate(baseline))\"\(attributes) "
      + "style=\"fill:\(color)\">\(ReportText.escape(text))</text>\n"
  }

  private func legend(_ palette: PlotPalette) -> String {
    var out = ""
    var left = 4.0
    let c = ReportText.coordinate
    func entry(_ label: String, _ color: String, isEvaluation: Bool) {
      let dashes = isEvaluation ? ";stroke-dasharray:5 3" : ""
      out += "<path d=\"M\(c(left)) 35H\(c(left + 18))\" style=\"stroke:\(color);stroke-width:2.4\(dashes)\"/>\n"
      if isEvaluation { out += "<circle cx=\"\(c(left + 9))\" cy=\"35\" r=\"3\" style=\"fill:\(color)\"/>\n" }
      out += text(label, left: left + 23, baseline: 39, palette.text)
      left += 23 + Double(label.count) * Self.characterWidth + 14
    }
    for line in lines where !line.isEvaluation {
      entry(line.label, palette.lines[line.color.rawValue], isEvaluation: false)
    }
    let evaluations = lines.filter(\.isEvaluation)
    if let first = evaluations.first {
      // Several share the colours of the training curves they belong to: one entry explains the dashes.
      let color = evaluations.count == 1 ? palette.lines[first.color.rawValue] : palette.muted
      entry("held out", color, isEvaluation: true)
    }
    return out
  }

  private func path(_ points: [(Double, Double)], _ style: String) -> String {
    guard let first = points.first else { return "" }
    let c = ReportText.coordinate
    var data = "M\(c(first.0)) \(c(first.1))"
    for point in points.dropFirst() { data += "L\(c(point.0)) \(c(point.1))" }
    return "<path d=\"\(data)\" style=\"fill:none;stroke-linejoin:round;\(style)\"/>\n"
  }

  /// At most `maximumPoints` places, each with the lowest and the highest of its neighbours.
  private func thinned(_ points: [(Double, Double)]) -> [(Double, Double)] {
    guard points.count > Self.maximumPoints else { return points }
    var out: [(Double, Double)] = []
    for bucket in 0..<(Self.maximumPoints / 2) {
      let start = bucket * points.count / (Self.maximumPoints / 2)
      let end = (bucket + 1) * points.count / (Self.maximumPoints / 2)
      let part = points[start..<end].sorted { $0.1 < $1.1 }
      guard let low = part.first, let high = part.last else { continue }
      out += low.0 <= high.0 ? [low, high] : [high, low]
    }
    return out
  }
}

extension Plot.Line {
  /// Steps and values for the page's script: every so many of a dense curve, and its last.
  fileprivate func values(_ palette: PlotPalette, atMost limit: Int) -> JSON {
    let every = max(1, (series.count + limit - 1) / limit)
    let kept = series.values.indices.filter { $0 % every == 0 || $0 == series.count - 1 }
    return [
      "label": .string(label), "color": .string(palette.lines[color.rawValue]), "isEvaluation": .bool(isEvaluation),
      "steps": .array(kept.map { .real(series.steps[$0]) }),
      "values": .array(kept.map { .real(ReportText.significant(series.values[$0], 4)) }),
    ]
  }
}
