import CKernels
import DPOBase

/// Takes rows one by one and keeps their tokens.
struct DatasetBuilder {
  let name: String
  /// "line" of a file, or "row" of a host's arrays.
  let unit: String
  let options: DatasetOptions
  let kind: RowKind
  let segmentsPerRow: Int
  private(set) var tokens: [Int32] = []
  private(set) var ends: [Int] = []
  private(set) var lines: [Int] = []
  private(set) var labels: [Bool] = []
  /// What prompts were before they became tokens, for the rewards that read them.
  private(set) var prompts: [JSON] = []
  private(set) var weights, margins, referenceChosen, referenceRejected: [Double]?
  private(set) var report: DataReport
  private var seen: Set<UInt64> = []
  private var lengths = DataReport.Lengths()

  init(name: String, unit: String, kind: RowKind, options: DatasetOptions) throws {
    try options.validate()
    self.name = name
    self.unit = unit
    self.kind = kind
    self.options = options
    segmentsPerRow = kind == .pairs ? 3 : kind == .prompts ? 1 : 2
    report = DataReport(name: name, kind: kind)
  }

  var count: Int { lines.count }

  /// Adds a row unless its prompt alone fills the length limit.
  ///
  /// - Parameters:
  ///   - line: of the file, or the row's number from 1, for messages.
  ///   - row: label, weight and other columns; its texts are not looked at.
  mutating func append(_ row: RowTokenizer.Tokens, _ columns: DataRow, line: Int) throws {
    var row = row
    let names = kind == .pairs ? ["chosen", "rejected"] : ["the completion"]
    for (completion, name) in zip(row.completions, names) where completion.isEmpty {
      throw DPOError.format("\(self.name): \(unit) \(line)", "\(name) has no tokens")
    }
    if options.purpose == .supervised, !options.completionOnlyLoss {
      row = RowTokenizer.Tokens(
        prompt: [], completions: row.completions.map { row.prompt + $0 }, droppedPrompt: row.droppedPrompt)
    }
    if kind == .prompts, row.prompt.isEmpty {
      throw DPOError.format("\(self.name): \(unit) \(line)", "the prompt has no tokens")
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
      if report.firstMovedBoundary == nil { report.firstMovedBoundary = line }
    }
    note(row)
    for part in [row.prompt] + row.completions {
      tokens.append(contentsOf: part)
      ends.append(tokens.count)
    }
    lines.append(line)
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
  private mutating func note(_ row: RowTokenizer.Tokens) {
    lengths.prompts.append(row.prompt.count)
    lengths.completions.append(row.completions.first?.count ?? 0)
    let prompt = hash(row.prompt)
    if kind == .pairs {
      let (chosen, rejected) = (row.completions[0], row.completions[1])
      lengths.rejected.append(rejected.count)
      if chosen == rejected { report.identicalRows += 1 }
      report.longerChosen += chosen.count > rejected.count ? 1 : chosen.count == rejected.count ? 0.5 : 0
      let (a, b) = (hash(chosen), hash(rejected))
      if a != b, seen.contains(combine(prompt, b, a)) { report.contradictingRows += 1 }
      if !seen.insert(combine(prompt, a, b)).inserted { report.duplicateRows += 1 }
    } else if !seen.insert(combine(prompt, hash(row.completions.first ?? []), 0)).inserted {
      report.duplicateRows += 1
    }
  }

  private func hash(_ ids: [Int32]) -> UInt64 { ids.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }
  private func combine(_ parts: UInt64...) -> UInt64 { parts.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }

  func finishedReport() -> DataReport {
    var report = report
    report.rows = count
    report.longerChosen /= Double(max(count, 1))
    report.set(lengths)
    return report
  }
}
