import DPOBase
import DPOPlatform

/// `value | name(arguments)`. Those that work on sequences stand in TemplateFilters+Sequences.swift.
extension TemplateEvaluator {
  static let filterNames: Set<String> = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first",
    "float",
    "forceescape", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map",
    "max", "min",
    "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string",
    "sum", "title",
    "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
  ]

  func filter(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    switch name {
    case "tojson": return try jsonText(value, arguments)
    case "default", "d":
      let values = try bind(arguments, ["default_value", "boolean"], of: name)
      return value.isUndefined || (values[1]?.isTrue ?? false) && !value.isTrue ? values[0] ?? .string("") : value
    case "string":
      _ = try bind(arguments, [], of: name)
      return .string(try text(value))
    case "upper", "lower", "capitalize":
      _ = try bind(arguments, [], of: name)
      return try cased(name, text(value))
    case "title": return try title(value)
    case "trim": return try strip("strip", text(value), arguments)
    case "replace":
      let values = try bind(arguments, ["old", "new", "count"], of: name)
      guard let old = values[0], let new = values[1] else { throw fail("replace needs two strings") }
      return try replaced(TemplateText(text(value).bytes), text(old), text(new), limit: values[2])
    case "safe": return .string(TemplateText(try text(value).bytes, isMarkup: true))
    case "escape", "e": return .string(try escaped(text(value)))
    case "forceescape": return .string(try escaped(TemplateText(text(value).bytes)))
    case "center":
      return try pad(
        "center", text(value), Arguments(positional: [bind(arguments, ["width"], of: name)[0] ?? .int(80)]))
    case "format":
      guard arguments.named.isEmpty || arguments.positional.isEmpty else {
        throw fail("format: positional and named arguments do not go together")
      }
      if arguments.named.isEmpty { return try formatted(text(value), .tuple(TemplateItems(arguments.positional))) }
      var dictionary = TemplateDictionary()
      for (key, value) in arguments.named { dictionary.set(key, value) }
      return try formatted(text(value), .dictionary(dictionary))
    case "indent": return try indent(value, arguments)
    case "truncate": return try truncate(value, arguments)
    case "urlencode": return try urlEncoded(value)
    case "wordcount":
      let text = try text(value)
      try charge(text.bytes.count)
      var count = 0
      var inWord = false
      for scalar in text.string.unicodeScalars {
        let isWord = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
        if isWord, !inWord { count += 1 }
        inWord = isWord
      }
      return .int(count)
    case "int": return try integer(value, arguments)
    case "float":
      let fallback = try bind(arguments, ["default"], of: name)[0] ?? .real(0)
      return real(value).map { .real($0) } ?? fallback
    case "abs": return try absolute(value)
    case "round": return try rounded(value, arguments)
    case "attr":
      guard case .string(let attribute)? = try bind(arguments, ["name"], of: name)[0] else {
        throw fail("attr needs a name")
      }
      if case .dictionary = value, !hasMethod(attribute.string, value) {
        return .undefined("'dict object' has no attribute '\(DPOError.printable(attribute.string))'")
      }
      return try self.attribute(attribute.string, of: value)
    default: return try sequenceFilter(name, value, arguments)
    }
  }

  /// jinja2's own title case: a word starts after white space and - ( { [ <.
  private func title(_ value: TemplateValue) throws -> TemplateValue {
    let text = try text(value)
    try charge(text.bytes.count)
    var out = ""
    var startsWord = true
    for scalar in text.string.unicodeScalars {
      out += startsWord ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
      startsWord = TemplateBytes.isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar)
    }
    return try string(Array(out.utf8))
  }

  private func indent(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["width", "first", "blank"], of: "indent")
    guard case .string(let text) = value else { throw fail("indent needs a string, found '\(value.typeName)'") }
    var margin = [UInt8](repeating: UInt8(ascii: " "), count: 4)
    if case .string(let given)? = values[0] {
      margin = given.bytes
    } else if let width = values[0] {
      guard let width = width.integer else { throw fail("indent needs a number or a string") }
      try charge(max(0, width))
      margin = [UInt8](repeating: UInt8(ascii: " "), count: max(0, width))
    }
    let blank = values[2]?.isTrue ?? false
    try charge(text.bytes.count)
    var out: [UInt8] = values[1]?.isTrue ?? false ? margin : []
    for (index, line) in lines(TemplateText(text.bytes + [0x0A])).enumerated() {
      if index > 0 {
        out.append(0x0A)
        if blank || !line.isEmpty { out += margin }
      }
      out += line
      guard out.count <= Self.maximumSize else { throw fail("indent makes more than \(Self.maximumSize >> 20) MiB") }
    }
    return try string(out, isMarkup: text.isMarkup)
  }

  private func truncate(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["length", "killwords", "end", "leeway"], of: "truncate")
    if value.isUndefined { return value }
    guard case .string(let text) = value else { throw fail("truncate needs a string, found '\(value.typeName)'") }
    var end: TemplateText = "..."
    if case .string(let given)? = values[2] { end = given }
    let leeway = values[3]?.integer ?? 5
    guard let length = (values[0] ?? .int(255)).integer, length >= end.count, length < 1 << 40,
      (0..<(1 << 40)).contains(leeway)
    else {
      throw fail("truncate: the length must not be less than that of the end mark")
    }
    try charge(text.bytes.count, times: 32)
    let characters = text.characters
    guard characters.count > length + leeway else { return value }
    var kept = Array(characters.prefix(length - end.count).joined())
    if !(values[1]?.isTrue ?? false), let space = kept.lastIndex(of: UInt8(ascii: " ")) {
      kept.removeSubrange(space...)
    }
    return try string(kept + end.bytes)
  }

  private func urlEncoded(_ value: TemplateValue) throws -> TemplateValue {
    let text = try text(value)
    try charge(text.bytes.count, times: 3)
    var out: [UInt8] = []
    for byte in text.bytes {
      let isSafe =
        "-._~/".utf8.contains(byte)
        || (byte < 0x80 && (Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber))
      if isSafe {
        out.append(byte)
      } else {
        out += "%".utf8
        out += hexadecimal(byte, digits: 2).uppercased().utf8
      }
    }
    return try string(out)
  }

  // MARK: Numbers

  /// Python's `float(value)`; nil where that raises.
  private func real(_ value: TemplateValue) -> Double? {
    guard case .string(let text) = value else { return value.number }
    let bytes = Array(TemplateBytes.trim(text.bytes[...], TemplateBytes.isSpace)).filter { $0 != UInt8(ascii: "_") }
    let word = String(decoding: bytes, as: UTF8.self).lowercased()
    guard bytes.count <= 400, !word.contains("x"), !word.contains("p") else { return nil }
    return Double(word)
  }

  private func integer(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["default", "base"], of: "int")
    let fallback = values[0] ?? .int(0)
    guard let base = (values[1] ?? .int(10)).integer, base == 0 || (2...36).contains(base) else {
      throw fail("int: bad base")
    }
    if let whole = value.integer { return .int(whole) }
    if case .string(let text) = value {
      var word = String(decoding: TemplateBytes.trim(text.bytes[...], TemplateBytes.isSpace), as: UTF8.self)
        .lowercased()
      let isNegative = word.hasPrefix("-")
      if isNegative || word.hasPrefix("+") { word.removeFirst() }
      var radix = base == 0 ? 10 : base
      for (prefix, prefixed) in [("0x", 16), ("0o", 8), ("0b", 2)]
      where word.hasPrefix(prefix) && (base == 0 || base == prefixed) {
        word.removeFirst(2)
        radix = prefixed
      }
      let digits = String(word.filter { $0 != "_" })
      if !digits.hasPrefix("+"), !digits.hasPrefix("-"), let whole = Int((isNegative ? "-" : "") + digits, radix: radix)
      {
        return .int(whole)
      }
    }
    guard let number = real(value), number.isFinite else { return fallback }
    guard let whole = Int(exactly: number.rounded(.towardZero)) else {
      throw fail("int: the number does not fit 64 bits")
    }
    return .int(whole)
  }

  private func absolute(_ value: TemplateValue) throws -> TemplateValue {
    if let whole = value.integer { return whole < 0 ? try negated(.int(whole)) : .int(whole) }
    if case .undefined(let undefined) = value { throw fail(undefined.reason) }
    guard let number = value.number else { throw fail("abs needs a number, found '\(value.typeName)'") }
    return .real(abs(number))
  }

  private func rounded(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["precision", "method"], of: "round")
    guard let precision = (values[0] ?? .int(0)).integer, (-300...300).contains(precision) else {
      throw fail("round: bad precision")
    }
    let method = try values[1].map { try text($0).string } ?? "common"
    if case .undefined(let undefined) = value { throw fail(undefined.reason) }
    guard let number = value.number else { throw fail("round needs a number, found '\(value.typeName)'") }
    let scale = pow(10, Double(precision))
    switch method {
    case "common":
      // Python rounds an integer to an integer, and halves to even after exact decimal conversion, as C's printf does.
      if let whole = value.integer, precision >= 0 { return .int(whole) }
      if precision >= 0, let result = Double(TemplateFormat.fixed(number, precision)) { return .real(result) }
      let result = (number / pow(10, Double(-precision))).rounded(.toNearestOrEven) * pow(10, Double(-precision))
      if value.integer != nil, let whole = Int(exactly: result) { return .int(whole) }
      return .real(result)
    case "ceil": return .real((number * scale).rounded(.up) / scale)
    case "floor": return .real((number * scale).rounded(.down) / scale)
    default: throw fail("round: the method must be common, ceil or floor")
    }
  }
}
