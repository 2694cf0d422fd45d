import DPOBase
import DPOStorage
import DPOText

extension ModelFile {
  /// Reads and tokenises JSON lines with this model's tokenizer; for pretraining also a text file or a directory.
  public func dataset(jsonl path: String, options: DatasetOptions) throws -> TokenizedDataset {
    if options.purpose == .pretraining { return try dataset(text: [path], options: options) }
    return try dataset { try TokenizedDataset(jsonl: path, tokenizer: $0, options: options) }
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
    return try dataset {
      try TokenizedDataset(
        corpus: TextCorpus(paths), tokenizer: RowTokenizer($0, time: options.templateTime), options: options)
    }
  }
}

extension DPOError {
  static func noTokenizer(_ model: ModelFile) -> DPOError {
    let missing = model.format == .huggingFace ? "no tokenizer.json" : "no tokenizer"
    return .unsupported("\(model.path): it has \(missing); give token ids instead of text")
  }
}
