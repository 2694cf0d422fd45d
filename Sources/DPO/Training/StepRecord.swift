import DPOBase
import DPOPlatform

/// What an optimiser step, or an evaluation, measured.
public struct StepRecord: Sendable {
  /// Optimiser steps done, from 1.
  public var step: Int
  public var totalSteps: Int
  public var epoch: Double
  /// Metrics by TRL's names, in the order in which they are shown: loss, grad_norm, learning_rate, rewards/…, logps/…
  public var metrics: [(name: String, value: Double)]
  /// Standard errors of those metrics of an evaluation that are means over rows, or differences of such means.
  public var standardErrors: [(name: String, value: Double)] = []
  /// Wall time of the step.
  public var seconds: Double

  public subscript(name: String) -> Double? { metrics.first { $0.name == name }?.value }

  /// The line of metrics.jsonl.
  public var json: JSON {
    var object: JSONObject = ["step": .int(step), "epoch": .real(epoch)]
    for (name, value) in metrics { object[name] = .real(value) }
    object["seconds"] = .real(seconds)
    return .object(object)
  }
}

/// What rows say one by one, over a whole evaluation.
struct RowMetrics {
  private var names: [String] = []
  private var values: [String: [Double]] = [:]

  mutating func add(_ metrics: [(name: String, values: [Double])]) {
    for (name, numbers) in metrics {
      if values[name] == nil { names.append(name) }
      values[name, default: []] += numbers
    }
  }

  /// s/√n of each metric, and of differences of two metrics of independent rows the root of the sum of both squares.
  func standardErrors(
    differences: [(name: String, of: String, and: String)]
  ) -> [(name: String, value: Double)] {
    names.map { ($0, standardError($0)) }
      + differences.map { ($0.name, hypot(standardError($0.of), standardError($0.and))) }
  }

  private func standardError(_ name: String) -> Double {
    let values = values[name] ?? []
    let (mean, count) = (values.mean, Double(values.count))
    return (values.map { ($0 - mean) * ($0 - mean) }.sum / (count - 1) / count).squareRoot()
  }
}

/// Means over micro-batches, each counting the same unless it is given a weight; a metric that some of them lack is the mean
/// over the others.
struct MetricMeans {
  private var names: [String] = []
  private var sums: [String: (sum: Double, weight: Double)] = [:]

  mutating func add(_ metrics: [(name: String, value: Double)], weight: Double = 1) {
    for (name, value) in metrics {
      if let old = sums[name] {
        sums[name] = (old.sum + weight * value, old.weight + weight)
      } else {
        names.append(name)
        sums[name] = (weight * value, weight)
      }
    }
  }

  var means: [(name: String, value: Double)] {
    names.map { name in
      let entry = sums[name] ?? (0, 1)
      return (name, entry.sum / entry.weight)
    }
  }
}

/// What happens in a run, in order.
public enum TrainingEvent: Sendable {
  /// Everything was accepted; work begins.
  case started(TrainingPlan)
  /// An optimiser step was applied.
  case step(StepRecord)
  /// The evaluation data were scored; names start with eval_.
  case evaluation(StepRecord)
  /// A file from which the run can be resumed, or the final one, was written.
  case saved(path: String)
  /// Something that the user should know.
  case note(String)
  /// Rows done in a long phase between steps, such as the reference model's log-probs.
  case progress(phase: String, done: Int, total: Int)
}
