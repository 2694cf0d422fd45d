/// Which curves are drawn, and the picture of the main ones.
extension RunReport {
  /// Charts of a run: the main ones first; those without data are left out.
  func plots() -> (main: [Plot], more: [Plot]) {
    let metrics = facts.metrics
    func lines(_ parts: [(Metrics.Name, String, Plot.Color)]) -> [Plot.Line] {
      parts.flatMap { name, label, color -> [Plot.Line] in
        var lines: [Plot.Line] = []
        if let series = metrics[name] { lines.append(Plot.Line(label: label, color: color, series: series)) }
        if let series = metrics[name.evaluated] {
          let isAlone = parts.count == 1
          lines.append(
            Plot.Line(
              label: isAlone ? "held out" : "\(label), held out", color: isAlone ? .purple : color, series: series,
              isEvaluation: true))
        }
        return lines
      }
    }
    func plot(_ title: String, _ parts: [(Metrics.Name, String, Plot.Color)]) -> Plot? {
      let found = lines(parts)
      return found.isEmpty ? nil : Plot(title: title, lines: found)
    }
    func pair(_ title: String, _ chosen: Metrics.Name, _ rejected: Metrics.Name) -> Plot? {
      plot(title, [(chosen, "chosen", .green), (rejected, "rejected", .orange)])
    }
    var margin = plot("Reward margin (chosen − rejected)", [(.rewardsMargins, "training", .blue)])
    margin?.reference = (0, "")
    var accuracy = plot("Accuracy: chosen above rejected", [(.rewardsAccuracies, "training", .blue)])
    accuracy?.range = 0...1
    accuracy?.reference = (0.5, "guessing")
    var loss = plot("Loss", [(.loss, "training", .blue)])
    if facts.isPreference, facts.lossTypes == ["sigmoid"] {
      loss?.reference = (0.6931471805599453, "ln 2: no preference")
    }
    var rewards = pair("Implicit rewards: β·log π/π_ref", .rewardsChosen, .rewardsRejected)
    rewards?.reference = (0, "reference")
    var gradient = plot("Gradient norm", [(.gradNorm, "before clipping", .blue)])
    if let values = gradient?.lines.first?.series.values, let low = values.min(), let high = values.max(), low > 0,
      high > 30 * low
    {
      gradient?.isLogarithmic = true
    }
    let score = plot("Score of the completions", [(.objectiveScores, "training", .blue)])
    var ratio = plot(
      "Clip fraction", [(.policyClipfracAvg, "policy", .blue), (.valClipfracAvg, "value", .orange)])
    ratio?.range = 0...1
    var explained = plot("Explained variance of the returns", [(.valExplainedVariance, "training", .blue)])
    explained?.reference = (0, "the mean")
    let divergence = [Metrics.Name.objectiveKl, .kl].compactMap {
      plot("KL to the reference (nats)", [($0, "training", .blue)])
    }
    .first
    let main = [
      score, divergence, margin, accuracy, facts.isRollout ? nil : loss, rewards,
      pair("Log-probs of whole answers", .logpsChosen, .logpsRejected),
      facts.isRollout ? plot("Entropy (nats a token)", [(.policyEntropyAvg, "training", .blue)]) : nil, ratio,
      explained,
      gradient,
    ]
    let more = [
      plot("Learning rate", [(.learningRate, "learning rate", .blue)]),
      plot("Entropy (nats a token)", [(.entropy, "training", .blue)]),
      plot("Token accuracy", [(.meanTokenAccuracy, "training", .blue)]),
      pair("Mean logits", .logitsChosen, .logitsRejected),
      facts.isRollout ? loss : nil,
      plot(
        "Reward: score less the KL penalty",
        [(.objectiveRlhfReward, "reward", .blue), (.objectiveNonScoreReward, "penalty", .orange)]),
      plot("β", [(.objectiveKlCoef, "weight of the penalty", .blue)]),
      plot("Loss of the value function", [(.lossValueAvg, "training", .blue)]),
      plot("Length (tokens)", [(.completionsMeanLength, "training", .blue)]),
    ]
    return (main.compactMap(\.self), more.compactMap(\.self))
  }

  /// The main curves as one picture on white, for people without a browser and for papers.
  public func curvesSVG() -> String {
    let plots = Array(plots().main.prefix(6))
    let columns = plots.count > 4 ? 3 : max(1, min(2, plots.count))
    let rows = max(1, (plots.count + columns - 1) / columns)
    let (gap, heading) = (24.0, 46.0)
    let width = Double(columns) * (Plot.width + gap) + gap
    let height = heading + Double(rows) * (Plot.height + gap) + 4
    let c = ReportText.coordinate
    var out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(c(width)) \(c(height))\" width=\"\(c(width))\" height=\"\(c(height))\">\n"
      + "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      + "<text x=\"\(c(gap + 4))\" y=\"32\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"19\" font-weight=\"700\" "
      + "fill=\"\(PlotPalette.paper.text)\">\(ReportText.escape(ReportText.cut(title, 80)))</text>\n"
    for (index, plot) in plots.enumerated() {
      out += plot.svg(
        palette: .paper, x: gap + Double(index % columns) * (Plot.width + gap),
        y: heading + Double(index / columns) * (Plot.height + gap))
    }
    if plots.isEmpty {
      out +=
        "<text x=\"\(c(gap + 4))\" y=\"90\" font-family=\"sans-serif\" font-size=\"14\" fill=\"\(PlotPalette.paper.muted)\">No metrics were recorded.</text>\n"
    }
    return out + "</svg>\n"
  }
}
