import CUTF8Proc
import DPOBase
import DPOPlatform

/// Small Unicode helpers over UTF-8 that is known to be valid.
enum UTF8Text {
  /// The scalar at `index` and the index behind it.
  @inline(__always)
  static func scalar(_ text: UnsafeBufferPointer<UInt8>, _ index: Int) -> (Unicode.Scalar, Int) {
    let first = UInt32(text[index])
    if first < 0x80 { return (Unicode.Scalar(UInt8(first)), index + 1) }
    let count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
    guard index + count <= text.count else { return ("\u{FFFD}", text.count) }
    var value = first & (0x7F >> UInt32(count))
    for offset in 1..<count { value = value << 6 | UInt32(text[index + offset] & 0x3F) }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", index + count)
  }

  /// The scalar that ends at `index` (> 0) and where it starts.
  static func scalar(_ text: UnsafeBufferPointer<UInt8>, before index: Int) -> (Unicode.Scalar, Int) {
    var start = index - 1
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    return (scalar(text, start).0, start)
  }

  static func append(_ scalar: Unicode.Scalar, to out: inout [UInt8]) {
    if scalar.isASCII {
      out.append(UInt8(scalar.value))
    } else {
      out.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encode("\u{FFFD}")!)
    }
  }

  /// Rust's `\w`: what `tokenizers` takes for a part of a word around a single-word token.
  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII {
      return scalar == "_" || (0x30...0x39).contains(scalar.value) || (0x41...0x5A).contains(scalar.value & ~0x20)
    }
    if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return false
    }
  }

  static func isNumeric(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return (0x30...0x39).contains(scalar.value) }
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: return true
    default: return false
    }
  }

  static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
    case 0..<0x80: return false
    default: break
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }

  static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
    scalar == " " || (0x09...0x0D).contains(scalar.value) || (!scalar.isASCII && scalar.properties.isWhitespace)
  }
}

enum NormalizationForm: String {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var options: utf8proc_option_t {
    let bits =
      switch self {
      case .nfc: UTF8PROC_STABLE.rawValue | UTF8PROC_COMPOSE.rawValue
      case .nfd: UTF8PROC_STABLE.rawValue | UTF8PROC_DECOMPOSE.rawValue
      case .nfkc: UTF8PROC_STABLE.rawValue | UTF8PROC_COMPOSE.rawValue | UTF8PROC_COMPAT.rawValue
      case .nfkd: UTF8PROC_STABLE.rawValue | UTF8PROC_DECOMPOSE.rawValue | UTF8PROC_COMPAT.rawValue
      }
    return utf8proc_option_t(rawValue: bits)
  }

  /// nil if the text is in this form already, as most text is. Below U+0300 everything is NFC, below U+0080 every form.
  func apply(_ text: UnsafeBufferPointer<UInt8>) throws -> [UInt8]? {
    let bound: UInt8 = self == .nfc ? 0xCC : 0x80
    guard let base = text.baseAddress, text.contains(where: { $0 >= bound }) else { return nil }
    var result: UnsafeMutablePointer<UInt8>?
    let count = utf8proc_map(base, text.count, &result, options)
    guard count >= 0, let result else {
      throw DPOError(
        .memory, "\(rawValue) normalization of \(text.count) bytes failed: \(String(cString: utf8proc_errmsg(count)))")
    }
    defer { free(result) }
    return Array(UnsafeBufferPointer(start: result, count: count))
  }
}
