import DPOBase

/// Texts and whether each is of the positive class.
public enum LabelledTexts {
  /// Rows `{"text", "label"}` of a file or directory of rows; a label is true, false, 1 or 0.
  ///
  /// - Throws: `.format` with the line of a row that is not so.
  public static func read(_ path: String) throws -> (texts: [String], labels: [Bool]) {
    var texts: [String] = []
    var labels: [Bool] = []
    try RowFiles([path]).forEach { row, place in
      guard let text = row["text"]?.string else {
        throw DPOError.format(place.description, "\"text\" is \(row["text"]?.kind ?? "missing"), expected a string")
      }
      let number = row["label"]?.int
      guard let label = row["label"]?.bool ?? (number == 0 || number == 1 ? number == 1 : nil) else {
        let found = row["label"].map { DPOError.printable($0.description) } ?? "missing"
        throw DPOError.format(place.description, "\"label\" is \(found), expected true, false, 1 or 0")
      }
      texts.append(text)
      labels.append(label)
    }
    guard !texts.isEmpty else { throw DPOError.format(path, "no rows; expected objects with \"text\" and \"label\"") }
    return (texts, labels)
  }
}
