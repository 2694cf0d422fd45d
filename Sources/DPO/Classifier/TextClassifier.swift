import DPOBase

/// A labeller of texts in two classes: tf-idf of word and character n-grams under logistic regression. It stands in for
/// human judgement in the demo's experiment, as the sentiment classifier does in the DPO paper's.
///
/// Training and scoring are deterministic. The model keeps hashes of n-grams, no text.
public struct TextClassifier: Sendable, Equatable {
  let vocabulary: TextVocabulary
  let weights: [Double]
  let bias: Double

  /// Learns from texts and their labels (true: positive).
  ///
  /// - Parameter cost: C, the weight of the data against the regulariser.
  /// - Throws: `.invalidArgument` unless there are as many labels as texts and both classes occur.
  public static func train(texts: [String], labels: [Bool], cost: Double = 3) throws -> TextClassifier {
    guard texts.count == labels.count else {
      throw DPOError.argument("\(texts.count) texts and \(labels.count) labels; expected one label for each text")
    }
    guard labels.contains(true), labels.contains(false) else {
      throw DPOError.argument("a classifier needs texts of both labels")
    }
    guard cost > 0, cost.isFinite else { throw DPOError.argument("cost is \(cost); expected a finite number > 0") }
    let grams = texts.map(TextGrams.init)
    let vocabulary = TextVocabulary(grams)
    var rows = SparseRows()
    for text in grams { rows.append(vocabulary.vector(text)) }
    let regression = LogisticRegression(rows: rows, labels: labels, cost: cost)
    let solution = regression.minimum(features: vocabulary.count)
    return TextClassifier(vocabulary: vocabulary, weights: solution.dropLast(), bias: solution.last ?? 0)
  }

  /// ln(p / (1 − p)) of the positive class.
  public func logOdds(_ text: String) -> Double {
    vocabulary.vector(TextGrams(text)).reduce(bias) { $0 + weights[Int($1.feature)] * Double($1.value) }
  }

  /// p of the positive class.
  public func probability(_ text: String) -> Double { sigmoid(logOdds(text)) }
}

/// How well scores separate two classes.
public struct ClassifierQuality: Sendable, Equatable {
  public let count: Int
  /// Share of rows whose score's sign is the label's.
  public let accuracy: Double
  /// Probability that a positive row has a higher score than a negative one, ties counted half.
  public let auc: Double
  /// Accuracy of always naming the more frequent class.
  public let majority: Double

  public init(scores: [Double], labels: [Bool]) {
    count = min(scores.count, labels.count)
    let rows = zip(scores, labels).sorted { $0.0 < $1.0 }
    let positives = rows.lazy.filter { $0.1 }.count
    let negatives = rows.count - positives
    accuracy = Double(rows.lazy.filter { ($0.0 > 0) == $0.1 }.count) / Double(max(count, 1))
    majority = Double(max(positives, negatives)) / Double(max(count, 1))
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
  }
}
