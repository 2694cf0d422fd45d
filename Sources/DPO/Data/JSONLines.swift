import DPOBase
import DPOPlatform

/// The rows of a JSON-lines file: one object a line, UTF-8, blank lines skipped. Parsed one at a time, so that the file
/// is never in memory twice.
package struct JSONLines {
  /// A longer line is refused before it is parsed.
  static let longestLine = 128 << 20

  private let bytes: UnsafeRawBufferPointer
  private let owner: MappedFile?
  /// The name in errors: the path's last component.
  let name: String

  package init(_ path: String) throws {
    let file = try MappedFile(path)
    owner = file
    bytes = file.bytes
    name = nameOf(path)
  }

  /// Lines in memory that outlives the value.
  init(_ bytes: UnsafeRawBufferPointer, name: String) {
    owner = nil
    self.bytes = bytes
    self.name = name
  }

  /// Calls `body` with every row and its line number, counted from 1. Errors name the file and the line.
  package func forEach(_ body: (_ row: JSONObject, _ line: Int) throws -> Void) throws {
    defer { withExtendedLifetime(owner) {} }
    guard let base = bytes.baseAddress else { throw DPOError.format(name, "the file is empty") }
    var position = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var number = 1
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\n"):
        number += 1
        position += 1
        continue
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
        position += 1
        continue
      default: break
      }
      let place = "\(name): line \(number)"
      guard bytes[position] == UInt8(ascii: "{") else {
        throw DPOError.format(place, "expected a JSON object; found \(JSONLines.describe(bytes[position...]))")
      }
      let rest = min(bytes.count - position, JSONLines.longestLine + 1)
      let end = memchr(base + position, Int32(UInt8(ascii: "\n")), rest).map { UnsafeRawPointer($0) - base }
      let stop = end ?? position + rest
      guard stop - position <= JSONLines.longestLine else {
        throw DPOError.format(place, "longer than \(JSONLines.longestLine >> 20) MiB, the most that a row may have")
      }
      let line = UnsafeRawBufferPointer(rebasing: bytes[position..<stop])
      guard case .object(let row) = try JSON.parse(line, file: place, isLine: true) else {
        throw DPOError.format(place, "expected a JSON object")
      }
      try body(row, number)
      position = stop
    }
  }

  /// What a line that is not an object begins with.
  private static func describe(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
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
