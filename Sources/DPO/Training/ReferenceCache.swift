import DPOBase
import DPOStorage

/// Reference log-probs of every scored sequence of a data set (chosen, rejected of row 1, of row 2, …), kept beside a run:
/// /reference_logps [sequences], with what they were computed from. Log-probs of other data or of another model are refused.
enum ReferenceCache {
  /// What the numbers depend on.
  struct Key: Equatable {
    let data: UInt64
    let model: UInt64
    let ldAlpha: Double?

    fileprivate var attributes: [(name: String, text: String)] {
      [
        ("data_fingerprint", hexadecimal(data)), ("model_fingerprint", hexadecimal(model)),
        ("ld_alpha", ldAlpha.map { "\($0)" } ?? "none"),
      ]
    }
  }

  private static let dataset = "/reference_logps"

  static func write(_ path: String, key: Key, values: [[Double]]) throws {
    let flat = values.flatMap { $0 }
    let writer = try HDF5Writer(path)
    for (name, text) in key.attributes { try writer.attribute("/", name, .text(text)) }
    try flat.withUnsafeBytes { bytes in
      try writer.dataset(dataset, shape: [flat.count], element: .float64, source: .memory(bytes))
      try writer.commit()
    }
  }

  /// - Parameter counts: sequences of each row.
  static func read(_ path: String, key: Key, counts: [Int]) throws -> [[Double]] {
    let reader = try HDF5Reader(path)
    for (name, text) in key.attributes {
      guard try reader.text("/", name) == text else {
        throw DPOError.mismatch("\(path): \(name) is not that of this run; remove the file to compute it anew")
      }
    }
    let total = counts.reduce(0, +)
    guard let found = reader.dataset(dataset), found.shape == [total] else {
      throw DPOError.format(path, "dataset \(dataset): expected shape [\(total)]")
    }
    let bytes = reader.bytes(found)
    guard bytes.count == 8 * total else { throw DPOError.format(path, "dataset \(dataset): expected 64-bit floats") }
    var next = 0
    return counts.map { count in
      defer { next += count }
      return (next..<next + count).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }
}
