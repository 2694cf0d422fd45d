import DPOPlatform

/// How well log-odds tell two classes apart, and how far the probabilities they stand for can be believed.
public struct ClassifierQuality: Sendable, Equatable {
  /// Rows whose probability of the positive class is within one of ten equal intervals.
  public struct Bin: Sendable, Equatable {
    /// Rows in the interval.
    public let count: Int
    /// Mean probability, and the share of rows that are positive.
    public let probability, positive: Double
  }

  /// Rows that were judged.
  public let count: Int
  /// Share of rows whose score's sign is the label's.
  public let accuracy: Double
  /// Probability that a positive row has a higher score than a negative one, ties counted half.
  public let auc: Double
  /// Accuracy of always naming the more frequent class.
  public let majority: Double
  /// Expected calibration error: the mean of |probability − positive| over the bins, weighted with their counts.
  public let calibrationError: Double
  /// Mean of −ln p of the true class, and of (p − label)².
  public let logLoss, brier: Double
  /// From p = 0 to p = 1; empty ones have a count of 0.
  public let bins: [Bin]

  /// - Parameter scores: log-odds of the positive class.
  public init(scores: [Double], labels: [Bool]) {
    count = min(scores.count, labels.count)
    let total = Double(max(count, 1))
    let rows = zip(scores, labels).sorted { $0.0 < $1.0 }
    let positives = rows.lazy.filter { $0.1 }.count
    let negatives = rows.count - positives
    accuracy = Double(rows.lazy.filter { ($0.0 > 0) == $0.1 }.count) / total
    majority = Double(max(positives, negatives)) / total
    // Mann–Whitney: mean rank of the positive rows, ties at their mean rank.
    var rankSum = 0.0
    var start = 0
    while start < rows.count {
      var end = start
      while end < rows.count, rows[end].0 == rows[start].0 { end += 1 }
      rankSum += Double(rows[start..<end].lazy.filter { $0.1 }.count) * Double(start + 1 + end) / 2
      start = end
    }
    let pairs = Double(positives) * Double(negatives)
    auc = pairs > 0 ? (rankSum - Double(positives) * Double(positives + 1) / 2) / pairs : 0.5

    var sums = [(count: Int, probability: Double, positive: Double)](repeating: (0, 0, 0), count: 10)
    var (loss, squares) = (0.0, 0.0)
    for (score, label) in rows where !score.isNaN {
      let p = sigmoid(score)
      loss -= logSigmoid(label ? score : -score)
      squares += (p - (label ? 1 : 0)) * (p - (label ? 1 : 0))
      let bin = min(9, Int(p * 10))
      sums[bin] = (sums[bin].count + 1, sums[bin].probability + p, sums[bin].positive + (label ? 1 : 0))
    }
    logLoss = loss / total
    brier = squares / total
    calibrationError = sums.reduce(0) { $0 + abs($1.probability - $1.positive) } / total
    bins = sums.map { sum in
      let count = Double(max(sum.count, 1))
      return Bin(count: sum.count, probability: sum.probability / count, positive: sum.positive / count)
    }
  }
}
