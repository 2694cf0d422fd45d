import DPOBase
import DPOKernels

/// A classifier whose probabilities can be believed, and what is known of it from texts it has not seen.
public struct ClassifierTraining: Sendable {
  /// Trained on all texts; its log-odds are calibrated.
  public let classifier: TextClassifier
  /// What made the probabilities of the classifier those of held-out texts.
  public let calibration: Calibration
  /// Of texts that were held out, each scored by a classifier of the other folds: as that classifier says, and with a
  /// calibration made without the text's own fold.
  public let uncalibrated, calibrated: ClassifierQuality
}

extension TextClassifier {
  /// Trains, and calibrates on held-out texts: every fold (texts of each label dealt out in turn) is scored by a classifier
  /// of the others, and Platt's scaling of all these scores becomes part of the classifier that all texts train.
  ///
  /// - Parameters:
  ///   - cost: C, the weight of the data against the regulariser.
  ///   - folds: 2 or more.
  ///   - threads: 0: one a processor.
  /// - Throws: `.invalidArgument` unless each label has at least as many texts as there are folds.
  public static func trainCalibrated(
    texts: [String], labels: [Bool], cost: Double = 3, folds: Int = 5, threads: Int = 0
  ) throws -> ClassifierTraining {
    try check(texts: texts, labels: labels, cost: cost)
    let fewest = min(labels.count { $0 }, labels.count { !$0 })
    guard folds >= 2, folds <= fewest else {
      throw DPOError.argument("folds is \(folds); expected 2 to \(fewest), the texts of the rarer label")
    }
    guard threads >= 0, threads <= 1024 else { throw DPOError.argument("threads is \(threads), expected 0 to 1024") }
    let grams = texts.map(TextGrams.init)
    let fold = foldOfEach(labels, folds)
    let team = try ThreadTeam(threads: ThreadTeam.useful(threads))
    // One a fold, and the last of all texts.
    var classifiers = [TextClassifier?](repeating: nil, count: folds + 1)
    classifiers.withUnsafeMutableBufferPointer { classifiers in
      team.run(folds + 1) { held, _ in
        let rows = labels.indices.filter { fold[$0] != held }
        classifiers[held] = TextClassifier(rows.map { grams[$0] }, labels: rows.map { labels[$0] }, cost: cost)
      }
    }
    guard let final = classifiers[folds] else { throw DPOError(.internal, "no classifier was trained") }
    let scores = grams.indices.map { classifiers[fold[$0]]?.logOdds(grams[$0]) ?? 0 }
    let others = (0..<folds).map { held in
      let rows = labels.indices.filter { fold[$0] != held }
      return Calibration(scores: rows.map { scores[$0] }, labels: rows.map { labels[$0] })
    }
    let calibration = Calibration(scores: scores, labels: labels)
    return ClassifierTraining(
      classifier: final.calibrated(calibration), calibration: calibration,
      uncalibrated: ClassifierQuality(scores: scores, labels: labels),
      calibrated: ClassifierQuality(
        scores: scores.indices.map { others[fold[$0]].logOdds(scores[$0]) }, labels: labels))
  }

  /// Deals the texts of each label out in turn.
  private static func foldOfEach(_ labels: [Bool], _ folds: Int) -> [Int] {
    var next = [false: 0, true: 0]
    return labels.map { label in
      let position = next[label] ?? 0
      next[label] = position + 1
      return position % folds
    }
  }

  /// slope · (w·x + b) + intercept is a classifier of the same kind.
  private func calibrated(_ calibration: Calibration) -> TextClassifier {
    TextClassifier(
      vocabulary: vocabulary, weights: weights.map { $0 * calibration.slope }, bias: calibration.logOdds(bias))
  }
}
