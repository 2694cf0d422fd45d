import DPOBase
import DPOPlatform
import DPOStorage
import DPOText

/// A file with the tokens of other files: HDF5, with a checksum for every column (docs/data.md). Its name tells what it was made
/// from and how; what the files held is noted in it.
struct DatasetCache {
  /// Of the form of the file; others are made anew.
  private static let version = 2
  let path: String
  private let directory: String
  /// What the tokens depend on besides the contents of the files.
  private let key: String
  /// The files of rows.
  private let sources: [String]
  private let options: DatasetOptions
  /// Where the cache cannot be written, the rows are read into memory.
  private let isOptional: Bool

  /// nil where the options ask for no cache, or the rows are not in files.
  init?(_ source: DataSource, _ tokenizer: Tokenizer, _ options: DatasetOptions) throws {
    guard options.cache != .none, let sources = try source.paths(options.purpose), let first = sources.first else {
      return nil
    }
    switch options.cache {
    case .none: return nil
    case .automatic:
      guard RowFiles.size(of: sources) > DataCache.large else { return nil }
      (directory, isOptional) = ("\(directoryOf(first))/.dpo-cache", true)
    case .directory(let path): (directory, isOptional) = (path, false)
    }
    var key: JSONObject = [
      "version": .int(DatasetCache.version), "tokenizer": .string(hexadecimal(try tokenizer.fingerprint())),
      "files": .array(sources.map { .string(absolutePath($0)) }), "purpose": .string(options.purpose.rawValue),
      "truncation": .string(options.truncation.rawValue), "completion_only": .bool(options.completionOnlyLoss),
      "assistant_only": .bool(options.assistantOnlyLoss), "packing": .bool(options.packing),
      "drops_long_rows": .bool(options.dropsLongRows),
    ]
    key["max_length"] = options.maxLength.map(JSON.int)
    key["template_time"] = options.templateTime.map(JSON.int)
    if case .parts(let parts) = source, parts.contains(where: { $0.weight != nil }) {
      key["shares"] = .array(parts.map { .real($0.weight ?? 0) })
      key["parts"] = .array(parts.map { .string(absolutePath($0.path)) })
      key["mixture_seed"] = .string("\(options.mixtureSeed)")
    }
    self.key = JSON.object(key).description
    (self.sources, self.options) = (sources, options)
    let hash = try StreamHash()
    for text in [self.key] { Array(text.utf8).withUnsafeBytes(hash.update) }
    path = "\(directory)/\(nameOf(first))-\(hexadecimal(hash.value)).h5"
  }

  /// The rows, from the cache that there is or from one that `build` makes now.
  ///
  /// - Parameters:
  ///   - readsClock: the tokens depend on the time, too: that of the cache counts where none was asked for.
  ///   - build: reads the files; memory that it needs beyond a little lies in the directory, of nil in memory.
  func contents(
    readsClock: Bool, _ progress: DatasetProgress?,
    build: (_ options: DatasetOptions, _ directory: String?) throws -> DatasetBuilder
  ) throws -> DatasetContents {
    var dated = options
    if readsClock { dated.templateTime = options.templateTime ?? Machine.localTime }
    do {
      if case .rows(var found) = try read(progress) {
        found.notes = ["the rows are read from \(path), tokenised before"] + clockNote(found)
        return found
      }
      let isNewDirectory = fileKind(directory) == .none
      try makeDirectories(directory)
      let lockPath = "\(directory)/.\(nameOf(path)).lock"
      let lock = try FileLock(lockPath) {
        try progress?(DatasetReading(phase: "waiting for another process", done: 0, total: 0, rows: 0))
      }
      defer { withExtendedLifetime(lock) {} }
      var notes: [String] = []
      switch try read(progress) {
      case .rows(var made):
        made.notes = ["the rows are read from \(path), which another process has just made"] + clockNote(made)
        return made
      case .other(let reason): notes = ["\(path): \(reason); made anew"]
      case .none: break
      }
      do {
        try write(dated, progress, build)
      } catch {
        // Rows that cannot be read leave nothing beside them.
        try? removeFile(lockPath)
        if isNewDirectory { _ = DPOPlatform.rmdir(directory) }
        throw error
      }
      guard case .rows(var made) = try read(progress, isNew: true) else {
        throw DPOError(.io, "\(path): is not what was written; is something else writing there?")
      }
      notes.append(
        "\(made.columns.lines.count) rows were tokenised once into \(path); the next run reads them from there")
      made.notes = notes
      return made
    } catch let error as DPOError where isOptional && error.code == .io {
      try RowStream.checkRoom(RowFiles.size(of: sources), made: "\(sources.count == 1 ? sources[0] : directory)")
      var contents = try build(dated, nil).contents()
      contents.notes = ["no cache of the tokens, the rows are in memory: \(error.message)"]
      return contents
    }
  }

  private func clockNote(_ contents: DatasetContents) -> [String] {
    guard options.templateTime == nil, contents.options.templateTime != nil else { return [] }
    return [
      "the chat template asks for the date: it is that of the day when the cache was made; remove the file for another"
    ]
  }

  // MARK: Writing

