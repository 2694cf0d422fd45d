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
    try self.init(
      source, rowTokenizer: tokenizer.map { RowTokenizer($0, time: options.templateTime) }, options: options)
  }

  package convenience init(_ source: DataSource, rowTokenizer: RowTokenizer?, options: DatasetOptions) throws {
    switch source {
    case .files(let paths):
      try self.init(RowStream(files: paths, purpose: options.purpose), rowTokenizer, options)
    case .lines(let bytes, let name): try self.init(RowStream(JSONLines(bytes, name: name)), rowTokenizer, options)
    case .rows(let rows): try self.init(RowStream(rows), rowTokenizer, options)
    case .tokens(let rows): try self.init(DatasetBuilder(rows, options: options))
    }
  }

  private convenience init(_ stream: RowStream, _ tokenizer: RowTokenizer?, _ options: DatasetOptions) throws {
    guard let tokenizer else { throw DPOError.argument("rows of text need a tokenizer") }
    var format: RowFormat?
    var builder: DatasetBuilder?
    var waiting: [(row: DataRow, number: Int)] = []  // rejected completions of a block that is being unpaired

    func add(_ row: DataRow, _ number: Int) throws {
      let tokens = try tokenizer.tokenize(
        row, place: "\(stream.name): \(stream.unit) \(number)", assistantOnly: options.learnsAssistantOnly)
      try builder?.append(tokens, row, line: number)
    }
    func flush() throws {
      for (row, number) in waiting { try add(row, number) }
      waiting.removeAll(keepingCapacity: true)
    }

    try stream.forEach { object, number in
      let place = "\(stream.name): \(stream.unit) \(number)"
      let rows = try format ?? RowFormat(first: object, purpose: options.purpose, place: place)
      if builder == nil {
        builder = try DatasetBuilder(
          name: stream.name, unit: stream.unit, kind: options.purpose.learns(rows.kind), options: options)
        format = rows
      }
      var row = try rows.read(object, place: place)
      if rows.kind == .pairs { try row.extractPrompt(place: place) }
      if options.purpose == .supervised, rows.kind == .pairs { row = row.unpaired().chosen }
      guard options.purpose == .unpaired, rows.kind == .pairs else { return try add(row, number) }
      let (chosen, rejected) = row.unpaired()
      try add(chosen, number)
      waiting.append((rejected, number))
      if waiting.count == TokenizedDataset.unpairingBlock { try flush() }
    }
    try flush()
    guard let builder else { throw DPOError.format(stream.name, "no rows; expected at least one JSON object") }
    try self.init(builder)
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
