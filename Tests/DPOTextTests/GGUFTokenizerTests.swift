import DPOBase
import DPOStorage
import DPOText
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct GGUFTokenizerTests {
  static let models = ["gpt2", "llama-tied", "llama-untied", "qwen2", "qwen3"]

  private func fromDirectory(_ model: String) throws -> Tokenizer {
    try Tokenizer(
      tokenizerJSON: Fixtures.json("models/\(model)/tokenizer.json"),
      configuration: Fixtures.json("models/\(model)/tokenizer_config.json"), file: "tokenizer.json")
  }

  private func metadata(_ pairs: [(key: String, value: GGUFValue)]) -> GGUFMetadata {
    var metadata = GGUFMetadata(file: "test.gguf")
    for (key, value) in pairs { metadata.set(key, value) }
    return metadata
  }

  private func expectSame(_ left: Tokenizer, _ right: Tokenizer, _ model: String) throws {
    #expect(left.eosToken?.id == right.eosToken?.id)
    #expect(left.bosToken?.text == right.bosToken?.text)
    for row in try Fixtures.json("golden/tokenize/\(model).json")["rows"]?.array ?? [] {
      let text = row["text"]?.string ?? ""
      for special in [false, true] {
        #expect(try left.encode(text, addSpecialTokens: special) == right.encode(text, addSpecialTokens: special))
      }
    }
  }

  @Test(arguments: models) func metadataMakeTheTokenizerOfTheDirectory(_ model: String) throws {
    let file = try GGUFFile(Fixtures.path("gguf/\(model).gguf"))
    let tokenizer = try Tokenizer.fromGGUF(file.metadata)
    try expectSame(tokenizer, fromDirectory(model), model)
    #expect(tokenizer.vocabularySize == (try fromDirectory(model)).vocabularySize)
  }

  @Test(arguments: models) func metadataGoThereAndBack(_ model: String) throws {
    let original = try fromDirectory(model)
    let pairs = try original.ggufMetadata()
    try expectSame(Tokenizer.fromGGUF(metadata(pairs)), original, model)
    let file = try GGUFFile(Fixtures.path("gguf/\(model).gguf"))
    guard case .strings(let tokens) = file.metadata["tokenizer.ggml.tokens"] else { throw DPOError.argument("tokens") }
    let written = metadata(try Tokenizer.fromGGUF(file.metadata).ggufMetadata(rows: tokens.count))
    for key in ["model", "pre", "tokens", "merges", "token_type", "bos_token_id", "eos_token_id"] {
      #expect(written["tokenizer.ggml.\(key)"] == file.metadata["tokenizer.ggml.\(key)"], "\(key)")
    }
  }

  @Test(arguments: models) func theDocumentsThatAreStoredMakeTheSameTokenizer(_ model: String) throws {
    let file = try GGUFFile(Fixtures.path("gguf/\(model).gguf"))
    let tokenizer = try Tokenizer.fromGGUF(file.metadata)
    let stored = try JSON.parse("\(tokenizer.tokenizerJSON)", file: "tokenizer.json")
    let again = try Tokenizer(
      tokenizerJSON: stored, configuration: tokenizer.configurationJSON, file: "tokenizer.json")
    try expectSame(again, tokenizer, model)
    #expect(again.tokenizerJSON == tokenizer.tokenizerJSON)
  }

  /// Under every name that both know, text is split as llama.cpp splits it.
  @Test func wordsAreSplitAsLlamaCppDoes() throws {
    let golden = try #require(Fixtures.json("golden/pre.json").object)
    func strings(_ key: String) -> [String] { golden[key]?.array?.compactMap(\.string) ?? [] }
    let (tokens, texts) = (strings("tokens"), strings("texts"))
    let names = golden.keys.filter { !["tokens", "merges", "texts"].contains($0) }
    #expect(names.count > 40 && texts.count == 70)
    for name in names {
      let tokenizer = try Tokenizer.fromGGUF(
        metadata([
          ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string(name)),
          ("tokenizer.ggml.tokens", .strings(tokens)), ("tokenizer.ggml.merges", .strings(strings("merges"))),
          ("tokenizer.ggml.token_type", .ints(tokens.map { _ in 1 })),
        ]))
      let rows = try #require(golden[golden[name]?.string ?? name]?.array)
      #expect(rows.count == texts.count && rows.count(where: \.isNull) < 40)
      for (text, ids) in zip(texts, rows) where !ids.isNull {
        let expected = ids.array?.compactMap { $0.int.map(Int32.init) }
        #expect(try tokenizer.encode(text, addSpecialTokens: false) == expected, "\(name): \(text.debugDescription)")
      }
    }
  }

  private var tiny: GGUFMetadata {
    metadata([
      ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("gpt-2")),
      ("tokenizer.ggml.tokens", .strings(["<s>", "a", "b", "ab", "<x>"])),
      ("tokenizer.ggml.token_type", .ints([3, 1, 1, 1, 4])), ("tokenizer.ggml.merges", .strings(["a b"])),
      ("tokenizer.ggml.bos_token_id", .int(0)), ("tokenizer.ggml.eos_token_id", .int(0)),
    ])
  }

  @Test func tokenTypesAndBOSAreHonoured() throws {
    var metadata = tiny
    #expect(try Tokenizer.fromGGUF(metadata).encode("ab<x><s>", addSpecialTokens: true) == [3, 4, 0])
    metadata.set("tokenizer.ggml.add_bos_token", .bool(true))
    metadata.set("tokenizer.ggml.add_eos_token", .bool(true))
    let tokenizer = try Tokenizer.fromGGUF(metadata)
    #expect(try tokenizer.encode("ab<x>", addSpecialTokens: true) == [0, 3, 4, 0])
    #expect(tokenizer.decode([0, 3, 4, 0], skipSpecialTokens: true) == "ab<x>")
    // Llama 3's pre-tokenizer puts BOS where the file does not say.
    metadata = tiny
    metadata.set("tokenizer.ggml.pre", .string("llama-bpe"))
    #expect(try Tokenizer.fromGGUF(metadata).encode("ab", addSpecialTokens: true) == [0, 3])
  }

  /// llama.cpp 0.3.36's own for "gpt2" (`llama_vocab::impl::load`): 11, where a key's id is none. An ordinary token splits no
  /// text, and what ends rows has to be named.
  @Test(arguments: [12, 4_294_967_295]) func withoutIdsSpecialTokensAreThoseOfLlamaCpp(key: Int) throws {
    let words = ["<s>", "a", "b", "ab", ",", "d", "e", "f", "g", "h", "i"]
    for (last, type, named) in [("ba", 1, nil), ("<|endoftext|>", 3, 11)] as [(String, Int, Int32?)] {
      var metadata = tiny
      metadata.set("tokenizer.ggml.tokens", .strings(words + [last]))
      metadata.set("tokenizer.ggml.token_type", .ints([3] + words.dropFirst().map { _ in 1 } + [type]))
      metadata.set("tokenizer.ggml.merges", .strings(type == 1 ? ["a b", "b a"] : ["a b"]))
      metadata.set("tokenizer.ggml.add_bos_token", .bool(true))
      for name in ["bos", "eos"] { metadata.set("tokenizer.ggml.\(name)_token_id", .int(key)) }
      let tokenizer = try Tokenizer.fromGGUF(metadata)
      #expect(tokenizer.bosToken?.id == named && tokenizer.eosToken?.id == named)
      #expect(tokenizer.isSpecial(11) == (named != nil))
      #expect(try tokenizer.encode("ab,", addSpecialTokens: true) == [11, 3, 4])
      if named == nil {
        // It stands at the start as text, and llama.cpp puts one before it.
        #expect(try tokenizer.encode(whole: "baab") == [11, 11, 3])
        #expect(tokenizer.decode([11, 3], skipSpecialTokens: true) == "baab")
      } else {
        #expect(try tokenizer.encode(whole: "<|endoftext|>b") == [11, 2])
      }
    }
  }

  @Test(arguments: [
    ("model", GGUFValue.string("t5"), "unigram"), ("model", .string("nope"), "nope"),
    ("scores", .doubles([1]), "found 1"), ("scores", .doubles([1, 2, 3, 4, .nan]), "number 4 is nan"),
    ("model", .int(1), "expected a string"), ("pre", .string("nope"), "\"nope\""), ("tokens", .strings([]), "found 0"),
    ("tokens", .ints([1, 2]), "expected an array of strings"),
    ("tokens", .strings(["<s>", "a", "b", "ab", "a"]), "the same"),
    ("merges", .strings(["nospace"]), "merges[0]"), ("merges", .strings(["a b", "zz qq"]), "merges[1]"),
    ("merges", .strings(["a  b"]), "merges[0]"), ("merges", .doubles([1]), "expected an array of strings"),
    ("token_type", .ints([1]), "found 1"), ("token_type", .strings(["x"]), "whole numbers"),
    ("add_bos_token", .string("x"), "expected a boolean"),
  ]) func damagedMetadataAreNamed(_ key: String, _ value: GGUFValue, _ what: String) throws {
    var metadata = tiny
    if key == "scores" { metadata = sentencePieces(tiny) }
    metadata.set("tokenizer.ggml.\(key)", value)
    let error = #expect(throws: DPOError.self) { try Tokenizer.fromGGUF(metadata) }
    #expect(error?.message.contains("test.gguf: tokenizer.ggml.\(key)") == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(what) == true, "\(error?.message ?? "")")
  }

  /// The same tokens without merges.
  private func sentencePieces(_ original: GGUFMetadata) -> GGUFMetadata {
    var metadata = GGUFMetadata(file: original.file)
    for key in original.keys where !key.hasSuffix(".merges") {
      if let value = original[key] { metadata.set(key, value) }
    }
    metadata.set("tokenizer.ggml.model", .string("llama"))
    return metadata
  }

  /// SentencePiece's tokenizer in a file: "prefix" puts a blank before a text, "plain" does not, in "phi3" special tokens take
  /// the blanks behind them, "gemma4" is "plain" with the merges in the file.
  private func sentencePiece(_ kind: String) throws -> Tokenizer {
    if kind == "gemma4" {
      var merged = try metadata(sentencePiece("plain").ggufMetadata(kind: kind))
      #expect(merged["tokenizer.ggml.model"] == .string("gemma4"))
      // llama.cpp does not believe it.
      merged.set("tokenizer.ggml.add_bos_token", .bool(false))
      return try Tokenizer.fromGGUF(merged)
    }
    var metadata = try GGUFFile(Fixtures.path("gguf/llama-spm.gguf")).metadata
    metadata.set("tokenizer.ggml.add_space_prefix", .bool(kind != "plain"))
    if kind == "phi3" { metadata.set("general.name", .string("Phi-3 Mini")) }
    return try Tokenizer.fromGGUF(metadata)
  }

  @Test(arguments: ["prefix", "plain", "phi3", "gemma4"]) func sentencePieceIsLlamaCpps(_ name: String) throws {
    let tokenizer = try sentencePiece(name)
    let stored = try JSON.parse("\(tokenizer.tokenizerJSON)", file: "tokenizer.json")
    let fromJSON = try Tokenizer(
      tokenizerJSON: stored, configuration: tokenizer.configurationJSON, file: "tokenizer.json")
    let again = try Tokenizer.fromGGUF(metadata(fromJSON.ggufMetadata()))
    let rows = try #require(Fixtures.json("golden/spm.json")[name == "gemma4" ? "plain" : name]?.array)
    #expect(rows.count > 100)
    for row in rows {
      let text = row["text"]?.string ?? ""
      let expected = row["ids"]?.array?.compactMap { $0.int.map(Int32.init) } ?? []
      // No key of a GGUF file tells what Phi 3's name does.
      for reader in name == "phi3" ? [tokenizer, fromJSON] : [tokenizer, fromJSON, again] {
        #expect(try reader.encode(text, addSpecialTokens: false) == expected, "\(text)")
      }
      let plain = text.unicodeScalars.allSatisfy { $0 != "\u{2581}" && $0 != "<" }
      if plain { #expect(tokenizer.decode(expected, skipSpecialTokens: false) == text, "\(text)") }
    }
    #expect(try tokenizer.encode("the", addSpecialTokens: true).first == tokenizer.bosToken?.id)
  }

  /// What other programs' folders lack follows from the merges: the same pairs are joined first.
  @Test func scoresThatNoFileGaveKeepTheTokens() throws {
    let tokenizer = try sentencePiece("prefix")
    var json = try #require(tokenizer.tokenizerJSON.object)
    json["gguf"] = nil
    let plain = try Tokenizer(
      tokenizerJSON: .object(json), configuration: tokenizer.configurationJSON, file: "tokenizer.json")
    let again = try Tokenizer.fromGGUF(metadata(plain.ggufMetadata()))
    for row in try Fixtures.json("golden/spm.json")["prefix"]?.array ?? [] {
      let text = row["text"]?.string ?? ""
      #expect(try again.encode(text, addSpecialTokens: false) == tokenizer.encode(text, addSpecialTokens: false))
    }
  }
}
