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
  package func chat(_ messages: [JSON], addGenerationPrompt: Bool) throws -> String {
    try tokenizer.chat(messages, addGenerationPrompt: addGenerationPrompt, variables: [:], file: file.path)
  }

  /// The model's chat template over messages, as text.
  ///
  /// - Throws: `.unsupported` without a template, `.format` if it refuses the messages.
  public func text(of messages: [Chat.Message], addGenerationPrompt: Bool = true) throws -> String {
    try chat(messages.map(\.json), addGenerationPrompt: addGenerationPrompt)
  }

  /// Tokens of a prompt: text with BOS before it where the tokenizer puts one and the text has none, or messages in the chat
  /// template.
  public func tokens(of prompt: Content) throws -> [Int32] { try tokens(of: PromptRow(prompt)) }

  /// Tokens of a row's prompt.
  package func tokens(of row: PromptRow) throws -> [Int32] { try tokenizer.tokens(of: row, file: file.path) }

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

  /// Answers to a prompt, token by token as they are drawn, from a thread of its own; this model may be used meanwhile.
  ///
  ///     for try await token in try model.answers(to: .chat([.user("Why is the sky blue?")])) { print(token.text) }
  ///
  /// - Parameter options: `completionsPerPrompt` answers grow together.
  /// - Returns: the tokens. Leaving the loop stops the drawing, cancelling its task as well (`CancellationError`).
  /// - Throws: what `tokens(of:)` throws; `.invalidArgument` for options out of range.
  public func answers(to prompt: Content, options: GenerationOptions = GenerationOptions()) throws -> EventStream<
    GeneratedToken
  > {
    try options.validate()
    let ids = try tokens(of: prompt)
    let tokenizer = try tokenizer
    let isStopped = StopFlag()
    // Made here, used by the thread alone.
    nonisolated(unsafe) let model = try copy()
    model.stopRequested = { isStopped.isSet }
    return EventStream(stop: isStopped.set) { tell in
      var texts = [StreamingDecoder](repeating: StreamingDecoder(tokenizer), count: options.completionsPerPrompt)
      do {
        _ = try model.generate([ids], options: options) { _, answer, token in
          let text = texts[answer].append(token)
          tell(GeneratedToken(answer: answer, token: token, text: model.isStop(token) ? "" : text))
          return !isStopped.isSet
        }
      } catch let error as DPOError where error.code == .cancelled {}
    }
  }

  /// A completion's text, without special tokens.
  public func text(_ completion: Completion) throws -> String {
    try tokenizer.decode(completion.tokens, skipSpecialTokens: true)
  }
}

extension Tokenizer {
  /// The chat template over messages; `file` names the model in errors.
  fileprivate func chat(
    _ messages: [JSON], addGenerationPrompt: Bool, variables: JSONObject, time: Int? = nil, file: String
  ) throws -> String {
    guard let template = try chatTemplate else { throw DPOError.unsupported("\(file) has no chat template") }
    // transformers leaves keys of messages out whose value is null, such as the content beside calls of tools.
    let messages = messages.map { message in message.object.map { JSON.object($0.withoutNullMembers) } ?? message }
    return try template.render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, variables: templateVariables.with(variables),
      time: time)
  }

  /// Tokens of a row's prompt. `time`: what the chat template is told, as `DatasetOptions.templateTime`.
  package func tokens(of row: PromptRow, time: Int? = nil, file: String) throws -> [Int32] {
    switch row.prompt {
    case .text(let text): return try encode(prompt: text)
    case .chat(let messages):
      return try encode(
        chat(
          messages.map(\.json), addGenerationPrompt: true, variables: row.template.variables, time: time, file: file),
        addSpecialTokens: false)
    }
  }
}

/// A token of an answer, as it is drawn.
public struct GeneratedToken: Sendable, Equatable {
  /// Which of the answers to the prompt, from 0.
  public let answer: Int
  /// The token's id.
  public let token: Int32
  /// What it adds to the answer's text; empty for special tokens, and while a character is incomplete.
  public let text: String
}
