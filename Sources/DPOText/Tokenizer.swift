import DPOBase
import Synchronization

/// A byte-pair-encoding tokenizer, with the semantics of Hugging Face's `tokenizers`.
///
/// Safe to use from any number of threads at once.
public final class Tokenizer: Sendable {
  /// One more than the largest id, added tokens included.
  public let vocabularySize: Int
  /// The tokens that tokenizer_config.json names; nil where it names none.
  public let bosToken, eosToken, padToken: (id: Int32, text: String)?
  /// All special tokens that have a name ("bos_token", "unk_token" …), with their texts, as chat templates know them.
  package let specialTokens: [(name: String, text: String)]
  /// What it puts before a text, mostly BOS, and behind it, EOS if anything.
  package let around: (before: [Int32], after: [Int32])
  /// tokenizer_config.json, or what corresponds to it in GGUF metadata.
  public let configurationJSON: JSON

  /// tokenizer.json without the vocabulary and merges, which are large and kept once.
  let skeleton: JSON
  let bpe: BPE
  let addedTokens: AddedTokens
  /// The pre-tokenizer's name in the GGUF file that this tokenizer is from.
  let ggufPreTokenizer: String?
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer
  private let postProcessor: PostProcessor
  private let decoder: TokenDecoder
  private let pool = ScratchPool()
  private let template: Mutex<Template>

  /// Most uses need no chat template, so it is parsed when first asked for.
  private enum Template {
    case unread(JSONField?)
    case parsed(Result<ChatTemplate?, DPOError>)
  }

  /// Longer texts are refused: positions in a text are kept in 32 bits.
  private static let longestText = Int(Int32.max) / 2

  /// - Parameters:
  ///   - tokenizerJSON: the content of tokenizer.json.
  ///   - configuration: the content of tokenizer_config.json, if there is one.
  ///   - file: the path of tokenizer.json, for errors. tokenizer_config.json is taken to stand beside it.
  ///   - templateFile: the path of the file that the configuration's chat template is from; nil: tokenizer_config.json.
  /// - Throws: `.format` for what is damaged, `.unsupported` for other kinds of tokenizers; both name file and key.
  public convenience init(
    tokenizerJSON: JSON, configuration: JSON?, file: String, templateFile: String? = nil
  ) throws {
    let root = JSONField(tokenizerJSON, file: file)
    let model = try root.required("model")
    let type = try model["type"]?.string() ?? "BPE"
    guard type == "BPE" else {
      throw model.unsupported("tokenizer model \"\(DPOError.printable(type))\" is not supported, only BPE is")
    }
    let vocabulary = try Vocabulary(model.required("vocab"))
    let merges = try MergeTable(model.required("merges"), vocabulary)
    var skeleton = try root.object()
    var rest = try model.object()
    rest["vocab"] = nil
    rest["merges"] = nil
    rest["type"] = .string(type)
    skeleton["model"] = .object(rest)
    try self.init(
      skeleton: JSONField(.object(skeleton), file: file), vocabulary: vocabulary, merges: merges,
      configuration: JSONField(configuration ?? .object([:]), file: besides(file, "tokenizer_config.json")),
      templateFile: templateFile, ggufPreTokenizer: nil)
  }

  init(
    skeleton root: JSONField, vocabulary: Vocabulary, merges: MergeTable, configuration: JSONField,
    templateFile: String? = nil, ggufPreTokenizer: String?
  ) throws {
    if let version = root["version"], try version.string() != "1.0" {
      throw version.unsupported("version \"\(DPOError.printable(try version.string()))\" is not supported, only 1.0 is")
    }
    normalizer = try Normalizer(root["normalizer"])
    preTokenizer = try PreTokenizer(root["pre_tokenizer"])
    bpe = try BPE(
      root.required("model"), vocabulary: vocabulary, merges: merges, isByteLevel: preTokenizer.endsInByteLevel)
    decoder = try TokenDecoder(root["decoder"])
    _ = try configuration.object()

    var added = AddedTokens()
    for field in try root["added_tokens"]?.elements() ?? [] {
      let id = try field.required("id").int(in: 0...Vocabulary.largestID)
      let token = try AddedToken(field)
      if let given = added.add(token, to: vocabulary), given != Int32(id) {
        throw field.error("\"\(DPOError.printable(token.content))\" has id \(id), but the vocabulary makes it \(given)")
      }
    }
    let special = try SpecialTokens(configuration, addingTo: &added, vocabulary)
    try added.finish(normalizer: normalizer)
    addedTokens = added
    bosToken = special.bos
    eosToken = special.eos
    padToken = special.pad
    specialTokens = special.named
    vocabularySize = max(vocabulary.idLimit, added.idLimit)
    postProcessor = try PostProcessor(root["post_processor"]) { [added] id in
      vocabulary.bytes(of: id) != nil || added.byID[id] != nil
    }
    around = postProcessor.around
    let source = configuration["chat_template"]
    template = Mutex(.unread(source.map { JSONField($0.value, file: templateFile ?? $0.file, path: $0.path) }))
    self.skeleton = root.value
    configurationJSON = configuration.value
    self.ggufPreTokenizer = ggufPreTokenizer
  }

