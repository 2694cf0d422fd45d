import CKernels
import DPOBase

/// Rows as token ids in one flat array, with what a run needs to know of each.
public final class TokenizedDataset: Sendable {
  /// A prompt and what comes after it, cut to the length limit.
  public struct Sequence: Sendable {
    /// Token ids; an empty prompt where rows have none.
    public let prompt, completion: ArraySlice<Int32>
    /// Whether each token of the completion is learned; nil: all are.
    public var labels: ArraySlice<Bool>?

    /// n: completion tokens.
    public var completionCount: Int { completion.count }
    /// N: completion tokens that are predicted; the first token of a sequence without prompt is not.
    public var targetCount: Int {
      let unpredicted = prompt.isEmpty && !completion.isEmpty ? 1 : 0
      return labels?.dropFirst(unpredicted).count { $0 } ?? completion.count - unpredicted
    }
    /// Tokens of both.
    public var count: Int { prompt.count + completion.count }
  }

  /// Chosen and rejected of a pair. Under `keepEnd` their prompts may be cut differently; otherwise they are equal.
  public struct Pair: Sendable {
    /// The better and the worse answer.
    public let chosen, rejected: Sequence
    /// Whether one prompt stands before both.
    public var sharesPrompt: Bool { chosen.prompt.indices == rejected.prompt.indices }
  }

  /// What the rows hold.
  public let kind: RowKind
  /// How the rows became tokens.
  public let options: DatasetOptions
  /// What the data doctor found; `report(context:)` also tells of rows that a model cannot read.
  public let report: DataReport
  /// Number of rows.
  public let count: Int
  /// The file, "2 files", or "rows" for data of the host.
  public let name: String
  /// Files of the rows, and what their lines count ("line", "row" or "document"); and the file of each row.
  private let files: [(name: String, unit: String)]
  private let fileOfRow: [Int32]
  /// For messages: the line of each row in its file, or its number counted from 1.
  public let lines: [Int]
  /// Desirable or not, of unpaired rows.
  public let labels: [Bool]?
  /// Of ranked rows: the place of each completion, row after row; lower is better.
  private let ranks: [Double]?
  /// Factors on the rows' losses; nil when no row has any.
  public let weights: [Double]?
  /// By how much the chosen answer is better, of pairs that say it; nil when no row does.
  public let margins: [Double]?
  /// Of rows that are prompts: the text or messages; null where a host gave token ids.
  public let prompts: [JSON]?
  /// Log-probs of a reference that came with the data.
  public let referenceChosen, referenceRejected: [Double]?

  /// Rows that share a place in a batch; nil: each has its own.
  let packs: [[Int]]?
  private let tokens: [Int32]
  /// Beside `tokens`; nil: every token of a completion is learned.
  private let learned: [Bool]?
  /// Ends of the segments: a row has its prompt, then its completions (chosen and rejected, one, those that are ranked, or none).
  private let ends: [Int]
  /// Number of segments before each row, and of all.
  private let firstSegments: [Int]
  /// Reads the rows once more with another `templateTime`; nil where no chat template asks for the time.
  private let readAgain: (@Sendable (_ time: Int) throws -> TokenizedDataset)?

  init(
    _ builder: DatasetBuilder, readAgain: (@Sendable (_ time: Int) throws -> TokenizedDataset)? = nil
  ) throws {
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
    files = builder.files
    fileOfRow = builder.fileOfRow
    lines = builder.lines
    labels = builder.kind == .unpaired ? builder.labels : nil
    weights = builder.weights
    ranks = builder.kind == .ranked ? builder.ranks : nil
    margins = builder.margins
    prompts = builder.kind == .prompts ? builder.prompts : nil
    referenceChosen = builder.referenceChosen
    referenceRejected = builder.referenceRejected
    tokens = builder.tokens
    ends = builder.ends
    firstSegments = builder.firstSegments + [builder.ends.count]
    learned = builder.learned.isEmpty ? nil : builder.learned
    packs = builder.packs()
    self.readAgain = readAgain
  }

  /// What `strftime_now` told the chat template; nil where none asks for the time.
  package var templateTime: Int? { readAgain == nil ? nil : options.templateTime }

  /// The rows as they are at another time; the same where no chat template asks for it.
  package func at(_ time: Int) throws -> TokenizedDataset {
    guard let readAgain, time != options.templateTime else { return self }
    return try readAgain(time)
  }

  /// A row's prompt, whole.
  public func prompt(_ row: Int) -> ArraySlice<Int32> { segment(row, 0) }

  /// Whether rows are pairs of chosen and rejected.
  public var isPaired: Bool { kind == .pairs }

  /// Chosen and rejected of row `row`; of a data set whose rows are pairs.
  public func pair(_ row: Int) -> Pair {
    let prompt = segment(row, 0)
    return Pair(chosen: cut(prompt, segment(row, 1)), rejected: cut(prompt, segment(row, sequenceCount(row))))
  }

  /// Places of a row's completions in their order, lower is better: 1 and 2 for a pair.
  public func ranks(_ row: Int) -> [Double] {
    guard let ranks else { return (0..<sequenceCount(row)).map { Double($0 + 1) } }
    return Array(ranks[firstSegments[row] - row..<firstSegments[row + 1] - row - 1])
  }

  /// Prompt and completion of row `row`. Rows of text and messages have no prompt; of several completions it is the first.
  public func sequence(_ row: Int) -> Sequence { cut(segment(row, 0), segment(row, 1)) }

