import DPOBase
import DPOStorage

extension ModelFile {
  /// Reads and tokenises JSON lines with this model's tokenizer.
  public func dataset(jsonl path: String, options: DatasetOptions) throws -> TokenizedDataset {
    guard let tokenizer = try tokenizer else {
      throw DPOError.noTokenizer(self)
    }
    let data = try TokenizedDataset(jsonl: path, tokenizer: tokenizer, options: options)
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
