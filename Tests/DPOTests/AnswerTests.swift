import DPO
import TestSupport
import Testing

/// Answers as streams, and what a model may be asked.
@Suite(.timeLimit(.minutes(5))) struct AnswerTests {
  private let model: LanguageModel
  private var options = GenerationOptions()

  init() throws {
    model = try LanguageModel(path: Fixtures.path("models/llama-tied"))
    options.maxNewTokens = 12
    options.completionsPerPrompt = 3
    options.seed = 7
  }

  @Test func streamedTokensAreThoseOfGenerate() async throws {
    let expected = try model.generate([model.tokens(of: "The film was")], options: options)[0]
    var tokens = [[Int32]](repeating: [], count: 3)
    var texts = [String](repeating: "", count: 3)
    for try await token in try model.answers(to: "The film was", options: options) {
      tokens[token.answer].append(token.token)
      texts[token.answer] += token.text
    }
    #expect(tokens == expected.map(\.tokens))
    for (text, completion) in zip(texts, expected) {
      let whole = try model.text(completion)
      #expect(whole.hasPrefix(text))
      #expect(whole.utf8.count - text.utf8.count < 4)  // a character that was never completed
    }
  }

  @Test func leavingTheLoopStopsTheDrawingAndLeavesTheModelUsable() async throws {
    var options = options
    options.maxNewTokens = 200
    let answers = try model.answers(to: "The film was", options: options)
    for try await _ in answers { break }
    await answers.ended()
    #expect(try model.score(texts: [("a", " b")]).count == 1)
  }

  @Test func refusalsComeBeforeTheStream() throws {
    var options = options
    options.completionsPerPrompt = 0
    #expect(throws: DPOError.self) { try model.answers(to: "The film", options: options) }
    // This model has no chat template.
    let bare = try LanguageModel(path: Fixtures.path("models/gpt2"))
    let error = #expect(throws: DPOError.self) { try bare.answers(to: .chat([.user("Hello")])) }
    #expect(error?.code == .unsupported)
  }

  @Test func messagesAreWrittenByTheTemplate() throws {
    let messages: [Chat.Message] = [.system("Be brief."), .user("Why?"), .assistant("So."), Chat.Message("tool", "1")]
    #expect(
      Content.chat(messages).json.description
        == #"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}, {"role": "tool", "content": "1"}]"#
    )
  }
}
