import CDPO
import CHandles
import DPO
import DPOBase

// Section 5 of dpo.h: text classifiers.

final class ClassifierBox {
  let classifier: TextClassifier
  init(_ classifier: TextClassifier) { self.classifier = classifier }
}

extension HandleKind where Object == ClassifierBox {
  static var classifier: HandleKind { HandleKind(code: 5, name: "classifier") }
}

@_cdecl("dpo_classifier_train") @implementation
public func dpo_classifier_train(
  _ texts: UnsafePointer<UnsafePointer<CChar>?>?, _ labels: UnsafePointer<Int32>?, _ count: Int, _ cost: Double,
  _ folds: Int32, _ classifier: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let output = try required(classifier, "classifier")
    let rows = try DPOCABI.texts(texts, count, "texts")
    let labels = try array(labels, count, "labels").map { label in
      guard label == 0 || label == 1 else { throw DPOError.argument("labels: \(label), expected 0 or 1") }
      return label == 1
    }
    let trained =
      folds == 0
      ? try TextClassifier.train(texts: rows, labels: labels, cost: cost)
      : try TextClassifier.trainCalibrated(texts: rows, labels: labels, cost: cost, folds: Int(folds)).classifier
    output.pointee = try HandleKind.classifier.make(ClassifierBox(trained))
  }
}

@_cdecl("dpo_classifier_open") @implementation
public func dpo_classifier_open(
  _ path: UnsafePointer<CChar>?, _ classifier: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let output = try required(classifier, "classifier")
    output.pointee = try HandleKind.classifier.make(ClassifierBox(TextClassifier.load(text(path, "path"))))
  }
}

@_cdecl("dpo_classifier_save") @implementation
public func dpo_classifier_save(_ classifier: OpaquePointer?, _ path: UnsafePointer<CChar>?) -> Int32 {
  withStatus(classifier) {
    let path = try text(path, "path")
    try HandleKind.classifier.use(classifier) { try $0.classifier.save(path) }
  }
}

@_cdecl("dpo_classifier_score") @implementation
public func dpo_classifier_score(
  _ classifier: OpaquePointer?, _ texts: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ log_odds: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(classifier) {
    let output = try required(log_odds, "log_odds")
    let rows = try DPOCABI.texts(texts, count, "texts")
    try HandleKind.classifier.use(classifier) { write(rows.map($0.classifier.logOdds), to: output) }
  }
}

@_cdecl("dpo_classifier_release") @implementation
public func dpo_classifier_release(_ classifier: OpaquePointer?) { HandleKind.classifier.release(classifier) }
