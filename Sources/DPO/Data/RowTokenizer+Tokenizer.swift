import DPOBase
import DPOText

extension RowTokenizer {
  /// The rules of a model's tokenizer: its special tokens around texts, its EOS string, its chat template.
  ///
  /// - Parameter time: what `strftime_now` tells a template, as `DatasetOptions.templateTime`.
  init(_ tokenizer: Tokenizer, time: Int? = nil) {
    self.init(
      encode: { text, form in
        switch form {
        case .prompt: try tokenizer.encode(prompt: text)
        case .whole: try tokenizer.encode(whole: text)
        case .plain: try tokenizer.encode(text, addSpecialTokens: false)
        }
      }, eos: tokenizer.eosToken?.text,
      render: { messages, generate, row in
        try RowTokenizer.template(of: tokenizer).render(
          messages: messages, addGenerationPrompt: generate, variables: RowTokenizer.variables(tokenizer, row),
          time: time)
      },
      trace: { messages, row in
        let rendering = try RowTokenizer.template(of: tokenizer).renderTracingGeneration(
          messages: messages, addGenerationPrompt: false, variables: RowTokenizer.variables(tokenizer, row), time: time)
        return try tokenizer.encode(rendering.text, marking: rendering.generation)
      })
  }

  private static func template(of tokenizer: Tokenizer) throws -> ChatTemplate {
    guard let template = try tokenizer.chatTemplate else {
      throw DPOError.unsupported(
        "the model has no chat template (chat_template of tokenizer_config.json), which rows of messages need")
    }
    return template
  }

  /// What a template may read besides the messages.
  private static func variables(_ tokenizer: Tokenizer, _ row: DataRow) -> JSONObject {
    tokenizer.templateVariables.with(row.template.variables)
  }
}
