func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

/// Of several answers to one prompt: the best against the worst, if their scores are `gap` apart.
func bestAgainstWorst(_ scores: [Double], gap: Double) -> (best: Int, worst: Int)? {
  guard let best = scores.indices.max(by: { scores[$0] < scores[$1] }),
    let worst = scores.indices.min(by: { scores[$0] < scores[$1] }), scores[best] - scores[worst] >= gap
  else { return nil }
  return (best, worst)
}
