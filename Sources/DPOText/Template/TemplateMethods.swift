import DPOBase

/// Methods of strings, lists and dictionaries.
extension TemplateEvaluator {
  private static let stringMethods: Set<String> = [
    "capitalize", "casefold", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isdigit",
    "isdecimal", "isnumeric", "islower", "isspace", "isupper", "join", "ljust", "lower", "lstrip", "partition",
    "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "startswith",
    "strip", "swapcase", "title", "upper", "zfill",
  ]

  func hasMethod(_ name: String, _ object: TemplateValue) -> Bool {
    switch object {
    case .string: Self.stringMethods.contains(name)
    case .list, .tuple: name == "index" || name == "count" || name == "copy"
    case .dictionary: ["get", "items", "keys", "values", "copy"].contains(name)
    default: false
    }
  }

  func callMethod(_ name: String, of object: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    switch object {
    case .dictionary(let dictionary): return try call(name, of: dictionary, object, arguments)
    case .list(let items), .tuple(let items): return try call(name, of: items.values, object, arguments)
    case .string(let text): return try call(name, of: text, arguments)
    case .loop(let index): return try callLoop(name, index, arguments)
    default: throw fail("'\(object.typeName)' has no method '\(name)'")
    }
  }

  private func call(
    _ name: String, of dictionary: TemplateDictionary, _ object: TemplateValue, _ arguments: Arguments
  ) throws -> TemplateValue {
    if name == "get" {
      let values = try bind(arguments, ["key", "default"], of: "get")
      guard let key = values[0] else { throw fail("get needs a key") }
      if case .undefined = key { return values[1] ?? .none }
      return try dictionary[hashed(key)] ?? values[1] ?? .none
    }
    _ = try bind(arguments, [], of: name)
    switch name {
    case "items": return try items(dictionary)
    case "keys": return try iterable(.keys, dictionary.entries.map(\.key))
    case "values": return try iterable(.values, dictionary.entries.map(\.value))
    default: return object
    }
  }

  func items(_ dictionary: TemplateDictionary) throws -> TemplateValue {
    try iterable(.items, dictionary.entries.map { try tuple([$0.key, $0.value]) })
  }

  private func call(_ name: String, of items: [TemplateValue], _ object: TemplateValue, _ arguments: Arguments) throws
    -> TemplateValue
  {
    if name == "copy" { return object }
    guard let value = try bind(arguments, ["value"], of: name)[0] else { throw fail("\(name) needs a value") }
    try spend(items.count)
    if name == "count" { return .int(try items.count { try isEqual($0, value) }) }
    guard let index = try items.firstIndex(where: { try isEqual($0, value) }) else {
      throw fail("index: the value is not in the list")
    }
    return .int(index)
  }

  private func callLoop(_ name: String, _ index: Int, _ arguments: Arguments) throws -> TemplateValue {
    guard index < loops.count else { throw fail("'loop' is used after its loop") }
    guard arguments.named.isEmpty else { throw fail("loop.\(name) has no named arguments") }
    if name == "cycle" {
      guard !arguments.positional.isEmpty else { throw fail("loop.cycle needs values") }
      return arguments.positional[loops[index].index % arguments.positional.count]
    }
    if let previous = loops[index].changedValues, previous.count == arguments.positional.count,
      try zip(previous, arguments.positional).allSatisfy({ try isEqual($0, $1) })
    {
      return .bool(false)
    }
    loops[index].changedValues = arguments.positional
    return .bool(true)
  }

  // MARK: Strings

  private func call(_ name: String, of text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    try scan(text.bytes.count)
    switch name {
    case "strip", "lstrip", "rstrip": return try strip(name, text, arguments)
    case "split", "rsplit": return try split(text, arguments, fromEnd: name == "rsplit")
    case "splitlines":
      try charge(text.bytes.count)
      let keeps = try bind(arguments, ["keepends"], of: name)[0]?.isTrue ?? false
      return try list(lines(text, keepsEnds: keeps).map { .string(TemplateText($0, isMarkup: text.isMarkup)) })
    case "startswith", "endswith": return try affix(name, text, arguments)
    case "removeprefix", "removesuffix":
      let part = try stringArgument(arguments, name)
      try charge(text.bytes.count)
      if name == "removeprefix" {
        return .string(text.bytes.starts(with: part) ? TemplateText(text.bytes.dropFirst(part.count)) : text)
      }
      return .string(
        text.bytes.reversed().starts(with: part.reversed()) ? TemplateText(text.bytes.dropLast(part.count)) : text)
    case "replace":
      let values = try bind(arguments, ["old", "new", "count"], of: name)
      guard case .string(let old)? = values[0], case .string(let new)? = values[1] else {
        throw fail("replace needs two strings")
      }
      return try replaced(text, old, new, limit: values[2])
    case "find", "rfind", "index", "rindex", "count": return try search(name, text, arguments)
    case "join":
      guard let items = try bind(arguments, ["iterable"], of: name)[0] else { throw fail("join needs a list") }
      return try joined(
        elements(items).map { value in
          guard case .string(let text) = value else { throw fail("join needs strings, found '\(value.typeName)'") }
          return text
        }, text)
    case "partition", "rpartition": return try partition(text, arguments, fromEnd: name == "rpartition")
    case "center", "ljust", "rjust", "zfill": return try pad(name, text, arguments)
    case "format": return try formatted(braces: text, arguments)
    default:
      _ = try bind(arguments, [], of: name)
      return try cased(name, text)
    }
  }

