import DPOBase
import DPOStorage

/// Rows as token ids in one flat column, with what a run needs to know of each: in memory, or in a file (`DataCache`).
public final class TokenizedDataset: Sendable {
  /// A prompt and what comes after it, cut to the length limit.
  public struct Sequence: Sendable {
    /// Token ids; an empty prompt where rows have none.
    public let prompt, completion: Column<Int32>
    /// Whether each token of the completion is learned; nil: all are.
    public var labels: Column<Bool>?

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
  /// What a user should know of where the rows are from.
  public let notes: [String]
  /// Files of the rows, and what their lines count ("line", "row" or "document").
  private let files: [(name: String, unit: String)]
  private let columns: DatasetColumns
  /// The file that the rows are read from; nil: they are in memory.
  private let file: HDF5Reader?

  /// Rows that share a place in a batch; nil: each has its own.
  let packs: [[Int]]?
  /// Reads the rows once more with another `templateTime`; nil where no chat template asks for the time.
  private let readAgain: (@Sendable (_ time: Int) throws -> TokenizedDataset)?
  /// XXH3-64 of everything that training sees of the rows: ids, boundaries, labels, weights, length limit.
  public let fingerprint: UInt64

  init(
    _ contents: DatasetContents, readAgain: (@Sendable (_ time: Int) throws -> TokenizedDataset)? = nil
  ) {
    (kind, options, report, name) = (contents.kind, contents.options, contents.report, contents.name)
    (files, notes, columns, file) = (contents.files, contents.notes, contents.columns, contents.file)
    count = contents.columns.lines.count
    packs = contents.packs()
    fingerprint = contents.fingerprint
    self.readAgain = readAgain
  }

  /// For messages: the line of each row in its file, or its number counted from 1.
  public var lines: Column<Int> { columns.lines }
  /// Desirable or not, of unpaired rows.
  public var labels: Column<Bool>? { columns.labels }
  /// Factors on the rows' losses; nil when no row has any.
  public var weights: Column<Double>? { columns.weights }
  /// By how much the chosen answer is better, of pairs that say it; nil when no row does.
  public var margins: Column<Double>? { columns.margins }
  /// Log-probs of a reference that came with the data.
  public var referenceChosen: Column<Double>? { columns.referenceChosen }
  /// The same of the rejected completions.
  public var referenceRejected: Column<Double>? { columns.referenceRejected }

  /// Of rows that are prompts: "prompt", text or messages, and all other columns; empty where a host gave token ids. nil for
  /// other rows.
  package func promptColumns(_ row: Int) throws -> JSONObject? {
    guard let rows = columns.promptRows, let ends = columns.promptEnds else { return nil }
    return try rows[(row == 0 ? 0 : ends[row - 1])..<ends[row]].withElements {
      try JSON.parse(UnsafeRawBufferPointer($0), file: place(row)).object
    }
  }

  /// Throws `.io` if the file that the rows are read from was written to or cut since it was opened.
  package func checkUnchanged() throws { try file?.checkUnchanged("rows") }

  /// What `strftime_now` told the chat template; nil where none asks for the time.
  package var templateTime: Int? { readAgain == nil ? nil : options.templateTime }

  /// The rows as they are at another time; the same where no chat template asks for it.
  package func at(_ time: Int) throws -> TokenizedDataset {
    guard let readAgain, time != options.templateTime else { return self }
    return try readAgain(time)
  }

  /// A row's prompt, whole.
  public func prompt(_ row: Int) -> Column<Int32> { segment(row, 0) }

  /// Whether rows are pairs of chosen and rejected.
  public var isPaired: Bool { kind == .pairs }

  /// Chosen and rejected of row `row`; of a data set whose rows are pairs.
  public func pair(_ row: Int) -> Pair {
    let prompt = segment(row, 0)
    return Pair(chosen: cut(prompt, segment(row, 1)), rejected: cut(prompt, segment(row, sequenceCount(row))))
  }

  /// Places of a row's completions in their order, lower is better: 1 and 2 for a pair.
  public func ranks(_ row: Int) -> [Double] {
    guard let ranks = columns.ranks else { return (0..<sequenceCount(row)).map { Double($0 + 1) } }
    return Array(ranks[columns.firstSegments[row] - row..<columns.firstSegments[row + 1] - row - 1])
  }

  /// Prompt and completion of row `row`. Rows of text and messages have no prompt; of several completions it is the first.
  public func sequence(_ row: Int) -> Sequence { cut(segment(row, 0), segment(row, 1)) }

  /// The scored sequences of a row: chosen and rejected, the one completion, or those that are ranked.
  public func sequences(_ row: Int) -> [Sequence] {
    (0..<sequenceCount(row)).map { cut(segment(row, 0), segment(row, $0 + 1)) }
  }

