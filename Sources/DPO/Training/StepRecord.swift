import DPOBase

/// What an optimiser step, or an evaluation, measured.
public struct StepRecord: Sendable {
  /// Optimiser steps done, from 1.
  public var step: Int
  /// Of the whole plan.
  public var totalSteps: Int
  /// Epochs done, as transformers logs them.
  public var epoch: Double
  /// Metrics by TRL's names, in the order in which they are shown: loss, grad_norm, learning_rate, rewards/…, logps/…
  public var metrics: Metrics
  /// Standard errors of those metrics of an evaluation that are means over rows, or differences of such means.
  public var standardErrors: Metrics = [:]
  /// Wall time of the step.
  public var seconds: Double

  /// One of the metrics; nil where there is none of that name.
  public subscript(name: Metrics.Name) -> Double? { metrics[name] }

  /// The line of metrics.jsonl.
  public var json: JSON {
    var object: JSONObject = ["step": .int(step), "epoch": .real(epoch)]
    for (name, value) in metrics { object[name.text] = .real(value) }
    object["seconds"] = .real(seconds)
    return .object(object)
  }
}

/// Means over micro-batches, each counting the same unless it is given a weight; a metric that some of them lack is the mean
/// over the others.
struct MetricMeans {
  private var names: [Metrics.Name] = []
  private var sums: [Metrics.Name: (sum: Double, weight: Double)] = [:]

  mutating func add(_ metrics: Metrics, weight: Double = 1) {
    for (name, value) in metrics {
      if let old = sums[name] {
        sums[name] = (old.sum + weight * value, old.weight + weight)
      } else {
        names.append(name)
        sums[name] = (weight * value, weight)
      }
    }
  }

  var means: Metrics {
    Metrics(
      names.map { name in
        let entry = sums[name] ?? (0, 1)
        return (name, entry.sum / entry.weight)
      })
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
