import DPOBase

/// A judge's scores by row, in a file that only grows: `{"row", "judge", "scores"}`. What it holds need not be judged again.
struct ScoreLog {
  private(set) var scores: [String: [Double]]
  private let file: AppendFile

  /// - Throws: `.mismatch` if another judge wrote the file.
  init(_ path: String, judge: String, overwrite: Bool) throws {
    var lines: [String] = []
    var known: [String: [Double]] = [:]
    if !overwrite {
      try MarkupLog.forEachLine(of: path) { event, place in
        guard let row = event["row"]?.string, let found = event["judge"]?.string, let values = event["scores"]?.array
        else {
          throw DPOError.mismatch("\(place) is no judge's score; give another output, or --overwrite")
        }
        guard found == judge else {
          throw DPOError.mismatch(
            "\(place) is of another judge (\(DPOError.printable(found))); give another output, or --overwrite")
        }
        known[row] = values.compactMap(\.double)
        lines.append(event.description)
      }
    }
    scores = known
    file = try AppendFile(path, keeping: lines)
  }

  mutating func record(_ row: MarkupRow, judge: String, _ values: [Double]) throws {
    scores[row.id] = values
    try file.append(
      JSON.object(["row": .string(row.id), "judge": .string(judge), "scores": .array(values.map(JSON.real))])
        .description)
  }

  func flush() throws { try file.flush() }
}

/// Lines of a log that a crash may have cut.
enum MarkupLog {
  static func path(of output: String) -> String { output + ".log" }

  /// Calls `body` with every whole line and its place for errors; a last line without an end is left out, a file that is not
  /// there has none.
  static func forEachLine(of path: String, _ body: (_ event: JSON, _ place: String) throws -> Void) throws {
    guard fileKind(path) != .none else { return }
    let mapped = try MappedFile(path)
    defer { withExtendedLifetime(mapped) {} }
    guard let end = mapped.bytes.lastIndex(of: UInt8(ascii: "\n")) else { return }
    let name = nameOf(path)
    try JSONLines(UnsafeRawBufferPointer(rebasing: mapped.bytes[...end]), name: name).forEach { row, line in
      try body(.object(row), "\(name): line \(line)")
    }
  }
}
