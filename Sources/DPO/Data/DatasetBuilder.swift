import CKernels
import DPOBase

/// Takes rows one by one and keeps their tokens.
struct DatasetBuilder {
  let name: String
  let options: DatasetOptions
  let kind: RowKind
  private(set) var tokens: [Int32] = []
  private(set) var ends: [Int] = []
  /// Number of segments before each row.
  private(set) var firstSegments: [Int] = []
  /// For each token, whether it is learned; empty: every token of a completion is.
  private(set) var learned: [Bool] = []
  private(set) var lines: [Int] = []
  /// Files of the rows, and what their lines count; and the file of each row.
  private(set) var files: [(name: String, unit: String)] = []
  private(set) var fileOfRow: [Int32] = []
  private(set) var labels: [Bool] = []
  private(set) var ranks: [Double] = []
  /// What prompts were before they became tokens, for the rewards that read them.
  private(set) var prompts: [JSON] = []
  private(set) var weights, margins, referenceChosen, referenceRejected: [Double]?
  private(set) var report: DataReport
  /// Rows, and "this rather than that" after a prompt.
  private var seen: Set<UInt64> = []
  private var preferences: Set<UInt64> = []
  /// Ranked rows have one for every two of up to 256 answers: contradictions are looked for among the first of them.
  private static let mostPreferences = 1 << 22
  private var lengths = DataReport.Lengths()

  /// - Parameters:
  ///   - columns: that are read of such rows.
  ///   - shares: what there is of each part of a mixture.
  init(
    name: String, kind: RowKind, options: DatasetOptions, columns: Set<String> = [], shares: [String] = []
  ) throws {
    try options.validate()
    self.name = name
    self.kind = kind
    self.options = options
    report = DataReport(name: name, kind: kind)
    report.readableColumns = columns
    report.mixture = shares
  }

  var count: Int { lines.count }

  /// Adds a row unless its prompt alone fills the length limit.
  ///
  /// - Parameters:
  ///   - row: label, weight and other columns; its texts are not looked at.
  ///   - place: for messages.
  mutating func append(_ row: RowTokenizer.Tokens, _ columns: DataRow, _ place: RowPlace) throws {
    var row = row
    if let empty = row.completions.firstIndex(where: \.isEmpty) {
      let what =
        kind == .pairs
        ? ["chosen", "rejected"][min(empty, 1)] : kind == .ranked ? "completions[\(empty)]" : "the completion"
      throw DPOError.format(place.description, "\(what) has no tokens")
    }
    if options.purpose == .supervised, !options.completionOnlyLoss {
      row = RowTokenizer.Tokens(
        prompt: [], completions: row.completions.map { row.prompt + $0 }, droppedPrompt: row.droppedPrompt,
        learned: row.learned)
    }
    if options.purpose == .pretraining, row.completions[0].count < 2 {
      report.droppedRows += 1
      return
    }
    if options.purpose == .pretraining, let limit = options.maxLength, row.completions[0].count > limit {
      // A piece begins with the last token of the one before, so that every token but the document's first is predicted.
      report.splitRows += 1
      let tokens = row.completions[0]
      for start in stride(from: 0, to: tokens.count - 1, by: limit - 1) {
        add(RowTokenizer.Tokens(completions: [Array(tokens[start..<min(start + limit, tokens.count)])]), columns, place)
      }
      return
    }
    if let learned = row.learned, let limit = options.maxLength {
      // Beyond the cut there may be all that the assistant wrote.
      let kept = options.truncation == .keepStart ? learned.prefix(limit) : learned.suffix(limit)
      guard kept[max(kept.startIndex, min(kept.endIndex, row.prompt.count))...].contains(true) else {
        report.droppedRows += 1
        return
      }
    }
    if kind == .prompts, row.prompt.isEmpty {
      throw DPOError.format(place.description, "the prompt has no tokens")
    }
    if let limit = options.maxLength {
      let isLonger = row.completions.contains { row.prompt.count + $0.count > limit }
      let fills = row.prompt.count >= limit && (kind == .prompts || options.truncation == .keepStart)
      if options.dropsLongRows ? isLonger : fills {
        report.droppedRows += 1
        return
      }
      if isLonger { report.truncatedRows += 1 }
    }
    if row.droppedPrompt > 0 {
      report.movedBoundaries += 1
      if report.firstMovedBoundary == nil { report.firstMovedBoundary = place.number }
    }
    add(row, columns, place)
  }

