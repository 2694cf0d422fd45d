import DPOBase
import DPOPlatform

/// The bytes of a file from front to back, unpacked where it is a gzip file. Those of a row are at hand at once; of a packed
/// file not many more.
final class ByteWindow {
  /// A longer row is refused before it is parsed.
  static let longestRow = 128 << 20

  /// Those that are at hand.
  private(set) var bytes: UnsafeRawBufferPointer
  private let inflater: Inflater?
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// The lines before `bytes`, where the reader counts them.
  var lines = 0

  /// - Parameter bytes: outlive the value.
  init(_ bytes: UnsafeRawBufferPointer, name: String) throws {
    if bytes.starts(with: Inflater.magic) {
      inflater = try Inflater(bytes, name: name)
      self.bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      while self.bytes.count < 3, try more() {}
    } else {
      inflater = nil
      self.bytes = bytes
    }
    if self.bytes.starts(with: [0xEF, 0xBB, 0xBF]) { drop(3) }
  }

  deinit { buffer.deallocate() }

  /// Brings more bytes behind those at hand; false at the end of the file.
  private func more() throws -> Bool {
    guard let inflater else { return false }
    let kept = bytes.count
    if buffer.count - kept < 1 << 16 {
      let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1 << 18, 2 * buffer.count), alignment: 16)
      larger.copyMemory(from: bytes)
      buffer.deallocate()
      buffer = larger
    } else if let start = buffer.baseAddress, let from = bytes.baseAddress, from != start {
      memmove(start, from, kept)
    }
    let read = try inflater.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]))
    bytes = UnsafeRawBufferPointer(rebasing: buffer[..<(kept + read)])
    return read > 0
  }

  /// Bytes of the file that are not read yet.
  var left: Int { inflater?.packed.count ?? bytes.count }

  /// Goes on behind so many bytes.
  func drop(_ count: Int) { bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(count)) }

  /// The bytes up to where `end` finds a record's end, all that are left where it finds none (`isEnded` is false then), or nil
  /// at the end of the file. They stay at hand until they are dropped.
  ///
  /// - Parameters:
  ///   - place: of the record, for errors.
  ///   - most: bytes that it may have.
  ///   - end: looks from an offset on, each offset once.
  func record(
    _ place: () -> String, most: Int = longestRow, end: (_ bytes: UnsafeRawBufferPointer, _ start: Int) throws -> Int?
  ) throws -> (bytes: UnsafeRawBufferPointer, isEnded: Bool)? {
    var start = 0
    while true {
      let seen = UnsafeRawBufferPointer(rebasing: bytes.prefix(most + 1))
      if let end = try end(seen, start) { return (UnsafeRawBufferPointer(rebasing: seen[..<end]), true) }
      guard seen.count <= most else {
        throw DPOError.format(place(), "longer than \(most >> 20) MiB, the most that a row may have")
      }
      start = seen.count
      guard try more() else { return seen.isEmpty ? nil : (seen, false) }
    }
  }

  /// The next byte that is no blank, which it goes to; nil at the end of the file. Counts lines.
  func nextByte() throws -> UInt8? {
    repeat {
      var skipped = 0
      defer { drop(skipped) }
      for byte in bytes {
        guard ByteWindow.isBlank(byte) || byte == UInt8(ascii: "\n") else { return byte }
        lines += byte == UInt8(ascii: "\n") ? 1 : 0
        skipped += 1
      }
    } while try moreAfterAll()
    return nil
  }

  private func moreAfterAll() throws -> Bool {
    drop(bytes.count)
    return try more()
  }

  static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }
}
