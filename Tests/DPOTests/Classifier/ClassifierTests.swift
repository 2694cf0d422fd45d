import DPO
import DPOBase
import Glibc
import Testing

@Suite struct ClassifierTests {
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
}
