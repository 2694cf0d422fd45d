import DPOBase
import DPOStorage

/// What training reads of the rows of a data set, in memory or in a mapped file.
struct DatasetColumns: Sendable {
  var tokens: Column<Int32>
  /// Ends of the segments: a row has its prompt, then its completions (chosen and rejected, one, those that are ranked, or none).
  var ends: Column<Int>
  /// Number of segments before each row, and of all.
  var firstSegments: Column<Int>
  /// Of each row: its line in its file, or its number counted from 1; and its file.
  var lines: Column<Int>
  var fileOfRow: Column<Int32>
  /// Beside `tokens`; nil: every token of a completion is learned.
  var learned: Column<Bool>?
  /// Desirable or not, of unpaired rows.
  var labels: Column<Bool>?
  /// Of ranked rows: the place of each completion, row after row; lower is better.
  var ranks: Column<Double>?
  var weights, margins, referenceChosen, referenceRejected: Column<Double>?
  /// Of rows that are prompts: the JSON of each with all its columns, and where it ends.
  var promptRows: Column<UInt8>?
  var promptEnds: Column<Int>?
}

/// Takes the columns of the rows, one row at a time.
final class DatasetColumnWriters {
  let tokens: ColumnWriter<Int32>
  let ends, firstSegments, lines: ColumnWriter<Int>
  let fileOfRow: ColumnWriter<Int32>
  let learned, labels: ColumnWriter<Bool>
  let ranks: ColumnWriter<Double>
  private(set) var weights, margins, referenceChosen, referenceRejected: ColumnWriter<Double>?
  let promptRows: ColumnWriter<UInt8>
  let promptEnds: ColumnWriter<Int>
  private let directory: String?

  /// - Parameter directory: takes what memory shall not; nil: all stays in memory.
  init(spillingTo directory: String?) {
    self.directory = directory
    (tokens, fileOfRow) = (ColumnWriter(spillingTo: directory), ColumnWriter(spillingTo: directory))
    (ends, firstSegments, lines) = (
      ColumnWriter(spillingTo: directory), ColumnWriter(spillingTo: directory), ColumnWriter(spillingTo: directory)
    )
    (learned, labels) = (ColumnWriter(spillingTo: directory), ColumnWriter(spillingTo: directory))
    ranks = ColumnWriter(spillingTo: directory)
    (promptRows, promptEnds) = (ColumnWriter(spillingTo: directory), ColumnWriter(spillingTo: directory))
  }

  /// Adds the numbers that a row may have beside its tokens; `before` rows stand before it.
  func append(_ row: DataRow, before: Int) throws {
    try add(row.weight, to: &weights, otherwise: 1, before)
    try add(row.margin, to: &margins, otherwise: 0, before)
    try add(row.reference?.chosen, to: &referenceChosen, otherwise: 0, before)
    try add(row.reference?.rejected, to: &referenceRejected, otherwise: 0, before)
  }

  /// Columns that only later rows have get `otherwise` in the rows before.
  private func add(
    _ value: Double?, to column: inout ColumnWriter<Double>?, otherwise: Double, _ before: Int
  ) throws {
    if value != nil, column == nil {
      let new = ColumnWriter<Double>(spillingTo: directory)
      try new.append(repeating: otherwise, count: before)
      column = new
    }
    try column?.append(value ?? otherwise)
  }

  /// The columns, which take the memory over.
  func columns() -> DatasetColumns {
    func optional<Element>(_ writer: ColumnWriter<Element>?) -> Column<Element>? {
      guard let writer, writer.count > 0 else { return nil }
      return writer.column()
    }
    return DatasetColumns(
      tokens: tokens.column(), ends: ends.column(), firstSegments: firstSegments.column(), lines: lines.column(),
      fileOfRow: fileOfRow.column(), learned: optional(learned), labels: optional(labels), ranks: optional(ranks),
      weights: optional(weights), margins: optional(margins), referenceChosen: optional(referenceChosen),
      referenceRejected: optional(referenceRejected), promptRows: optional(promptRows),
      promptEnds: optional(promptEnds))
  }

  /// Adds the columns to a file.
  func add(to file: HDF5Writer) throws {
    func add<Element>(_ name: String, _ element: HDF5Element, _ writer: ColumnWriter<Element>?) throws {
      guard let writer, writer.count > 0 else { return }
      try file.dataset("/\(name)", shape: [writer.count], element: element, source: .pieces(writer.pieces))
    }
    try add("tokens", .int32, tokens)
    try add("ends", .int64, ends)
    try add("first_segments", .int64, firstSegments)
    try add("lines", .int64, lines)
    try add("file_of_row", .int32, fileOfRow)
    try add("learned", .uint8, learned)
    try add("labels", .uint8, labels)
    try add("ranks", .float64, ranks)
    try add("weights", .float64, weights)
    try add("margins", .float64, margins)
    try add("ref_chosen_logps", .float64, referenceChosen)
    try add("ref_rejected_logps", .float64, referenceRejected)
    try add("prompt_rows", .uint8, promptRows)
    try add("prompt_ends", .int64, promptEnds)
  }
}

