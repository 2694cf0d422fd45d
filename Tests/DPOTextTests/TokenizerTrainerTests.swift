import DPOBase
import DPOText
import TestSupport
import Testing

/// Tokenizers that `tokenizers` learned from the same texts (make_bpe.py).
@Suite(.timeLimit(.minutes(10))) struct TokenizerTrainerTests {
  static let names = ["gpt2", "gpt2 once", "smollm", "llama3", "qwen2", "runs", "bytes"]

  @Test(arguments: names) func learnsWhatTokenizersLearns(name: String) throws {
    let golden = try Fixtures.json("golden/bpe.json")
    let expected = try #require(golden[name])
    let tokenizer = try TokenizerTrainerTests.train(golden, expected)
    let vocabulary = try #require(expected["vocab"]?.array).compactMap(\.string)
    #expect(tokenizer.vocabularySize == vocabulary.count)
    for (id, token) in vocabulary.enumerated() { #expect(tokenizer.token(Int32(id)) == token, "\(name) id \(id)") }
    #expect(tokenizer.tokenizerJSON["model"]?["merges"] == expected["merges"], "\(name)")
    for (text, ids) in zip(golden["texts"]?.array ?? [], expected["ids"]?.array ?? []) {
      let found = try tokenizer.encode(text.string ?? "", addSpecialTokens: false)
      #expect(found.map(Int.init) == ids.array?.compactMap(\.int), "\(name): \(text)")
    }
  }

  private static func train(_ golden: JSON, _ expected: JSON) throws -> Tokenizer {
    var options = TokenizerTrainer.Options()
    options.vocabularySize = try #require(expected["vocab_size"]?.int)
    options.minimumFrequency = try #require(expected["min_frequency"]?.int)
    options.wordSplit = try #require(TokenizerTrainer.WordSplit(rawValue: expected["words"]?.string ?? ""))
    options.specialTokens = expected["special"]?.array?.compactMap(\.string) ?? []
    options.bosToken = options.specialTokens[0]
    options.eosToken = options.specialTokens[0]
    options.padToken = options.specialTokens[0]
    var trainer = try TokenizerTrainer(options)
    for text in golden["corpora"]?[expected["corpus"]?.string ?? ""]?.array ?? [] { try trainer.add(text.string ?? "") }
    return try trainer.train()
  }

  @Test func aTrainedTokenizerSurvivesItsFile() throws {
    let golden = try Fixtures.json("golden/bpe.json")
    let tokenizer = try TokenizerTrainerTests.train(golden, #require(golden["smollm"]))
    let again = try Tokenizer(
      tokenizerJSON: JSON.parse(tokenizer.tokenizerJSON.pretty, file: "tokenizer.json"),
      configuration: tokenizer.configurationJSON, file: "tokenizer.json")
    let text = "The harbour <|im_end|> 1999 café\n"
    let ids = try again.encode(text, addSpecialTokens: true)
    #expect(ids == (try tokenizer.encode(text, addSpecialTokens: true)))
    #expect(again.decode(ids, skipSpecialTokens: false) == text)
    #expect(again.eosToken?.text == "<|endoftext|>")
    // Llama-cpp's name for the split, so that the model can be exported.
    #expect(tokenizer.tokenizerJSON["pre_tokenizer"]?["type"] == "Sequence")
  }

  @Test func chatMLHasGenerationBlocks() throws {
    var options = TokenizerTrainer.Options()
    options.chatTemplate = "chatml"
    options.vocabularySize = 300
    var trainer = try TokenizerTrainer(options)
    try trainer.add("hello hello hello")
    let tokenizer = try trainer.train()
    #expect(tokenizer.eosToken?.text == "<|im_end|>")
    let template = try #require(try tokenizer.chatTemplate)
    let messages: [JSON] = [
      ["role": "user", "content": "hi"], ["role": "assistant", "content": "hello"], ["role": "user", "content": "bye"],
    ]
    let rendering = try template.renderTracingGeneration(
      messages: messages, addGenerationPrompt: true, variables: [:])
    #expect(
      rendering.text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
        + "<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n")
    let (ids, marks) = try tokenizer.encode(rendering.text, marking: rendering.generation)
    let learned = zip(ids, marks).filter { $0.1 }.map { $0.0 }
    #expect(tokenizer.decode(learned, skipSpecialTokens: false) == "hello<|im_end|>")
  }

  @Test func badSettingsAreErrors() throws {
    var small = TokenizerTrainer.Options()
    small.vocabularySize = 256
    #expect(throws: DPOError.self) { try TokenizerTrainer(small) }
    var twice = TokenizerTrainer.Options()
    twice.specialTokens = ["<a>", "<a>"]
    #expect(throws: DPOError.self) { try TokenizerTrainer(twice) }
    var empty = TokenizerTrainer.Options()
    empty.eosToken = ""
    #expect(throws: DPOError.self) { try TokenizerTrainer(empty) }
    var template = TokenizerTrainer.Options()
    template.chatTemplate = "{% for %}"
    #expect(throws: DPOError.self) { try TokenizerTrainer(template) }
    #expect(throws: DPOError.self) { try TokenizerTrainer(TokenizerTrainer.Options()).train() }
  }

  /// A cancelled training stops at the next report of its progress.
  @Test func progressMayStopTheTraining() throws {
    var trainer = try TokenizerTrainer(TokenizerTrainer.Options())
    try trainer.add((0..<3000).map { "word\($0 % 700) " }.joined())
    #expect(throws: DPOError(.cancelled, "enough")) {
      try trainer.train { _, _ in throw DPOError(.cancelled, "enough") }
    }
  }

  @Test func marksTokensOfNormalizedText() throws {
    let golden = try Fixtures.json("golden/bpe.json")
    let tokenizer = try TokenizerTrainerTests.train(golden, #require(golden["qwen2"]))
    let text = "e\u{301}te\u{301} and then"
    let start = "e\u{301}te\u{301} ".utf8.count
    let (ids, marks) = try tokenizer.encode(text, marking: [start..<start + 3])
    let marked = zip(ids, marks).filter { $0.1 }.map { $0.0 }
    #expect(tokenizer.decode(marked, skipSpecialTokens: false) == " and")
  }
}
