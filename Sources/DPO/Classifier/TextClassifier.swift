import DPOBase

/// A labeller of texts in two classes: tf-idf of word and character n-grams under logistic regression. It stands in for
/// human judgement in the demo's experiment, as the sentiment classifier does in the DPO paper's, and labels samples for
/// training.
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
    try check(texts: texts, labels: labels, cost: cost)
    return TextClassifier(texts.map(TextGrams.init), labels: labels, cost: cost)
  }

  static func check(texts: [String], labels: [Bool], cost: Double) throws {
    guard texts.count == labels.count else {
      throw DPOError.argument("\(texts.count) texts and \(labels.count) labels; expected one label for each text")
    }
    guard labels.contains(true), labels.contains(false) else {
      throw DPOError.argument("a classifier needs texts of both labels")
    }
    guard cost > 0, cost.isFinite else { throw DPOError.argument("cost is \(cost); expected a finite number > 0") }
  }

  init(_ grams: [TextGrams], labels: [Bool], cost: Double) {
    vocabulary = TextVocabulary(grams)
    var rows = SparseRows()
    for text in grams { rows.append(vocabulary.vector(text)) }
    let solution = LogisticRegression(rows: rows, labels: labels, cost: cost).minimum(features: vocabulary.count)
    weights = solution.dropLast()
    bias = solution.last ?? 0
  }

  init(vocabulary: TextVocabulary, weights: [Double], bias: Double) {
    self.vocabulary = vocabulary
    self.weights = weights
    self.bias = bias
  }

  /// ln(p / (1 − p)) of the positive class.
  public func logOdds(_ text: String) -> Double { logOdds(TextGrams(text)) }

  func logOdds(_ grams: TextGrams) -> Double {
    vocabulary.vector(grams).reduce(bias) { $0 + weights[Int($1.feature)] * Double($1.value) }
  }

  /// p of the positive class.
  public func probability(_ text: String) -> Double { sigmoid(logOdds(text)) }
}
