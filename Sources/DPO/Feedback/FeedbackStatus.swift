import DPOBase

extension FeedbackStore {
  /// What the file holds and what became of it, as JSON: records of each kind, replaced and taken back ones; with a
  /// directory of `train` also how many are new, what the sessions did and where the adapter is.
  public func status(directory: String? = nil) throws -> JSON {
    let records = try records()
    let current = records.current()
    let takenBack = Set(records.map(\.subject)).count - current.count
    var status: JSONObject = ["file": .string(path), "records": .int(records.count)]
    for (name, kind) in [("thumbs_up", FeedbackRecord.Kind.thumbUp), ("thumbs_down", .thumbDown), ("choices", .choice)]
    {
      status[name] = .int(current.count { $0.kind == kind })
    }
    status["replaced"] = .int(records.count - current.count - takenBack)
    status["taken_back"] = .int(takenBack)
    guard let directory else { return .object(status) }
    let place = FeedbackDirectory(path: directory)
    try place.checkPlace()
    let history = try place.history()
    let selection = try FeedbackSelection(records, history, file: nameOf(path), directory: directory)
    let unfinished = try place.unfinished(history)
    status["new"] = .int(selection.new.count { $0.id > unfinished?.trainedTo ?? 0 })
    status["unfinished"] = unfinished.map { JSON.object(["session": .int($0.number), "new": .int($0.new)]) } ?? .null
    status["trained_to"] = .int(history.trainedTo)
    status["sessions"] = .array(history.lines)
    for (name, file) in [("adapter", place.adapter), ("gguf_adapter", place.ggufAdapter)] {
      status[name] = fileKind(file) == .file ? .string(file) : .null
    }
    return .object(status)
  }
}
