import DPOBase

/// One metric over the steps of a run.
struct RunSeries {
  let name: Metrics.Name
  private(set) var steps: [Double] = []
  private(set) var values: [Double] = []

  init(name: Metrics.Name, points: [(step: Double, value: Double)]) {
    self.name = name
    // A resumed run may have written a step twice: the later one counts.
    var latest: [Double: Double] = [:]
    for (step, value) in points { latest[step] = value }
    for step in latest.keys.sorted() {
      steps.append(step)
      values.append(latest[step] ?? 0)
    }
  }

  var count: Int { values.count }
  var isEmpty: Bool { values.isEmpty }
  var last: Double? { values.last }

  /// A tenth of the run, and at least five steps where there are ten.
  var windowSize: Int { max(1, min(count, count >= 10 ? max(5, count / 10) : count / 2)) }

  struct Window {
    let mean: Double
    /// Of the mean, from the scatter of the steps.
    let standardError: Double
    let count: Int
  }

  private static func window(_ values: some Collection<Double>) -> Window {
    let count = values.count
    guard count > 0 else { return Window(mean: 0, standardError: 0, count: 0) }
    let mean = values.reduce(0, +) / Double(count)
    guard count > 1 else { return Window(mean: mean, standardError: 0, count: 1) }
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
    return Window(mean: mean, standardError: (variance / Double(count)).squareRoot(), count: count)
  }

  /// The first and the last tenth.
  var head: Window { Self.window(values.prefix(windowSize)) }
  var tail: Window { Self.window(values.suffix(windowSize)) }

  var median: Double { isEmpty ? 0 : values.sorted()[count / 2] }

  /// Centred moving average over about a fifteenth of the run; narrower at its ends.
  var smoothed: [Double] {
    let half = count / 30
    guard half > 0 else { return values }
    var sums = [0.0]
    sums.reserveCapacity(count + 1)
    for value in values { sums.append(sums[sums.count - 1] + value) }
    return values.indices.map { index in
      let start = max(0, index - half)
      let end = min(count, index + half + 1)
      return (sums[end] - sums[start]) / Double(end - start)
    }
  }
}

/// All metrics of a run by name, from the rows of metrics.jsonl.
struct RunMetrics {
  private(set) var series: [Metrics.Name: RunSeries] = [:]
  /// In order of first appearance.
  private(set) var names: [Metrics.Name] = []
  /// Steps whose loss or gradient norm was not finite (written as null).
  private(set) var brokenSteps: [Double] = []
  private(set) var lastEpoch: Double?

  init(_ rows: [JSON]) {
    var points: [Metrics.Name: [(step: Double, value: Double)]] = [:]
    var broken: Set<Double> = []
    for (index, row) in rows.enumerated() {
      guard let object = row.object else { continue }
      let step = object["step"]?.double ?? Double(index + 1)
      guard step.isFinite else { continue }
      lastEpoch = object["epoch"]?.double ?? lastEpoch
      for (key, value) in object.members where key != "step" && key != "epoch" {
        let name = Metrics.Name(key)
        guard let number = value.double, number.isFinite else {
          if name == .loss || name == .gradNorm, value.isNull || value.double != nil { broken.insert(step) }
          continue
        }
        if points[name] == nil { names.append(name) }
        points[name, default: []].append((step, number))
      }
    }
    for (name, points) in points { series[name] = RunSeries(name: name, points: points) }
    brokenSteps = broken.sorted()
  }

  subscript(name: Metrics.Name) -> RunSeries? { series[name] }

  /// Optimiser steps that were recorded.
  var steps: Int { max(self[.loss]?.count ?? 0, self[.rewardsMargins]?.count ?? 0) }
  var lastStep: Double { series.values.compactMap(\.steps.last).max() ?? 0 }
}
