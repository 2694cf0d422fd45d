import DPOBase

/// GPT-2's alphabet: each byte is written as one printable character, so that a vocabulary of bytes can be a list of
/// strings. Printable Latin-1 stands for itself; the other 68 bytes are U+0100, U+0101, … in order.
enum ByteLevel {
  static let scalars: [UInt16] = {
    var table = [UInt16](repeating: 0, count: 256)
    var next: UInt16 = 256
    for byte in 0..<256 {
      if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
        table[byte] = UInt16(byte)
      } else {
        table[byte] = next
        next += 1
      }
    }
    return table
  }()

  /// The byte of each character of the alphabet, -1 for others. Index: code point below 324.
  static let bytes: [Int16] = {
    var table = [Int16](repeating: -1, count: 324)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar)] = Int16(byte) }
    return table
  }()

  /// Appends the UTF-8 of the characters that stand for `text`.
  static func encode(_ text: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    for byte in text {
      let code = scalars[Int(byte)]
      if code < 0x80 {
        out.append(UInt8(code))
      } else {
        out.append(0xC0 | UInt8(code >> 6))
        out.append(0x80 | UInt8(code & 0x3F))
      }
    }
  }

  /// Appends the bytes for which `token` stands, or its own UTF-8 if a character is not of the alphabet.
  static func decode(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    let start = out.count
    var index = 0
    while index < token.count {
      let first = token[index]
      let code: Int
      if first < 0x80 {
        code = Int(first)
        index += 1
      } else if (0xC2...0xC5).contains(first), index + 1 < token.count {
        code = Int(first & 0x1F) << 6 | Int(token[index + 1] & 0x3F)
        index += 2
      } else {
        code = bytes.count
      }
      guard code < bytes.count, bytes[code] >= 0 else {
        out.removeSubrange(start...)
        out.append(contentsOf: token)
        return
      }
      out.append(UInt8(bytes[code]))
    }
  }
}
