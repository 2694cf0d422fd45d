import DPOBase
import DPOModel
import DPOStorage
import DPOText

extension LanguageModel {
  /// The model's tokenizer; throws `.unsupported` when the model has none.
  public var tokenizer: Tokenizer {
    get throws {
      guard let tokenizer = try file.tokenizer else {
        throw DPOError.noTokenizer(file)
      }
      return tokenizer
    }
  }

  /// The model's chat template over messages ({"role", "content"}), as text.
  ///
  /// - Parameter variables: more names that the template may use, such as `tools`.
  public func chat(_ messages: [JSON], addGenerationPrompt: Bool, variables: JSONObject = [:]) throws -> String {
    guard let template = try tokenizer.chatTemplate else {
      throw DPOError.unsupported("\(file.path) has no chat template")
    }
    return try template.render(messages: messages, addGenerationPrompt: addGenerationPrompt, variables: variables)
  }

  /// Tokens of a prompt: text with the tokenizer's special tokens, or messages in the chat template.
  ///
  /// - Parameter variables: more names that the template may use, such as `tools`.
  public func promptTokens(_ prompt: JSON, variables: JSONObject = [:]) throws -> [Int32] {
    if let text = prompt.string { return try tokenizer.encode(text, addSpecialTokens: true) }
    guard let messages = prompt.array else {
      throw DPOError.argument("a prompt is \(prompt.kind); expected text or an array of messages")
    }
    return try tokenizer.encode(
      chat(messages, addGenerationPrompt: true, variables: variables), addSpecialTokens: false)
  }

  /// Scores completions of texts, with EOS appended and boundaries as in training.
  public func score(texts: [(prompt: String, completion: String)]) throws -> [CompletionScores] {
    guard !texts.isEmpty else { return [] }
    let sequences = try sequences(texts: texts)
    return try score(
      prompts: sequences.map { Array($0.prompt) },
      completions: sequences.enumerated().map { ($0.offset, Array($0.element.completion)) })
  }

  /// Tokens of texts as training sees them.
  func sequences(texts: [(prompt: String, completion: String)]) throws -> [TokenizedDataset.Sequence] {
    var options = DatasetOptions(.supervised)
    options.maxLength = nil
    let data = try file.dataset(.completions(texts), options: options)
    return (0..<data.count).map(data.sequence)
  }

  // MARK: - Generation

  /// Whether a token ends a completion.
  public func isStop(_ token: Int32) -> Bool { configuration.eosTokens.contains(Int(token)) }

  /// Completions of prompts. They end at the model's end-of-sequence tokens, or at those in `options`.
  ///
  /// - Parameter onToken: sees (prompt, completion, token) as it is drawn; false stops everything.
  public func generate(
    _ prompts: [[Int32]], options: GenerationOptions, onToken: ((Int, Int, Int32) -> Bool)? = nil
  ) throws -> [[Completion]] {
    var options = options
    if options.stopTokens.isEmpty { options.stopTokens = configuration.eosTokens.map { Int32(clamping: $0) } }
    return try Generator(decoder: decoder, adapter: adapter, team: team)
      .generate(prompts: prompts, options: options, onToken: onToken)
  }

  /// A completion's text, without special tokens.
  public func text(_ completion: Completion) throws -> String {
    try tokenizer.decode(completion.tokens, skipSpecialTokens: true)
  }
}
