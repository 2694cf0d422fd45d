import DPOBase

/// Where a run keeps its files: metrics.jsonl, checkpoint-N.h5, autosave.h5, reference-logps.h5, final.h5, report.html.
struct RunDirectory: Sendable {
  let path: String

  var metrics: String { "\(path)/metrics.jsonl" }
  var autosave: String { "\(path)/autosave.h5" }
  var final: String { "\(path)/final.h5" }
  var report: String { "\(path)/report.html" }
  var referenceCache: String { "\(path)/reference-logps.h5" }
  func checkpoint(_ step: Int) -> String { "\(path)/checkpoint-\(step).h5" }

  /// Steps of which a checkpoint stands here, in order.
  func checkpointSteps() throws -> [Int] {
    try directoryNames(path).compactMap { name in
      guard name.hasPrefix("checkpoint-"), name.hasSuffix(".h5") else { return nil }
      return Int(name.dropFirst("checkpoint-".count).dropLast(".h5".count))
    }.sorted()
  }

  /// Refuses a place that holds something already or cannot be written. Changes nothing.
  func check(overwrite: Bool, resuming: Bool) throws {
    switch fileKind(path) {
    case .none: return
    case .directory: break
    case .file, .other: throw DPOError(.io, "\(path): is not a directory")
    }
    let names = try directoryNames(path)
    guard resuming || overwrite || names.isEmpty else {
      throw DPOError.argument(
        "\(path): not empty (it holds \(names[0])); use another directory, resume from its last checkpoint, or set overwrite_output_dir"
      )
    }
    try AtomicFile(metrics).discard()
  }

  /// Makes the directory for a new run.
  func prepare(overwrite: Bool, resuming: Bool) throws {
    try makeDirectories(path)
    try check(overwrite: overwrite, resuming: resuming)
    if overwrite && !resuming {
      for step in try checkpointSteps() { try removeFile(checkpoint(step)) }
      for file in [metrics, autosave, final, report, referenceCache] { try removeFile(file) }
    }
  }

  /// Files that a run may be resumed from, furthest first.
  func resumable() throws -> [String] {
    guard fileKind(path) == .directory else { return [] }
    var files = try checkpointSteps().reversed().map(checkpoint)
    if fileKind(autosave) == .file { files.insert(autosave, at: 0) }
    return files
  }
}

/// metrics.jsonl: one object a step. On resume, lines of steps after the checkpoint, and a line torn by a crash, go.
struct MetricsLog {
  private(set) var records: [JSON] = []
  private let file: OwnedAppendFile
  /// Bytes; a step is about 500.
  private static let largest = 1 << 30

  init(path: String, resumingAt step: Int) throws {
    var kept: [String] = []
    if step > 0 && fileKind(path) == .file {
      for line in try readFile(path, limit: MetricsLog.largest).split(separator: UInt8(ascii: "\n")) {
        guard let record = try? JSON.parse(Array(line), file: path), let number = record["step"]?.int, number <= step
        else { break }
        kept.append(String(decoding: line, as: UTF8.self))
        records.append(record)
      }
    }
    file = try OwnedAppendFile(path, keeping: kept)
    AtomicFile.removeAbandoned(in: directoryOf(path))
  }

  mutating func append(_ record: JSON) throws {
    records.append(record)
    try file.append(record.description)
  }

  func flush() throws { try file.flush() }

  /// Puts another line in the place of the last one.
  mutating func replaceLast(by record: JSON) throws {
    records[records.count - 1] = record
    try file.replace(by: records.map(\.description))
  }

  /// The line of a step whose evaluation was stopped; nil if the step is not the last one, or has its evaluation.
  func lineWithoutEvaluation(of step: Int) -> JSONObject? {
    guard let line = records.last?.object, line["step"]?.int == step,
      !line.keys.contains(where: { $0.hasPrefix("eval_") })
    else { return nil }
    return line
  }
}

extension JSONObject {
  /// A line of metrics.jsonl with more metrics, before its wall time.
  func adding(_ metrics: Metrics) -> JSON {
    var object = JSONObject()
    for (key, value) in members where key != "seconds" { object[key] = value }
    for (name, value) in metrics { object[name.text] = .real(value) }
    object["seconds"] = self["seconds"]
    return .object(object)
  }
}
