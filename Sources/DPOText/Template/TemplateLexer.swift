import DPOBase

struct TemplateToken: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    case text, name, string, integer, real, symbol, openOutput, closeOutput, openBlock, closeBlock, end
  }
  var kind: Kind
  /// Bytes of text and strings.
  var bytes: [UInt8] = []
  /// Names, symbols, numbers.
  var word = ""
  var line: Int

  /// How an error message calls it.
  var described: String {
    switch kind {
    case .text: "text"
    case .string: "a string"
    case .openOutput: "'{{'"
    case .closeOutput: "'}}'"
    case .openBlock: "'{%'"
    case .closeBlock: "'%}'"
    case .end: "the end of the template"
    case .name, .integer, .real, .symbol: "'\(DPOError.printable(word, limit: 40))'"
    }
  }
}

/// Cuts a template into tokens by jinja2's rules with `trim_blocks` and `lstrip_blocks` on, as transformers sets them.
struct TemplateLexer {
  private let source: [UInt8]
  private let file: String
  private var at = 0
  private var line = 1
  /// Whether the text that follows stands at the start of a line.
  private var lineStarting = true
  private var tokens: [TemplateToken] = []

  /// jinja2 reads \r\n and \r as \n and drops one newline at the end.
  init(_ source: String, file: String) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(source.utf8.count)
    var previous: UInt8 = 0
    for byte in source.utf8 {
      if byte == UInt8(ascii: "\r") {
        bytes.append(UInt8(ascii: "\n"))
      } else if byte != UInt8(ascii: "\n") || previous != UInt8(ascii: "\r") {
        bytes.append(byte)
      }
      previous = byte
    }
    if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    self.source = bytes
    self.file = file
  }

  static func error(_ file: String, _ line: Int, _ message: String) -> DPOError {
    DPOError.format(file, "chat template line \(line): \(message)")
  }

  private func fail(_ message: String) -> DPOError { Self.error(file, line, message) }

  private func byte(_ offset: Int = 0) -> UInt8? { at + offset < source.count ? source[at + offset] : nil }
  private func starts(with text: StaticString, at index: Int) -> Bool {
    index + text.utf8CodeUnitCount <= source.count
      && text.withUTF8Buffer { $0.elementsEqual(source[index..<(index + $0.count)]) }
  }

  /// Moves to `index`, counting lines.
  private mutating func move(to index: Int) {
    for position in at..<index where source[position] == UInt8(ascii: "\n") { line += 1 }
    at = index
  }

  private func endOfSpaces(from index: Int) -> Int {
    TemplateBytes.trimStart(source[index...], TemplateBytes.isSpace).startIndex
  }

  mutating func run() throws -> [TemplateToken] {
    while at < source.count {
      guard let open = nextOpening(from: at) else {
        add(.text, bytes: source[at...])
        move(to: source.count)
        break
      }
      let marker = source[open + 1]
      var body = open + 2
      var sign: UInt8?
      if body < source.count, source[body] == UInt8(ascii: "-") || source[body] == UInt8(ascii: "+") {
        sign = source[body]
        body += 1
      }
      let isOutput = marker == UInt8(ascii: "{")
      add(.text, bytes: leading(source[at..<open], sign: sign, isOutput: isOutput))
      move(to: body)
      lineStarting = false
      switch marker {
      case UInt8(ascii: "#"): try comment()
      case UInt8(ascii: "{"):
        tokens.append(TemplateToken(kind: .openOutput, line: line))
        try expressionTokens(isOutput: true)
      default:
        if let end = rawStart() {
          move(to: end)
          try raw()
        } else {
          tokens.append(TemplateToken(kind: .openBlock, line: line))
          try expressionTokens(isOutput: false)
        }
      }
    }
    tokens.append(TemplateToken(kind: .end, line: line))
    return tokens
  }

  private mutating func add(_ kind: TemplateToken.Kind, bytes: ArraySlice<UInt8>) {
    if !bytes.isEmpty { tokens.append(TemplateToken(kind: kind, bytes: Array(bytes), line: line)) }
  }

  private func nextOpening(from start: Int) -> Int? {
    var index = start
    while index + 1 < source.count {
      if source[index] == UInt8(ascii: "{") {
        let next = source[index + 1]
        if next == UInt8(ascii: "{") || next == UInt8(ascii: "%") || next == UInt8(ascii: "#") { return index }
      }
      index += 1
    }
    return nil
  }

  /// The text before a tag: `-` strips all white space, otherwise white space alone on the tag's line goes
  /// (lstrip_blocks; not before `{{`).
  private func leading(_ text: ArraySlice<UInt8>, sign: UInt8?, isOutput: Bool) -> ArraySlice<UInt8> {
    if sign == UInt8(ascii: "-") { return TemplateBytes.trimEnd(text, TemplateBytes.isSpace) }
    guard sign == nil, !isOutput else { return text }
    let newline = text.lastIndex(of: UInt8(ascii: "\n"))
    guard newline != nil || lineStarting else { return text }
    let lineStart = newline.map { $0 + 1 } ?? text.startIndex
    return TemplateBytes.trim(text[lineStart...], TemplateBytes.isSpace).isEmpty ? text[..<lineStart] : text
  }

  /// Consumes what a closing tag takes along: `-` all white space, nothing for `+`, else one newline (trim_blocks).
  private mutating func close(sign: UInt8?, after index: Int, trimsNewline: Bool) {
    var end = index
    if sign == UInt8(ascii: "-") {
      end = endOfSpaces(from: index)
    } else if sign == nil, trimsNewline, index < source.count, source[index] == UInt8(ascii: "\n") {
      end += 1
    }
    move(to: end)
    lineStarting = source[end - 1] == UInt8(ascii: "\n")
  }

  private mutating func comment() throws {
    var index = at
    while index + 1 < source.count, !(source[index] == UInt8(ascii: "#") && source[index + 1] == UInt8(ascii: "}")) {
      index += 1
    }
    guard index + 1 < source.count else { throw fail("the comment is not closed by '#}'") }
    let last = index > at ? source[index - 1] : 0
    let sign = last == UInt8(ascii: "-") || last == UInt8(ascii: "+") ? last : nil
    close(sign: sign, after: index + 2, trimsNewline: true)
  }

  /// The end of `raw %}` when that is what stands at `at`.
  private func rawStart() -> Int? {
    var index = endOfSpaces(from: at)
    guard starts(with: "raw", at: index) else { return nil }
    index = endOfSpaces(from: index + 3)
    if starts(with: "-%}", at: index) { return endOfSpaces(from: index + 3) }
    return starts(with: "%}", at: index) ? index + 2 : nil
  }

  private mutating func raw() throws {
    var open = at
    while let candidate = nextOpening(from: open) {
      open = candidate + 2
      guard source[candidate + 1] == UInt8(ascii: "%") else { continue }
      var index = candidate + 2
      var sign: UInt8?
      if index < source.count, source[index] == UInt8(ascii: "-") || source[index] == UInt8(ascii: "+") {
        sign = source[index]
        index += 1
      }
      index = endOfSpaces(from: index)
      guard starts(with: "endraw", at: index) else { continue }
      index = endOfSpaces(from: index + 6)
      var closing: UInt8?
      if index < source.count, source[index] == UInt8(ascii: "-") || source[index] == UInt8(ascii: "+") {
        closing = source[index]
        index += 1
      }
      guard starts(with: "%}", at: index) else { continue }
      lineStarting = false
      add(.text, bytes: leading(source[at..<candidate], sign: sign, isOutput: false))
      move(to: index + 2)
      return close(sign: closing, after: index + 2, trimsNewline: true)
    }
    throw fail("'{% raw %}' is not closed by '{% endraw %}'")
  }

  // MARK: Inside {{ }} and {% %}

  private static let symbols: [StaticString] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":",
    "|", ",", ";",
  ]

  private mutating func expressionTokens(isOutput: Bool) throws {
    let opened = line
    var brackets: [UInt8] = []
    while true {
      move(to: endOfSpaces(from: at))
      guard let first = byte() else {
        line = opened
        throw fail(isOutput ? "'{{' is not closed by '}}'" : "'{%' is not closed by '%}'")
      }
      if brackets.isEmpty, tryClose(isOutput: isOutput) { return }
      if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") {
        try string(quote: first)
      } else if isDigit(first) {
        try number()
      } else if isWord(first) {
        let start = at
        while let next = byte(), isWord(next) { at += 1 }
        let word = String(decoding: source[start..<at], as: UTF8.self)
        guard word.unicodeScalars.allSatisfy({ $0 == "_" || $0.properties.isIDContinue }) else {
          throw fail("invalid character in '\(DPOError.printable(word, limit: 40))'")
        }
        tokens.append(TemplateToken(kind: .name, word: word, line: line))
      } else if let symbol = Self.symbols.first(where: { starts(with: $0, at: at) }) {
        try balance(first, &brackets)
        tokens.append(TemplateToken(kind: .symbol, word: symbol.description, line: line))
        move(to: at + symbol.utf8CodeUnitCount)
      } else {
        let (scalar, _) = TemplateBytes.scalar(source[...], at: at)
        throw fail("unexpected character '\(DPOError.printable(String(scalar)))'")
      }
    }
  }

  /// Emits the closing token if the tag ends here.
  private mutating func tryClose(isOutput: Bool) -> Bool {
    guard let first = byte() else { return false }
    var index = at
    var sign: UInt8?
    if first == UInt8(ascii: "-") || (first == UInt8(ascii: "+") && !isOutput) {
      sign = first
      index += 1
    }
    guard starts(with: isOutput ? "}}" : "%}", at: index) else { return false }
    tokens.append(TemplateToken(kind: isOutput ? .closeOutput : .closeBlock, line: line))
    close(sign: sign, after: index + 2, trimsNewline: !isOutput)
    return true
  }

  private func balance(_ first: UInt8, _ brackets: inout [UInt8]) throws {
    switch first {
    case UInt8(ascii: "("): brackets.append(UInt8(ascii: ")"))
    case UInt8(ascii: "["): brackets.append(UInt8(ascii: "]"))
    case UInt8(ascii: "{"): brackets.append(UInt8(ascii: "}"))
    case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
      let found = Character(Unicode.Scalar(first))
      guard let expected = brackets.popLast() else { throw fail("unexpected '\(found)'") }
      guard expected == first else {
        throw fail("unexpected '\(found)', expected '\(Character(Unicode.Scalar(expected)))'")
      }
    default: break
    }
  }

  private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
  private func isWord(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte == UInt8(ascii: "_") || byte >= 0x80
      || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private mutating func number() throws {
    let start = at
    func digits(_ index: Int) -> Int {
      var index = index
      while index < source.count,
        isDigit(source[index])
          || (source[index] == UInt8(ascii: "_") && index + 1 < source.count && isDigit(source[index + 1]))
      {
        index += 1
      }
      return index
    }
    if byte() == UInt8(ascii: "0"), let kind = byte(1).map({ $0 | 0x20 }),
      let radix = [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][kind]
    {
      var end = at + 2
      while end < source.count, isWord(source[end]), source[end] < 0x80 { end += 1 }
      let text = String(decoding: source[(at + 2)..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
      guard let value = Int(text, radix: radix) else {
        throw fail("invalid or too large number '\(DPOError.printable(text, limit: 40))'")
      }
      tokens.append(TemplateToken(kind: .integer, word: String(value), line: line))
      at = end
      return
    }
    var end = digits(at)
    var isReal = false
    // "1.e", "a.0.b": a dot belongs to the number only before a digit, and not right after another dot.
    let followsDot = at > 0 && source[at - 1] == UInt8(ascii: ".")
    if !followsDot {
      if end + 1 < source.count, source[end] == UInt8(ascii: "."), isDigit(source[end + 1]) {
        end = digits(end + 1)
        isReal = true
      }
      if end < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
        var exponent = end + 1
        if exponent < source.count, source[exponent] == UInt8(ascii: "+") || source[exponent] == UInt8(ascii: "-") {
          exponent += 1
        }
        if exponent < source.count, isDigit(source[exponent]) {
          end = digits(exponent)
          isReal = true
        }
      }
    }
    let text = String(decoding: source[start..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
    guard isReal || Int(text) != nil else {
      throw fail("the number \(DPOError.printable(text, limit: 40)) does not fit 64 bits")
    }
    tokens.append(TemplateToken(kind: isReal ? .real : .integer, word: text, line: line))
    at = end
  }

  private mutating func string(quote: UInt8) throws {
    let opened = line
    var index = at + 1
    while index < source.count, source[index] != quote { index += source[index] == UInt8(ascii: "\\") ? 2 : 1 }
    guard index < source.count else { throw fail("the string is not closed by \(Character(Unicode.Scalar(quote)))") }
    let bytes = try unescape(source[(at + 1)..<index])
    tokens.append(TemplateToken(kind: .string, bytes: bytes, line: opened))
    move(to: index + 1)
  }

  /// Python's escapes. An unknown one keeps its backslash.
  private func unescape(_ raw: ArraySlice<UInt8>) throws -> [UInt8] {
    guard raw.contains(UInt8(ascii: "\\")) else { return Array(raw) }
    var out: [UInt8] = []
    var index = raw.startIndex
    func code(_ digits: Int) throws -> UInt32 {
      let end = index + digits
      guard end <= raw.endIndex, let value = UInt32(String(decoding: raw[index..<end], as: UTF8.self), radix: 16) else {
        throw fail("a string has a broken \\x, \\u or \\U escape")
      }
      index = end
      return value
    }
    func append(_ value: UInt32) throws {
      guard let scalar = Unicode.Scalar(value) else { throw fail("a string escape names no character") }
      out.append(contentsOf: Array(String(scalar).utf8))
    }
    while index < raw.endIndex {
      guard raw[index] == UInt8(ascii: "\\"), index + 1 < raw.endIndex else {
        out.append(raw[index])
        index += 1
        continue
      }
      let kind = raw[index + 1]
      index += 2
      switch kind {
      case UInt8(ascii: "\n"): break
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): out.append(kind)
      case UInt8(ascii: "n"): out.append(0x0A)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "r"): out.append(0x0D)
      case UInt8(ascii: "a"): out.append(0x07)
      case UInt8(ascii: "b"): out.append(0x08)
      case UInt8(ascii: "f"): out.append(0x0C)
      case UInt8(ascii: "v"): out.append(0x0B)
      case UInt8(ascii: "x"): try append(code(2))
      case UInt8(ascii: "u"):
        var value = try code(4)
        // A pair of surrogates, as JSON writes characters beyond U+FFFF.
        if (0xD800..<0xDC00).contains(value), index + 6 <= raw.endIndex, raw[index] == UInt8(ascii: "\\"),
          raw[index + 1] == UInt8(ascii: "u")
        {
          index += 2
          let low = try code(4)
          value = (0xDC00..<0xE000).contains(low) ? 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00) : value
        }
        try append(value)
      case UInt8(ascii: "U"): try append(code(8))
      case UInt8(ascii: "0")...UInt8(ascii: "7"):
        var value = UInt32(kind - UInt8(ascii: "0"))
        for _ in 0..<2 {
          guard index < raw.endIndex, (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(raw[index]) else { break }
          value = value * 8 + UInt32(raw[index] - UInt8(ascii: "0"))
          index += 1
        }
        try append(value)
      default: out.append(contentsOf: [UInt8(ascii: "\\"), kind])
      }
    }
    return out
  }
}