  /// The scored sequences of a row: chosen and rejected, the one completion, or those that are ranked.
  public func sequences(_ row: Int) -> [Sequence] {
    (0..<sequenceCount(row)).map { cut(segment(row, 0), segment(row, $0 + 1)) }
  }

  /// Number of a row's `sequences`.
  public func sequenceCount(_ row: Int) -> Int { firstSegments[row + 1] - firstSegments[row] - 1 }

  /// What a row's `sequences` are called.
  public func sequenceNames(_ row: Int) -> [String] {
    switch kind {
    case .pairs: ["chosen", "rejected"]
    case .ranked: (1...sequenceCount(row)).map { "completion_\($0)" }
    case .prompts: []
    default: ["completion"]
    }
  }

  /// KTO's mismatched rows: each prompt with the completion of the row before it. As in TRL, completions rotate within
  /// consecutive groups of `group` rows of the data, whatever micro-batch a row is in: a group's first prompt gets its last
  /// completion.
  package func mismatched(_ rows: [Int], group: Int) -> [Sequence] {
    rows.map { row in
      let start = row / group * group
      return cut(segment(row, 0), segment(row == start ? min(start + group, count) - 1 : row - 1, 1))
    }
  }

  /// "data.jsonl: line 7", for messages about a row.
  public func place(_ row: Int) -> String {
    let file = files[Int(fileOfRow[row])]
    return RowPlace(file: file.name, unit: file.unit, number: lines[row]).description
  }
  /// The name of a row's file; nil where all rows are of one.
  public func fileName(_ row: Int) -> String? { files.count > 1 ? files[Int(fileOfRow[row])].name : nil }
  /// The row's entry of `lines`.
  public func lineNumber(_ row: Int) -> Int { lines[row] }

  /// Factor on a row's loss.
  public func weight(_ row: Int) -> Double { weights?[row] ?? 1 }

  /// The reference's log-probs of chosen and rejected that came with a row.
  public func referenceLogProbs(_ row: Int) -> [Double]? {
    guard let referenceChosen, let referenceRejected else { return nil }
    return [referenceChosen[row], referenceRejected[row]]
  }

  /// Tokens of each sequence of a row, prompt included, after truncation.
  package func sequenceLengths(_ row: Int) -> [Int] {
    kind == .prompts ? [prompt(row).count] : sequences(row).map(\.count)
  }
  /// Tokens of a row as trainers without shared prompts count them.
  package func attendedTokens(_ row: Int) -> Int { sequenceLengths(row).reduce(0, +) }
  /// Tokens of the longest sequence.
  package var longestRow: Int { (0..<count).lazy.map(longestSequence).max() ?? 0 }

  /// Distinct tokens of a row (a common prompt once) and the number that is predicted.
  package func size(_ row: Int) -> (tokens: Int, targets: Int) {
    guard kind != .prompts else { return (prompt(row).count, 0) }
    let sequences = sequences(row)
    let prompts = Set(sequences.map(\.prompt.indices)).reduce(0) { $0 + $1.count }
    return (sequences.reduce(prompts) { $0 + $1.completion.count }, sequences.reduce(0) { $0 + $1.targetCount })
  }

  /// XXH3-64 of everything that training sees of the rows: ids, boundaries, labels, weights, length limit.
  public var fingerprint: UInt64 {
    func hash<T>(_ values: [T]) -> UInt64 { values.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }
    let limit = [options.maxLength ?? 0, options.truncation == .keepEnd ? 1 : 0, packs == nil ? 0 : 1]
    let columns = [weights ?? [], margins ?? [], referenceChosen ?? [], referenceRejected ?? [], ranks ?? []].map(hash)
    let flags = [labels ?? [], learned ?? []].map { hash($0.map { $0 ? 1 : 0 as UInt8 }) }
    return hash([hash(tokens), hash(ends), hash(firstSegments), hash(limit)] + flags + columns)
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
    let segment = ends.firstIndex { $0 > index } ?? 0
    let row = (firstSegments.firstIndex { $0 > segment } ?? 1) - 1
    throw DPOError.format(place(row), "token id \(tokens[index]); expected 0 to \(vocabularySize - 1)")
  }

  /// The ids that occur, in ascending order.
  var distinctTokens: [Int32] { Set(tokens).sorted() }

  /// Tokens of a row's longest sequence, after truncation.
  package func longestSequence(_ row: Int) -> Int {
    sequenceLengths(row).max() ?? 0
  }

  /// Empty where rows have no such part.
  private func segment(_ row: Int, _ part: Int) -> ArraySlice<Int32> {
    let index = firstSegments[row] + part
    guard index < firstSegments[row + 1] else { return [] }
    return tokens[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  /// The first or the last `maxLength` tokens of prompt + completion.
  private func cut(_ prompt: ArraySlice<Int32>, _ completion: ArraySlice<Int32>) -> Sequence {
    guard let limit = options.maxLength, prompt.count + completion.count > limit else {
      return sequence(prompt, completion)
    }
    switch options.truncation {
    case .keepStart:
      let kept = prompt.prefix(limit)
      return sequence(kept, completion.prefix(limit - kept.count))
    case .keepEnd:
      let kept = completion.suffix(limit)
      return sequence(prompt.suffix(limit - kept.count), kept)
    }
  }

  private func sequence(_ prompt: ArraySlice<Int32>, _ completion: ArraySlice<Int32>) -> Sequence {
    Sequence(prompt: prompt, completion: completion, labels: learned?[completion.indices])
  }
}