  private func stringArgument(_ arguments: Arguments, _ what: String) throws -> [UInt8] {
    guard case .string(let part)? = try bind(arguments, ["text"], of: what)[0] else {
      throw fail("\(what) needs a string")
    }
    return part.bytes
  }

  /// Case changes and questions about characters.
  func cased(_ name: String, _ text: TemplateText) throws -> TemplateValue {
    try charge(text.bytes.count)
    let scalars = text.string.unicodeScalars
    func ask(_ test: (Unicode.Scalar) -> Bool) -> TemplateValue { .bool(!scalars.isEmpty && scalars.allSatisfy(test)) }
    func isAlphabetic(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
      default: false
      }
    }
    switch name {
    case "upper": return try string(Array(text.string.uppercased().utf8), isMarkup: text.isMarkup)
    case "lower": return try string(Array(text.string.lowercased().utf8), isMarkup: text.isMarkup)
    case "casefold": return try string(Array(text.string.uppercased().lowercased().utf8), isMarkup: text.isMarkup)
    case "capitalize":
      guard let first = scalars.first else { return .string(text) }
      let rest = String(String.UnicodeScalarView(scalars.dropFirst()))
      return try string(Array((first.properties.titlecaseMapping + rest.lowercased()).utf8), isMarkup: text.isMarkup)
    case "swapcase":
      return try string(
        Array(
          scalars.map { $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping }
            .joined().utf8))
    case "title":
      var out = ""
      var startsWord = true
      for scalar in scalars {
        out += startsWord ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        startsWord = !(scalar.properties.isUppercase || scalar.properties.isLowercase || isAlphabetic(scalar))
      }
      return try string(Array(out.utf8), isMarkup: text.isMarkup)
    case "isspace": return ask(TemplateBytes.isSpace)
    case "isalpha": return ask(isAlphabetic)
    case "isalnum": return ask { isAlphabetic($0) || $0.properties.numericType != nil }
    case "isdecimal": return ask { $0.properties.numericType == .decimal }
    case "isdigit": return ask { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
    case "isnumeric": return ask { $0.properties.numericType != nil }
    case "islower":
      return .bool(scalars.contains { $0.properties.isLowercase } && !scalars.contains { $0.properties.isUppercase })
    case "isupper":
      return .bool(scalars.contains { $0.properties.isUppercase } && !scalars.contains { $0.properties.isLowercase })
    default: throw fail("'str' has no method '\(name)'")
    }
  }

  func strip(_ name: String, _ text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    let characters = try bind(arguments, ["chars"], of: name)[0] ?? .none
    let bytes = text.bytes[...]
    var strips: (Unicode.Scalar) -> Bool = TemplateBytes.isSpace
    switch characters {
    case .none: break
    case .string(let set):
      let wanted = Set(set.scalars)
      strips = { wanted.contains($0) }
    case .undefined(let undefined): throw fail(undefined.reason)
    default: throw fail("\(name) needs a string, found '\(characters.typeName)'")
    }
    let kept =
      name == "lstrip"
      ? TemplateBytes.trimStart(bytes, strips)
      : name == "rstrip" ? TemplateBytes.trimEnd(bytes, strips) : TemplateBytes.trim(bytes, strips)
    return try string(Array(kept), isMarkup: text.isMarkup)
  }