  /// The chat template; nil if the tokenizer has none.
  /// - Throws: `.format` for a template that cannot be parsed.
  public var chatTemplate: ChatTemplate? {
    get throws {
      try template.withLock { template in
        if case .unread(let field) = template {
          do throws(DPOError) {
            template = .parsed(.success(try field.map(ChatTemplate.init)))
          } catch {
            template = .parsed(.failure(error))
          }
        }
        guard case .parsed(let result) = template else { return nil }
        return try result.get()
      }
    }
  }

  /// What chat templates know beside the messages: "bos_token" and the other special tokens that have a name.
  package var templateVariables: JSONObject {
    var variables = JSONObject()
    for (name, text) in specialTokens { variables[name] = .string(text) }
    return variables
  }

  // MARK: Encoding

  /// The token ids of a text. With `addSpecialTokens` the tokenizer's post-processor adds what it adds by default, such
  /// as the first token of Llama 3. Text that looks like a special token becomes that token.
  /// - Throws: `.unsupported` if a rule of the tokenizer cannot be applied to this text within bounds.
  public func encode(_ text: String, addSpecialTokens: Bool) throws -> [Int32] {
    try postProcessor.process(plainTokens(of: text), addSpecialTokens: addSpecialTokens)
  }

  /// Token ids of a whole text with the special tokens that the tokenizer adds, but none of them twice: a text that begins
  /// with what goes before it (BOS), or ends with what goes behind it (EOS), keeps what it has.
  package func encode(whole text: String) throws -> [Int32] {
    let inner = try plainTokens(of: text)
    var ids = postProcessor.process(inner, addSpecialTokens: true)
    if begins(inner, text) { ids.removeFirst(around.before.count) }
    if ends(inner, text) { ids.removeLast(around.after.count) }
    return ids
  }

  /// The same of a text that goes on: without EOS behind it.
  package func encode(prompt text: String) throws -> [Int32] {
    let inner = try plainTokens(of: text)
    var ids = postProcessor.process(inner, addSpecialTokens: true)
    if begins(inner, text) { ids.removeFirst(around.before.count) }
    ids.removeLast(around.after.count)
    return ids
  }

  /// Whether a text begins with what goes before it, spelled out: the id alone may also be that of an unknown character or, in
  /// GGUF files, of an ordinary token.
  private func begins(_ ids: [Int32], _ text: String) -> Bool {
    guard ids.starts(with: around.before), let first = around.before.first, let token = addedTokens.byID[first] else {
      return false
    }
    let rest = token.lstrip ? text.drop(while: \.isWhitespace) : text[...]
    return rest.utf8.starts(with: token.content.utf8)
  }

  /// The same of its end.
  private func ends(_ ids: [Int32], _ text: String) -> Bool {
    guard ids.reversed().starts(with: around.after.reversed()), let last = around.after.last,
      let token = addedTokens.byID[last]
    else { return false }
    let rest = token.rstrip ? Substring(text.reversed().drop(while: \.isWhitespace).reversed()) : text[...]
    return rest.utf8.reversed().starts(with: token.content.utf8.reversed())
  }

