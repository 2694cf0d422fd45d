import DPOBase
import DPOStorage

/// Where training on feedback keeps its files:
///
///     adapter.h5, adapter.gguf   the adapter, each replaced at once
///     sessions.jsonl             a line for every finished session: what was trained on
///     session/                   the newest session: session.json, its rows, its runs
struct FeedbackDirectory {
  let path: String

  var adapter: String { "\(path)/adapter.h5" }
  var ggufAdapter: String { "\(path)/adapter.gguf" }
  var log: String { "\(path)/sessions.jsonl" }
  var session: String { "\(path)/session" }

  /// Keeps other processes from training here. Makes the directory.
  func take() throws -> OwnedAppendFile {
    try checkPlace()
    try makeDirectories(path)
    return try OwnedAppendFile(log)
  }

  /// Refuses a directory of something else. Changes nothing.
  func checkPlace() throws {
    switch fileKind(path) {
    case .none: return
    case .file, .other: throw DPOError(.io, "\(path): is not a directory")
    case .directory: break
    }
    if fileKind(log) == .none, let other = try directoryNames(path).first {
      throw DPOError.argument("\(path): not empty (it holds \(other)), but holds no training on feedback")
    }
  }

  /// What the finished sessions did, from the whole lines of their log.
  func history() throws -> FeedbackHistory {
    var history = FeedbackHistory()
    guard fileKind(log) != .none else { return history }
    let bytes = try readFile(log, limit: SharedAppendFile.largest)
    let end = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    guard end > 0 else { return history }
    let name = nameOf(log)
    try bytes.withUnsafeBytes { bytes in
      try RowFile(lines: UnsafeRawBufferPointer(rebasing: bytes[..<end]), name: name).forEach { line, place in
        try history.add(FeedbackSession(.object(line), file: place.description))
      }
    }
    return history
  }

  /// The session that is not finished, if it has got anywhere: one without a checkpoint is made anew.
  func unfinished(_ history: FeedbackHistory) throws -> FeedbackSession? {
    let file = "\(session)/session.json"
    guard fileKind(file) == .file else { return nil }
    let found = try FeedbackSession(JSON.parse(readFile(file, limit: 1 << 24), file: file), file: file)
    guard found.number == history.sessions + 1 else { return nil }
    let hasProgress = try found.stages.contains { stage in
      let run = self.run(stage)
      return try fileKind(run.final) == .file || !run.resumable().isEmpty
    }
    return hasProgress ? found : nil
  }

  func run(_ stage: FeedbackSession.Stage) -> RunDirectory { RunDirectory(path: "\(session)/\(stage.name)") }
  func rows(_ stage: FeedbackSession.Stage) -> String { "\(session)/\(stage.name).jsonl" }
  /// The adapter as it was when the session began.
  var start: String { "\(session)/start.h5" }

  /// Removes a session's files, and what killed processes left of making one; session.json first, without which the rest
  /// means nothing.
  func removeSession() throws {
    try removeFile("\(session)/session.json")
    for name in try directoryNames(path) where name == "session" || name.hasPrefix(".session.") {
      try removeTree("\(path)/\(name)")
    }
  }
}

/// What was trained on so far.
struct FeedbackHistory {
  var sessions = 0
  /// The last record that a session has seen, and how to know it.
  var trainedTo = 0
  var trainedToFingerprint: String?
  /// The model that the adapter belongs to.
  var model: String?
  /// What the first session's chat templates were told of the time.
  var templateTime: Int?
  var lines: [JSON] = []

  mutating func add(_ session: FeedbackSession) throws {
    sessions = session.number
    trainedTo = session.trainedTo
    trainedToFingerprint = session.trainedToFingerprint
    model = session.model
    templateTime = templateTime ?? session.templateTime
    lines.append(session.json)
  }
}
