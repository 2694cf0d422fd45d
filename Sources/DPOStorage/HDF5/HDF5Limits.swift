/// Bounds on what a file may hold, far above what libdpo writes.
enum HDF5Limits {
  static let dimensions = 8
  /// Groups above a dataset.
  static let depth = 6
  static let objects = 1 << 20
  static let nameBytes = 1 << 10
  static let textBytes = 1 << 28
  static let messages = 1 << 12

  /// Bytes of a dataset, or nil if a size is not positive or the product too large.
  static func byteCount(shape: [Int], element: HDF5Element) -> Int? {
    var bytes = element.size
    for size in shape {
      guard size > 0 else { return nil }
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      bytes = product
    }
    return bytes
  }
}
