import DPOBase
import DPOStorage
import DPOText

extension ModelFile {
  /// Reads and tokenises JSON lines with this model's tokenizer.
  public func dataset(jsonl path: String, options: DatasetOptions) throws -> TokenizedDataset {
    try dataset { try TokenizedDataset(jsonl: path, tokenizer: $0, options: options) }
  }

  /// Tokenises rows with the keys of JSON lines.
  public func dataset(rows: [JSONObject], options: DatasetOptions) throws -> TokenizedDataset {
    try dataset { try TokenizedDataset(rows: rows, tokenizer: $0, options: options) }
  }

  private func dataset(_ make: (Tokenizer) throws -> TokenizedDataset) throws -> TokenizedDataset {
    guard let tokenizer = try tokenizer else { throw DPOError.noTokenizer(self) }
    let data = try make(tokenizer)
    try data.check(vocabularySize: configuration.vocabularySize)
    return data
  }
}

extension DPOError {
  static func noTokenizer(_ model: ModelFile) -> DPOError {
    let missing = model.format == .huggingFace ? "no tokenizer.json" : "no tokenizer"
    return .unsupported("\(model.path): it has \(missing); give token ids instead of text")
  }
}
