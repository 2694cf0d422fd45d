import DPOBase

// What a cache keeps of a data set's report.

extension DataReport {
  private nonisolated(unsafe) static let counts: [(name: String, path: WritableKeyPath<DataReport, Int>)] = [
    ("rows", \.rows), ("dropped_rows", \.droppedRows), ("truncated_rows", \.truncatedRows), ("split_rows", \.splitRows),
    ("moved_boundaries", \.movedBoundaries), ("duplicate_rows", \.duplicateRows),
    ("contradicting_rows", \.contradictingRows), ("identical_rows", \.identicalRows), ("answers", \.answers),
    ("longest_row", \.longestRow),
  ]
  private nonisolated(unsafe) static let distributions:
    [(name: String, path: WritableKeyPath<DataReport, Distribution>)] = [
      ("prompts", \.prompts), ("completions", \.completions), ("rejected", \.rejected),
    ]

  var stored: JSON {
    var object = JSONObject()
    for (name, path) in DataReport.counts { object[name] = .int(self[keyPath: path]) }
    for (name, path) in DataReport.distributions { object[name] = self[keyPath: path].json }
    object["first_moved_boundary"] = firstMovedBoundary.map(JSON.int)
    object["longer_chosen"] = .real(longerChosen)
    object["mixture"] = .array(mixture.map(JSON.string))
    object["unread_columns"] = .array(unreadColumns.map(JSON.string))
    object["readable_columns"] = .array(readableColumns.sorted().map(JSON.string))
    object["read_columns"] = .array(readColumns.sorted().map(JSON.string))
    return .object(object)
  }

  /// nil for what `stored` does not give.
  init?(stored: JSON, name: String, kind: RowKind) {
    self.init(name: name, kind: kind)
    for (name, path) in DataReport.counts {
      guard let count = stored[name]?.int, count >= 0 else { return nil }
      self[keyPath: path] = count
    }
    for (name, path) in DataReport.distributions {
      guard let distribution = stored[name].flatMap(Distribution.init(stored:)) else { return nil }
      self[keyPath: path] = distribution
    }
    func texts(_ name: String) -> [String]? { stored[name]?.array?.compactMap(\.string) }
    guard let longer = stored["longer_chosen"]?.double, let mixture = texts("mixture"),
      let unread = texts("unread_columns"), let readable = texts("readable_columns"), let read = texts("read_columns")
    else { return nil }
    firstMovedBoundary = stored["first_moved_boundary"]?.int
    longerChosen = longer
    (self.mixture, unreadColumns, readableColumns, readColumns) = (mixture, unread, Set(readable), Set(read))
  }
}

extension DataReport.Distribution {
  fileprivate init?(stored: JSON) {
    guard let least = stored["min"]?.int, let middle = stored["median"]?.int, let high = stored["p95"]?.int,
      let most = stored["max"]?.int, let all = stored["total"]?.int,
      [least, middle, high, most, all].allSatisfy({ $0 >= 0 })
    else { return nil }
    (minimum, median, percentile95, maximum, total) = (least, middle, high, most, all)
  }
}