  /// Counts in the columns that a row has.
  mutating func note(columns: [String]) {
    for column in columns {
      if report.readableColumns.contains(column) {
        report.readColumns.insert(column)
      } else if report.unreadColumns.count < DataReport.mostUnreadColumns, !report.unreadColumns.contains(column) {
        report.unreadColumns.append(column)
      }
    }
  }

  private mutating func add(_ row: RowTokenizer.Tokens, _ columns: DataRow, _ place: RowPlace) {
    note(row, columns.ranks ?? row.completions.indices.map { Double($0 + 1) })
    firstSegments.append(ends.count)
    learned += row.learned ?? []
    for part in [row.prompt] + row.completions {
      tokens.append(contentsOf: part)
      ends.append(tokens.count)
    }
    if files.last?.name != place.file || files.last?.unit != place.unit {
      files.append((place.file, place.unit))
    }
    fileOfRow.append(Int32(files.count - 1))
    lines.append(place.number)
    if kind == .ranked { ranks += columns.ranks ?? [] }
    if kind == .unpaired { labels.append(columns.label ?? true) }
    if kind == .prompts { prompts.append(columns.prompt.map(\.json) ?? .null) }
    add(columns.weight, to: &weights, otherwise: 1)
    add(columns.margin, to: &margins, otherwise: 0)
    add(columns.reference?.chosen, to: &referenceChosen, otherwise: 0)
    add(columns.reference?.rejected, to: &referenceRejected, otherwise: 0)
  }

  /// Columns that only later rows have get `otherwise` in the rows before.
  private func add(_ value: Double?, to column: inout [Double]?, otherwise: Double) {
    if value != nil, column == nil { column = [Double](repeating: otherwise, count: count - 1) }
    column?.append(value ?? otherwise)
  }

  /// Counts what the data doctor tells.
  private mutating func note(_ row: RowTokenizer.Tokens, _ ranks: [Double]) {
    let completions = row.completions.map(hash)
    let prompt = hash(row.prompt)
    lengths.prompts.append(row.prompt.count)
    if kind == .pairs {
      lengths.completions.append(row.completions[0].count)
      lengths.rejected.append(row.completions[1].count)
    } else {
      lengths.completions += row.completions.map(\.count)
    }
    lengths.longestRow = max(lengths.longestRow, row.prompt.count + (row.completions.map(\.count).max() ?? 0))
    let order = kind == .ranked ? ranks.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } : 0
    let isNew = seen.insert(combine([prompt, order] + completions)).inserted
    if !isNew { report.duplicateRows += 1 }
    guard completions.count > 1 else { return }

    var compared = 0.0
    var longer = 0.0
    var contradicts = false
    for (a, better) in completions.enumerated() {
      for (b, worse) in completions.enumerated() where ranks[a] < ranks[b] && better != worse {
        let (first, second) = (row.completions[a].count, row.completions[b].count)
        compared += 1
        longer += first > second ? 1 : first == second ? 0.5 : 0
        contradicts = contradicts || preferences.contains(combine([prompt, worse, better]))
      }
    }
    if compared == 0 { report.identicalRows += 1 }
    report.longerChosen += compared > 0 ? longer / compared : 0.5
    if contradicts { report.contradictingRows += 1 }
    guard isNew else { return }
    for (a, better) in completions.enumerated() {
      for (b, worse) in completions.enumerated() where ranks[a] < ranks[b] && better != worse {
        guard preferences.count < DatasetBuilder.mostPreferences else { return }
        preferences.insert(combine([prompt, better, worse]))
      }
    }
  }

  private func hash(_ ids: [Int32]) -> UInt64 { ids.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }
  private func combine(_ parts: [UInt64]) -> UInt64 { parts.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }

  func finishedReport() -> DataReport {
    var report = report
    report.rows = count
    report.longerChosen /= Double(max(count, 1))
    report.set(lengths)
    return report
  }
}
