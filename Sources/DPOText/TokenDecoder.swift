import DPOBase

/// From tokens back to text: the `decoder` of tokenizer.json as a flat list of steps over token texts.
struct TokenDecoder: Sendable {
  enum Step: Sendable {
    case byteLevel
    case byteFallback
    case fuse
    case replace(Pattern, [UInt8])
    case strip(content: [UInt8], start: Int, stop: Int)
    case metaspace(Metaspace)
  }

  private let steps: [Step]
  /// Without a decoder tokens are joined with blanks.
  private let joinsWithBlanks: Bool
  /// Each token stands for bytes, whatever is around it.
  let isByteLevel: Bool

  init(_ field: JSONField?) throws {
    var steps: [Step] = []
    if let field { try TokenDecoder.collect(field, into: &steps) }
    self.steps = steps
    joinsWithBlanks = field == nil
    if case .byteLevel = steps.first {
      isByteLevel = steps.dropFirst().allSatisfy { if case .fuse = $0 { true } else { false } }
    } else {
      isByteLevel = false
    }
  }

  private static func collect(_ field: JSONField, into steps: inout [Step]) throws {
    let type = try field.required("type").string()
    switch type {
    case "Sequence":
      for element in try field.required("decoders").elements() { try collect(element, into: &steps) }
    case "ByteLevel": steps.append(.byteLevel)
    case "ByteFallback": steps.append(.byteFallback)
    case "Fuse": steps.append(.fuse)
    case "Replace":
      let pattern = try Pattern(field.required("pattern"))
      steps.append(.replace(pattern, Array(try field.required("content").string().utf8)))
    case "Strip":
      let content = Array(String(try field.required("content").scalar()).utf8)
      let start = try field.required("start").int(in: 0...Int(Int32.max))
      steps.append(.strip(content: content, start: start, stop: try field.required("stop").int(in: 0...Int(Int32.max))))
    case "Metaspace": steps.append(.metaspace(try Metaspace(field)))
    default: throw field.unsupported("decoder \"\(DPOError.printable(type))\" is not supported")
    }
    guard steps.count <= PreTokenizer.longestSequence else { throw field.error("too many steps in a sequence") }
  }

  /// The text of the tokens, as bytes that may be cut inside of a character.
  func decode(_ tokens: [[UInt8]], _ scratch: RegexScratch) throws -> [UInt8] {
    if joinsWithBlanks { return Array(tokens.joined(separator: [0x20])) }
    var tokens = tokens
    for step in steps { tokens = try TokenDecoder.apply(step, tokens, scratch) }
    return Array(tokens.joined())
  }

  private static func apply(_ step: Step, _ tokens: [[UInt8]], _ scratch: RegexScratch) throws -> [[UInt8]] {
    switch step {
    case .byteLevel:
      var bytes: [UInt8] = []
      for token in tokens { token.withUnsafeBufferPointer { ByteLevel.decode($0, into: &bytes) } }
      return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
    case .fuse: return [Array(tokens.joined())]
    case .replace(let pattern, let content):
      return try tokens.map { token in
        var out: [UInt8] = []
        var position = 0
        try token.withUnsafeBufferPointer {
          try pattern.forEachMatch(in: $0, scratch) { start, end in
            out.append(contentsOf: token[position..<start])
            out.append(contentsOf: content)
            position = end
          }
        }
        return out + token[position...]
      }
    case .strip(let content, let start, let stop):
      return tokens.map { token in
        var rest = token[...]
        var count = 0
        while count < start, rest.starts(with: content) {
          rest = rest.dropFirst(content.count)
          count += 1
        }
        count = 0
        while count < stop, rest.suffix(content.count).elementsEqual(content) {
          rest = rest.dropLast(content.count)
          count += 1
        }
        return Array(rest)
      }
    case .metaspace(let metaspace):
      let mark = Array(String(metaspace.replacement).utf8)
      let pattern = Pattern.literal(mark)
      return try tokens.enumerated().map { index, token in
        let blank: [UInt8] = index == 0 && metaspace.scheme != .never ? [] : [0x20]
        return try apply(.replace(pattern, blank), [token], scratch)[0]
      }
    case .byteFallback:
      var out: [[UInt8]] = []
      var pending: [UInt8] = []
      func flush() {
        if pending.isEmpty { return }
        let text = String(validating: pending, as: UTF8.self)
        out.append(contentsOf: text.map { [Array($0.utf8)] } ?? pending.map { _ in [0xEF, 0xBF, 0xBD] })
        pending = []
      }
      for token in tokens {
        if let byte = byte(token) {
          pending.append(byte)
        } else {
          flush()
          out.append(token)
        }
      }
      flush()
      return out
    }
  }

  /// The byte of a token "<0xNN>".
  static func byte(_ token: some RandomAccessCollection<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.last == 0x3E else { return nil }
    return UInt8(String(decoding: token.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
  }

  /// The bytes that one token adds inside of a text.
  func bytes(of token: [UInt8], _ scratch: RegexScratch) throws -> [UInt8] {
    if isByteLevel {
      var out: [UInt8] = []
      token.withUnsafeBufferPointer { ByteLevel.decode($0, into: &out) }
      return out
    }
    var bytes = token
    for step in steps {
      switch step {
      case .byteFallback: if let byte = TokenDecoder.byte(bytes) { return [byte] }
      case .replace, .byteLevel: bytes = try TokenDecoder.apply(step, [bytes], scratch)[0]
      case .metaspace(let metaspace):
        let pattern = Pattern.literal(Array(String(metaspace.replacement).utf8))
        bytes = try TokenDecoder.apply(.replace(pattern, [0x20]), [bytes], scratch)[0]
      case .strip, .fuse: break
      }
    }
    return bytes
  }
}
