import DPOBase

/// What a row asks of a model.
public struct PromptRow: Sendable, Equatable {
  /// What is asked.
  public let prompt: Content
  /// What the chat template reads besides messages.
  public let template: TemplateColumns

  /// A prompt by itself.
  public init(_ prompt: Content, template: TemplateColumns = .none) {
    self.prompt = prompt
    self.template = template
  }

  /// The columns of a row.
  var columns: JSONObject { (["prompt": prompt.json] as JSONObject).with(template.columns) }

  /// Prompts of a file or directory of rows: the "prompt" of every row, text or chat messages, with `tools` and `chat_template_kwargs`.
  ///
  /// - Parameter chat: text becomes a user's message, for the model's chat template.
  /// - Throws: `.format` with the line of a row without a prompt; `.format` for a file without rows.
  public static func read(_ path: String, chat: Bool = false) throws -> [PromptRow] {
    var prompts: [PromptRow] = []
    try RowFiles([path]).forEachRow { row, place in
      guard var prompt = Content(row["prompt"]) else {
        throw DPOError.format(
          place.description, "\"prompt\" is \(row["prompt"]?.kind ?? "missing"), expected text or messages")
      }
      if chat, case .text(let text) = prompt { prompt = .chat([.user(text)]) }
      let template = try TemplateColumns(row, beside: prompt, place: place.description)
      prompts.append(PromptRow(prompt, template: template))
    }
    guard !prompts.isEmpty else { throw DPOError.format(path, "no rows; expected at least one prompt") }
    return prompts
  }
}
