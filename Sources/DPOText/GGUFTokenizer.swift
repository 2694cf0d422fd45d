import DPOBase

/// Kinds of tokens in `tokenizer.ggml.token_type`.
enum GGUFTokenType: Int {
  case normal = 1
  case unknown = 2
  case control = 3
  case userDefined = 4
  case unused = 5
  case byte = 6
}

/// A kind of tokenizer in a GGUF file (`tokenizer.ggml.model`), in the terms of tokenizer.json.
struct GGUFKind {
  let merges: MergeTable
  var normalizer = JSON.null
  var preTokenizer = JSON.null
  let decoder: JSON
  /// `model` of tokenizer.json, beside vocabulary and merges.
  let model: JSONObject
  /// What holds without `tokenizer.ggml.add_bos_token`.
  let addsBOS: Bool
  /// It holds whatever the file says.
  var alwaysAddsBOS = false
  /// `tokenizer.ggml.pre`, where it tells how text is split.
  var pre: String?
  /// What the kind has beside: see `Tokenizer.ggufKey`.
  var rest = JSON.null
}

extension Tokenizer {
  /// The tokenizer of a GGUF file: its metadata put in the terms of tokenizer.json and tokenizer_config.json.
  /// - Throws: `.unsupported` for tokenizers other than byte-level BPE ("gpt2") and SentencePiece's BPE ("llama", and "gemma4",
  ///   whose merges the file has), `.format` for what is damaged; both name the file and the key.
  package static func fromGGUF(_ metadata: GGUFMetadata) throws -> Tokenizer {
    let source = GGUFTokenizerSource(metadata)
    let model = try source.string("model") ?? { throw source.error("model", "is missing") }()
    guard ["gpt2", "llama", gemma4].contains(model) else {
      let kind =
        switch model {
        case "bert": " (WordPiece)"
        case "t5": " (unigram)"
        default: ""
        }
      throw source.unsupported(
        "model",
        "tokenizer kind \"\(DPOError.printable(model))\"\(kind) is not supported, only gpt2, llama and gemma4 are")
    }
    let tokens = try source.strings("tokens") ?? { throw source.error("tokens", "is missing") }()
    guard !tokens.isEmpty, tokens.count <= Vocabulary.largestID + 1 else {
      throw source.error("tokens", "expected 1 to \(Vocabulary.largestID + 1) tokens, found \(tokens.count)")
    }
    let types = try source.types(count: tokens.count)
    let vocabulary = try source.vocabulary(tokens, types)
    let kind =
      switch model {
      case "gpt2": try byteLevel(source, vocabulary)
      case gemma4: try sentencePiece(source, tokens, vocabulary, isGemma4: true)
      default: try sentencePiece(source, tokens, vocabulary)
      }

    var configuration: JSONObject = ["tokenizer_class": "PreTrainedTokenizerFast"]
    func isMarked(_ id: Int) -> Bool {
      types[id] == GGUFTokenType.control.rawValue || types[id] == GGUFTokenType.unknown.rawValue
    }
    func token(_ key: String, _ name: String) throws -> Int? {
      let given = try source.int("\(key)_token_id").flatMap { tokens.indices.contains($0) ? $0 : nil }
      guard let id = given ?? metadata.standardTokens[name], tokens.indices.contains(id) else { return nil }
      // One that the file neither names nor marks is an ordinary token of its texts, such as GPT-2's ",".
      if given != nil || isMarked(id) || model == "llama" { configuration[name] = .string(tokens[id]) }
      return id
    }
    var special: [String: Int] = [:]
    // Null where there is none: an absent name would be looked for in the defaults of transformers' class.
    for name in ["bos_token", "eos_token", "unk_token", "pad_token"] { configuration[name] = .null }
    for (key, name) in GGUFTokenizerSource.specialTokens { special[name] = try token(key, name) }
    configuration["chat_template"] = try GGUFTemplates.read(source)

    let named = Set(special.filter { configuration[$0.key] != .null }.values)
    let takesBlanks = try model == "llama" && source.isPhi3()
    var added: [JSON] = []
    for (id, type) in types.enumerated() {
      let isSpecial = isMarked(id) || named.contains(id)
      guard isSpecial || type == GGUFTokenType.userDefined.rawValue, !tokens[id].isEmpty else { continue }
      added.append([
        "id": .int(id), "content": .string(tokens[id]), "single_word": false, "lstrip": false,
        "rstrip": .bool(takesBlanks && !["<unk>", "<s>", "<|endoftext|>"].contains(tokens[id])), "normalized": false,
        "special": .bool(isSpecial),
      ])
    }

    let addsBOS = try kind.alwaysAddsBOS || source.bool("add_bos_token") ?? kind.addsBOS
    let addsEOS = try source.bool("add_eos_token") ?? false
    let around = (
      before: addsBOS ? special["bos_token"].map { (tokens[$0], $0) } : nil,
      after: addsEOS ? special["eos_token"].map { (tokens[$0], $0) } : nil
    )
    var skeleton: JSONObject = [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
      "normalizer": kind.normalizer, "pre_tokenizer": kind.preTokenizer,
      "post_processor": template(before: around.before, after: around.after), "decoder": kind.decoder,
      "model": .object(kind.model),
    ]
    if !kind.rest.isNull { skeleton[Tokenizer.ggufKey] = kind.rest }
    return try Tokenizer(
      skeleton: JSONField(.object(skeleton), file: metadata.file), vocabulary: vocabulary, merges: kind.merges,
      configuration: JSONField(.object(configuration), file: metadata.file), ggufPreTokenizer: kind.pre)
  }

