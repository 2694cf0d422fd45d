import DPOBase
import DPOText
import TestSupport
import Testing

private func tokenizer(_ model: String) throws -> Tokenizer {
  try Tokenizer(
    tokenizerJSON: Fixtures.json("models/\(model)/tokenizer.json"),
    configuration: Fixtures.json("models/\(model)/tokenizer_config.json"), file: "models/\(model)/tokenizer.json")
}

@Suite(.timeLimit(.minutes(10))) struct TokenizerTests {
  static let models = ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"]

  @Test(arguments: models) func idsAndTextsAreThoseOfTokenizers(_ model: String) throws {
    let tokenizer = try tokenizer(model)
    let golden = try Fixtures.json("golden/tokenize/\(model).json")
    for row in golden["rows"]?.array ?? [] {
      let text = row["text"]?.string ?? ""
      let ids = try tokenizer.encode(text, addSpecialTokens: false)
      #expect(ids.map(Int.init) == row["ids"]?.array?.compactMap(\.int), "\(text.debugDescription)")
      if let special = row["ids_special"]?.array {
        #expect(try tokenizer.encode(text, addSpecialTokens: true).map(Int.init) == special.compactMap(\.int))
      }
    }
    for row in golden["decode"]?.array ?? [] {
      let ids = row["ids"]?.array?.compactMap { $0.int.map(Int32.init) } ?? []
      #expect(tokenizer.decode(ids, skipSpecialTokens: false) == row["text"]?.string)
      #expect(tokenizer.decode(ids, skipSpecialTokens: true) == row["text_skipping"]?.string)
    }
  }

  /// Code, emoji, scripts, blanks and control characters.
  @Test(arguments: models) func idsOfManyTextsAreThoseOfTokenizers(_ model: String) throws {
    let tokenizer = try tokenizer(model)
    let golden = try Fixtures.json("golden/texts.json")
    let texts = golden["texts"]?.array?.compactMap(\.string) ?? []
    let digests = golden[model]?.string?.split(separator: " ") ?? []
    #expect(texts.count == 500 && digests.count == 500)
    for (text, digest) in zip(texts, digests) {
      let ids = try tokenizer.encode(text, addSpecialTokens: true)
      #expect(
        Fixtures.digest(ids.map(String.init).joined(separator: " ")) == digest, "\(text.debugDescription): \(ids)")
    }
  }

  @Test(arguments: models) func streamedTextIsTheDecodedText(_ model: String) throws {
    let tokenizer = try tokenizer(model)
    let text = "Ça va? 日本語 🙂👩‍👩‍👧 done"
    let ids = try tokenizer.encode(text, addSpecialTokens: false)
    var stream = StreamingDecoder(tokenizer)
    #expect(ids.map { stream.append($0) }.joined() + stream.finish() == text)
    var cut = StreamingDecoder(tokenizer)
    let broken = ids.prefix(1).map { cut.append($0) }.joined() + cut.finish()
    #expect(broken == tokenizer.decode(ids.prefix(1), skipSpecialTokens: true))
  }
}
