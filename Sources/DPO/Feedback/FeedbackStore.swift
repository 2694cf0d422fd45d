import DPOBase
import DPOPlatform
import Synchronization

/// What people said of a model's answers: a file of JSON lines that only grows.
///
/// Any number of threads and processes may record at once. A record is on the disk when the call returns; a crash in the
/// middle leaves a torn line, which readers pass over and the next writer removes. A file of thumbs alone, or of choices
/// alone, is data for training as it is.
public final class FeedbackStore: Sendable {
  /// Where the file is, as it was given.
  public let path: String
  /// Longest line that is recorded, in bytes.
  public static let longestRecord = 16 << 20

  private let file: SharedAppendFile
  /// What is known of the file, so that appending need not read it all.
  private struct Known {
    var identity: FileIdentity?
    var end = 0
    var isTerminated = true
    var lastID = 0
  }
  private let known = Mutex(Known())

  /// Reads the file, if there is one; the first record makes it.
  ///
  /// - Throws: `.format` with the line that is no feedback; `.io` where the file cannot be read or made.
  public init(_ path: String) throws {
    self.path = path
    file = SharedAppendFile(path)
    if fileKind(path) == .none { try AtomicFile(path).discard() }
    _ = try records()
  }

  // MARK: - Recording

  /// Records a thumb on an answer. Prompt and answer are text, or chat messages; text after messages becomes the
  /// assistant's.
  ///
  /// - Parameters:
  ///   - weight: factor on the record's loss; 0 takes back an earlier thumb on the same answer.
  ///   - time: seconds since 1970; nil: now.
  /// - Returns: the record's number.
  @discardableResult
  public func record(
    prompt: Content, answer: String, thumbUp: Bool, weight: Double = 1, time: Int? = nil
  ) throws -> Int {
    try record(prompt: prompt.json, answer: .string(answer), thumbUp: thumbUp, weight: weight, time: time)
  }

  /// Records that one answer was liked better than another.
  @discardableResult
  public func record(
    prompt: Content, chosen: String, rejected: String, weight: Double = 1, time: Int? = nil
  ) throws -> Int {
    try record(
      prompt: prompt.json, chosen: .string(chosen), rejected: .string(rejected), weight: weight, time: time)
  }

  @discardableResult
  package func record(
    prompt: JSON, answer: JSON, thumbUp: Bool, weight: Double = 1, time: Int? = nil
  ) throws -> Int {
    try record(["prompt": prompt, "completion": answer, "label": .bool(thumbUp)], weight: weight, time: time)
  }

  @discardableResult
  package func record(
    prompt: JSON, chosen: JSON, rejected: JSON, weight: Double = 1, time: Int? = nil
  ) throws -> Int {
    try record(["prompt": prompt, "chosen": chosen, "rejected": rejected], weight: weight, time: time)
  }

  private func record(_ row: JSONObject, weight: Double, time: Int?) throws -> Int {
    guard weight >= 0, weight.isFinite else {
      throw DPOError.argument("the weight is \(weight), expected a finite number, 0 or more")
    }
    var row = row
    if weight != 1 { row["weight"] = .real(weight) }
    if let time { row["time"] = .int(time) }
    return try record(row)
  }

  /// Records a row: what a line of the file holds. The file gives it its `"id"`, and the time where it has none.
  @discardableResult
  package func record(_ given: JSONObject) throws -> Int {
    guard given["id"] == nil else { throw DPOError.argument("the record has an \"id\"; the file gives it one") }
    var row: JSONObject = ["time": given["time"] ?? .int(DPOPlatform.time(nil))]
    for (key, value) in given.members where key != "time" {
      let isAnswer = ["completion", "chosen", "rejected"].contains(key)
      if isAnswer, let answer = Content(value), let prompt = Content(given["prompt"]) {
        row[key] = answer.answering(prompt).json
      } else {
        row[key] = value
      }
    }
    do {
      _ = try FeedbackRecord(row.withoutNulls, id: 1, place: "the record")
    } catch let error as DPOError where error.code == .format {
      throw DPOError.argument(error.message)
    }
    let rest = JSON.object(row).description.dropFirst()
    guard rest.utf8.count < FeedbackStore.longestRecord else {
      throw DPOError.argument(
        "the record has \(rest.utf8.count) bytes, more than the \(FeedbackStore.longestRecord) that a line may have")
    }
    return try known.withLock { known in
      var after = known
      try file.append { file in
        after = try catchUp(file, known)
        after.lastID += 1
        let separator = after.isTerminated ? "" : "\n"
        let text = "\(separator){\"id\": \(after.lastID), \(rest)\n"
        defer {
          after.end += text.utf8.count
          after.isTerminated = true
        }
        return (after.end, text)
      }
      known = after
      return after.lastID
    }
  }

  /// What is known once the lines that others have written are read.
  private func catchUp(_ file: SharedAppendFile.Locked, _ known: Known) throws -> Known {
    if let identity = known.identity, identity.isSameFile(as: file.identity), known.end <= file.size,
      known.isTerminated, known.end > 0
    {
      let bytes = try file.bytes(from: known.end - 1)
      // A line that is no record now is told with its number by reading everything.
      if bytes.first == UInt8(ascii: "\n"),
        let found = try? scan(Array(bytes.dropFirst()), lastID: known.lastID, { _ in })
      {
        return Known(
          identity: identity, end: known.end + found.end, isTerminated: found.isTerminated, lastID: found.lastID)
      }
    }
    let found = try scan(file.bytes(), lastID: 0) { _ in }
    return Known(identity: file.identity, end: found.end, isTerminated: found.isTerminated, lastID: found.lastID)
  }

  // MARK: - Reading

  /// Every record, in the order of the file.
  ///
  /// - Throws: `.format` with the line that is no feedback.
  public func records() throws -> [FeedbackRecord] {
    var records: [FeedbackRecord] = []
    guard let bytes = try file.read({ try $0.bytes() }) else { return [] }
    _ = try scan(bytes, lastID: 0) { records.append($0) }
    return records
  }

  /// Reads whole lines. `end`: where they end; a last line that only lacks its newline is whole.
  private func scan(
    _ bytes: [UInt8], lastID: Int, _ body: (FeedbackRecord) -> Void
  ) throws -> (end: Int, isTerminated: Bool, lastID: Int) {
    let name = nameOf(path)
    let lines = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    let tailIsRow = (try? JSON.parse(Array(bytes[lines...]), file: name))?.object != nil
    let end = tailIsRow ? bytes.count : lines
    var last = lastID
    try bytes.withUnsafeBytes { bytes in
      guard end > 0 else { return }
      try RowFile(lines: UnsafeRawBufferPointer(rebasing: bytes[..<end]), name: name).forEach { row, place in
        let record = try FeedbackRecord(row.withoutNulls, id: last + 1, place: place.description)
        last = record.id
        body(record)
      }
    }
    return (end, !tailIsRow, last)
  }
}

extension [FeedbackRecord] {
  /// The last record on each subject, in order, without those that were taken back.
  func current() -> [FeedbackRecord] {
    var last: [UInt64: Int] = [:]
    for record in self { last[record.subject] = record.id }
    return filter { last[$0.subject] == $0.id && $0.weight > 0 }
  }
}