  private func write(
    _ options: DatasetOptions, _ progress: DatasetProgress?,
    _ build: (_ options: DatasetOptions, _ directory: String?) throws -> DatasetBuilder
  ) throws {
    let stamps = try sources.map(FileStamp.init)
    // First, for rows that are damaged are then told at once.
    let builder = try build(options, directory)
    try builder.finish()
    let checksums = try sources.map { try checksum($0, progress) }
    for (source, stamp) in zip(sources, stamps) where try FileStamp(source) != stamp {
      throw DPOError.format(source, "was changed while it was read")
    }
    let files = zip(sources, zip(stamps, checksums)).map { source, found -> JSON in
      [
        "path": .string(absolutePath(source)), "stamp": .string(found.0.isSettled ? found.0.text : ""),
        "xxh3": .string(hexadecimal(found.1)),
      ]
    }
    let writer = try HDF5Writer(path)
    func attribute(_ name: String, _ value: JSON) throws { try writer.attribute("/", name, .text(value.description)) }
    try writer.attribute("/", "tokens_of", .text(key))
    try attribute("sources", .array(files))
    try writer.attribute("/", "kind", .text(builder.kind.rawValue))
    try attribute("name", .string(builder.name))
    try attribute("files", .array(builder.files.map { [.string($0.name), .string($0.unit)] }))
    try attribute("report", builder.finishedReport().stored)
    if let time = options.templateTime { try writer.attribute("/", "template_time", .int(time)) }
    try builder.columns.add(to: writer)
    try progress?(DatasetReading(phase: "writing the cache", done: 0, total: 0, rows: builder.count))
    try writer.commit()
  }

  /// XXH3-64 of a file.
  private func checksum(_ path: String, _ progress: DatasetProgress?) throws -> UInt64 {
    let file = try MappedFile(path)
    let hash = try StreamHash()
    for start in stride(from: 0, to: file.bytes.count, by: 8 * MappedFile.piece) {
      let part = start..<min(start + 8 * MappedFile.piece, file.bytes.count)
      hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[part]))
      file.forget(part)
      try progress?(DatasetReading(phase: "checking", done: part.upperBound, total: file.bytes.count, rows: 0))
    }
    return hash.value
  }

  // MARK: Reading

  private enum Found {
    case none
    /// A file that is no cache of these rows, and why.
    case other(String)
    case rows(DatasetContents)
  }

  /// - Parameter isNew: it was made from these files a moment ago.
  private func read(_ progress: DatasetProgress?, isNew: Bool = false) throws -> Found {
    switch fileKind(path) {
    case .none: return .none
    case .file: break
    case .directory, .other: throw DPOError(.io, "\(path): expected a regular file or none")
    }
    do {
      let file = try HDF5Reader(path, isLarge: true)
      guard try file.text("/", "tokens_of") == key else { return .other("of other rows or options") }
      guard try isNew || holdsSources(file, progress) else { return .other("the rows have changed since") }
      let contents = try contents(file)
      file.forgetPages()
      return .rows(contents)
    } catch let error as DPOError where error.code == .format {
      return .other("damaged (\(error.message.replacing("\(path): ", by: "")))")
    }
  }

  /// What a cache holds; nil for other files, and for damaged ones.
  static func inspection(_ path: String) -> JSON? {
    guard let file = try? HDF5Reader(path, isLarge: true), let key = try? file.text("/", "tokens_of"),
      let files = (try? JSON.parse(key, file: path))?["files"], let kind = try? file.text("/", "kind"),
      let rows = file.dataset("/lines")?.shape.first, let tokens = file.dataset("/tokens")?.shape.first
    else { return nil }
    return [
      "kind": "tokens", "format": "hdf5", "sources": files, "row_kind": .string(kind), "rows": .int(rows),
      "tokens": .int(tokens),
    ]
  }

  /// Whether the files are those that the cache was made from: as the system tells, or else by what they hold.
  private func holdsSources(_ file: HDF5Reader, _ progress: DatasetProgress?) throws -> Bool {
    let noted = try json(file, "sources").array ?? []
    guard noted.count == sources.count else { return false }
    return try zip(noted, sources).allSatisfy { noted, source in
      let stamp = try FileStamp(source)
      if noted["stamp"]?.string == stamp.text { return true }
      return try noted["xxh3"]?.string == hexadecimal(checksum(source, progress))
    }
  }

  private func contents(_ file: HDF5Reader) throws -> DatasetContents {
    func damaged(_ name: String) -> DPOError { DPOError.format(path, "attribute \(name) is not what it should be") }
    guard let kind = try file.text("/", "kind").flatMap(RowKind.init) else { throw damaged("kind") }
    guard let name = try json(file, "name").string else { throw damaged("name") }
    let files = try json(file, "files").array?.compactMap { entry -> (name: String, unit: String)? in
      guard let name = entry.array?.first?.string, let unit = entry.array?.last?.string else { return nil }
      return (name, unit)
    }
    guard let files, !files.isEmpty else { throw damaged("files") }
    guard let report = DataReport(stored: try json(file, "report"), name: name, kind: kind) else {
      throw damaged("report")
    }
    var options = options
    if case .int(let time)? = file.attributes["/"]?["template_time"] { options.templateTime = time }
    return DatasetContents(
      columns: try DatasetColumns(file, kind: kind, files: files.count), kind: kind, options: options, report: report,
      name: name, files: files, file: file)
  }

  private func json(_ file: HDF5Reader, _ name: String) throws -> JSON {
    try JSON.parse(file.text("/", name) ?? "null", file: "\(path): attribute \(name)")
  }
}
