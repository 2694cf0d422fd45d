/// A string as Python sees it: compared and ordered by code point, without Swift's canonical equivalence. UTF-8.
struct TemplateText: Hashable, Comparable, Sendable, ExpressibleByStringLiteral {
  var bytes: [UInt8]
  /// Marked by `safe` or `escape`: what is added to it gets escaped, as markupsafe does.
  var isMarkup = false

  init(_ bytes: [UInt8], isMarkup: Bool = false) {
    self.bytes = bytes
    self.isMarkup = isMarkup
  }
  init(_ bytes: ArraySlice<UInt8>, isMarkup: Bool = false) { self.init(Array(bytes), isMarkup: isMarkup) }
  init(_ text: String) { bytes = Array(text.utf8) }
  init(stringLiteral value: String) { bytes = Array(value.utf8) }

  static func == (a: TemplateText, b: TemplateText) -> Bool { a.bytes == b.bytes }
  func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
  static func < (a: TemplateText, b: TemplateText) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

  var string: String { String(decoding: bytes, as: UTF8.self) }
  var isEmpty: Bool { bytes.isEmpty }

  /// Number of code points.
  var count: Int {
    var count = 0
    for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
    return count
  }

  /// Whether every code point is one byte, so that offsets are indices.
  var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

  /// The code points, each as a string of its own bytes.
  var characters: [ArraySlice<UInt8>] {
    var out: [ArraySlice<UInt8>] = []
    var start = 0
    while start < bytes.count {
      var end = start + 1
      while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
      out.append(bytes[start..<end])
      start = end
    }
    return out
  }

  var scalars: [Unicode.Scalar] { Array(string.unicodeScalars) }

  init(scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(String(view))
  }
}

/// Python's idea of white space, and searches over UTF-8 that cost linear time.
enum TemplateBytes {
  /// `str.isspace` of one code point.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }

  /// The code point that starts at `index`, and its length. Broken UTF-8 reads as U+FFFD.
  static func scalar(_ bytes: ArraySlice<UInt8>, at index: Int) -> (Unicode.Scalar, Int) {
    let first = bytes[index]
    if first < 0x80 { return (Unicode.Scalar(first), 1) }
    let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
    guard length > 1, index + length <= bytes.endIndex else { return ("\u{FFFD}", 1) }
    var value = UInt32(first) & (0x7F >> UInt32(length))
    for offset in 1..<length { value = value << 6 | UInt32(bytes[index + offset] & 0x3F) }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
  }

  /// `bytes` without code points at its start that satisfy `strip`.
  static func trimStart(_ bytes: ArraySlice<UInt8>, _ strip: (Unicode.Scalar) -> Bool) -> ArraySlice<UInt8> {
    var start = bytes.startIndex
    while start < bytes.endIndex {
      let (value, length) = scalar(bytes, at: start)
      guard strip(value) else { break }
      start += length
    }
    return bytes[start...]
  }

  static func trimEnd(_ bytes: ArraySlice<UInt8>, _ strip: (Unicode.Scalar) -> Bool) -> ArraySlice<UInt8> {
    var end = bytes.endIndex
    while end > bytes.startIndex {
      var start = end - 1
      while start > bytes.startIndex, bytes[start] & 0xC0 == 0x80 { start -= 1 }
      guard strip(scalar(bytes[..<end], at: start).0) else { break }
      end = start
    }
    return bytes[..<end]
  }

  static func trim(_ bytes: ArraySlice<UInt8>, _ strip: (Unicode.Scalar) -> Bool) -> ArraySlice<UInt8> {
    trimEnd(trimStart(bytes, strip), strip)
  }

  /// Where `needle` first occurs at or after `start` (an index of `bytes`).
  static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int = 0) -> Int? {
    guard start <= bytes.count else { return nil }
    guard !needle.isEmpty else { return start }
    return search(needle, in: bytes, from: start, limit: 1).first
  }

  /// Where `needle` last occurs.
  static func findLast(_ needle: [UInt8], in bytes: [UInt8]) -> Int? {
    find(needle.reversed(), in: bytes.reversed()).map { bytes.count - $0 - needle.count }
  }

  /// Every place where `needle` occurs, without overlaps; none for an empty needle.
  static func occurrences(of needle: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Int] {
    needle.isEmpty ? [] : search(needle, in: bytes, from: 0, limit: limit)
  }

  /// Knuth–Morris–Pratt: no pair of texts makes it slow.
  private static func search(_ needle: [UInt8], in bytes: [UInt8], from start: Int, limit: Int) -> [Int] {
    guard needle.count <= bytes.count - start, limit > 0 else { return [] }
    // border[i]: length of the longest proper border of needle[0...i].
    var border = [Int](repeating: 0, count: needle.count)
    var length = 0
    for index in 1..<max(1, needle.count) {
      while length > 0, needle[index] != needle[length] { length = border[length - 1] }
      if needle[index] == needle[length] { length += 1 }
      border[index] = length
    }
    var found: [Int] = []
    length = 0
    bytes.withUnsafeBufferPointer { bytes in
      needle.withUnsafeBufferPointer { needle in
        border.withUnsafeBufferPointer { border in
          for index in start..<bytes.count {
            let byte = bytes[index]
            while length > 0, byte != needle[length] { length = border[length - 1] }
            if byte == needle[length] { length += 1 }
            if length == needle.count {
              found.append(index + 1 - length)
              if found.count == limit { return }
              length = 0
            }
          }
        }
      }
    }
    return found
  }
}