  /// Before the post-processor adds what it adds.
  private func plainTokens(of text: String) throws -> [Int32] {
    var text = text
    return try text.withUTF8 { text in
      guard text.count <= Tokenizer.longestText else {
        throw DPOError.argument("a text of \(text.count) bytes is longer than \(Tokenizer.longestText)")
      }
      return try pool.use { scratch in
        var out: [Int32] = []
        out.reserveCapacity(text.count / 3 + 8)
        try addedTokens.split(text, .raw) { part in
          switch part {
          case .token(let id): out.append(id)
          case .text(let part):
            let isStart = part.baseAddress == text.baseAddress
            if let normal = try normalizer?.apply(part, scratch.regex) {
              try normal.withUnsafeBufferPointer { try encode($0, isStart: isStart, scratch, into: &out) }
            } else {
              try encode(part, isStart: isStart, scratch, into: &out)
            }
          }
        }
        return out
      }
    }
  }

  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ scratch: EncodeScratch, into out: inout [Int32]
  ) throws {
    try addedTokens.split(text, .normalized) { part in
      switch part {
      case .token(let id): out.append(id)
      case .text(let part):
        let isStart = isStart && part.baseAddress == text.baseAddress
        try preTokenizer.forEachWord(of: part, isStart: isStart, scratch.regex) {
          try bpe.encode($0, scratch, into: &out)
        }
      }
    }
  }

  /// Token ids of a text without special tokens around it, and which of them reach into `ranges`, ascending ranges of the
  /// text's UTF-8 bytes: what the generation blocks of a chat template wrote.
  /// - Throws: `.unsupported` for tokenizers whose tokens do not add up to the text.
  package func encode(_ text: String, marking ranges: [Range<Int>]) throws -> (ids: [Int32], marks: [Bool]) {
    guard decoder.isByteLevel else {
      throw DPOError.unsupported("tokens of this tokenizer cannot be traced to their places in a text")
    }
    func size(_ ids: [Int32]) -> Int { ids.reduce(0) { $0 + bytes(of: $1).count } }
    let ids = try encode(text, addSpecialTokens: false)
    // A normalizer changes lengths: a place then lies where the text before it ends.
    let isPlain = size(ids) == text.utf8.count
    func place(_ offset: Int) throws -> Int {
      if isPlain { return offset }
      return try size(encode(String(decoding: text.utf8.prefix(offset), as: UTF8.self), addSpecialTokens: false))
    }
    let places = try ranges.filter { !$0.isEmpty }.map { try (start: place($0.lowerBound), end: place($0.upperBound)) }
    var marks: [Bool] = []
    marks.reserveCapacity(ids.count)
    var start = 0
    var next = 0
    for id in ids {
      let end = start + bytes(of: id).count
      while next < places.count, places[next].end <= start { next += 1 }
      marks.append(next < places.count && places[next].start < end)
      start = end
    }
    return (ids, marks)
  }

  // MARK: Decoding

  /// The text of the ids. Bytes that are not UTF-8 become U+FFFD; ids without a token are skipped.
  public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool) -> String {
    if decoder.isByteLevel {
      var bytes: [UInt8] = []
      for id in ids where !(skipSpecialTokens && isSpecial(id)) {
        text(of: id)?.withUnsafeBufferPointer { ByteLevel.decode($0, into: &bytes) }
      }
      return String(decoding: bytes, as: UTF8.self)
    }
    var tokens: [[UInt8]] = []
    for id in ids where !(skipSpecialTokens && isSpecial(id)) {
      if let text = text(of: id) { tokens.append(Array(text)) }
    }
    let bytes = try? pool.use { try decoder.decode(tokens, $0.regex) }
    return String(decoding: bytes ?? Array(tokens.joined()), as: UTF8.self)
  }

  /// The bytes that a token adds to a text: part of a character, perhaps. Empty for an id without a token.
  public func bytes(of id: Int32) -> [UInt8] {
    guard let text = text(of: id) else { return [] }
    let bytes = try? pool.use { try decoder.bytes(of: Array(text), $0.regex) }
    return bytes ?? Array(text)
  }

  /// Whether the token is left out of decoded text when special tokens are skipped.
  public func isSpecial(_ id: Int32) -> Bool {
    // `tokenizers` compares texts, and does not know a special token again that a normalizer has changed.
    (addedTokens.byID[id]?.special ?? false) && addedTokens.normalizedText[id] == nil
  }

  /// Whether decoding a list of ids is joining their bytes.
  var decodesBytewise: Bool { decoder.isByteLevel }

  /// What a decoder works on: the UTF-8 of a token in the spelling of the vocabulary.
  private func text(of id: Int32) -> ArraySlice<UInt8>? {
    if let added = addedTokens.byID[id] { return (addedTokens.normalizedText[id] ?? Array(added.content.utf8))[...] }
    return bpe.vocabulary.bytes(of: id).map { ArraySlice($0) }
  }

  // MARK: Tokens

  /// The token of an id in the spelling of the vocabulary, such as "Ġthe"; nil if there is none.
  public func token(_ id: Int32) -> String? { addedTokens.byID[id]?.content ?? bpe.vocabulary.token(id) }

  /// The id of a token in the spelling of the vocabulary.
  public func id(of token: String) -> Int32? { addedTokens.id(of: token) ?? bpe.vocabulary.id(of: token) }

  /// Whether every id stands for the same token in both: text of one is tokens of the other.
  package func hasTokens(of other: Tokenizer) -> Bool {
    self === other
      || (vocabularySize == other.vocabularySize
        && (0..<Int32(clamping: vocabularySize)).allSatisfy { token($0) == other.token($0) })
  }

  /// XXH3-64 of everything that decides which tokens a text becomes, and of the configuration with the chat template.
  package func fingerprint() throws -> UInt64 {
    let hash = try StreamHash()
    for text in [skeleton.description, configurationJSON.description] { Array(text.utf8).withUnsafeBytes(hash.update) }
    for id in 0..<Int32(bpe.vocabulary.idLimit) {
      let bytes = bpe.vocabulary.bytes(of: id).map(Array.init) ?? []
      withUnsafeBytes(of: Int64(bytes.count), hash.update)
      bytes.withUnsafeBytes(hash.update)
    }
    for merge in bpe.merges.ordered { withUnsafeBytes(of: (merge.left, merge.right), hash.update) }
    return hash.value
  }

  // MARK: Storing

  /// tokenizer.json, complete.
  public var tokenizerJSON: JSON {
    var root = skeleton.object ?? [:]
    var model = root["model"]?.object ?? [:]
    var vocabulary = JSONObject()
    for id in 0..<Int32(bpe.vocabulary.idLimit) {
      if let token = bpe.vocabulary.token(id) { vocabulary[token] = .int(Int(id)) }
    }
    model["vocab"] = .object(vocabulary)
    model["merges"] = .array(
      bpe.merges.ordered.map { .array([$0.left, $0.right].map { .string(bpe.vocabulary.token($0) ?? "") }) })
    root["model"] = .object(model)
    return .object(root)
  }
}