  /// SentencePiece's BPE with the merges in the file.
  static let gemma4 = "gemma4"

  /// Where tokenizer.json in an HDF5 file keeps what only GGUF files have; other programs' files have no such key.
  package static let ggufKey = "gguf"

  /// "gpt2"
  private static func byteLevel(_ source: GGUFTokenizerSource, _ vocabulary: Vocabulary) throws -> GGUFKind {
    let name = try source.string("pre") ?? "default"
    guard let pre = GGUFPreTokenizer.named(name) else {
      throw source.unsupported("pre", "pre-tokenizer \"\(DPOError.printable(name))\" is not known")
    }
    return GGUFKind(
      merges: try source.merges(vocabulary), normalizer: pre.normalizer, preTokenizer: pre.preTokenizer,
      decoder: ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true],
      model: [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": .bool(pre.ignoresMerges),
      ], addsBOS: pre.addsBOS, pre: name)
  }

  /// The post-processor that puts tokens around a text; null if it puts none.
  private static func template(before: (text: String, id: Int)?, after: (text: String, id: Int)?) -> JSON {
    if before == nil && after == nil { return .null }
    var special = JSONObject()
    func piece(_ token: (text: String, id: Int)?, _ type: Int) -> [JSON] {
      guard let token else { return [] }
      special[token.text] = ["id": .string(token.text), "ids": [.int(token.id)], "tokens": [.string(token.text)]]
      return [["SpecialToken": ["id": .string(token.text), "type_id": .int(type)]]]
    }
    func text(_ name: String, _ type: Int) -> [JSON] {
      piece(before, type) + [["Sequence": ["id": .string(name), "type_id": .int(type)]]] + piece(after, type)
    }
    return [
      "type": "TemplateProcessing", "single": .array(text("A", 0)), "pair": .array(text("A", 0) + text("B", 1)),
      "special_tokens": .object(special),
    ]
  }

  /// `tokenizer.*` of a GGUF file for this tokenizer.
  /// - Parameters:
  ///   - rows: of the model's embedding; llama.cpp wants a token for each, and none without one. Tokens beyond are left out: no
  ///     text of the model can hold them.
  ///   - kind: what llama.cpp's converter calls the SentencePiece tokenizers of the model's family.
  /// - Throws: `.unsupported` if llama.cpp has no name for the way it splits text, or for its kind.
  package func ggufMetadata(rows: Int? = nil, kind: String = "llama") throws -> [(key: String, value: GGUFValue)] {
    let vocabulary = bpe.vocabulary
    let ids = 0..<Int32(min(rows ?? vocabularySize, Vocabulary.largestID + 1))
    let types: [Int] = ids.map { id in
      if let added = addedTokens.byID[id] {
        let unknown = !bpe.isByteLevel && added.content == bpe.unknownToken
        return (unknown ? GGUFTokenType.unknown : added.special ? .control : .userDefined).rawValue
      }
      guard vocabulary.bytes(of: id) != nil else { return GGUFTokenType.unused.rawValue }
      return (bpe.isFallback(id) ? GGUFTokenType.byte : .normal).rawValue
    }
    var out: [(key: String, value: GGUFValue)] = []
    func set(_ key: String, _ value: GGUFValue) { out.append(("tokenizer.ggml.\(key)", value)) }
    let hasMerges = kind == Tokenizer.gemma4 || skeleton[Tokenizer.ggufKey]?["model"]?.string == Tokenizer.gemma4
    if bpe.isByteLevel {
      set("model", .string("gpt2"))
      set("pre", .string(try ggufPreTokenizerName()))
    } else {
      let scores = try sentencePieceScores(ids)
      set("model", .string(hasMerges ? Tokenizer.gemma4 : "llama"))
      set("scores", .doubles(scores.values))
      set("add_space_prefix", .bool(scores.addsSpace))
    }
    set("tokens", .strings(ids.map { token($0) ?? placeholder($0) }))
    set("token_type", .ints(types))
    if bpe.isByteLevel || hasMerges {
      set(
        "merges",
        .strings(
          bpe.merges.ordered.compactMap { merge in
            guard let left = vocabulary.token(merge.left), let right = vocabulary.token(merge.right),
              let merged = vocabulary.id(of: left + right), [merge.left, merge.right, merged].allSatisfy(ids.contains)
            else { return nil }
            return "\(left) \(right)"
          }))
    }
    for (key, name) in GGUFTokenizerSource.specialTokens {
      let text = specialTokens.first { $0.name == name }?.text
      let added = name == "bos_token" ? around.before : name == "eos_token" ? around.after : []
      let id = text.flatMap(id(of:)) ?? added.first
      guard added.isEmpty || (added.count == 1 && added.first == id) else {
        throw DPOError.unsupported(
          "the tokenizer puts \(added.map { token($0) ?? "\($0)" }.joined()) around a text, and llama.cpp only BOS and EOS"
        )
      }
      if let id, ids.contains(id) { set("\(key)_token_id", .int(Int(id))) }
    }
    set("add_bos_token", .bool(!around.before.isEmpty))
    set("add_eos_token", .bool(!around.after.isEmpty))
    return out + GGUFTemplates.metadata(configurationJSON["chat_template"])
  }
}

