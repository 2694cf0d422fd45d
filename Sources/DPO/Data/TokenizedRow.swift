import DPOBase

/// Token ids of a row, for hosts that tokenise themselves; EOS is included where it shall count.
public struct TokenizedRow: Sendable, Equatable {
  /// What comes before the completion; may be empty.
  public var prompt: [Int32]
  /// The chosen completion of a pair, or the only one.
  public var completion: [Int32]
  /// The rejected completion of a pair.
  public var rejected: [Int32]?
  /// Desirable or not, of a labelled completion.
  public var label: Bool?
  /// Factor on the row's loss; nil: 1.
  public var weight: Double?

  /// A row of one kind: with `rejected` a pair, with `label` a labelled completion, otherwise a completion.
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

extension DatasetBuilder {
  /// Rows of token ids; the first row decides whether they are pairs, labelled or plain completions.
  ///
  /// - Throws: `.format` with the number of the row that is not like the first one or has an empty completion.
  init(_ rows: [TokenizedRow], options: DatasetOptions) throws {
    guard let first = rows.first else { throw DPOError.format("rows", "no rows; expected at least one") }
    let kind: RowKind =
      options.purpose == .prompts
      ? .prompts : first.rejected != nil ? .pairs : first.label != nil ? .unpaired : .completions
    guard options.purpose.accepts(kind), options.purpose.learns(kind) == kind else {
      throw DPOError.format("rows", "expected \(options.purpose.expectation); found \(kind.rawValue)")
    }
    try self.init(name: "rows", kind: kind, options: options)
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
      try append(
        RowTokenizer.Tokens(prompt: row.prompt, completions: completions), columns,
        RowPlace(file: "rows", unit: "row", number: index + 1))
    }
  }
}