  /// Number of a row's `sequences`.
  public func sequenceCount(_ row: Int) -> Int { columns.firstSegments[row + 1] - columns.firstSegments[row] - 1 }

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
    let file = files[Int(columns.fileOfRow[row])]
    return RowPlace(file: file.name, unit: file.unit, number: lines[row]).description
  }
  /// The name of a row's file; nil where all rows are of one.
  public func fileName(_ row: Int) -> String? { files.count > 1 ? files[Int(columns.fileOfRow[row])].name : nil }
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
    kind == .prompts ? [segmentCount(row, 0)] : (0..<sequenceCount(row)).map { sequenceLength(row, $0) }
  }
  /// Tokens of a row as trainers without shared prompts count them.
  package func attendedTokens(_ row: Int) -> Int { sequenceLengths(row).reduce(0, +) }
  /// Tokens of the longest sequence.
  package var longestRow: Int { (0..<count).lazy.map(longestSequence).max() ?? 0 }

  /// Distinct tokens of a row (a common prompt once) and the number that is predicted.
  package func size(_ row: Int) -> (tokens: Int, targets: Int) {
    guard kind != .prompts else { return (segmentCount(row, 0), 0) }
    // Runs ask for it of every row: without a list of the sequences, whose tokens are not looked at.
    let prompt = segmentCount(row, 0)
    var tokens = 0
    var targets = 0
    var prompts: [Int] = []
    var first: Int?
    for index in 0..<sequenceCount(row) {
      let length = sequenceLength(row, index)
      // What truncation leaves of the prompt: all of it with the start, what there is room for with the end.
      let kept =
        options.truncation == .keepStart ? min(prompt, length) : length - min(length, segmentCount(row, index + 1))
      tokens += length - kept
      targets +=
        columns.learned == nil ? length - kept - (kept == 0 && length > 0 ? 1 : 0) : sequences(row)[index].targetCount
      if first == nil {
        first = kept
        tokens += kept
      } else if kept != first, !prompts.contains(kept) {
        prompts.append(kept)
        tokens += kept
      }
    }
    return (tokens, targets)
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
    var start = 0
    while start < columns.tokens.count {
      let end = min(start + MappedFile.piece / 4, columns.tokens.count)
      let (least, most) = columns.tokens[start..<end].withElements { ids in
        ids.reduce(into: (Int32.max, Int32.min)) { $0 = (min($0.0, $1), max($0.1, $1)) }
      }
      if least < 0 || Int(most) >= vocabularySize { break }
      start = end
    }
    file?.forgetPages()
    let rest = columns.tokens[start..<columns.tokens.count]
    guard let index = rest.firstIndex(where: { $0 < 0 || Int($0) >= vocabularySize }) else { return }
    let segment = columns.ends.firstIndex { $0 > index } ?? 0
    let row = (columns.firstSegments.firstIndex { $0 > segment } ?? 1) - 1
    throw DPOError.format(place(row), "token id \(columns.tokens[index]); expected 0 to \(vocabularySize - 1)")
  }

  /// The ids that occur, in ascending order.
  var distinctTokens: [Int32] {
    var seen: Set<Int32> = []
    columns.tokens.withElements { for id in $0 { seen.insert(id) } }
    file?.forgetPages()
    return seen.sorted()
  }

  /// Tokens of a row's longest sequence, after truncation.
  package func longestSequence(_ row: Int) -> Int {
    guard kind != .prompts else { return segmentCount(row, 0) }
    return (0..<sequenceCount(row)).reduce(0) { max($0, sequenceLength(row, $1)) }
  }

  /// Tokens of a row's prompt and one of its completions, after truncation.
  private func sequenceLength(_ row: Int, _ index: Int) -> Int {
    min(segmentCount(row, 0) + segmentCount(row, index + 1), options.maxLength ?? .max)
  }

  /// The places of a part of a row in `tokens`; empty where rows have no such part.
  private func segmentRange(_ row: Int, _ part: Int) -> Range<Int> {
    let index = columns.firstSegments[row] + part
    guard index < columns.firstSegments[row + 1] else { return 0..<0 }
    return (index == 0 ? 0 : columns.ends[index - 1])..<columns.ends[index]
  }

  private func segmentCount(_ row: Int, _ part: Int) -> Int { segmentRange(row, part).count }

  private func segment(_ row: Int, _ part: Int) -> Column<Int32> { columns.tokens[segmentRange(row, part)] }

  /// The first or the last `maxLength` tokens of prompt + completion.
  private func cut(_ prompt: Column<Int32>, _ completion: Column<Int32>) -> Sequence {
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

  private func sequence(_ prompt: Column<Int32>, _ completion: Column<Int32>) -> Sequence {
    Sequence(prompt: prompt, completion: completion, labels: columns.learned?[completion.indices])
  }
}
