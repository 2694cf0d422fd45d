import DPOBase
import DPOStorage

/// Reference log-probs of every row of a data set, kept beside a run: /reference_logps [rows, 2] (chosen, rejected), with
/// what they were computed from. Log-probs of other data or of another model are refused.
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
      try writer.dataset(dataset, shape: [values.count, 2], element: .float64, source: .memory(bytes))
      try writer.commit()
    }
  }

  static func read(_ path: String, key: Key, rows: Int) throws -> [[Double]] {
    let reader = try HDF5Reader(path)
    for (name, text) in key.attributes {
      guard try reader.text("/", name) == text else {
        throw DPOError.mismatch("\(path): \(name) is not that of this run; remove the file to compute it anew")
      }
    }
    guard let found = reader.dataset(dataset), found.shape == [rows, 2] else {
      throw DPOError.format(path, "dataset \(dataset): expected shape [\(rows), 2]")
    }
    let bytes = reader.bytes(found)
    guard bytes.count == rows * 16 else { throw DPOError.format(path, "dataset \(dataset): expected 64-bit floats") }
    return (0..<rows).map { row in
      (0..<2).map { bytes.loadUnaligned(fromByteOffset: 16 * row + 8 * $0, as: Double.self) }
    }
  }
}
