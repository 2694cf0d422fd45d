import DPOBase
import DPOStorage

extension TextClassifier {
  private static let group = "/classifier"
  private static let version = 1

  /// Writes the classifier as HDF5: /classifier/grams (hashes), /classifier/inverse_frequencies, /classifier/weights.
  public func save(_ path: String) throws {
    let writer = try HDF5Writer(path)
    try writer.attribute(TextClassifier.group, "format", .text("libdpo text classifier"))
    try writer.attribute(TextClassifier.group, "version", .int(TextClassifier.version))
    try writer.attribute(TextClassifier.group, "bias", .real(bias))
    let shape = [vocabulary.count]
    try vocabulary.grams.withUnsafeBytes { grams in
      try vocabulary.inverseFrequencies.withUnsafeBytes { frequencies in
        try weights.withUnsafeBytes { weights in
          try writer.dataset(TextClassifier.group + "/grams", shape: shape, element: .int64, source: .memory(grams))
          try writer.dataset(
            TextClassifier.group + "/inverse_frequencies", shape: shape, element: .float32, source: .memory(frequencies)
          )
          try writer.dataset(
            TextClassifier.group + "/weights", shape: shape, element: .float64, source: .memory(weights))
          try writer.commit()
        }
      }
    }
  }

  /// Reads what `save` wrote.
  ///
  /// - Throws: `.format` if the file holds no classifier of this version or its parts do not fit together.
  public static func load(_ path: String) throws -> TextClassifier {
    let reader = try HDF5Reader(path)
    let attributes = reader.attributes[group] ?? [:]
    guard attributes["version"] == .int(version), case .real(let bias)? = attributes["bias"], bias.isFinite else {
      throw DPOError.format(path, "holds no text classifier of version \(version)")
    }
    func column<Element: BitwiseCopyable>(_ name: String, _ element: HDF5Element, _: Element.Type) throws -> [Element] {
      guard let dataset = reader.dataset("\(group)/\(name)"), dataset.element == element, dataset.shape.count == 1
      else {
        throw DPOError.format(path, "dataset \(group)/\(name): expected a vector of \(element.rawValue)")
      }
      let bytes = reader.bytes(dataset)
      let size = MemoryLayout<Element>.size
      return (0..<bytes.count / size).map { bytes.loadUnaligned(fromByteOffset: $0 * size, as: Element.self) }
    }
    let grams = try column("grams", .int64, UInt64.self)
    let frequencies = try column("inverse_frequencies", .float32, Float.self)
    let weights = try column("weights", .float64, Double.self)
    guard grams.count == weights.count, weights.allSatisfy(\.isFinite), frequencies.allSatisfy(\.isFinite),
      let vocabulary = TextVocabulary(grams: grams, inverseFrequencies: frequencies)
    else { throw DPOError.format(path, "the columns of \(group) do not fit together") }
    return TextClassifier(vocabulary: vocabulary, weights: weights, bias: bias)
  }
}
