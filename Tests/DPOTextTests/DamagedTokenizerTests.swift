import DPOBase
import DPOText
import TestSupport
import Testing

/// tokenizer.json and tokenizer_config.json as no one should write them: an error that names the key, or a tokenizer
/// that works; never a crash or a hang.
@Suite(.timeLimit(.minutes(10))) struct DamagedTokenizerTests {
  private func split(_ regex: String) -> String {
    let pattern = JSON.string(regex)
    return #"{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": \#(pattern)}, "behavior":"#
      + #" "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}"#
  }

  /// The smallest tokenizer, with some parts set to JSON texts. Keys of the model are "model.…".
  private func make(_ changes: [String: String?], configuration: String = "{}") throws -> Tokenizer {
    var document: JSONObject = [
      "version": "1.0", "added_tokens": [["id": 0, "content": "<s>", "special": true]],
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
      "decoder": ["type": "ByteLevel", "add_prefix_space": false],
    ]
    var model: JSONObject = [
      "type": "BPE", "vocab": ["<s>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4], "merges": [["a", "b"]],
    ]
    for (key, text) in changes {
      let value = try text.map { try JSON.parse($0, file: "change") }
      if key.hasPrefix("model.") { model[String(key.dropFirst(6))] = value } else { document[key] = value }
    }
    if changes["model"] == nil { document["model"] = .object(model) }
    return try Tokenizer(
      tokenizerJSON: .object(document), configuration: JSON.parse(configuration, file: "tokenizer_config.json"),
      file: "dir/tokenizer.json")
  }

  private static let refused: [(key: String, text: String?)] = [
    ("model", "null"), ("model", "[]"), ("model", "\"x\""), ("model", "{}"), ("model.type", "\"Nope\""),
    ("model.type", "\"Unigram\""), ("model.type", "\"WordPiece\""), ("model.type", "7"),
    ("model.vocab", "[]"), ("model.vocab", "\"x\""), ("model.vocab", nil), ("model.vocab", "{}"),
    ("model.vocab", "{\"a\": \"b\"}"), ("model.vocab", "{\"a\": null}"), ("model.vocab", "{\"a\": -1}"),
    ("model.vocab", "{\"a\": 1.5}"), ("model.vocab", "{\"a\": 4294967295}"),
    ("model.vocab", "{\"a\": 9223372036854775808}"),
    ("model.vocab", "{\"a\": 1, \"b\": 1, \"ab\": 3}"), ("model.merges", "\"x\""), ("model.merges", "[1]"),
    ("model.merges", "[\"nospace\"]"), ("model.merges", "[[\"a\"]]"), ("model.merges", "[[\"a\", \"b\", \"c\"]]"),
    ("model.merges", "[[1, 2]]"), ("model.merges", "[[\"b\", \"a\"]]"), ("model.merges", "[[\"zz\", \"qq\"]]"),
    ("model.merges", "[null]"), ("model.merges", nil), ("model.unk_token", "7"), ("model.byte_fallback", "\"x\""),
    ("model.dropout", "0.5"), ("model.continuing_subword_prefix", "\"##\""), ("model.end_of_word_suffix", "\"</w>\""),
    ("pre_tokenizer", "{\"type\": \"Nope\"}"), ("pre_tokenizer", "{}"), ("pre_tokenizer", "7"),
    ("pre_tokenizer", "{\"type\": \"Split\"}"), ("normalizer", "{\"type\": \"Nope\"}"), ("normalizer", "{}"),
    ("normalizer", "{\"type\": \"Replace\"}"),
    ("normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"!!\"}"),
    ("decoder", "{\"type\": \"Nope\"}"), ("decoder", "7"), ("post_processor", "{\"type\": \"Nope\"}"),
    ("post_processor", "7"),
    (
      "post_processor",
      "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\", \"type_id\": 0}}], \"special_tokens\": {}}"
    ),
    (
      "post_processor",
      "{\"type\": \"BertProcessing\", \"sep\": [\"a\", 99], \"cls\": [\"a\", 1]}"
    ),
    ("added_tokens", "\"x\""), ("added_tokens", "[1]"), ("added_tokens", "[{\"id\": -1, \"content\": \"z\"}]"),
    ("added_tokens", "[{\"id\": \"7\", \"content\": \"z\"}]"), ("added_tokens", "[{\"id\": 1}]"),
    ("added_tokens", "[{\"id\": 1, \"content\": 7}]"), ("added_tokens", "[{\"id\": 1000, \"content\": \"z\"}]"),
    ("version", "\"9.9\""), ("version", "7"),
  ]

  @Test func everyErrorNamesFileAndKey() throws {
    for (key, text) in DamagedTokenizerTests.refused {
      let error = #expect(throws: DPOError.self, "\(key) = \(text ?? "nothing")") { try make([key: text]) }
      let name = key.split(separator: ".").last.map(String.init) ?? key
      #expect(error?.message.hasPrefix("dir/tokenizer.json: ") == true, "\(error?.message ?? "")")
      #expect(error?.message.contains(name) == true || name == "type", "\(error?.message ?? "")")
    }
  }

  @Test(arguments: [
    "(", "[z-a]", "\\p{Nope}", "\\", "a{99999999}", "((a{1,99}){1,99}){1,99}", "[a[b]]", "[a&&b]", "\\u12",
  ])
  func expressionsThatCannotBeAreNamed(_ regex: String) throws {
    let error = #expect(throws: DPOError.self) { try make(["pre_tokenizer": split(regex)]) }
    #expect(error?.message.contains("pre_tokenizer.pretokenizers[0].pattern.Regex") == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    "(a+)+$", "(a|aa)+$", "(a|a?)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(?R)", "(?:(?R))*", "", "a*", "(?=a)",
    String(repeating: "(", count: 5000) + "a" + String(repeating: ")", count: 5000),
  ]) func expressionsThatBacktrackWithoutEndStop(_ regex: String) throws {
    let texts = [String(repeating: "a", count: 40) + "!", String(repeating: "ab ", count: 200)]
    do {
      let tokenizer = try make(["pre_tokenizer": split(regex)])
      for text in texts { _ = try tokenizer.encode(text, addSpecialTokens: true) }
    } catch let error as DPOError {
      #expect(error.code == .unsupported || error.code == .format)
    }
  }

  @Test func aNormalizerThatGrowsATextWithoutEndStops() throws {
    let doubling = "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aa\"}"
    let steps = Array(repeating: doubling, count: 40).joined(separator: ",")
    let tokenizer = try make(["normalizer": "{\"type\": \"Sequence\", \"normalizers\": [\(steps)]}"])
    let error = #expect(throws: DPOError.self) { try tokenizer.encode("a", addSpecialTokens: false) }
    #expect(error?.message.contains("normalizer") == true)
    #expect(try tokenizer.encode("b", addSpecialTokens: false) == [2])
  }

  @Test(arguments: [
    "{\"eos_token\": 7}", "{\"eos_token\": {\"content\": 7}}", "{\"bos_token\": [1]}", "[]",
    "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"x\"}}}", "{\"added_tokens_decoder\": {\"99999999999\": 7}}",
  ]) func damagedConfigurationsAreNamed(_ text: String) throws {
    let error = #expect(throws: DPOError.self) { try make([:], configuration: text) }
    #expect(error?.message.hasPrefix("dir/tokenizer_config.json: ") == true, "\(error?.message ?? "")")
  }

  @Test func specialTokensOfTheConfigurationAreFoundInText() throws {
    let tokenizer = try make(
      [:], configuration: "{\"eos_token\": {\"content\": \"ab\"}, \"pad_token\": \"<pad>\", \"bos_token\": null}")
    #expect(tokenizer.eosToken?.id == 3)
    #expect(tokenizer.bosToken == nil)
    #expect(tokenizer.padToken?.id == 5)
    #expect(tokenizer.vocabularySize == 6)
    #expect(try tokenizer.encode("a<pad>b<s>", addSpecialTokens: false) == [1, 5, 2, 0])
    #expect(tokenizer.decode([1, 3, 5, 2], skipSpecialTokens: true) == "ab")
  }

  @Test func aPartlyKnownAlphabetLeavesTheRestOut() throws {
    #expect(try make([:]).encode("a?b", addSpecialTokens: false) == [1, 2])
    let unknown = try make(["model.unk_token": "\"<s>\""])
    #expect(try unknown.encode("a??b", addSpecialTokens: false) == [1, 0, 0, 2])
    let missing = try make(["model.unk_token": "\"nope\""])
    #expect(throws: DPOError.self) { try missing.encode("?", addSpecialTokens: false) }
  }

  /// As one word: a merge a pair, in n log n.
  @Test func wordsOfAMillionCharactersAreQuick() throws {
    let tokenizer = try make([:])
    let many = String(repeating: "ab", count: 500_000)
    #expect(try tokenizer.encode(many, addSpecialTokens: false) == Array(repeating: 3, count: 500_000))
    #expect(try tokenizer.encode(String(repeating: " ", count: 1_000_000), addSpecialTokens: false).count == 1_000_000)
  }

  @Test func shortAndLongWordsMergeAlike() throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: Fixtures.json("models/gpt2/tokenizer.json"), configuration: nil, file: "tokenizer.json")
    // Around the length where the algorithm changes, by a word that is cut after each byte it could end at.
    let word = String(repeating: "internationalization", count: 4)
    for length in 30...60 {
      let text = String(word.prefix(length))
      let ids = try tokenizer.encode(text, addSpecialTokens: false)
      #expect(tokenizer.decode(ids, skipSpecialTokens: false) == text)
    }
  }

  @Test func threadsShareATokenizer() async throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: Fixtures.json("models/qwen2/tokenizer.json"),
      configuration: Fixtures.json("models/qwen2/tokenizer_config.json"), file: "tokenizer.json")
    let rows = try Fixtures.json("golden/tokenize/qwen2.json")["rows"]?.array ?? []
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          try rows.allSatisfy { row in
            try tokenizer.encode(row["text"]?.string ?? "", addSpecialTokens: false).map(Int.init)
              == row["ids"]?.array?.compactMap(\.int)
          }
        }
      }
      for try await same in group { #expect(same) }
    }
  }
}
