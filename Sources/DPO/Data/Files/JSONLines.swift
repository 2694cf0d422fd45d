import DPOBase
import DPOPlatform

/// Rows that are objects, one a line, in UTF-8; blank lines are none. Parsed one at a time, so that the file is never in memory
/// twice.
struct JSONLines {
  let name: String

  /// Calls `body` with every row and its line, counted from 1.
  func forEach(_ window: ByteWindow, _ body: (_ row: RawRow, _ line: Int) throws -> Void) throws {
    guard !window.bytes.isEmpty else { throw DPOError.format(name, "the file is empty") }
    func place() -> String { "\(name): line \(window.lines + 1)" }
    func newline(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
      guard start < bytes.count, let base = bytes.baseAddress else { return nil }
      return memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start).map { UnsafeRawPointer($0) - base }
    }
    while let line = try window.record(place, end: newline) {
      let bytes = UnsafeRawBufferPointer(rebasing: line.bytes.drop(while: ByteWindow.isBlank))
      if !bytes.isEmpty { try body(row(bytes, place()), window.lines + 1) }
      window.lines += 1
      window.drop(line.bytes.count + (line.isEnded ? 1 : 0))
    }
  }

  private func row(_ bytes: UnsafeRawBufferPointer, _ place: String) throws -> RawRow {
    guard bytes.first == UInt8(ascii: "{") else {
      throw DPOError.format(place, "expected a JSON object; found \(JSONLines.describe(bytes[...]))")
    }
    return .json(bytes, place: place, isLine: true)
  }

  /// What bytes that are no object begin with.
  static func describe(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
    guard let first = bytes.first else { return "nothing" }
    switch first {
    case UInt8(ascii: "["): return "an array"
    case UInt8(ascii: "\""): return "a string"
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): return "a number"
    case 0x21...0x7E:
      return "\"\(String(decoding: bytes.prefix(20).prefix { (0x20...0x7E).contains($0) }, as: UTF8.self))\""
    default: return "the byte 0x\(String(first, radix: 16, uppercase: true)), which begins no JSON text in UTF-8"
    }
  }
}
