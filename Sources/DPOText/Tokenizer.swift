import DPOBase
import Synchronization

/// A byte-pair-encoding tokenizer as tokenizer.json describes it: added tokens, normalizer, pre-tokenizer, BPE,
/// post-processor, decoder. Any thread; nothing changes after `init`.
public final class Tokenizer: Sendable {
  public typealias SpecialToken = (id: Int32, text: String)

  /// Canonical tokenizer.json and tokenizer_config.json: what files of libdpo store and exports write.
  public let tokenizerJSON: JSON
  public let configurationJSON: JSON
  /// The largest id + 1.
  public let vocabularySize: Int
  public let bosToken, eosToken, padToken: SpecialToken?

  let vocabulary: Vocabulary
  let added: AddedTokens
  let merges: MergeTable
  private let file: String
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer
  private let model: BPE
  private let postProcessor: PostProcessor
  private let decoder: TokenDecoder
  private let pool = ScratchPool()
  private let template = Mutex<Result<ChatTemplate?, DPOError>?>(nil)

  /// - Parameters:
  ///   - configuration: tokenizer_config.json, which names BOS, EOS, padding and the chat template.
  ///   - file: names the tokenizer in errors.
  /// - Throws: `.unsupported` for another model than BPE or an unknown step; `.format` for a damaged file.
  public init(tokenizerJSON: JSON, configuration: JSON?, file: String) throws {
    let root = JSONField(tokenizerJSON, file: file)
    let settings = JSONField(
      configuration ?? .object(JSONObject()),
      file: nameOf(file) == "tokenizer.json"
        ? "\(directoryOf(file))/tokenizer_config.json" : file)
    let model = try root.required("model")
    try Tokenizer.checkKind(model)
    let vocabulary = try Tokenizer.vocabulary(model.required("vocab"))
    let merges = try Tokenizer.merges(model.required("merges"), vocabulary)
    let preTokenizer = try PreTokenizer(root["pre_tokenizer"])
    let normalizer = try Normalizer(root["normalizer"])

    var added = AddedTokens()
    for field in try root["added_tokens"]?.elements() ?? [] {
      let id = try field.required("id").int(in: 0...Vocabulary.largestID)
      let token = try AddedToken(field)
      guard let given = added.add(token, to: vocabulary) else { continue }
      guard given == id else { throw field.error("id \(id) does not follow from the vocabulary, which gives \(given)") }
    }
    var special: [String: SpecialToken] = [:]
    for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
      guard let field = settings[name] else { continue }
      let content = try field.value.string ?? field.required("content").string()
      let known = added.id(of: content) ?? vocabulary.id(of: content)
      if let id = known ?? added.add(AddedToken(special: content), to: vocabulary) {
        special[name] = (id, content)
        if added.byID[id] == nil { added.add(AddedToken(special: content), to: vocabulary) }
      }
    }
    try added.finish(normalizer: normalizer)

