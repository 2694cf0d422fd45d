import DPOBase
import DPOPlatform

/// How Python writes numbers and strings.
enum TemplateFormat {
  /// `repr(float)`: the shortest digits that read back the same, with an exponent from 1e16 on and below 1e-4.
  static func real(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
    // Swift finds the same digits but places the exponent elsewhere.
    var digits: [UInt8] = []
    var point = 0
    var exponent = 0
    var seenPoint = false
    let text = Array(value.magnitude.description.utf8)
    for (index, byte) in text.enumerated() {
      if byte == UInt8(ascii: "e") {
        exponent = Int(String(decoding: text[(index + 1)...].drop { $0 == UInt8(ascii: "+") }, as: UTF8.self)) ?? 0
        break
      }
      if byte == UInt8(ascii: ".") {
        seenPoint = true
      } else {
        digits.append(byte)
        if !seenPoint { point += 1 }
      }
    }
    while digits.count > 1, digits.first == UInt8(ascii: "0") {
      digits.removeFirst()
      point -= 1
    }
    while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
    point += exponent
    let number = String(decoding: digits, as: UTF8.self)
    let sign = value < 0 ? "-" : ""
    if point > 16 || point < -3 {
      let power = point - 1
      let fraction = number.utf8.count > 1 ? "." + number.dropFirst() : ""
      return "\(sign)\(number.prefix(1))\(fraction)e\(power < 0 ? "-" : "+")\(abs(power) < 10 ? "0" : "")\(abs(power))"
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + number }
    if point >= digits.count { return sign + number + String(repeating: "0", count: point - digits.count) + ".0" }
    return sign + number.prefix(point) + "." + number.dropFirst(point)
  }

