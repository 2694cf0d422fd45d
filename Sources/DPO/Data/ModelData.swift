import DPOBase
import DPOStorage

extension ModelFile {
  /// Reads and tokenises JSON lines with this model's tokenizer; for pretraining also a text file or a directory.
  public func dataset(jsonl path: String, options: DatasetOptions) throws -> TokenizedDataset {
    if options.purpose == .pretraining { return try dataset(text: [path], options: options) }
    guard let tokenizer = try tokenizer else {
      throw DPOError.noTokenizer(self)
    }
    let data = try TokenizedDataset(jsonl: path, tokenizer: tokenizer, options: options)
    try data.check(vocabularySize: configuration.vocabularySize)
    return data
  }

  /// Reads and tokenises what `paths` hold: one file of JSON lines; for pretraining any number of files and directories.
  public func dataset(_ paths: [String], options: DatasetOptions) throws -> TokenizedDataset {
    guard paths.count == 1, options.purpose != .pretraining else { return try dataset(text: paths, options: options) }
    return try dataset(jsonl: paths[0], options: options)
  }

  /// Reads and tokenises the documents of files and directories for pretraining; see `TextCorpus`.
  public func dataset(text paths: [String], options: DatasetOptions) throws -> TokenizedDataset {
    guard options.purpose == .pretraining else {
      throw DPOError.argument("several files of text are data for pretrain; other methods take one file of JSON lines")
    }
    guard let tokenizer = try tokenizer else { throw DPOError.noTokenizer(self) }
    let data = try TokenizedDataset(corpus: TextCorpus(paths), tokenizer: RowTokenizer(tokenizer), options: options)
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
