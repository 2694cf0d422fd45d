import DPOBase
import DPOText

extension TokenizedDataset {
  /// Reads rows and tokenises them, one at a time: `{"prompt", "chosen", "rejected"}` as text or chat messages, the prompt
  /// perhaps inside both completions; `{"prompt", "completion"}` with or without `"label"`; `{"text"}`; `{"messages"}`. The
  /// first row decides which. Optional columns: `weight`, `margin`, `ref_chosen_logps` with `ref_rejected_logps`, `tools`,
  /// `chat_template_kwargs`; others are ignored.
  ///
  /// - Parameters:
  ///   - tokenizer: not needed for rows of token ids.
  ///   - progress: is told of long work, a few times a second; what it throws ends the work.
  /// - Throws: `.format` naming file, line and key of the first bad row; `.io` if a file cannot be read.
  public convenience init(
    _ source: DataSource, tokenizer: Tokenizer? = nil, options: DatasetOptions = DatasetOptions(),
    progress: DatasetProgress? = nil
  ) throws {
    try options.validate()
    var options = options
    let readsClock =
      tokenizer != nil && source.needsTokenizer && options.purpose != .pretraining
      && (try? tokenizer?.chatTemplate)??.readsClock == true
    let cache = try tokenizer.flatMap { try DatasetCache(source, $0, options) }
    if let tokenizer, let cache {
      let contents = try cache.contents(readsClock: readsClock, progress) { dated, directory in
        try DatasetBuilder(
          RowStream(source, dated), RowTokenizer(tokenizer, time: dated.templateTime), dated, spillingTo: directory,
          progress)
      }
      var readAgain: (@Sendable (Int) throws -> TokenizedDataset)?
      if readsClock {
        readAgain = { [options = contents.options, kept = try source.kept()] time in
          var dated = options
          dated.templateTime = time
          guard let files = kept.files else { throw DPOError(.internal, "a cache of rows that are in no files") }
          return try TokenizedDataset(files, tokenizer: tokenizer, options: dated)
        }
      }
      self.init(contents, readAgain: readAgain)
      return
    }
    var readAgain: (@Sendable (Int) throws -> TokenizedDataset)?
    if let tokenizer, readsClock {
      options.templateTime = options.templateTime ?? Machine.localTime
      readAgain = TokenizedDataset.reading(try source.kept(), tokenizer, options)
    }
    try self.init(
      source, rowTokenizer: tokenizer.map { RowTokenizer($0, time: options.templateTime) }, options: options,
      readAgain: readAgain, progress: progress)
  }

  /// Reads rows once more at a time, after which they can be read at another one.
  private static func reading(_ source: KeptSource, _ tokenizer: Tokenizer, _ options: DatasetOptions)
    -> @Sendable (_ time: Int) throws -> TokenizedDataset
  {
    { time in
      var dated = options
      dated.templateTime = time
      guard let rows = try source.rows(dated) else { throw DPOError(.internal, "token ids have no chat template") }
      return try TokenizedDataset(
        DatasetBuilder(rows, RowTokenizer(tokenizer, time: time), dated, spillingTo: nil, nil).contents(),
        readAgain: reading(source, tokenizer, options))
    }
  }

  package convenience init(
    _ source: DataSource, rowTokenizer: RowTokenizer?, options: DatasetOptions,
    readAgain: (@Sendable (Int) throws -> TokenizedDataset)? = nil, progress: DatasetProgress? = nil
  ) throws {
    if case .tokens(let rows) = source {
      try self.init(DatasetBuilder(rows, options: options).contents())
    } else {
      let stream = try RowStream(source, options)
      guard let rowTokenizer else { throw DPOError.argument("rows of text need a tokenizer") }
      try RowStream.checkRoom(stream.size, made: stream.name)
      try self.init(
        DatasetBuilder(stream, rowTokenizer, options, spillingTo: nil, progress).contents(), readAgain: readAgain)
    }
  }
}

extension DataRow {
  /// The chosen and the rejected completion as rows of their own.
  func unpaired() -> (chosen: DataRow, rejected: DataRow) {
    func part(_ index: Int) -> DataRow {
      var row = self
      row.completions = [completions[index]]
      row.label = index == 0
      row.reference = nil
      row.margin = nil
      return row
    }
    return (part(0), part(1))
  }
}
