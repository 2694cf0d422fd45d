import DPOBase

extension TokenizedDataset {
  /// Reads and tokenises JSON lines, one row at a time.
  package convenience init(jsonl path: String, tokenizer: RowTokenizer, options: DatasetOptions) throws {
    try self.init(lines: JSONLines(path), tokenizer: tokenizer, options: options)
  }

  convenience init(lines: JSONLines, tokenizer: RowTokenizer, options: DatasetOptions) throws {
    try self.init(name: lines.name, unit: "line", tokenizer: tokenizer, options: options, source: lines.forEach)
  }

  /// Tokenises rows that a host holds, as objects with the keys of JSON lines.
  package convenience init(rows: [JSONObject], tokenizer: RowTokenizer, options: DatasetOptions) throws {
    try self.init(name: "rows", unit: "row", tokenizer: tokenizer, options: options) { body in
      for (index, row) in rows.enumerated() { try body(row, index + 1) }
    }
  }

  convenience init(
    name: String, unit: String, tokenizer: RowTokenizer, options: DatasetOptions,
    source: ((_ row: JSONObject, _ number: Int) throws -> Void) throws -> Void
  ) throws {
    var format: RowFormat?
    var builder: DatasetBuilder?
    var waiting: [(row: DataRow, number: Int)] = []  // rejected completions of a block that is being unpaired

    func add(_ row: DataRow, _ number: Int) throws {
      let tokens = try tokenizer.tokenize(
        row, place: "\(name): \(unit) \(number)", assistantOnly: options.learnsAssistantOnly)
      try builder?.append(tokens, row, line: number)
    }
    func flush() throws {
      for (row, number) in waiting { try add(row, number) }
      waiting.removeAll(keepingCapacity: true)
    }

    try source { object, number in
      let place = "\(name): \(unit) \(number)"
      let rows = try format ?? RowFormat(first: object, purpose: options.purpose, place: place)
      if builder == nil {
        builder = try DatasetBuilder(
          name: name, unit: unit, kind: options.purpose.learns(rows.kind), options: options)
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
    guard let builder else { throw DPOError.format(name, "no rows; expected at least one JSON object") }
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

/// Token ids of a row, for hosts that tokenise themselves; EOS is included where it shall count.
public struct TokenizedRow: Sendable, Equatable {
  public var prompt: [Int32]
  /// The chosen completion of a pair, or the only one.
  public var completion: [Int32]
  public var rejected: [Int32]?
  public var label: Bool?
  public var weight: Double?

  public init(
    prompt: [Int32], completion: [Int32], rejected: [Int32]? = nil, label: Bool? = nil, weight: Double? = nil
  ) {
    self.prompt = prompt
    self.completion = completion
    self.rejected = rejected
    self.label = label
    self.weight = weight
  }
}

extension TokenizedDataset {
  /// Rows of token ids; the first row decides whether they are pairs, labelled or plain completions.
  ///
  /// - Throws: `.format` with the number of the row that is not like the first one or has an empty completion.
  public convenience init(rows: [TokenizedRow], options: DatasetOptions) throws {
    guard let first = rows.first else { throw DPOError.format("rows", "no rows; expected at least one") }
    let kind: RowKind =
      options.purpose == .prompts
      ? .prompts : first.rejected != nil ? .pairs : first.label != nil ? .unpaired : .completions
    guard options.purpose.accepts(kind), options.purpose.learns(kind) == kind else {
      throw DPOError.format("rows", "expected \(options.purpose.expectation); found \(kind.rawValue)")
    }
    var builder = try DatasetBuilder(name: "rows", unit: "row", kind: kind, options: options)
    for (index, row) in rows.enumerated() {
      guard kind == .prompts || ((row.rejected != nil) == (kind == .pairs) && (row.label != nil) == (kind == .unpaired))
      else {
        throw DPOError.format("rows: row \(index + 1)", "is not of the first row's kind, \(kind.rawValue)")
      }
      if let weight = row.weight, !(weight >= 0 && weight.isFinite) {
        throw DPOError.format("rows: row \(index + 1)", "the weight is \(weight); expected a finite number ≥ 0")
      }
      var columns = DataRow(completions: [])
      columns.label = row.label
      columns.weight = row.weight
      let completions = kind == .prompts ? [] : [row.completion] + (row.rejected.map { [$0] } ?? [])
      try builder.append(
        RowTokenizer.Tokens(prompt: row.prompt, completions: completions), columns, line: index + 1)
    }
    try self.init(builder)
  }
}
