import DPOPlatform

/// Platt's scaling: p = σ(slope · score + intercept) makes probabilities of scores.
public struct Calibration: Sendable, Equatable {
  /// Platt's two numbers.
  public let slope, intercept: Double

  /// The calibrated log-odds of a score.
  public func logOdds(_ score: Double) -> Double { slope * score + intercept }

  /// The maximum of the likelihood with Platt's smoothed targets t = (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2), by Newton's method
  /// with backtracking (Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs").
  init(scores: [Double], labels: [Bool]) {
    let positives = Double(labels.lazy.filter { $0 }.count)
    let negatives = Double(labels.count) - positives
    let high = (positives + 1) / (positives + 2)
    let low = 1 / (negatives + 2)
    let rows = zip(scores, labels).map { (score: $0, target: $1 ? high : low) }

    func loss(_ slope: Double, _ intercept: Double) -> Double {
      rows.reduce(0) { sum, row in
        let z = slope * row.score + intercept
        return sum - row.target * logSigmoid(z) - (1 - row.target) * logSigmoid(-z)
      }
    }

    var (a, b) = (0.0, log((positives + 1) / (negatives + 1)))
    var value = loss(a, b)
    for _ in 0..<100 {
      // The ridge keeps the Hessian invertible where all scores are alike.
      var (haa, hab, hbb, ga, gb) = (1e-12, 0.0, 1e-12, 0.0, 0.0)
      for row in rows {
        let p = sigmoid(a * row.score + b)
        let curvature = p * (1 - p)
        haa += curvature * row.score * row.score
        hab += curvature * row.score
        hbb += curvature
        ga += (p - row.target) * row.score
        gb += p - row.target
      }
      if abs(ga) < 1e-9, abs(gb) < 1e-9 { break }
      let determinant = haa * hbb - hab * hab
      let da = -(hbb * ga - hab * gb) / determinant
      let db = -(haa * gb - hab * ga) / determinant
      let descent = ga * da + gb * db
      var length = 1.0
      while length > 1e-10, loss(a + length * da, b + length * db) > value + 1e-4 * length * descent { length /= 2 }
      let next = loss(a + length * da, b + length * db)
      guard next < value else { break }  // as low as rounding allows
      (a, b, value) = (a + length * da, b + length * db, next)
    }
    (slope, intercept) = (a, b)
  }
}