  private func split(_ text: TemplateText, _ arguments: Arguments, fromEnd: Bool) throws -> TemplateValue {
    let values = try bind(arguments, ["sep", "maxsplit"], of: "split")
    guard let limit = (values[1] ?? .int(-1)).integer else { throw fail("split needs a number for 'maxsplit'") }
    let maximum = limit < 0 ? Int.max : limit
    let separator = values[0] ?? .none
    var pieces: [ArraySlice<UInt8>] = []
    switch separator {
    case .none:
      let isSpace = TemplateBytes.isSpace
      var rest = text.bytes[...]
      if fromEnd {
        rest = TemplateBytes.trimEnd(rest, isSpace)
        while !rest.isEmpty, pieces.count < maximum {
          let head = TemplateBytes.trimEnd(rest) { !isSpace($0) }
          pieces.append(rest[head.endIndex...])
          rest = TemplateBytes.trimEnd(head, isSpace)
        }
        if !rest.isEmpty { pieces.append(rest) }
        pieces.reverse()
      } else {
        rest = TemplateBytes.trimStart(rest, isSpace)
        while !rest.isEmpty, pieces.count < maximum {
          let tail = TemplateBytes.trimStart(rest) { !isSpace($0) }
          pieces.append(rest[..<tail.startIndex])
          rest = TemplateBytes.trimStart(tail, isSpace)
        }
        if !rest.isEmpty { pieces.append(rest) }
      }
    case .string(let mark):
      guard !mark.isEmpty else { throw fail("split: empty separator") }
      var hits: [Int]
      if fromEnd {
        // Non-overlapping from the right.
        let count = text.bytes.count
        hits = TemplateBytes.occurrences(of: mark.bytes.reversed(), in: text.bytes.reversed(), limit: maximum)
          .map { count - $0 - mark.bytes.count }.reversed()
      } else {
        hits = TemplateBytes.occurrences(of: mark.bytes, in: text.bytes, limit: maximum)
      }
      var start = 0
      for hit in hits {
        pieces.append(text.bytes[start..<hit])
        start = hit + mark.bytes.count
      }
      pieces.append(text.bytes[start...])
    case .undefined(let undefined): throw fail(undefined.reason)
    default: throw fail("split needs a string, found '\(separator.typeName)'")
    }
    try charge(text.bytes.count)
    try charge(pieces.count, times: 64)
    return try list(pieces.map { .string(TemplateText($0, isMarkup: text.isMarkup)) })
  }

  /// Python's line ends: \n \r \r\n \v \f \x1c-\x1e \x85 U+2028 U+2029.
  func lines(_ text: TemplateText, keepsEnds: Bool = false) -> [ArraySlice<UInt8>] {
    var lines: [ArraySlice<UInt8>] = []
    let bytes = text.bytes[...]
    var start = 0
    var index = 0
    while index < bytes.count {
      let (scalar, length) = TemplateBytes.scalar(bytes, at: index)
      var end = index + length
      switch scalar.value {
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        if scalar == "\r", end < bytes.count, bytes[end] == 0x0A { end += 1 }
        lines.append(bytes[start..<(keepsEnds ? end : index)])
        start = end
      default: break
      }
      index = end
    }
    if start < bytes.count { lines.append(bytes[start...]) }
    return lines
  }

  private func affix(_ name: String, _ text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    guard let wanted = try bind(arguments, ["text"], of: name)[0] else { throw fail("\(name) needs a string") }
    var candidates = [wanted]
    if case .tuple(let items) = wanted { candidates = items.values }
    for candidate in candidates {
      guard case .string(let part) = candidate else {
        throw fail("\(name) needs a string, found '\(candidate.typeName)'")
      }
      let matches =
        name == "startswith"
        ? text.bytes.starts(with: part.bytes) : text.bytes.reversed().starts(with: part.bytes.reversed())
      if matches { return .bool(true) }
    }
    return .bool(false)
  }

  func replaced(_ text: TemplateText, _ old: TemplateText, _ new: TemplateText, limit: TemplateValue?) throws
    -> TemplateValue
  {
    let count = limit.flatMap { $0.isNone ? nil : $0 } ?? .int(-1)
    guard let count = count.integer else { throw fail("replace needs a number for 'count'") }
    let maximum = count < 0 ? Int.max : count
    var out: [UInt8] = []
    func append(_ bytes: some Collection<UInt8>) throws {
      guard out.count + bytes.count <= Self.maximumSize else { return try charge(out.count + bytes.count) }
      out.append(contentsOf: bytes)
    }
    if old.isEmpty {
      // Between all characters, before the first and after the last.
      var done = 0
      for character in text.characters {
        if done < maximum {
          try append(new.bytes)
          done += 1
        }
        try append(character)
      }
      if done < maximum { try append(new.bytes) }
    } else {
      var start = 0
      for hit in TemplateBytes.occurrences(of: old.bytes, in: text.bytes, limit: maximum) {
        try append(text.bytes[start..<hit])
        try append(new.bytes)
        start = hit + old.bytes.count
      }
      try append(text.bytes[start...])
    }
    return try string(out, isMarkup: text.isMarkup)
  }