extension Tokenizer {
  /// What stands for an id without a token: llama.cpp's converter says "[PAD7]", and no text may stand twice.
  private func placeholder(_ id: Int32) -> String {
    var text = "[PAD\(id)]"
    while self.id(of: text) != nil { text += "_" }
    return text
  }

  private func ggufPreTokenizerName() throws -> String {
    let preTokenizer = skeleton["pre_tokenizer"] ?? .null
    let found =
      ggufPreTokenizer ?? GGUFPreTokenizer.name(preTokenizer: preTokenizer, ignoresMerges: bpe.ignoresMerges)
    guard let found else {
      throw DPOError.unsupported(
        "llama.cpp has no name for the tokenizer's pre-tokenizer \(DPOError.printable("\(preTokenizer)", limit: 200))")
    }
    // llama.cpp normalizes nothing; NFC leaves nearly every text as it is.
    let normalizer = skeleton["normalizer"] ?? .null
    guard normalizer.isNull || normalizer["type"] == "NFC" else {
      throw DPOError.unsupported(
        "llama.cpp cannot do what the tokenizer's normalizer does: \(DPOError.printable("\(normalizer)", limit: 200))")
    }
    return found
  }

  /// What a GGUF file cannot say of the tokens, in sentences.
  package var ggufLosses: [String] {
    let odd = addedTokens.byID.filter { $1.lstrip || $1.rstrip || $1.singleWord }.sorted { $0.key < $1.key }
    guard let first = odd.first else { return [] }
    return [
      "llama.cpp matches \(odd.count) special tokens, such as \"\(DPOError.printable(first.value.content, limit: 30))\", without "
        + "taking the blanks beside them, or in the midst of words (lstrip, rstrip, single_word)"
    ]
  }
}

/// Chat templates of a GGUF file, as llama.cpp's converter writes them: `tokenizer.chat_template` is the default one, and
/// `tokenizer.chat_templates` names those of `tokenizer.chat_template.NAME`.
private enum GGUFTemplates {
  private static let key = "tokenizer.chat_template"

  /// The value of `chat_template` in tokenizer_config.json.
  static func read(_ source: GGUFTokenizerSource) throws -> JSON? {
    let main = try source.string(key)
    var list: [JSON] = main.map { [["name": "default", "template": .string($0)]] } ?? []
    for name in try source.strings("\(key)s") ?? [] where main == nil || name != "default" {
      guard let text = try source.string("\(key).\(name)") else { throw source.error("\(key).\(name)", "is missing") }
      list.append(["name": .string(name), "template": .string(text)])
    }
    return list.count == 1 && main != nil ? list[0]["template"] : list.isEmpty ? nil : .array(list)
  }

