import DPOBase
import DPOText
import TestSupport
import Testing

/// Every step, option and kind of added token against what `tokenizers` makes of it (make_tokenizer_features.py).
@Suite(.timeLimit(.minutes(10))) struct TokenizerFeatureTests {
  @Test func everyStepDoesWhatTokenizersDoes() throws {
    let golden = try Fixtures.json("golden/tokenizer_features.json")
    for entry in golden["cases"]?.array ?? [] {
      let name = try #require(entry["model"]?.string)
      var document = try #require(golden["models"]?[name]?.object)
      for (key, value) in entry["set"]?.object?.members ?? [] {
        if key == "model" {
          var model = try #require(document["model"]?.object)
          for (option, setting) in value.object?.members ?? [] { model[option] = setting }
          document["model"] = .object(model)
        } else {
          document[key] = value
        }
      }
      let tokenizer = try Tokenizer(tokenizerJSON: .object(document), configuration: nil, file: "tokenizer.json")
      for row in entry["rows"]?.array ?? [] {
        let text = try #require(row["text"]?.string)
        let place: Comment = "\(text.debugDescription) with \(name), \(entry["set"] ?? .null)"
        let ids = try tokenizer.encode(text, addSpecialTokens: false)
        let special = try tokenizer.encode(text, addSpecialTokens: true)
        #expect(ids.map(Int.init) == row["ids"]?.array?.compactMap(\.int), place)
        #expect(special.map(Int.init) == (row["special"] ?? row["ids"])?.array?.compactMap(\.int), place)
        #expect(tokenizer.decode(special, skipSpecialTokens: true) == row["decoded"]?.string, place)
        var stream = StreamingDecoder(tokenizer)
        #expect(special.map { stream.append($0) }.joined() + stream.finish() == row["decoded"]?.string, place)
      }
    }
  }

  /// `tokenizers` puts BOS and EOS around every text; what a text spells out itself is not there twice. Here an unknown character
  /// has BOS's id, and blanks before BOS and behind EOS belong to them.
  @Test(
    arguments: [
      ("ab", [0, 2, 3, 1], 0, 0), ("жa", [0, 0, 2, 1], 0, 0), ("<s>ab", [0, 0, 2, 3, 1], 1, 0),
      (" <s>ab", [0, 0, 2, 3, 1], 1, 0), ("ab</s>", [0, 2, 3, 1, 1], 0, 1), ("ab</s> ", [0, 2, 3, 1, 1], 0, 1),
      ("ж", [0, 0, 1], 0, 0), ("", [0, 1], 0, 0), ("<s>", [0, 0, 1], 1, 0), ("a<s>b", [0, 2, 0, 3, 1], 0, 0),
      ("<s>ж", [0, 0, 0, 1], 1, 0), ("жж", [0, 0, 0, 1], 0, 0), ("<s></s>", [0, 0, 1, 1], 1, 1),
    ] as [(String, [Int32], Int, Int)])
  func specialTokensStandOnce(_ text: String, _ around: [Int32], _ before: Int, _ behind: Int) throws {
    func token(_ id: Int, _ content: String, _ side: String) -> JSON {
      [
        "id": .int(id), "content": .string(content), "single_word": false, "lstrip": .bool(side == "left"),
        "rstrip": .bool(side == "right"), "normalized": false, "special": true,
      ]
    }
    func special(_ name: String) -> JSON { ["SpecialToken": ["id": .string(name), "type_id": 0]] }
    let a: JSON = ["Sequence": ["id": "A", "type_id": 0]]
    let document: JSON = [
      "version": "1.0", "truncation": .null, "padding": .null, "normalizer": .null, "pre_tokenizer": .null,
      "added_tokens": [token(0, "<s>", "left"), token(1, "</s>", "right")], "decoder": ["type": "Fuse"],
      "post_processor": [
        "type": "TemplateProcessing", "single": [special("<s>"), a, special("</s>")],
        "pair": [special("<s>"), a, special("</s>"), ["Sequence": ["id": "B", "type_id": 1]]],
        "special_tokens": [
          "<s>": ["id": "<s>", "ids": [0], "tokens": ["<s>"]], "</s>": ["id": "</s>", "ids": [1], "tokens": ["</s>"]],
        ],
      ],
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": "<s>", "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": ["<s>": 0, "</s>": 1, "a": 2, "b": 3, " ": 4], "merges": [],
      ],
    ]
    let tokenizer = try Tokenizer(tokenizerJSON: document, configuration: nil, file: "tokenizer.json")
    #expect(try tokenizer.encode(text, addSpecialTokens: true) == around)
    #expect(try tokenizer.encode(whole: text) == Array(around.dropFirst(before).dropLast(behind)))
    #expect(try tokenizer.encode(prompt: text) == Array(around.dropFirst(before).dropLast(1)))
  }

  /// With a vocabulary of exactly the pieces, and words that are tokens taken whole, ids tell where the text was cut.
  @Test(arguments: [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2"), ("smollm", "smollm")])
  func llamaCppsNamesCutTextWhereTheOriginalsDo(_ kind: String, _ pre: String) throws {
    let golden = try Fixtures.json("golden/pretokenize.json")
    let strings = golden["strings"]?.array?.compactMap(\.string) ?? []
    let cuts = golden[kind]?.array?.map { $0.array?.compactMap(\.int) ?? [] } ?? []
    #expect(strings.count == cuts.count && !strings.isEmpty)
    var pieces: [[[UInt8]]] = []
    for (text, lengths) in zip(strings, cuts) {
      var rest = Array(text.utf8)[...]
      pieces.append(
        lengths.map { length in
          defer { rest = rest.dropFirst(length) }
          return Array(rest.prefix(length))
        })
    }
    var metadata = GGUFMetadata(file: "test.gguf")
    var tokens = (0..<256).map { String(byteLevel([UInt8($0)])) }
    var known = Set(tokens)
    for piece in pieces.joined() where known.insert(byteLevel(piece)).inserted { tokens.append(byteLevel(piece)) }
    metadata.set("tokenizer.ggml.model", .string("gpt2"))
    metadata.set("tokenizer.ggml.pre", .string(pre))
    metadata.set("tokenizer.ggml.tokens", .strings(tokens))
    metadata.set("tokenizer.ggml.merges", .strings([]))
    // Cuts were made without normalization, and words are taken whole.
    var document = try #require(try Tokenizer.fromGGUF(metadata).tokenizerJSON.object)
    var model = try #require(document["model"]?.object)
    model["ignore_merges"] = true
    document["model"] = .object(model)
    document["normalizer"] = .null
    let tokenizer = try Tokenizer(tokenizerJSON: .object(document), configuration: nil, file: "tokenizer.json")
    for (text, expected) in zip(strings, pieces) {
      let ids = try tokenizer.encode(text, addSpecialTokens: false)
      #expect(ids.map { tokenizer.token($0) } == expected.map { byteLevel($0) }, "\(text.debugDescription)")
    }
  }

  private func byteLevel(_ bytes: [UInt8]) -> String {
    var out = String.UnicodeScalarView()
    for byte in bytes {
      let printable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
      // The others follow from U+0100: 0x00…0x20 are 0…32, 0x7F…0xA0 are 33…66, 0xAD is 67.
      let offset = byte <= 0x20 ? Int(byte) : byte == 0xAD ? 67 : Int(byte) - 0x7F + 33
      if let scalar = Unicode.Scalar(UInt32(printable ? Int(byte) : 256 + offset)) { out.append(scalar) }
    }
    return String(out)
  }
}
