import DPOPlatform

/// Numbers and text as the report writes them.
enum ReportText {
  /// `text` inside HTML or SVG, in elements and in quoted attributes. Control characters that XML forbids are dropped.
  static func escape(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out.append(contentsOf: "&amp;".unicodeScalars)
      case "<": out.append(contentsOf: "&lt;".unicodeScalars)
      case ">": out.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": out.append(contentsOf: "&quot;".unicodeScalars)
      case "'": out.append(contentsOf: "&#39;".unicodeScalars)
      case "\n", "\t": out.append(scalar)
      case _ where scalar.value < 0x20 || scalar.value == 0x7F || scalar.value == 0xFFFE || scalar.value == 0xFFFF:
        out.append("\u{FFFD}")
      default: out.append(scalar)
      }
    }
    return String(out)
  }

  /// The first `limit` characters.
  static func cut(_ text: String, _ limit: Int) -> String {
    text.unicodeScalars.count <= limit
      ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + " …"
  }

  /// `digits` after the point.
  static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "not a number" : value < 0 ? "−∞" : "∞" }
    return minus(format("%.*f", digits, value))
  }

  /// About three significant digits: 0.693, 12.4, 1,480, 5e-7.
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return fixed(value, 0) }
    let size = abs(value)
    if size == 0 { return "0" }
    if size < 1e-3 || size >= 1e9 {
      let text = format("%.*e", 2, value)
      guard let mark = text.lastIndex(of: "e") else { return minus(text) }
      var digits = text[..<mark]
      while digits.hasSuffix("0") { digits.removeLast() }
      if digits.hasSuffix(".") { digits.removeLast() }
      return minus("\(digits)e\(Int(text[text.index(after: mark)...].drop { $0 == "+" }) ?? 0)")
    }
    if size >= 1000 || size == size.rounded() { return grouped(Int(value.rounded())) }
    return fixed(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3)
  }

  /// The nearest number of two significant digits; whole numbers stay.
  static func rounded(_ value: Double) -> Double {
    guard value.isFinite, value != 0 else { return 0 }
    if value == value.rounded(), abs(value) < 1e9 { return value }
    return significant(value, 2)
  }

  /// The nearest number of so many significant digits.
  static func significant(_ value: Double, _ digits: Int) -> Double { Double(format("%.*g", digits, value)) ?? value }

  /// 83886080 → "80 MiB".
  static func bytes(_ count: Double) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (count, 0)
    while abs(value) >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
    return "\(number(value)) \(units[unit])"
  }

  /// Two significant digits in ASCII, as one would type them: 0.3, 1.7e-6, 15.
  static func option(_ value: Double) -> String { setting(rounded(value)) }

  /// A value that someone chose: every digit of it, 5e-7 rather than 5.00e-07.
  static func setting(_ value: Double) -> String {
    let text = "\(value)"
    if text.hasSuffix(".0") { return String(text.dropLast(2)) }
    guard let mark = text.firstIndex(of: "e"), text[mark...].starts(with: "e-0") else { return text }
    return text[..<mark] + "e-" + text[mark...].dropFirst(3)
  }

  static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var out = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { out += "," }
      out.append(digit)
    }
    return (value < 0 ? "−" : "") + out
  }

  static func percent(_ share: Double) -> String {
    guard share.isFinite else { return "–" }
    let value = share * 100
    return fixed(value, abs(value) < 10 && value.rounded() != value ? 1 : 0) + " %"
  }

  /// One decimal at most, for coordinates.
  static func coordinate(_ value: Double) -> String {
    guard value.isFinite else { return "0" }
    let tenths = Int(max(-1e6, min(1e6, (value * 10).rounded())))
    let (whole, rest) = tenths.magnitude.quotientAndRemainder(dividingBy: 10)
    return "\(tenths < 0 ? "-" : "")\(whole)\(rest == 0 ? "" : ".\(rest)")"
  }

  private static func minus(_ text: String) -> String { text.hasPrefix("-") ? "−" + text.dropFirst() : text }

  private static func format(_ format: String, _ digits: Int, _ value: Double) -> String {
    withVaList([Int32(clamping: digits), value]) { arguments in
      var buffer = [CChar](repeating: 0, count: 400)
      let count = vsnprintf(&buffer, buffer.count, format, arguments)
      let bytes = buffer.prefix(max(0, min(Int(count), buffer.count - 1))).map { UInt8(bitPattern: $0) }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}
