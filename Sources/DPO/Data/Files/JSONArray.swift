import DPOBase

/// Rows that are the items of one JSON array. Parsed one at a time, so that the file is never in memory twice.
struct JSONArray {
  let name: String

  /// Calls `body` with every row and its number, counted from 1.
  func forEach(_ window: ByteWindow, _ body: (_ row: RawRow, _ number: Int) throws -> Void) throws {
    func failure(_ what: String) -> DPOError { DPOError.format("\(name): line \(window.lines + 1)", what) }
    guard try window.nextByte() == UInt8(ascii: "[") else { throw failure("expected a JSON array of objects") }
    window.drop(1)
    var number = 0
    while true {
      guard let first = try window.nextByte() else { throw failure("the array is not closed: the file is cut short") }
      if first == UInt8(ascii: "]"), number == 0 { break }
      number += 1
      let place = "\(name): row \(number)"
      guard first == UInt8(ascii: "{") else {
        throw DPOError.format(
          place, "expected a JSON object; found \(JSONLines.describe(window.bytes[...])) (line \(window.lines + 1))")
      }
      var scanner = ItemScanner()
      guard let item = try window.record({ place }, end: { scanner.end($0, from: $1) }), item.isEnded else {
        throw DPOError.format(place, "is not closed: the file is cut short")
      }
      let start = window.lines == 0 ? place : "\(place), which begins in line \(window.lines + 1)"
      try body(.json(item.bytes, place: start, isLine: false), number)
      window.lines += item.bytes.count { $0 == UInt8(ascii: "\n") }
      window.drop(item.bytes.count)
      let next = try window.nextByte()
      guard next == UInt8(ascii: ",") else {
        if next == UInt8(ascii: "]") { break }
        throw failure(
          next == nil ? "the array is not closed: the file is cut short" : "expected a comma or ] behind row \(number)")
      }
      window.drop(1)
    }
    window.drop(1)
    guard try window.nextByte() == nil else { throw failure("text behind the end of the array") }
  }
}

/// Finds the end of an object or array by its brackets.
private struct ItemScanner {
  private var depth = 0
  private var isString = false
  private var isEscaped = false

  /// The offset behind the bracket that closes the first one.
  mutating func end(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    for index in start..<bytes.count {
      let byte = bytes[index]
      if isString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isString = true
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth == 0 { return index + 1 }
      default: break
      }
    }
    return nil
  }
}
