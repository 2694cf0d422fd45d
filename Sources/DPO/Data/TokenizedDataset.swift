import CKernels
import DPOBase

/// Rows as token ids in one flat array, with what a run needs to know of each.
public final class TokenizedDataset: Sendable {
  /// A prompt and what comes after it, cut to the length limit.
  public struct Sequence: Sendable {
    public let prompt, completion: ArraySlice<Int32>

    /// n: completion tokens.
    public var completionCount: Int { completion.count }
    /// N: completion tokens that are predicted; the first token of a sequence without prompt is not.
    public var targetCount: Int { completion.count - (prompt.isEmpty && !completion.isEmpty ? 1 : 0) }
    public var count: Int { prompt.count + completion.count }
  }

  /// Chosen and rejected of a pair. Under `keepEnd` their prompts may be cut differently; otherwise they are equal.
  public struct Pair: Sendable {
    public let chosen, rejected: Sequence
    public var sharesPrompt: Bool { chosen.prompt.indices == rejected.prompt.indices }
  }

  public let kind: RowKind
  public let options: DatasetOptions
  /// What the data doctor found; `report(context:)` also tells of rows that a model cannot read.
  public let report: DataReport
  /// Number of rows.
  public let count: Int
  /// The file, or "rows" for data of the host.
  public let name: String
  /// "line" where `lines` are those of a file, "row" where they count a host's rows.
  let unit: String
  /// For messages: the line of each row in its file, or its number counted from 1.
  public let lines: [Int]
  /// Desirable or not, of unpaired rows.
  public let labels: [Bool]?
  /// Factors on the rows' losses; nil when no row has any.
  public let weights: [Double]?
  public let margins: [Double]?
  /// Of rows that are prompts: the text or messages; null where a host gave token ids.
  public let prompts: [JSON]?
  /// Log-probs of a reference that came with the data.
  public let referenceChosen, referenceRejected: [Double]?

  private let tokens: [Int32]
  /// Ends of the segments: row r has prompt, chosen, rejected, or prompt and completion, or a prompt alone, one after the
  /// other.
  private let ends: [Int]
  private let segmentsPerRow: Int

  init(_ builder: DatasetBuilder) throws {
    guard builder.count > 0 else {
      let dropped = builder.report.droppedRows
      let reason = dropped > 0 ? "every prompt alone fills max_length (rows: \(dropped))" : "no rows"
      throw DPOError.format(builder.name, "\(reason); expected at least one row to learn from")
    }
    kind = builder.kind
    options = builder.options
    report = builder.finishedReport()
    count = builder.count
    name = builder.name
    unit = builder.unit
    lines = builder.lines
    labels = builder.kind == .unpaired ? builder.labels : nil
    weights = builder.weights
    margins = builder.margins
    prompts = builder.kind == .prompts ? builder.prompts : nil
    referenceChosen = builder.referenceChosen
    referenceRejected = builder.referenceRejected
    tokens = builder.tokens
    ends = builder.ends
    segmentsPerRow = builder.segmentsPerRow
  }

  /// A row's prompt, whole.
  public func prompt(_ row: Int) -> ArraySlice<Int32> { segment(row, 0) }

  /// Whether rows are pairs of chosen and rejected.
  public var isPaired: Bool { kind == .pairs }

  /// Chosen and rejected of row `row`; of a data set whose rows are pairs.
  public func pair(_ row: Int) -> Pair {
    let prompt = segment(row, 0)
    return Pair(chosen: cut(prompt, segment(row, 1)), rejected: cut(prompt, segment(row, segmentsPerRow - 1)))
  }

  /// Prompt and completion of row `row`. Rows of text and messages have no prompt; of pairs it is the chosen side.
  public func sequence(_ row: Int) -> Sequence { cut(segment(row, 0), segment(row, 1)) }

  /// The scored sequences of a row: chosen and rejected, or the one completion.
  public func sequences(_ row: Int) -> [Sequence] {
    (1..<segmentsPerRow).map { cut(segment(row, 0), segment(row, $0)) }
  }

  /// What `sequences` are called.
  public var sequenceNames: [String] { isPaired ? ["chosen", "rejected"] : kind == .prompts ? [] : ["completion"] }

  /// KTO's mismatched rows: each prompt with the completion of the row before it. As in TRL, completions rotate within
  /// consecutive groups of `group` rows of the data, whatever micro-batch a row is in: a group's first prompt gets its last
  /// completion.
  public func mismatched(_ rows: [Int], group: Int) -> [Sequence] {
    rows.map { row in
      let start = row / group * group
      return cut(segment(row, 0), segment(row == start ? min(start + group, count) - 1 : row - 1, 1))
    }
  }

