import DPOBase
import DPOText

extension TokenizedDataset {
  /// Reads rows and tokenises them, one at a time: `{"prompt", "chosen", "rejected"}` as text or chat messages, the prompt
  /// perhaps inside both completions; `{"prompt", "completion"}` with or without `"label"`; `{"text"}`; `{"messages"}`. The
  /// first row decides which. Optional columns: `weight`, `margin`, `ref_chosen_logps` with `ref_rejected_logps`, `tools`,
  /// `chat_template_kwargs`; others are ignored.
  ///
  /// - Parameter tokenizer: not needed for rows of token ids.
  /// - Throws: `.format` naming file, line and key of the first bad row; `.io` if a file cannot be read.
  public convenience init(
    _ source: DataSource, tokenizer: Tokenizer? = nil, options: DatasetOptions = DatasetOptions()
  ) throws {
    var options = options
    var readAgain: (@Sendable (Int) throws -> TokenizedDataset)?
    if let tokenizer, source.needsTokenizer, options.purpose != .pretraining,
      (try? tokenizer.chatTemplate)?.readsClock == true
    {
      options.templateTime = options.templateTime ?? Machine.localTime
      let (source, options) = (try source.kept(), options)
      readAgain = { time in
        var dated = options
        dated.templateTime = time
        guard let rows = try source.rows(dated) else { throw DPOError(.internal, "token ids have no chat template") }
        return try TokenizedDataset(rows, RowTokenizer(tokenizer, time: time), dated, nil)
      }
    }
    try self.init(
      source, rowTokenizer: tokenizer.map { RowTokenizer($0, time: options.templateTime) }, options: options,
      readAgain: readAgain)
  }

  package convenience init(
    _ source: DataSource, rowTokenizer: RowTokenizer?, options: DatasetOptions,
    readAgain: (@Sendable (Int) throws -> TokenizedDataset)? = nil
  ) throws {
    if case .tokens(let rows) = source {
      try self.init(DatasetBuilder(rows, options: options))
    } else {
      try self.init(RowStream(source, options), rowTokenizer, options, readAgain)
    }
  }

  private convenience init(
    _ stream: RowStream, _ tokenizer: RowTokenizer?, _ options: DatasetOptions,
    _ readAgain: (@Sendable (Int) throws -> TokenizedDataset)?
  ) throws {
    guard let tokenizer else { throw DPOError.argument("rows of text need a tokenizer") }
    var format: RowFormat?
    var builder: DatasetBuilder?
    var waiting: [(row: DataRow, place: RowPlace)] = []  // rejected completions of a block that is being unpaired

    func add(_ row: DataRow, _ place: RowPlace) throws {
      let tokens = try tokenizer.tokenize(
        row, place: place.description, assistantOnly: options.learnsAssistantOnly)
      try builder?.append(tokens, row, place)
    }
    func flush() throws {
      for (row, place) in waiting { try add(row, place) }
      waiting.removeAll(keepingCapacity: true)
    }

    try stream.forEach { object, rowPlace in
      let place = rowPlace.description
      let rows = try format ?? RowFormat(first: object, purpose: options.purpose, place: place)
      if builder == nil {
        builder = try DatasetBuilder(
          name: stream.name, kind: options.purpose.learns(rows.kind), options: options, columns: rows.columns,
          shares: stream.shares)
        format = rows
      }
      var row = try rows.read(object, place: place)
      builder?.note(columns: object.keys)
      if rows.kind == .pairs { try row.extractPrompt(place: place) }
      if options.purpose == .supervised, rows.kind == .pairs { row = row.unpaired().chosen }
      guard options.purpose == .unpaired, rows.kind == .pairs else { return try add(row, rowPlace) }
      let (chosen, rejected) = row.unpaired()
      try add(chosen, rowPlace)
      waiting.append((rejected, rowPlace))
      if waiting.count == TokenizedDataset.unpairingBlock { try flush() }
    }
    try flush()
    guard let builder else { throw DPOError.format(stream.name, "no rows; expected at least one JSON object") }
    try self.init(builder, readAgain: readAgain)
  }

  /// Pairs are taken apart in blocks of this many rows: all chosen completions, then all rejected ones, as TRL does.
  static var unpairingBlock: Int { 1000 }
}

extension DataRow {
  /// The chosen and the rejected completion as rows of their own.
  fileprivate func unpaired() -> (chosen: DataRow, rejected: DataRow) {
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