extension DatasetColumns {
  /// The columns of a file, where they lie. Checks everything that later reads rely on.
  ///
  /// - Parameters:
  ///   - kind: of the rows.
  ///   - files: number of files that rows are of.
  init(_ file: HDF5Reader, kind: RowKind, files: Int) throws {
    func optional<Element>(_ name: String, _ element: HDF5Element, _: Element.Type) throws -> Column<Element>? {
      guard let found = file.dataset("/\(name)") else { return nil }
      guard found.element == element, found.shape.count == 1 else {
        throw DPOError.format(file.path, "dataset /\(name): expected a list of \(element.rawValue)")
      }
      let bytes = file.bytes(found)
      guard UInt(bitPattern: bytes.baseAddress) % 8 == 0 else {
        throw DPOError.format(file.path, "dataset /\(name) does not lie on a boundary of 8 bytes")
      }
      return Column(bytes, owner: file)
    }
    func column<Element>(_ name: String, _ element: HDF5Element, _ type: Element.Type) throws -> Column<Element> {
      guard let column = try optional(name, element, type) else {
        throw DPOError.format(file.path, "dataset /\(name) is missing")
      }
      return column
    }
    tokens = try column("tokens", .int32, Int32.self)
    ends = try column("ends", .int64, Int.self)
    firstSegments = try column("first_segments", .int64, Int.self)
    lines = try column("lines", .int64, Int.self)
    fileOfRow = try column("file_of_row", .int32, Int32.self)
    // Read as numbers first: a byte other than 0 and 1 is no Bool.
    for name in ["learned", "labels"] {
      let bytes = try optional(name, .uint8, UInt8.self)
      guard bytes?.allSatisfy({ $0 <= 1 }) ?? true else {
        throw DPOError.format(file.path, "dataset /\(name): expected 0 and 1")
      }
    }
    learned = try optional("learned", .uint8, Bool.self)
    labels = try optional("labels", .uint8, Bool.self)
    ranks = try optional("ranks", .float64, Double.self)
    weights = try optional("weights", .float64, Double.self)
    margins = try optional("margins", .float64, Double.self)
    referenceChosen = try optional("ref_chosen_logps", .float64, Double.self)
    referenceRejected = try optional("ref_rejected_logps", .float64, Double.self)
    promptRows = try optional("prompt_rows", .uint8, UInt8.self)
    promptEnds = try optional("prompt_ends", .int64, Int.self)
    try check(file.path, kind: kind, files: files)
  }

  private func check(_ path: String, kind: RowKind, files: Int) throws {
    func require(_ condition: Bool, _ name: String) throws {
      guard condition else { throw DPOError.format(path, "dataset /\(name) does not go with the others") }
    }
    /// From `first` to `last`, never back.
    func ascends(_ column: Column<Int>, from first: Int, to last: Int, by least: Int) -> Bool {
      column.withElements { values in
        var before = first
        for value in values {
          guard value >= before, value <= last else { return false }
          before = value
        }
        return before == last && (least == 0 || zip(values, values.dropFirst()).allSatisfy { $1 - $0 >= least })
      }
    }
    let rows = lines.count
    try require(rows > 0 && fileOfRow.count == rows && fileOfRow.allSatisfy { $0 >= 0 && $0 < files }, "file_of_row")
    // A prompt, and what comes after it.
    let least = kind == .pairs ? 3 : kind == .prompts ? 1 : 2
    try require(
      firstSegments.count == rows + 1 && firstSegments.first == 0
        && ascends(firstSegments, from: 0, to: ends.count, by: least), "first_segments")
    try require(ascends(ends, from: 0, to: tokens.count, by: 0), "ends")
    try require(learned.map { $0.count == tokens.count } ?? true, "learned")
    try require((labels?.count ?? 0) == (kind == .unpaired ? rows : 0), "labels")
    try require((ranks?.count ?? 0) == (kind == .ranked ? ends.count - rows : 0), "ranks")
    try require((promptEnds?.count ?? 0) == (kind == .prompts ? rows : 0), "prompt_ends")
    try require(promptEnds.map { ascends($0, from: 0, to: promptRows?.count ?? 0, by: 0) } ?? true, "prompt_ends")
    for (column, name) in [
      (weights, "weights"), (margins, "margins"), (referenceChosen, "ref_chosen_logps"),
      (referenceRejected, "ref_rejected_logps"),
    ] {
      try require(column.map { $0.count == rows && $0.allSatisfy(\.isFinite) } ?? true, name)
    }
    try require((referenceChosen == nil) == (referenceRejected == nil), "ref_chosen_logps")
  }
}
