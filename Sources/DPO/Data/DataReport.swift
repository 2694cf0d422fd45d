import DPOBase

/// What is worth knowing of a data set before a step is spent on it.
public struct DataReport: Sendable, Equatable {
  /// Token counts over the rows, before truncation.
  public struct Distribution: Sendable, Equatable {
    /// Tokens of the shortest; 0 where there is none.
    public var minimum = 0
    /// Tokens of the one in the middle when they are sorted, of two the longer.
    public var median = 0
    /// Tokens that 95 % do not exceed.
    public var percentile95 = 0
    /// Tokens of the longest.
    public var maximum = 0
    /// Tokens of all together.
    public var total = 0

    init() {}
    init(_ lengths: Histogram) {
      let sorted = lengths.counts.sorted { $0.key < $1.key }
      guard let first = sorted.first, let last = sorted.last else { return }
      minimum = first.key
      maximum = last.key
      func length(atPlace place: Int) -> Int {
        var before = 0
        for (length, count) in sorted {
          before += count
          if place < before { return length }
        }
        return last.key
      }
      median = length(atPlace: lengths.total / 2)
      percentile95 = length(atPlace: min(lengths.total - 1, lengths.total * 95 / 100))
      total = sorted.reduce(0) { $0 + $1.key * $1.value }
    }

    var json: JSON {
      [
        "min": .int(minimum), "median": .int(median), "p95": .int(percentile95), "max": .int(maximum),
        "total": .int(total),
      ]
    }
  }

  struct Lengths {
    var prompts = Histogram()
    var completions = Histogram()
    var rejected = Histogram()
    var longestRow = 0
  }

  /// How often there is each length.
  struct Histogram {
    private(set) var counts: [Int: Int] = [:]
    private(set) var total = 0

    mutating func add(_ length: Int) {
      counts[length, default: 0] += 1
      total += 1
    }
  }

  /// Where the rows are from, as errors call it: the file's name, or "rows" for rows that an app gave.
  public let name: String
  /// What a row holds.
  public let kind: RowKind
  /// Rows kept.
  public internal(set) var rows = 0
  /// Left out because nothing is to be learned within max_length: the prompt alone fills it.
  public internal(set) var droppedRows = 0
  /// Cut to max_length.
  public internal(set) var truncatedRows = 0
  /// Documents that were cut into pieces of max_length.
  public internal(set) var splitRows = 0
  /// Rows whose prompt, tokenised alone, is not the beginning of prompt and completion tokenised together.
  public internal(set) var movedBoundaries = 0
  /// Line (of rows without a file the number, from 1) of the first of them; nil where there is none.
  public internal(set) var firstMovedBoundary: Int?
  /// Equal to an earlier row.
  public internal(set) var duplicateRows = 0
  /// An earlier row prefers the other way round.
  public internal(set) var contradictingRows = 0
  /// chosen equals rejected, or all ranked completions tie: no gradient comes from them.
  public internal(set) var identicalRows = 0
  /// Share of pairs whose chosen completion has more tokens, ties counted half; of ranked rows the mean over every two
  /// completions of different rank.
  public internal(set) var longerChosen = 0.0
  /// Completions of all rows.
  public internal(set) var answers = 0
  /// Tokens of the prompts.
  public internal(set) var prompts = Distribution()
  /// Tokens of the completions; of pairs those of the chosen ones.
  public internal(set) var completions = Distribution()
  /// Tokens of the rejected completions of pairs; 0 for other kinds of rows.
  public internal(set) var rejected = Distribution()
  /// Tokens of the longest prompt with a completion.
  public internal(set) var longestRow = 0

  /// Of a mixture, what there is of each part: "70 of 100 rows of a.jsonl".
  public internal(set) var mixture: [String] = []

  /// Columns that are not read, in the order in which they come; at most 16.
  public internal(set) var unreadColumns: [String] = []
  static let mostUnreadColumns = 16
  /// Columns that are read of such rows, and those of them that any row has.
  var readableColumns: Set<String> = []
  var readColumns: Set<String> = []

  /// Tokens that the model reads at most; nil where no model was compared.
  public internal(set) var contextLength: Int?
  /// Rows that are longer than `contextLength` after truncation.
  public internal(set) var rowsBeyondContext = 0

  init(name: String, kind: RowKind) {
    self.name = name
    self.kind = kind
  }

  mutating func set(_ lengths: Lengths) {
    prompts = Distribution(lengths.prompts)
    completions = Distribution(lengths.completions)
    rejected = Distribution(lengths.rejected)
    longestRow = lengths.longestRow
    answers = lengths.completions.total + lengths.rejected.total
  }

  /// Rows say which completion is better.
  private var isPreference: Bool { kind == .pairs || kind == .ranked }

  /// Distinct tokens: prompts counted once a row.
  public var tokens: Int { prompts.total + completions.total + rejected.total }

