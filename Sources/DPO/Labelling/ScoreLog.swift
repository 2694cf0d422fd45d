import DPOBase

/// A judge's scores by row, in a file that only grows: `{"row", "judge", "scores"}`, with the "time" that a judge's chat template
/// was told. What it holds need not be judged again.
struct ScoreLog {
  private(set) var scores: [String: [Double]] = [:]
  /// What the chat template of the judge was told of the time.
  private(set) var time: Int?
  private let file: OwnedAppendFile

  /// - Throws: `.mismatch` if another judge wrote the file.
  init(_ path: String, judge: String, overwrite: Bool) throws {
    file = try OwnedAppendFile(path)
    if overwrite { try file.clear() }
    let instead = "; give another output, or set overwrite"
    var known: [String: [Double]] = [:]
    var time: Int?
    try LabelLog.forEachLine(of: file) { event, place in
      guard let row = event["row"]?.string, let found = event["judge"]?.string, let values = event["scores"]?.array
      else { throw DPOError.mismatch("\(place) is no judge's score\(instead)") }
      guard found == judge else {
        throw DPOError.mismatch("\(place) is of another judge (\(DPOError.printable(found)))\(instead)")
      }
      known[row] = values.compactMap(\.double)
      time = time ?? event["time"]?.int
    }
    self.time = time
    scores = known
  }

  mutating func record(_ row: LabelRow, judge: String, time: Int?, _ values: [Double]) throws {
    scores[row.id] = values
    var event: JSONObject = ["row": .string(row.id), "judge": .string(judge), "scores": .array(values.map(JSON.real))]
    event["time"] = time.map(JSON.int)
    try file.append(JSON.object(event).description)
  }

  func flush() throws { try file.flush() }
}

/// The log beside a labelling's output: what was judged, line by line.
enum LabelLog {
  static func path(of output: String) -> String { output + ".log" }

  /// Calls `body` with every line and its place for errors.
  static func forEachLine(of file: OwnedAppendFile, _ body: (_ event: JSON, _ place: String) throws -> Void) throws {
    let name = nameOf(file.path)
    try file.withLines { bytes in
      guard !bytes.isEmpty else { return }
      try RowFile(lines: bytes, name: name).forEach { row, place in try body(.object(row), place.description) }
    }
  }
}
