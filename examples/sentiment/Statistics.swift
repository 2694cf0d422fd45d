import DPO

/// A mean and its 95 % interval.
struct Estimate {
  let value, low, high: Double

  /// Bootstrap over groups (prompts), as samples of one prompt are not independent: the mean of the groups' means,
  /// recomputed on 2,000 resamples.
  init(groups: [Double], seed: UInt64) {
    var random = CounterRandom(key: seed)
    let means = (0..<2000).map { _ in
      groups.indices.reduce(0.0) { sum, _ in sum + groups[Int(random.next() % UInt64(groups.count))] }
        / Double(groups.count)
    }.sorted()
    value = groups.reduce(0, +) / Double(groups.count)
    low = means[50]
    high = means[1949]
  }

  var text: String { "\(rounded(value)) (95 % interval \(rounded(low)) … \(rounded(high)))" }
  var reported: RunReport.Comparison.Estimate { .init(value, low: low, high: high) }
}

func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

/// Of several answers to one prompt: the best against the worst, if their scores are `gap` apart.
func bestAgainstWorst(_ scores: [Double], gap: Double) -> (best: Int, worst: Int)? {
  guard let best = scores.indices.max(by: { scores[$0] < scores[$1] }),
    let worst = scores.indices.min(by: { scores[$0] < scores[$1] }), scores[best] - scores[worst] >= gap
  else { return nil }
  return (best, worst)
}
