import DPOBase

/// What a row asks of a model.
public struct PromptRow: Sendable, Equatable {
  /// Text, or chat messages.
  public let prompt: JSON
  /// What the chat template reads besides messages.
  public let template: TemplateColumns

  /// A prompt by itself.
  public init(_ prompt: JSON, template: TemplateColumns = .none) {
    self.prompt = prompt
    self.template = template
  }

  /// The columns of a row.
  var columns: JSONObject { (["prompt": prompt] as JSONObject).with(template.columns) }

  /// Prompts of a file or directory of rows: the "prompt" of every row, text or chat messages, with `tools` and `chat_template_kwargs`.
  ///
  /// - Parameter chat: text becomes a user's message, for the model's chat template.
  /// - Throws: `.format` with the line of a row without a prompt; `.format` for a file without rows.
  public static func read(_ path: String, chat: Bool = false) throws -> [PromptRow] {
    var prompts: [PromptRow] = []
    try RowFiles([path]).forEachRow { row, place in
      guard let prompt = row["prompt"], prompt.string != nil || prompt.array != nil else {
        throw DPOError.format(
          place.description, "\"prompt\" is \(row["prompt"]?.kind ?? "missing"), expected text or messages")
      }
      let content: JSON = chat && prompt.string != nil ? [["role": "user", "content": prompt]] : prompt
      let template = try TemplateColumns(row, beside: content, place: place.description)
      prompts.append(PromptRow(content, template: template))
    }
    guard !prompts.isEmpty else { throw DPOError.format(path, "no rows; expected at least one prompt") }
    return prompts
  }
}