  /// `repr(str)`
  static func quote(_ text: TemplateText, to out: inout [UInt8]) {
    let usesDouble = text.bytes.contains(UInt8(ascii: "'")) && !text.bytes.contains(UInt8(ascii: "\""))
    let mark = UInt8(ascii: usesDouble ? "\"" : "'")
    out.append(mark)
    for scalar in text.string.unicodeScalars {
      switch scalar {
      case "\\": out += "\\\\".utf8
      case "\n": out += "\\n".utf8
      case "\r": out += "\\r".utf8
      case "\t": out += "\\t".utf8
      case _ where scalar.value == UInt32(mark): out += [UInt8(ascii: "\\"), mark]
      case _ where isPrintable(scalar): out += Array(String(scalar).utf8)
      default:
        let (prefix, width) = scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
        out += (prefix + hexadecimal(scalar.value, digits: width)).utf8
      }
    }
    out.append(mark)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == " " { return true }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator:
      return false
    default: return true
    }
  }

  /// `value` with `digits` after the point, as C's %f has it.
  static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    return cFormat("%.*f", Int32(clamping: digits), value)
  }

  /// C's snprintf for one number.
  static func cFormat(_ format: String, _ precision: Int32, _ value: Double) -> String {
    withVaList([precision, value]) { arguments in
      var buffer = [CChar](repeating: 0, count: 512 + Int(max(0, precision)))
      let count = vsnprintf(&buffer, buffer.count, format, arguments)
      return String(
        decoding: buffer.prefix(max(0, min(Int(count), buffer.count - 1))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}

extension TemplateEvaluator {
  private struct Conversion {
    var key: TemplateText?
    var flags: Set<UInt8> = []
    var width = 0
    var precision: Int?
    var kind: UInt8 = 0
  }

  /// `format % value`: %s %r %d %i %u %f %F %e %E %g %G %x %X %o %c %%.
  func formatted(_ format: TemplateText, _ value: TemplateValue) throws -> TemplateValue {
    var positional: [TemplateValue] = [value]
    if case .tuple(let items) = value { positional = items.values }
    var used = 0
    var usesKeys = false
    var out: [UInt8] = []
    var index = 0
    let bytes = format.bytes
    func take() throws -> TemplateValue {
      guard used < positional.count else { throw fail("not enough arguments for the format string") }
      defer { used += 1 }
      return positional[used]
    }
    func count(_ limit: Int) throws -> Int {
      if index < bytes.count, bytes[index] == UInt8(ascii: "*") {
        index += 1
        guard let value = try take().integer, abs(max(value, -limit - 1)) <= limit else {
          throw fail("bad width in a format string")
        }
        return value
      }
      var value = 0
      while index < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) {
        value = value * 10 + Int(bytes[index] - UInt8(ascii: "0"))
        guard value <= limit else { throw fail("a format string asks for more than \(limit) characters") }
        index += 1
      }
      return value
    }
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      guard byte == UInt8(ascii: "%") else {
        out.append(byte)
        continue
      }
      var conversion = Conversion()
      if index < bytes.count, bytes[index] == UInt8(ascii: "(") {
        guard let end = bytes[index...].firstIndex(of: UInt8(ascii: ")")) else { throw fail("incomplete format key") }
        conversion.key = TemplateText(bytes[(index + 1)..<end])
        index = end + 1
      }
      while index < bytes.count, "-+ #0".utf8.contains(bytes[index]) {
        conversion.flags.insert(bytes[index])
        index += 1
      }
      conversion.width = try count(100_000)
      if conversion.width < 0 {
        conversion.flags.insert(UInt8(ascii: "-"))
        conversion.width = -conversion.width
      }
      if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
        index += 1
        conversion.precision = max(0, try count(1000))
      }
      while index < bytes.count, "hlL".utf8.contains(bytes[index]) { index += 1 }
      guard index < bytes.count else { throw fail("incomplete format") }
      conversion.kind = bytes[index]
      index += 1
      if conversion.kind == UInt8(ascii: "%") {
        out.append(conversion.kind)
        continue
      }
      var argument: TemplateValue
      if let key = conversion.key {
        guard case .dictionary(let dictionary) = value else { throw fail("a format with keys needs a dictionary") }
        guard let found = dictionary[key] else {
          throw fail("the format's key '\(DPOError.printable(key.string))' is missing")
        }
        argument = found
        usesKeys = true
      } else {
        argument = try take()
      }
      if format.isMarkup { argument = .string(try escaped(text(argument))) }
      let piece = try convert(argument, conversion)
      try charge(piece.count + max(0, conversion.width - piece.count))
      out += piece
      guard out.count <= Self.maximumSize else { throw fail("a format makes more than \(Self.maximumSize >> 20) MiB") }
    }
    if !usesKeys, used < positional.count {
      // Python lets a single dictionary or list stay unused.
      if case .tuple = value { throw fail("not all arguments are converted by the format string") }
      if case .dictionary = value {
      } else if case .list = value {
      } else {
        throw fail("not all arguments are converted by the format string")
      }
    }
    return try string(out, isMarkup: format.isMarkup)
  }

  private func convert(_ value: TemplateValue, _ conversion: Conversion) throws -> [UInt8] {
    let kind = conversion.kind
    var body: [UInt8]
    var isNumeric = true
    switch kind {
    case UInt8(ascii: "s"), UInt8(ascii: "r"), UInt8(ascii: "a"):
      isNumeric = false
      let text = try kind == UInt8(ascii: "s") ? text(value) : representation(value)
      body = conversion.precision.map { Array(text.characters.prefix($0).joined()) } ?? text.bytes
    case UInt8(ascii: "c"):
      isNumeric = false
      if case .string(let text) = value, text.count == 1 {
        body = text.bytes
      } else if let code = value.integer, let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) {
        body = Array(String(scalar).utf8)
      } else {
        throw fail("%c needs one character")
      }
    case UInt8(ascii: "d"), UInt8(ascii: "i"), UInt8(ascii: "u"), UInt8(ascii: "x"), UInt8(ascii: "X"),
      UInt8(ascii: "o"):
      let isDecimal = "diu".utf8.contains(kind)
      var whole = value.integer
      if whole == nil, isDecimal, case .real(let number) = value { whole = Int(exactly: number.rounded(.towardZero)) }
      guard let whole else {
        throw fail("%\(Character(Unicode.Scalar(kind))) needs a number, found '\(value.typeName)'")
      }
      let radix = isDecimal ? 10 : kind == UInt8(ascii: "o") ? 8 : 16
      var digits = Array(String(whole.magnitude, radix: radix, uppercase: kind == UInt8(ascii: "X")).utf8)
      if let precision = conversion.precision, digits.count < precision {
        digits = [UInt8](repeating: UInt8(ascii: "0"), count: precision - digits.count) + digits
      }
      if conversion.flags.contains(UInt8(ascii: "#")), !isDecimal { digits = Array("0".utf8) + [kind] + digits }
      body = (whole < 0 ? [UInt8(ascii: "-")] : []) + digits
    case UInt8(ascii: "f"), UInt8(ascii: "F"), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "g"),
      UInt8(ascii: "G"):
      guard let number = value.number else { throw fail("a format needs a number, found '\(value.typeName)'") }
      body = Array(
        TemplateFormat.cFormat("%.*\(Character(Unicode.Scalar(kind)))", Int32(conversion.precision ?? 6), number).utf8)
    default: throw fail("unsupported format character '\(DPOError.printable(String(Unicode.Scalar(kind))))'")
    }
    if isNumeric, body.first != UInt8(ascii: "-") {
      if conversion.flags.contains(UInt8(ascii: "+")) {
        body.insert(UInt8(ascii: "+"), at: 0)
      } else if conversion.flags.contains(UInt8(ascii: " ")) {
        body.insert(UInt8(ascii: " "), at: 0)
      }
    }
    let missing = conversion.width - TemplateText(body).count
    guard missing > 0 else { return body }
    if conversion.flags.contains(UInt8(ascii: "-")) {
      return body + [UInt8](repeating: UInt8(ascii: " "), count: missing)
    }
    if isNumeric, conversion.flags.contains(UInt8(ascii: "0")) {
      let sign = body.first.map { "+- ".utf8.contains($0) } ?? false ? 1 : 0
      return Array(body[..<sign]) + [UInt8](repeating: UInt8(ascii: "0"), count: missing) + body[sign...]
    }
    return [UInt8](repeating: UInt8(ascii: " "), count: missing) + body
  }
}
