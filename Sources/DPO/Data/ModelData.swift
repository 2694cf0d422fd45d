import DPOBase
import DPOStorage

extension ModelFile {
  /// Reads and tokenises JSON lines with this model's tokenizer.
  public func dataset(jsonl path: String, options: DatasetOptions) throws -> TokenizedDataset {
    guard let tokenizer = try tokenizer else {
      throw DPOError.unsupported("\(self.path) has no tokenizer; give token ids instead of text")
    }
    let data = try TokenizedDataset(jsonl: path, tokenizer: tokenizer, options: options)
    try data.check(vocabularySize: configuration.vocabularySize)
    return data
  }
}