    self.tokenizerJSON = tokenizerJSON
    configurationJSON = settings.value
    self.file = file
    self.vocabulary = vocabulary
    self.merges = merges
    self.added = added
    self.normalizer = normalizer
    self.preTokenizer = preTokenizer
    self.model = try BPE(
      model, vocabulary: vocabulary, merges: merges, isByteLevel: preTokenizer.endsInByteLevel)
    let known = added
    postProcessor = try PostProcessor(root["post_processor"]) {
      known.byID[$0] != nil || vocabulary.bytes(of: $0) != nil
    }
    decoder = try TokenDecoder(root["decoder"])
    vocabularySize = max(vocabulary.idLimit, added.idLimit)
    bosToken = special["bos_token"]
    eosToken = special["eos_token"]
    padToken = special["pad_token"]
  }

  private static func checkKind(_ model: JSONField) throws {
    guard let type = model["type"] else { return }
    let name = try type.string()
    guard name == "BPE" else {
      throw type.unsupported("tokenizers of kind \"\(DPOError.printable(name))\" are not supported; expected BPE")
    }
  }

  private static func vocabulary(_ field: JSONField) throws -> Vocabulary {
    let tokens = try field.object()
    var bytes = 0
    var idLimit = 0
    for (token, value) in tokens.members {
      guard let id = value.int, (0...Vocabulary.largestID).contains(id) else {
        throw field.error(
          "the id of \"\(DPOError.printable(token))\" is not a number from 0 to \(Vocabulary.largestID)")
      }
      bytes += token.utf8.count
      idLimit = max(idLimit, id + 1)
    }
    let vocabulary = Vocabulary(count: tokens.count, bytes: bytes, idLimit: idLimit)
    for (token, value) in tokens.members {
      var token = token
      let inserted = token.withUTF8 { vocabulary.insert($0, id: Int32(value.int ?? 0)) }
      guard inserted == .done else {
        throw field.error("id \(value.int ?? 0) belongs to two tokens, one of them \"\(DPOError.printable(token))\"")
      }
    }
    return vocabulary
  }

  /// Merges are pairs, or texts with one blank between the two.
  private static func merges(_ field: JSONField, _ vocabulary: Vocabulary) throws -> MergeTable {
    guard let items = field.value.array else { throw field.error("expected an array, found \(field.value.kind)") }
    let table = MergeTable(count: items.count)
    for (rank, item) in items.enumerated() {
      func bad(_ message: String) -> DPOError { field.error("merge \(rank): \(message)") }
      let parts: [String]
      if let text = item.string {
        parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      } else {
        parts = item.array?.compactMap(\.string) ?? []
      }
      guard parts.count == 2 else { throw bad("expected two tokens") }
      func id(_ token: String) throws -> Int32 {
        guard let id = vocabulary.id(of: token) else {
          throw bad("\"\(DPOError.printable(token))\" is not in the vocabulary")
        }
        return id
      }
      try table.insert(id(parts[0]), id(parts[1]), rank: rank, merged: id(parts[0] + parts[1]))
    }
    return table
  }

  /// Token ids of a text.
  ///
  /// - Parameter addSpecialTokens: also those that the tokenizer puts around a text by default (BOS, where it has one).
  public func encode(_ text: String, addSpecialTokens: Bool) throws -> [Int32] {
    var text = text
    return try pool.use { scratch in
      var out: [Int32] = []
      try text.withUTF8 { whole in
        try added.split(whole, .raw, token: { out.append($0) }) { piece in
          let isStart = piece.baseAddress == whole.baseAddress
          if let normalized = try normalizer?.apply(piece, scratch.regex) {
            try normalized.withUnsafeBufferPointer { try encodeNormalized($0, isStart: isStart, scratch, &out) }
          } else {
            try encodeNormalized(piece, isStart: isStart, scratch, &out)
          }
        }
      }
      return postProcessor.process(out, addSpecialTokens: addSpecialTokens)
    }
  }

  private func encodeNormalized(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ scratch: EncodeScratch, _ out: inout [Int32]
  ) throws {
    var ids: [Int32] = []
    try added.split(text, .normalized, token: { ids.append($0) }) { piece in
      let first = isStart && piece.baseAddress == text.baseAddress
      try preTokenizer.forEachWord(of: piece, isStart: first, scratch.regex) {
        try model.encode($0, scratch, into: &ids)
      }
    }
    out.append(contentsOf: ids)
  }

  /// The text of some tokens; bytes that are no UTF-8 become U+FFFD. Unknown ids are left out.
  public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool) -> String {
    let tokens = ids.compactMap { id -> [UInt8]? in
      if skipSpecialTokens, added.byID[id]?.special == true { return nil }
      return text(of: id)
    }
    let bytes = try? pool.use { try decoder.decode(tokens, $0.regex) }
    return String(decoding: bytes ?? Array(tokens.joined()), as: UTF8.self)
  }

  /// The bytes that a token adds inside of a text; none for an unknown id.
  public func bytes(of id: Int32) -> [UInt8] {
    guard let token = text(of: id) else { return [] }
    if added.byID[id] != nil { return token }
    return (try? pool.use { try decoder.bytes(of: token, $0.regex) }) ?? token
  }

  /// A token as the vocabulary writes it.
  public func token(_ id: Int32) -> String? { text(of: id).map { String(decoding: $0, as: UTF8.self) } }

  public func id(of token: String) -> Int32? { added.id(of: token) ?? vocabulary.id(of: token) }

  /// Whether `id` is a special token, which decoding may skip.
  public func isSpecial(_ id: Int32) -> Bool { added.byID[id]?.special == true }

  private func text(of id: Int32) -> [UInt8]? {
    if let token = added.byID[id] { return Array(token.content.utf8) }
    return vocabulary.bytes(of: id).map(Array.init)
  }

  /// The chat template, parsed when it is first asked for; nil if the tokenizer has none.
  public var chatTemplate: ChatTemplate? {
    get throws {
      try template.withLock { cached in
        if let cached { return try cached.get() }
        let result = Result { () throws -> ChatTemplate? in
          guard let json = configurationJSON["chat_template"], !json.isNull else { return nil }
          return try ChatTemplate(json: json, file: file)
        }.mapError { $0 as? DPOError ?? DPOError(.format, "\(file): chat template: \($0)") }
        cached = .some(result)
        return try result.get()
      }
    }
  }
}

/// Text of tokens that come one by one: only whole characters are handed out.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private var pending: [UInt8] = []

  public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// The text that is complete with this token; what may still become a character waits.
  public mutating func append(_ id: Int32) -> String {
    if skipSpecialTokens, tokenizer.isSpecial(id) { return "" }
    pending += tokenizer.bytes(of: id)
    let complete = pending.count - StreamingDecoder.unfinished(pending)
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// What was still waiting, as U+FFFD.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// Number of bytes at the end that may be the beginning of a character.
  private static func unfinished(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let first = bytes[bytes.count - length]
      if first & 0xC0 == 0x80 { continue }
      let needed = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
      return needed > length ? length : 0
    }
    return 0
  }
}
