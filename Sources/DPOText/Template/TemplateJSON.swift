import DPOBase

/// `json.dumps` as transformers' `tojson` filter calls it: non-ASCII text stays, NaN and Infinity are written.
extension TemplateEvaluator {
  struct JSONStyle {
    var ensureASCII = false
    var indent: [UInt8]?
    var itemSeparator: [UInt8] = Array(", ".utf8)
    var keySeparator: [UInt8] = Array(": ".utf8)
    var sortsKeys = false
  }

  func jsonText(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
    var style = JSONStyle()
    style.ensureASCII = values[0]?.isTrue ?? false
    style.sortsKeys = values[3]?.isTrue ?? false
    if let indent = values[1], !indent.isNone {
      if case .string(let text) = indent {
        style.indent = text.bytes
      } else {
        guard let width = indent.integer, width <= 1000 else {
          throw fail("tojson: 'indent' must be a number up to 1000")
        }
        style.indent = [UInt8](repeating: UInt8(ascii: " "), count: max(0, width))
      }
      style.itemSeparator = Array(",".utf8)
    }
    if let separators = values[2], !separators.isNone {
      let parts = try elements(separators)
      guard parts.count == 2, case .string(let item) = parts[0], case .string(let key) = parts[1] else {
        throw fail("tojson: 'separators' must be two strings")
      }
      style.itemSeparator = item.bytes
      style.keySeparator = key.bytes
    }
    var out: [UInt8] = []
    try writeJSON(value, style, level: 0, &out)
    return try string(out)
  }

  private func writeJSON(_ value: TemplateValue, _ style: JSONStyle, level: Int, _ out: inout [UInt8]) throws {
    try spend()
    guard out.count <= Self.maximumSize else { return try charge(out.count) }
    switch value {
    case .none: out += "null".utf8
    case .bool(let value): out += (value ? "true" : "false").utf8
    case .int(let value): out += String(value).utf8
    case .real(let value): out += jsonNumber(value).utf8
    case .string(let text):
      try scan(text.bytes.count)
      quoteJSON(text, style, &out)
    case .list(let items), .tuple(let items): try writeItems(items.values, style, level, &out)
    case .dictionary(let dictionary): try writeMembers(dictionary, style, level, &out)
    case .undefined(let undefined):
      throw fail("tojson: Object of type Undefined is not JSON serializable (\(undefined.reason))")
    default: throw fail("tojson: Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private func newLine(_ style: JSONStyle, _ level: Int, _ out: inout [UInt8]) throws {
    guard let indent = style.indent else { return }
    try spend(1 + (indent.count * level) >> 6)
    out.append(UInt8(ascii: "\n"))
    for _ in 0..<level { out += indent }
  }

  private func writeItems(_ items: [TemplateValue], _ style: JSONStyle, _ level: Int, _ out: inout [UInt8]) throws {
    out.append(UInt8(ascii: "["))
    try descend {
      for (index, item) in items.enumerated() {
        if index > 0 { out += style.itemSeparator }
        try newLine(style, level + 1, &out)
        try writeJSON(item, style, level: level + 1, &out)
      }
    }
    if !items.isEmpty { try newLine(style, level, &out) }
    out.append(UInt8(ascii: "]"))
  }

  private func writeMembers(_ dictionary: TemplateDictionary, _ style: JSONStyle, _ level: Int, _ out: inout [UInt8])
    throws
  {
    var entries = dictionary.entries
    if style.sortsKeys { entries = try sorted(entries, reverse: false) { $0.key } }
    out.append(UInt8(ascii: "{"))
    try descend {
      for (index, (key, item)) in entries.enumerated() {
        if index > 0 { out += style.itemSeparator }
        try newLine(style, level + 1, &out)
        switch key {
        case .string(let text): quoteJSON(text, style, &out)
        case .bool(let value): out += (value ? "\"true\"" : "\"false\"").utf8
        case .none: out += "\"null\"".utf8
        case .int(let value): out += "\"\(value)\"".utf8
        case .real(let value): out += "\"\(jsonNumber(value))\"".utf8
        default: throw fail("tojson: keys must be str, int, float, bool or None, not \(key.typeName)")
        }
        out += style.keySeparator
        try writeJSON(item, style, level: level + 1, &out)
      }
    }
    if !entries.isEmpty { try newLine(style, level, &out) }
    out.append(UInt8(ascii: "}"))
  }

  private func jsonNumber(_ value: Double) -> String {
    value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : TemplateFormat.real(value)
  }

  private func quoteJSON(_ text: TemplateText, _ style: JSONStyle, _ out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    var index = 0
    while index < text.bytes.count {
      let byte = text.bytes[index]
      switch byte {
      case UInt8(ascii: "\""): out += "\\\"".utf8
      case UInt8(ascii: "\\"): out += "\\\\".utf8
      case 0x0A: out += "\\n".utf8
      case 0x0D: out += "\\r".utf8
      case 0x09: out += "\\t".utf8
      case 0x08: out += "\\b".utf8
      case 0x0C: out += "\\f".utf8
      case 0..<0x20: out += ("\\u" + hexadecimal(byte, digits: 4)).utf8
      case 0x80... where style.ensureASCII:
        let (scalar, length) = TemplateBytes.scalar(text.bytes[...], at: index)
        for unit in UTF16.encode(scalar).map(Array.init) ?? [] {
          out += ("\\u" + hexadecimal(unit, digits: 4)).utf8
        }
        index += length
        continue
      default: out.append(byte)
      }
      index += 1
    }
    out.append(UInt8(ascii: "\""))
  }
}
