import DPO
import DPOBase
import DPOPlatform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct ClassifierTests {
  /// Sentences whose adjective decides, in a random frame.
  func sentences(_ count: Int, seed: UInt64) -> (texts: [String], labels: [Bool]) {
    let good = ["warm", "clever", "moving", "a joy", "splendid", "wonderful"]
    let bad = ["dull", "loud", "false", "a bore", "dreadful", "not worth a look"]
    let things = ["film", "story", "island", "captain", "garden", "winter"]
    var random = CounterRandom(key: seed)
    var texts: [String] = []
    var labels: [Bool] = []
    for _ in 0..<count {
      let label = random.next() % 2 == 0
      let words = label ? good : bad
      let thing = things[Int(random.next() % 6)]
      texts.append(
        "The \(thing) was \(words[Int(random.next() % 6)]), people said of the \(things[Int(random.next() % 6)]).")
      labels.append(label)
    }
    return (texts, labels)
  }

  @Test func itLearnsWhatDecidesAndIsDeterministic() throws {
    let train = sentences(200, seed: 1)
    let test = sentences(100, seed: 2)
    let model = try TextClassifier.train(texts: train.texts, labels: train.labels)
    let quality = ClassifierQuality(scores: test.texts.map(model.logOdds), labels: test.labels)
    #expect(quality.accuracy == 1 && quality.auc == 1)
    #expect(try TextClassifier.train(texts: train.texts, labels: train.labels) == model)
    #expect(abs(model.probability("") - 0.5) < 0.2)
    #expect(abs(model.probability("splendid") - 1 / (1 + exp(-model.logOdds("splendid")))) < 1e-12)
  }

  @Test func aSavedClassifierIsReadBackToTheBit() throws {
    let train = sentences(50, seed: 3)
    let model = try TextClassifier.train(texts: train.texts, labels: train.labels)
    let file = try TemporaryFile([], name: "classifier.h5")
    try model.save(file.path)
    #expect(try TextClassifier.load(file.path) == model)
    let other = try TemporaryFile(Array("no HDF5".utf8), name: "classifier.h5")
    #expect(throws: DPOError.self) { try TextClassifier.load(other.path) }
    withExtendedLifetime((file, other)) {}
  }

  @Test func itsMinimumIsThatOfTheClosedForm() throws {
    // One text of each label with no gram in common and one word each (rarer character grams are left out): by symmetry
    // b = 0 and the score is the weight itself, f = C σ(−f).
    let model = try TextClassifier.train(texts: ["zz", "qq"], labels: [true, false], cost: 3)
    let f = model.logOdds("zz")
    #expect(abs(f - 3 / (1 + exp(f))) < 1e-3 * f)
    #expect(abs(f + model.logOdds("qq")) < 1e-3)
  }

  @Test func qualityCountsTiesHalf() {
    let quality = ClassifierQuality(scores: [1, 1, -1, 2], labels: [true, false, false, true])
    #expect(quality.accuracy == 0.75 && quality.majority == 0.5)
    #expect(quality.auc == 3.5 / 4)
    #expect(ClassifierQuality(scores: [], labels: []).auc == 0.5)
  }

  @Test func oneClassOrMissingLabelsAreRefused() {
    #expect(throws: DPOError.self) { try TextClassifier.train(texts: ["a"], labels: [true]) }
    #expect(throws: DPOError.self) { try TextClassifier.train(texts: ["a", "b"], labels: [true]) }
  }

  @Test func moreFoldsThanTextsOfALabelAreRefused() {
    #expect(throws: DPOError.self) {
      try TextClassifier.trainCalibrated(texts: ["a", "b", "c"], labels: [true, false, true], folds: 2)
    }
  }
}

/// Against scikit-learn on the same texts, whose solver stops at a gradient of 1e-10 and ours at 1e-4 of the first one.
@Suite(.timeLimit(.minutes(10))) struct ClassifierGoldenTests {
  let golden: JSON
  let train: (texts: [String], labels: [Bool])
  let test: (texts: [String], labels: [Bool])

  init() throws {
    let golden = try Fixtures.json("golden/classifier.json")
    func rows(_ texts: String, _ labels: String) throws -> (texts: [String], labels: [Bool]) {
      let texts = try #require(golden[texts]?.array).compactMap(\.string)
      return (texts, try #require(golden[labels]?.array).map { $0.int == 1 })
    }
    self.golden = golden
    train = try rows("train", "labels")
    test = try rows("test", "truth")
  }

  func numbers(_ key: String) throws -> [Double] { try #require(golden[key]?.array).compactMap(\.double) }

  @Test func scoresAreScikitLearns() throws {
    let model = try TextClassifier.train(texts: train.texts, labels: train.labels)
    for (text, expected) in zip(test.texts, try numbers("scores")) {
      #expect(abs(model.logOdds(text) - expected) < 2e-3)
    }
  }

  @Test func calibrationIsThatOfScikitLearnOnHeldOutFolds() throws {
    let folds = try #require(golden["folds"]?.int)
    let training = try TextClassifier.trainCalibrated(texts: train.texts, labels: train.labels, folds: folds)
    #expect(abs(training.calibration.slope - (try #require(golden["slope"]?.double))) < 2e-3)
    #expect(abs(training.calibration.intercept - (try #require(golden["intercept"]?.double))) < 2e-3)
    for (text, expected) in zip(test.texts, try numbers("calibrated_probabilities")) {
      #expect(abs(training.classifier.probability(text) - expected) < 1e-3)
    }
    let heldOut = ClassifierQuality(scores: try numbers("held_out"), labels: train.labels)
    #expect(training.uncalibrated.accuracy == heldOut.accuracy)
    #expect(abs(training.uncalibrated.auc - heldOut.auc) < 1e-3)
    #expect(abs(training.uncalibrated.logLoss - heldOut.logLoss) < 1e-3)
    // Hardly regularised weights are too sure of themselves, and calibration mends that.
    let sure = try TextClassifier.trainCalibrated(
      texts: train.texts, labels: train.labels, cost: 1000, folds: folds)
    #expect(sure.calibrated.logLoss < 0.8 * sure.uncalibrated.logLoss && sure.calibration.slope < 0.8)
    let alone = try TextClassifier.trainCalibrated(
      texts: train.texts, labels: train.labels, folds: folds, threads: 1)
    #expect(alone.classifier == training.classifier)
  }

  @Test func qualitiesAreScikitLearns() throws {
    let quality = ClassifierQuality(scores: try numbers("scores"), labels: test.labels)
    let found = [
      "accuracy": quality.accuracy, "auc": quality.auc, "log_loss": quality.logLoss, "brier": quality.brier,
      "calibration_error": quality.calibrationError,
    ]
    for (key, value) in found { #expect(abs(value - (try #require(golden[key]?.double))) < 1e-12, "\(key)") }
    #expect(quality.bins.reduce(0) { $0 + $1.count } == test.labels.count)
  }
}