  static func metadata(_ template: JSON?) -> [(key: String, value: GGUFValue)] {
    if let text = template?.string { return [(key, .string(text))] }
    var names: [String] = []
    var out: [(key: String, value: GGUFValue)] = []
    let items = template?.array ?? []
    for (index, item) in items.enumerated() {
      guard let name = item["name"]?.string, let text = item["template"]?.string,
        !items[(index + 1)...].contains(where: { $0["name"]?.string == name })
      else { continue }
      if name == "default" {
        out.insert((key, .string(text)), at: 0)
      } else {
        var plain = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        while names.contains(plain) { plain += "_" }
        names.append(plain)
        out.append(("\(key).\(plain)", .string(text)))
      }
    }
    return names.isEmpty ? out : out + [("\(key)s", .strings(names))]
  }
}

/// Typed access to `tokenizer.ggml.*`.
struct GGUFTokenizerSource {
  let metadata: GGUFMetadata

  /// Keys of special tokens ("…_token_id") and their names in tokenizer_config.json. (llama.cpp spells "seperator".)
  static let specialTokens = [
    ("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("seperator", "sep_token"),
    ("padding", "pad_token"), ("cls", "cls_token"), ("mask", "mask_token"),
  ]

  init(_ metadata: GGUFMetadata) { self.metadata = metadata }

  private func full(_ key: String) -> String { key.contains(".") ? key : "tokenizer.ggml.\(key)" }

  func error(_ key: String, _ message: String) -> DPOError { .format(metadata.file, "\(full(key)): \(message)") }

  func unsupported(_ key: String, _ message: String) -> DPOError {
    .unsupported("\(metadata.file): \(full(key)): \(message)")
  }

  private func value<Value>(_ key: String, _ kind: String, _ read: (GGUFValue) -> Value?) throws -> Value? {
    guard let found = metadata[full(key)] else { return nil }
    guard let value = read(found) else { throw error(key, "expected \(kind)") }
    return value
  }

  func string(_ key: String) throws -> String? {
    try value(key, "a string") { if case .string(let text) = $0 { text } else { nil } }
  }

  func bool(_ key: String) throws -> Bool? {
    try value(key, "a boolean") { if case .bool(let flag) = $0 { flag } else { nil } }
  }

  func int(_ key: String) throws -> Int? {
    try value(key, "a whole number") { if case .int(let number) = $0 { number } else { nil } }
  }

  /// Phi 3's special tokens take the blanks behind them, of which no key tells. llama.cpp goes by the name alone.
  func isPhi3() throws -> Bool {
    let name = try string("general.name")?.lowercased() ?? ""
    return try string("general.architecture") == "phi3"
      || ["phi-3", "phi3"].contains { name.offset(behind: $0) != nil }
  }

  func numbers(_ key: String) throws -> [Double]? {
    try value(key, "an array of numbers") { if case .doubles(let items) = $0 { items } else { nil } }
  }

  func strings(_ key: String) throws -> [String]? {
    try value(key, "an array of strings") { if case .strings(let items) = $0 { items } else { nil } }
  }

  /// Without what llama.cpp's converter puts in for rows of the embedding that have no token.
  func vocabulary(_ tokens: [String], _ types: [Int]) throws -> Vocabulary {
    let isPadding = { (id: Int) in types[id] == GGUFTokenType.unused.rawValue && tokens[id].hasPrefix("[PAD") }
    let vocabulary = Vocabulary(
      count: tokens.count, bytes: tokens.reduce(0) { $0 + $1.utf8.count },
      idLimit: (tokens.indices.last { !isPadding($0) } ?? 0) + 1)
    for (id, token) in tokens.enumerated() where !isPadding(id) {
      var token = token
      if case .sameText(let other) = token.withUTF8({ vocabulary.insert($0, id: Int32(id)) }) {
        throw error("tokens", "\(other) and \(id) are the same, \"\(DPOError.printable(token))\"")
      }
    }
    return vocabulary
  }

  func merges(_ vocabulary: Vocabulary) throws -> MergeTable {
    let merges = try strings("merges") ?? { throw error("merges", "is missing") }()
    let table = MergeTable(count: merges.count)
    var room = MergeRoom(vocabulary)
    for (rank, text) in merges.enumerated() {
      try room.add(
        text, rank: rank, to: table, JSONField(.null, file: metadata.file, path: "\(full("merges"))[\(rank)]"))
    }
    return table
  }

  func types(count: Int) throws -> [Int] {
    let types = try value("token_type", "an array of whole numbers") {
      if case .ints(let items) = $0 { items } else { nil }
    }
    guard let types else { return Array(repeating: GGUFTokenType.normal.rawValue, count: count) }
    guard types.count == count else {
      throw error("token_type", "expected one for each of \(count) tokens, found \(types.count)")
    }
    return types
  }
}
