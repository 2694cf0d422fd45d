import CKernels
import DPOBase

/// Takes rows one by one and keeps their tokens.
struct DatasetBuilder {
  let name: String
  let options: DatasetOptions
  let kind: RowKind
  let columns: DatasetColumnWriters
  /// Files of the rows, and what their lines count.
  private(set) var files: [(name: String, unit: String)] = []
  private(set) var count = 0
  private(set) var report: DataReport
  /// Rows, and "this rather than that" after a prompt.
  private var seen: Set<UInt64> = []
  private var preferences: Set<UInt64> = []
  /// Repetitions and contradictions are looked for among the first so many: memory has an end, data need not. Ranked rows have one
  /// preference for every two of up to 256 answers.
  private static let mostSeen = 1 << 22
  private var lengths = DataReport.Lengths()

  /// - Parameters:
  ///   - columns: that are read of such rows.
  ///   - shares: what there is of each part of a mixture.
  ///   - directory: takes what memory shall not; nil: all stays in memory.
  init(
    name: String, kind: RowKind, options: DatasetOptions, columns: Set<String> = [], shares: [String] = [],
    spillingTo directory: String? = nil
  ) throws {
    try options.validate()
    self.name = name
    self.kind = kind
    self.options = options
    self.columns = DatasetColumnWriters(spillingTo: directory)
    report = DataReport(name: name, kind: kind)
    report.readableColumns = columns
    report.mixture = shares
  }

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
        try add(
          RowTokenizer.Tokens(completions: [Array(tokens[start..<min(start + limit, tokens.count)])]), columns, place)
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
    try add(row, columns, place)
  }

  /// Counts in the columns that a row has. Of prompts, judges read all.
  mutating func note(columns: [String]) {
    for column in columns {
      if report.readableColumns.contains(column) || options.purpose == .prompts {
        report.readColumns.insert(column)
      } else if report.unreadColumns.count < DataReport.mostUnreadColumns, !report.unreadColumns.contains(column) {
        report.unreadColumns.append(column)
      }
    }
  }

  private mutating func add(_ row: RowTokenizer.Tokens, _ values: DataRow, _ place: RowPlace) throws {
    try note(row, values.ranks ?? row.completions.indices.map { Double($0 + 1) })
    try columns.firstSegments.append(columns.ends.count)
    try columns.learned.append(contentsOf: row.learned ?? [])
    for part in [row.prompt] + row.completions {
      try columns.tokens.append(contentsOf: part)
      try columns.ends.append(columns.tokens.count)
    }
    if files.last?.name != place.file || files.last?.unit != place.unit {
      files.append((place.file, place.unit))
    }
    try columns.fileOfRow.append(Int32(files.count - 1))
    try columns.lines.append(place.number)
    if kind == .ranked { try columns.ranks.append(contentsOf: values.ranks ?? []) }
    if kind == .unpaired { try columns.labels.append(values.label ?? true) }
    if kind == .prompts {
      try columns.promptRows.append(contentsOf: Array(JSON.object(values.columns ?? [:]).description.utf8))
      try columns.promptEnds.append(columns.promptRows.count)
    }
    try columns.append(values, before: count)
    count += 1
  }

  /// Counts what the data doctor tells.
  private mutating func note(_ row: RowTokenizer.Tokens, _ ranks: [Double]) throws {
    let completions = row.completions.map(hash)
    let prompt = hash(row.prompt)
    lengths.prompts.add(row.prompt.count)
    for (index, completion) in row.completions.enumerated() {
      if kind == .pairs, index == 1 {
        lengths.rejected.add(completion.count)
      } else {
        lengths.completions.add(completion.count)
      }
    }
    lengths.longestRow = max(lengths.longestRow, row.prompt.count + (row.completions.map(\.count).max() ?? 0))
    let order = kind == .ranked ? ranks.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } : 0
    let whole = combine([prompt, order] + completions)
    let isNew = !seen.contains(whole)
    try DatasetBuilder.requireRoom(for: 1, in: seen)
    try DatasetBuilder.requireRoom(for: completions.count * completions.count, in: preferences)
    if !isNew { report.duplicateRows += 1 }
    if seen.count < DatasetBuilder.mostSeen { seen.insert(whole) }
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
        guard preferences.count < DatasetBuilder.mostSeen else { return }
        preferences.insert(combine([prompt, better, worse]))
      }
    }
  }

  /// A set that is full takes twice its room anew, beside what it has: 48 bytes an element at most.
  private static func requireRoom(for more: Int, in set: Set<UInt64>) throws {
    guard set.capacity >= 1 << 16, set.count + more > set.capacity else { return }
    try Machine.requireRoom(for: 48 * (set.capacity + more))
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

  /// Ends the columns. Throws if there are no rows.
  func finish() throws {
    guard count > 0 else {
      let dropped = report.droppedRows
      let reason = dropped > 0 ? "every prompt alone fills max_length (rows: \(dropped))" : "no rows"
      throw DPOError.format(name, "\(reason); expected at least one row to learn from")
    }
    try columns.firstSegments.append(columns.ends.count)
  }

  /// The rows, in memory.
  func contents() throws -> DatasetContents {
    try finish()
    return DatasetContents(
      columns: columns.columns(), kind: kind, options: options, report: finishedReport(), name: name, files: files)
  }
}
