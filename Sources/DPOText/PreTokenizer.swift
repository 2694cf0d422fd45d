import DPOBase

/// How text is cut into words before BPE: the `pre_tokenizer` of tokenizer.json as a flat list of steps.
struct PreTokenizer: Sendable {
  enum Step: Sendable {
    case split(Splitter)
    case byteLevel(addPrefixSpace: Bool, splitter: Splitter?)
    case metaspace(Metaspace)
  }

  static let longestSequence = 64

  static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private let steps: [Step]

  /// The words come out as bytes, and BPE shall start from the characters of the byte-level alphabet that stand for
  /// them. (A ByteLevel step that is not the last really rewrites the text.)
  let endsInByteLevel: Bool

  init(_ field: JSONField?) throws {
    var steps: [Step] = []
    if let field { try PreTokenizer.collect(field, into: &steps) }
    self.steps = steps
    if case .byteLevel = steps.last { endsInByteLevel = true } else { endsInByteLevel = false }
  }

  private static func collect(_ field: JSONField, into steps: inout [Step]) throws {
    let type = try field.required("type").string()
    func split(_ pattern: Pattern, _ behavior: SplitBehavior, inverted: Bool = false) {
      steps.append(.split(Splitter(pattern: pattern, behavior: behavior, inverted: inverted)))
    }
    switch type {
    case "Sequence":
      for element in try field.required("pretokenizers").elements() { try collect(element, into: &steps) }
    case "ByteLevel":
      let usesRegex = try field.flag("use_regex", default: true)
      let splitter =
        usesRegex ? Splitter(pattern: .regex(try Regex(gpt2Pattern)), behavior: .isolated, inverted: false) : nil
      steps.append(.byteLevel(addPrefixSpace: try field.required("add_prefix_space").bool(), splitter: splitter))
    case "Split":
      let pattern = try Pattern(field.required("pattern"))
      split(pattern, try SplitBehavior(field.required("behavior")), inverted: try field.required("invert").bool())
    case "Digits":
      let single = try field.required("individual_digits").bool()
      split(.scalars(UTF8Text.isNumeric), single ? .isolated : .contiguous)
    case "Whitespace":
      let word = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}"#
      split(.regex(try Regex("[\(word)]+|[^\(word)\\s]+")), .removed, inverted: true)
    case "WhitespaceSplit": split(.scalars(UTF8Text.isWhitespace), .removed)
    case "Punctuation":
      split(.scalars(UTF8Text.isPunctuation), try field["behavior"].map(SplitBehavior.init) ?? .isolated)
    case "Metaspace": steps.append(.metaspace(try Metaspace(field)))
    default: throw field.unsupported("pre-tokenizer \"\(DPOError.printable(type))\" is not supported")
    }
    guard steps.count <= longestSequence else { throw field.error("too many steps in a sequence") }
  }

  /// Calls `emit` with each word of `text`. `isStart`: the text begins where the whole input begins.
  func forEachWord(
    of text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ scratch: RegexScratch,
    _ emit: (UnsafeBufferPointer<UInt8>) throws -> Void
  ) throws {
    try run(0, text, isStart: isStart, scratch, emit)
  }

  private func run(
    _ step: Int, _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ scratch: RegexScratch,
    _ emit: (UnsafeBufferPointer<UInt8>) throws -> Void
  ) throws {
    guard !text.isEmpty else { return }
    guard step < steps.count else { return try emit(text) }
    func go(on piece: UnsafeBufferPointer<UInt8>, from whole: UnsafeBufferPointer<UInt8>) throws {
      try run(step + 1, piece, isStart: isStart && piece.baseAddress == whole.baseAddress, scratch, emit)
    }
    switch steps[step] {
    case .split(let splitter):
      try splitter.forEachPiece(of: text, scratch) { try go(on: $0, from: text) }
    case .byteLevel(let addPrefixSpace, let splitter):
      func process(_ text: UnsafeBufferPointer<UInt8>) throws {
        let isLast = step + 1 == steps.count
        func pass(_ piece: UnsafeBufferPointer<UInt8>) throws {
          if isLast { return try emit(piece) }
          var rewritten: [UInt8] = []
          ByteLevel.encode(piece, into: &rewritten)
          try rewritten.withUnsafeBufferPointer {
            try run(step + 1, $0, isStart: isStart && piece.baseAddress == text.baseAddress, scratch, emit)
          }
        }
        if let splitter { try splitter.forEachPiece(of: text, scratch, pass) } else { try pass(text) }
      }
      if addPrefixSpace && text[0] != 0x20 {
        try ([0x20] + text).withUnsafeBufferPointer(process)
      } else {
        try process(text)
      }
    case .metaspace(let metaspace):
      try metaspace.rewrite(text, isStart: isStart).withUnsafeBufferPointer { rewritten in
        guard metaspace.splits else { return try go(on: rewritten, from: rewritten) }
        let splitter = Splitter(
          pattern: .literal(Array(String(metaspace.replacement).utf8)), behavior: .mergedWithNext, inverted: false)
        try splitter.forEachPiece(of: rewritten, scratch) { try go(on: $0, from: rewritten) }
      }
    }
  }
}

/// SentencePiece's way to write spaces, as a pre-tokenizer and as a decoder.
struct Metaspace: Sendable {
  enum Scheme: String { case first, never, always }

  let replacement: Unicode.Scalar
  let scheme: Scheme
  let splits: Bool

  init(_ field: JSONField) throws {
    replacement = try field.required("replacement").scalar()
    let name = try field["prepend_scheme"]?.string() ?? "always"
    guard let scheme = Scheme(rawValue: name) else {
      throw field.error("unknown prepend_scheme \"\(DPOError.printable(name))\"")
    }
    let isOff = try !field.flag("add_prefix_space", default: true)
    guard !isOff || scheme == .never || field["prepend_scheme"] == nil else {
      throw field.error("add_prefix_space does not go with prepend_scheme \"\(name)\"")
    }
    self.scheme = isOff ? .never : scheme
    splits = try field.flag("split", default: true)
  }

  func rewrite(_ text: UnsafeBufferPointer<UInt8>, isStart: Bool) -> [UInt8] {
    let mark = Array(String(replacement).utf8)
    var out: [UInt8] = []
    out.reserveCapacity(text.count * 2)
    for byte in text { if byte == 0x20 { out.append(contentsOf: mark) } else { out.append(byte) } }
    let prepends = scheme == .always || (scheme == .first && isStart)
    return prepends && !out.starts(with: mark) ? mark + out : out
  }
}