  /// Plain sentences about what may go wrong with this data; empty when nothing stands out.
  public var warnings: [String] {
    func share(_ count: Int) -> String { "\(count) of \(rows) rows" }
    var result: [String] = []
    if droppedRows > 0 { result.append("\(droppedRows) rows left out: the prompt alone fills max_length.") }
    if truncatedRows > 0 { result.append("\(share(truncatedRows)) cut to max_length.") }
    if let contextLength, rowsBeyondContext > 0 {
      result.append("\(share(rowsBeyondContext)) are longer than the \(contextLength) tokens that the model reads.")
    }
    if identicalRows > 0 {
      let what = kind == .ranked ? "all completions tie" : "chosen equals rejected"
      result.append("\(share(identicalRows)): \(what); no preference can be learned from them.")
    }
    if duplicateRows > 0 { result.append("\(share(duplicateRows)) repeat an earlier row.") }
    if contradictingRows > 0 {
      result.append("\(share(contradictingRows)) contradict an earlier row, which prefers the other completion.")
    }
    if isPreference, rows >= 20, abs(longerChosen - 0.5) > 0.15 {
      let word = longerChosen > 0.5 ? "longer" : "shorter"
      let percent = Int((100 * max(longerChosen, 1 - longerChosen)).rounded())
      result.append("The \(word) completion is chosen in \(percent) %: the model may learn length instead of quality.")
    }
    for (key, column) in ColumnAdvice.renames(unreadColumns, missingFrom: readColumns)
    where readableColumns.contains(column) {
      result.append(
        "The column \(ColumnAdvice.quoted(key)) is not read; if it is meant, call it \(ColumnAdvice.quoted(column)).")
    }
    if let line = firstMovedBoundary {
      result.append(
        "In \(share(movedBoundaries)) (first: line \(line)) the end of the prompt merges with the completion; "
          + "the completion starts where the tokens differ.")
    }
    return result
  }

  /// The report with the names of `dpo inspect --json`: counts of rows and of tokens, and the warnings.
  public var json: JSON {
    var object: JSONObject = [
      "kind": .string(kind.rawValue), "rows": .int(rows), "dropped_rows": .int(droppedRows),
      "truncated_rows": .int(truncatedRows), "moved_boundaries": .int(movedBoundaries),
      "duplicate_rows": .int(duplicateRows), "longest_row": .int(longestRow), "tokens": .int(tokens),
      "prompt_tokens": prompts.json,
    ]
    if kind == .pairs {
      object["chosen_tokens"] = completions.json
      object["rejected_tokens"] = rejected.json
    } else if kind != .prompts {
      object["completion_tokens"] = completions.json
    }
    if kind == .ranked { object["answers"] = .int(answers) }
    if isPreference {
      object["identical_rows"] = .int(identicalRows)
      object["contradicting_rows"] = .int(contradictingRows)
      object["longer_is_chosen"] = .real(longerChosen)
    }
    if splitRows > 0 { object["split_rows"] = .int(splitRows) }
    if !mixture.isEmpty { object["mixture"] = .array(mixture.map(JSON.string)) }
    if !unreadColumns.isEmpty { object["unread_columns"] = .array(unreadColumns.map(JSON.string)) }
    if let contextLength {
      object["context_length"] = .int(contextLength)
      object["rows_beyond_context"] = .int(rowsBeyondContext)
    }
    object["warnings"] = .array(warnings.map { .string($0) })
    return .object(object)
  }

  /// The report for people, a few lines.
  public var text: String {
    func line(_ name: String, _ counts: Distribution) -> String {
      let padded = name + String(repeating: " ", count: max(0, 12 - name.count))
      return "  \(padded)\(counts.minimum) … \(counts.median) … \(counts.maximum)   (95 %: \(counts.percentile95))"
    }
    let answered = kind == .ranked ? " of \(answers) answers" : ""
    var lines = [
      "\(name): \(rows) rows\(answered) (\(kind.rawValue)), \(tokens) tokens; tokens a row, least … median … most:"
    ]
    if !mixture.isEmpty { lines.append("  mixture: \(mixture.joined(separator: ", "))") }
    if prompts.maximum > 0 { lines.append(line("prompt", prompts)) }
    if kind != .prompts { lines.append(line(kind == .pairs ? "chosen" : "completion", completions)) }
    if kind == .pairs { lines.append(line("rejected", rejected)) }
    if isPreference {
      lines.append("  the longer completion is chosen in \(Int((100 * longerChosen).rounded())) %")
    }
    if splitRows > 0 { lines.append("  \(splitRows) documents are longer than max_length and were cut into pieces") }
    if !unreadColumns.isEmpty {
      lines.append("  columns not read: \(unreadColumns.map(ColumnAdvice.quoted).joined(separator: ", "))")
    }
    lines += warnings.isEmpty ? ["  nothing stands out"] : warnings.map { "  ! \($0)" }
    return lines.joined(separator: "\n")
  }
}