/// The path of another file in the directory of a tokenizer.json.
private func besides(_ file: String, _ name: String) -> String {
  // An HDF5 file holds both.
  guard nameOf(file) == "tokenizer.json" else { return file }
  let directory = directoryOf(file)
  return directory == "." ? name : "\(directory)/\(name)"
}

/// The special tokens that tokenizer_config.json names. Those not among the added tokens yet are added, as transformers
/// does.
private struct SpecialTokens {
  var bos, eos, pad: (id: Int32, text: String)?
  var named: [(name: String, text: String)] = []

  init(_ configuration: JSONField, addingTo added: inout AddedTokens, _ vocabulary: Vocabulary) throws {
    if let decoder = configuration["added_tokens_decoder"] {
      var tokens: [(id: Int, token: AddedToken)] = []
      for (key, _) in try decoder.object().members {
        guard let field = decoder[key], let id = Int(key), (0...Vocabulary.largestID).contains(id) else {
          throw decoder.error("\"\(DPOError.printable(key))\" is not a token id")
        }
        tokens.append((id, try AddedToken(field)))
      }
      for (id, token) in tokens.sorted(by: { $0.id < $1.id }) {
        if let given = added.add(token, to: vocabulary), given != Int32(id) {
          throw decoder.error(
            "\"\(DPOError.printable(token.content))\" has id \(id), but the vocabulary makes it \(given)")
        }
      }
    }
    func take(_ field: JSONField) throws -> (id: Int32, text: String)? {
      var token: AddedToken
      if case .object = field.value {
        token = try AddedToken(field)
        token.special = true
      } else {
        token = AddedToken(special: try field.string())
      }
      let known = added.id(of: token.content)
      guard let id = known ?? added.add(token, to: vocabulary) else { return nil }
      return (id, token.content)
    }
    for key in ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
      guard let field = configuration[key] else { continue }
      let token = try take(field)
      if let token { named.append((key, token.text)) }
      switch key {
      case "bos_token": bos = token
      case "eos_token": eos = token
      case "pad_token": pad = token
      default: break
      }
    }
    let extra = configuration["extra_special_tokens"]
    let isEmpty = extra?.value.array?.isEmpty ?? extra?.value.object?.isEmpty ?? true
    let others = isEmpty ? configuration["additional_special_tokens"] : extra
    if case .array? = others?.value { for field in try others?.elements() ?? [] { _ = try take(field) } }
    // Those of a model's own, such as "image_token", are known to templates by their names as well.
    for source in [configuration, others] {
      for (key, value) in source?.value.object?.members ?? [] where key.hasSuffix("_token") {
        let isToken = value.string != nil || value["content"]?.string != nil
        guard isToken, !named.contains(where: { $0.name == key }), let field = source?[key] else { continue }
        if let token = try take(field) { named.append((key, token.text)) }
      }
    }
  }
}

extension ChatTemplate {
  fileprivate init(_ field: JSONField) throws(DPOError) {
    do {
      try self.init(json: field.value, file: field.file)
    } catch {
      throw error as? DPOError ?? field.error("\(error)")
    }
  }
}