  /// "data.jsonl: line 7", for messages about a row.
  public func place(_ row: Int) -> String { "\(name): \(unit) \(lines[row])" }
  public func lineNumber(_ row: Int) -> Int { lines[row] }

  /// Factor on a row's loss.
  public func weight(_ row: Int) -> Double { weights?[row] ?? 1 }

  /// The reference's log-probs of chosen and rejected that came with a row.
  public func referenceLogProbs(_ row: Int) -> [Double]? {
    guard let referenceChosen, let referenceRejected else { return nil }
    return [referenceChosen[row], referenceRejected[row]]
  }

  /// Tokens of each sequence of a row, prompt included, after truncation.
  public func sequenceLengths(_ row: Int) -> [Int] {
    kind == .prompts ? [prompt(row).count] : sequences(row).map(\.count)
  }
  /// Tokens of a row as trainers without shared prompts count them.
  public func attendedTokens(_ row: Int) -> Int { sequenceLengths(row).reduce(0, +) }
  /// Tokens of the longest sequence.
  public var longestRow: Int { (0..<count).lazy.map(longestSequence).max() ?? 0 }

  /// Distinct tokens of a row (a common prompt once) and the number that is predicted.
  public func size(_ row: Int) -> (tokens: Int, targets: Int) {
    guard kind != .prompts else { return (prompt(row).count, 0) }
    let sequences = sequences(row)
    let shared = isPaired && pair(row).sharesPrompt ? sequences[0].prompt.count : 0
    return (sequences.reduce(0) { $0 + $1.count } - shared, sequences.reduce(0) { $0 + $1.targetCount })
  }

  /// XXH3-64 of everything that training sees of the rows: ids, boundaries, labels, weights, length limit.
  public var fingerprint: UInt64 {
    func hash<T>(_ values: [T]) -> UInt64 { values.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }
    let limit = [options.maxLength ?? 0, options.truncation == .keepEnd ? 1 : 0, segmentsPerRow]
    let columns = [weights ?? [], margins ?? [], referenceChosen ?? [], referenceRejected ?? []].map(hash)
    return hash([hash(tokens), hash(ends), hash((labels ?? []).map { $0 ? 1 : 0 as UInt8 }), hash(limit)] + columns)
  }

  /// The report with the rows that are longer than `context` tokens.
  public func report(context: Int) -> DataReport {
    var report = report
    report.contextLength = context
    report.rowsBeyondContext = (0..<count).lazy.filter { self.longestSequence($0) > context }.count
    return report
  }

  /// Refuses rows that are longer than the model can read.
  public func check(contextLength: Int) throws {
    guard let row = (0..<count).first(where: { longestSequence($0) > contextLength }) else { return }
    throw DPOError.format(
      place(row),
      "\(longestSequence(row)) tokens, more than the model's context of \(contextLength); set max_length to cut rows")
  }

  /// Refuses token ids that the model has no embedding for.
  public func check(vocabularySize: Int) throws {
    guard let index = tokens.firstIndex(where: { $0 < 0 || Int($0) >= vocabularySize }) else { return }
    let row = (ends.firstIndex { $0 > index } ?? 0) / segmentsPerRow
    throw DPOError.format(place(row), "token id \(tokens[index]); expected 0 to \(vocabularySize - 1)")
  }

  /// Tokens of a row's longest sequence, after truncation.
  public func longestSequence(_ row: Int) -> Int {
    sequenceLengths(row).max() ?? 0
  }

  /// Empty where rows have no such part.
  private func segment(_ row: Int, _ part: Int) -> ArraySlice<Int32> {
    guard part < segmentsPerRow else { return [] }
    let index = row * segmentsPerRow + part
    return tokens[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  /// The first or the last `maxLength` tokens of prompt + completion.
  private func cut(_ prompt: ArraySlice<Int32>, _ completion: ArraySlice<Int32>) -> Sequence {
    guard let limit = options.maxLength, prompt.count + completion.count > limit else {
      return Sequence(prompt: prompt, completion: completion)
    }
    switch options.truncation {
    case .keepStart:
      let kept = prompt.prefix(limit)
      return Sequence(prompt: kept, completion: completion.prefix(limit - kept.count))
    case .keepEnd:
      let kept = completion.suffix(limit)
      return Sequence(prompt: prompt.suffix(limit - kept.count), completion: kept)
    }
  }
}
