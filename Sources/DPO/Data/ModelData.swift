import DPOBase
import DPOStorage

extension ModelFile {
  /// Reads rows and tokenises them with this model's tokenizer; see `TokenizedDataset.init`.
  ///
  /// - Throws: as there; `.unsupported` for rows of text where the model has no tokenizer, `.format` for a token id that it
  ///   has no embedding for.
  /// - Parameter progress: is told of long work, a few times a second; what it throws ends the work.
  public func dataset(
    _ source: DataSource, options: DatasetOptions, progress: DatasetProgress? = nil
  ) throws -> TokenizedDataset {
    let tokenizer = try tokenizer
    guard tokenizer != nil || !source.needsTokenizer else { throw DPOError.noTokenizer(self) }
    let data = try TokenizedDataset(source, tokenizer: tokenizer, options: options, progress: progress)
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
