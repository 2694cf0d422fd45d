/// Text from tokens that come one at a time: a character appears once all its bytes are there.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  /// Bytes of a character that is not complete yet.
  private var bytes: [UInt8] = []
  /// For decoders that look at neighbours: the tokens of the text that went out last, and those behind them.
  private var context: [Int32] = []
  private var pending: [Int32] = []

  /// Special tokens have no text with `skipSpecialTokens`.
  public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// What became readable with this token; often empty.
  public mutating func append(_ id: Int32) -> String {
    if skipSpecialTokens && tokenizer.isSpecial(id) { return "" }
    if tokenizer.decodesBytewise {
      bytes.append(contentsOf: tokenizer.bytes(of: id))
      let rest = StreamingDecoder.incompleteSuffix(bytes)
      let text = String(decoding: bytes.dropLast(rest), as: UTF8.self)
      bytes.removeFirst(bytes.count - rest)
      return text
    }
    pending.append(id)
    let text = tokenizer.decode(context + pending, skipSpecialTokens: false)
    guard text.unicodeScalars.last != "\u{FFFD}" else { return "" }
    let new = behindContext(text)
    guard !new.isEmpty else { return "" }
    context = pending
    pending = []
    return new
  }

  /// The rest, with U+FFFD for bytes that never became a character.
  public mutating func finish() -> String {
    defer {
      bytes = []
      context = []
      pending = []
    }
    if tokenizer.decodesBytewise { return String(decoding: bytes, as: UTF8.self) }
    return behindContext(tokenizer.decode(context + pending, skipSpecialTokens: false))
  }

  private func behindContext(_ text: String) -> String {
    let known = tokenizer.decode(context, skipSpecialTokens: false)
    return text.utf8.starts(with: known.utf8)
      ? String(decoding: text.utf8.dropFirst(known.utf8.count), as: UTF8.self) : text
  }

  /// How many bytes at the end are the beginning of a character.
  private static func incompleteSuffix(_ bytes: [UInt8]) -> Int {
    for back in 1...4 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
      guard length > back, byte <= 0xF4 else { return 0 }
      // A second byte out of range makes the sequence invalid already.
      if back >= 2 {
        let second = bytes[bytes.count - back + 1]
        switch byte {
        case 0xE0 where second < 0xA0, 0xED where second > 0x9F, 0xF0 where second < 0x90, 0xF4 where second > 0x8F:
          return 0
        default: break
        }
      }
      return back
    }
    return 0
  }
}
