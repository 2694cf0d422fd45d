import DPOBase

/// Reads little-endian values of a mapped file in order; every read is checked against its end.
struct ByteCursor {
  let bytes: UnsafeRawBufferPointer
  let file: String
  private(set) var offset = 0

  var remaining: Int { bytes.count - offset }

  init(_ bytes: UnsafeRawBufferPointer, file: String) {
    self.bytes = bytes
    self.file = file
  }

  func truncated(_ what: @autoclosure () -> String) -> DPOError {
    DPOError.format(file, "\(what()) at byte \(offset) goes beyond the end of the file (\(bytes.count) bytes)")
  }

  mutating func integer<T: FixedWidthInteger>(_: T.Type, _ what: @autoclosure () -> String) throws -> T {
    guard remaining >= MemoryLayout<T>.size else { throw truncated(what()) }
    defer { offset += MemoryLayout<T>.size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  /// A 64-bit count of things that take at least `size` bytes each in the rest of the file.
  mutating func count(of size: Int, _ what: @autoclosure () -> String) throws -> Int {
    let start = offset
    let value = try integer(UInt64.self, what())
    guard value <= UInt64(remaining / max(1, size)) else {
      throw DPOError.format(
        file, "\(what()) at byte \(start): \(value) claimed, but only \(remaining) bytes follow")
    }
    return Int(value)
  }

  mutating func slice(_ count: Int, _ what: @autoclosure () -> String) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= remaining else { throw truncated(what()) }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }
}
