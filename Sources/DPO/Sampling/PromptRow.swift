import DPOBase

/// Prompts in a file.
public enum PromptRows {
  /// Prompts of a JSON-lines file: the "prompt" of every row, text or chat messages.
  ///
  /// - Parameter chat: text becomes a user's message, for the model's chat template.
  /// - Throws: `.format` with the line of a row without a prompt; `.format` for a file without rows.
  public static func read(_ path: String, chat: Bool = false) throws -> [JSON] {
    var prompts: [JSON] = []
    try JSONLines(path).forEachRow { row, line in
      guard let prompt = row["prompt"], prompt.string != nil || prompt.array != nil else {
        throw DPOError.format(
          path, "line \(line): \"prompt\" is \(row["prompt"]?.kind ?? "missing"), expected text or messages")
      }
      prompts.append(chat && prompt.string != nil ? [["role": "user", "content": prompt]] : prompt)
    }
    guard !prompts.isEmpty else { throw DPOError.format(path, "no rows; expected at least one prompt") }
    return prompts
  }
}
