import DPOBase

/// What happens to text before it is split: the `normalizer` of tokenizer.json as a flat list of steps.
struct Normalizer: Sendable {
  enum Step: Sendable {
    case form(NormalizationForm)
    case lowercase
    case byteLevel
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)
    case replace(Pattern, [UInt8])
  }

  private let steps: [Step]

  /// A text may grow to this many times its size, and a bit: more than any normalization form needs, less than a
  /// sequence of doubling replacements takes.
  private static func limit(_ count: Int) -> Int { 64 * count + 4096 }

  init?(_ field: JSONField?) throws {
    guard let field else { return nil }
    var steps: [Step] = []
    try Normalizer.collect(field, into: &steps)
    if steps.isEmpty { return nil }
    self.steps = steps
  }

  private static func collect(_ field: JSONField, into steps: inout [Step]) throws {
    let type = try field.required("type").string()
    switch type {
    case "Sequence":
      for element in try field.required("normalizers").elements() { try collect(element, into: &steps) }
    case "NFC", "NFD", "NFKC", "NFKD":
      if let form = NormalizationForm(rawValue: type) { steps.append(.form(form)) }
    case "Lowercase": steps.append(.lowercase)
    case "ByteLevel": steps.append(.byteLevel)
    case "Prepend": steps.append(.prepend(Array(try field.required("prepend").string().utf8)))
    case "Strip":
      steps.append(
        .strip(left: try field.required("strip_left").bool(), right: try field.required("strip_right").bool()))
    case "Replace":
      let pattern = try Pattern(field.required("pattern"))
      steps.append(.replace(pattern, Array(try field.required("content").string().utf8)))
    default: throw field.unsupported("normalizer \"\(DPOError.printable(type))\" is not supported")
    }
    guard steps.count <= PreTokenizer.longestSequence else { throw field.error("too many steps in a sequence") }
  }

  /// The normalized text; nil if it is `text` itself.
  func apply(_ text: UnsafeBufferPointer<UInt8>, _ scratch: RegexScratch) throws -> [UInt8]? {
    var current: [UInt8]?
    for step in steps {
      let changed: [UInt8]?
      if let bytes = current {
        changed = try bytes.withUnsafeBufferPointer {
          try Normalizer.apply(step, $0, scratch, limit: Self.limit(text.count))
        }
      } else {
        changed = try Normalizer.apply(step, text, scratch, limit: Self.limit(text.count))
      }
      if let changed { current = changed }
    }
    return current
  }

  func apply(_ text: String, _ scratch: RegexScratch) throws -> [UInt8] {
    var text = text
    return try text.withUTF8 { try apply($0, scratch) ?? Array($0) }
  }

  private static func apply(
    _ step: Step, _ text: UnsafeBufferPointer<UInt8>, _ scratch: RegexScratch, limit: Int
  ) throws -> [UInt8]? {
    func check(_ count: Int) throws {
      guard count <= limit else {
        throw DPOError.unsupported("the tokenizer's normalizer makes a text more than 64 times longer")
      }
    }
    switch step {
    case .form(let form): return try form.apply(text)
    case .lowercase:
      var out: [UInt8] = []
      out.reserveCapacity(text.count)
      var index = 0
      while index < text.count {
        let (scalar, next) = UTF8Text.scalar(text, index)
        if scalar.isASCII {
          let byte = text[index]
          out.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
        } else {
          out.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
        index = next
      }
      return out
    case .byteLevel:
      var out: [UInt8] = []
      ByteLevel.encode(text, into: &out)
      return out
    case .prepend(let prefix):
      guard !text.isEmpty else { return nil }
      try check(prefix.count + text.count)
      return prefix + text
    case .strip(let left, let right):
      var start = 0
      var end = text.count
      while left, start < end {
        let (scalar, next) = UTF8Text.scalar(text, start)
        guard UTF8Text.isWhitespace(scalar) else { break }
        start = next
      }
      while right, end > start {
        let (scalar, previous) = UTF8Text.scalar(text, before: end)
        guard UTF8Text.isWhitespace(scalar) else { break }
        end = previous
      }
      return Array(text[start..<end])
    case .replace(let pattern, let content):
      var out: [UInt8] = []
      out.reserveCapacity(text.count)
      var position = 0
      try pattern.forEachMatch(in: text, scratch) { start, end in
        out.append(contentsOf: text[position..<start])
        out.append(contentsOf: content)
        position = end
        try check(out.count)
      }
      guard position > 0 || !out.isEmpty else { return nil }
      out.append(contentsOf: text[position...])
      try check(out.count)
      return out
    }
  }
}