  private func search(_ name: String, _ text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    let part = try stringArgument(arguments, name)
    if name == "count" {
      return .int(part.isEmpty ? text.count + 1 : TemplateBytes.occurrences(of: part, in: text.bytes).count)
    }
    let isLast = name.hasPrefix("r")
    guard let offset = isLast ? TemplateBytes.findLast(part, in: text.bytes) : TemplateBytes.find(part, in: text.bytes)
    else {
      if name.hasSuffix("index") { throw fail("\(name): substring not found") }
      return .int(-1)
    }
    return .int(TemplateText(text.bytes[..<offset]).count)
  }

  func joined(_ parts: [TemplateText], _ separator: TemplateText) throws -> TemplateValue {
    var size = 0
    for part in parts { size += part.bytes.count }
    let (between, overflow) = separator.bytes.count.multipliedReportingOverflow(by: max(0, parts.count - 1))
    guard !overflow, between <= Self.maximumSize else {
      throw fail("the template makes a value of more than \(Self.maximumSize >> 20) MiB")
    }
    try charge(size + between)
    return .string(TemplateText(Array(parts.map(\.bytes).joined(separator: separator.bytes))))
  }

  private func partition(_ text: TemplateText, _ arguments: Arguments, fromEnd: Bool) throws -> TemplateValue {
    let mark = try stringArgument(arguments, "partition")
    guard !mark.isEmpty else { throw fail("partition: empty separator") }
    try charge(text.bytes.count)
    guard let hit = fromEnd ? TemplateBytes.findLast(mark, in: text.bytes) : TemplateBytes.find(mark, in: text.bytes)
    else {
      return try tuple(
        fromEnd ? [.string(""), .string(""), .string(text)] : [.string(text), .string(""), .string("")])
    }
    return try tuple([
      .string(TemplateText(text.bytes[..<hit])), .string(TemplateText(mark)),
      .string(TemplateText(text.bytes[(hit + mark.count)...])),
    ])
  }

  func pad(_ name: String, _ text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["width", "fillchar"], of: name)
    guard let width = values[0]?.integer else { throw fail("\(name) needs a width") }
    var fill = TemplateText(name == "zfill" ? "0" : " ")
    if case .string(let given)? = values[1] { fill = given }
    guard fill.count == 1 else { throw fail("\(name): the fill character must be exactly one character long") }
    let missing = max(0, width.subtractingReportingOverflow(text.count).partialValue)
    guard width > text.count, missing > 0 else { return .string(text) }
    try charge(missing, times: fill.bytes.count)
    func filling(_ count: Int) -> [UInt8] { Array(repeatElement(fill.bytes, count: count).joined()) }
    switch name {
    case "ljust": return try string(text.bytes + filling(missing))
    case "rjust": return try string(filling(missing) + text.bytes)
    case "center":
      // CPython's rule for the odd blank.
      let left = missing / 2 + (missing & width & 1)
      return try string(filling(left) + text.bytes + filling(missing - left))
    default:
      let sign = text.bytes.first.map { "+-".utf8.contains($0) } ?? false ? 1 : 0
      return try string(text.bytes[..<sign] + filling(missing) + text.bytes[sign...])
    }
  }

  /// `'{} {0} {name}'.format(…)` without format specifications and attribute access.
  private func formatted(braces text: TemplateText, _ arguments: Arguments) throws -> TemplateValue {
    var out: [UInt8] = []
    var index = 0
    var automatic = 0
    let bytes = text.bytes
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      guard byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") else {
        out.append(byte)
        continue
      }
      if index < bytes.count, bytes[index] == byte {
        out.append(byte)
        index += 1
        continue
      }
      guard byte == UInt8(ascii: "{"), let end = bytes[index...].firstIndex(of: UInt8(ascii: "}")) else {
        throw fail("format: single '\(Character(Unicode.Scalar(byte)))' in the format string")
      }
      let field = String(decoding: bytes[index..<end], as: UTF8.self)
      index = end + 1
      var value: TemplateValue?
      if field.isEmpty {
        value = automatic < arguments.positional.count ? arguments.positional[automatic] : nil
        automatic += 1
      } else if let position = Int(field) {
        value = arguments.positional.indices.contains(position) ? arguments.positional[position] : nil
      } else {
        value = arguments.named.first { $0.name == field }?.value
      }
      guard let value else {
        throw fail("format: no value for '{\(DPOError.printable(field))}' (only plain fields are supported)")
      }
      let piece = try self.text(value)
      try charge(piece.bytes.count)
      out += piece.bytes
    }
    return try string(out, isMarkup: text.isMarkup)
  }
}
