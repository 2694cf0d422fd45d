import DPOBase

/// Where a row stands: "data.jsonl: line 7".
package struct RowPlace: Sendable, Equatable, CustomStringConvertible {
  /// The file's last path component, or "rows" for rows of the host.
  package let file: String
  /// "line" of a file, "row" of an array or a host's, or "document".
  package let unit: String
  /// Counted from 1.
  package let number: Int

  package var description: String { "\(file): \(unit) \(number)" }
}

/// Rows in one file: JSON lines, a JSON array of objects, or comma- or tab-separated values, each also packed by gzip. Read one
/// at a time.
package struct RowFile: Sendable {
  enum Form: Equatable {
    case lines, array
    case table(separator: UInt8)
  }

  /// The name in errors.
  package let name: String
  /// What the form is called: "jsonl", "json", "csv" or "tsv".
  package let form: String
  /// What the numbers of rows count.
  let unit: String
  private let kind: Form
  private nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
  private let owner: MappedFile?

  /// Endings of files with rows, each also with ".gz" behind it. The last ones are refused by a sentence that says what to do.
  static let endings = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow"]

  package init(_ path: String) throws { try self.init(MappedFile(path)) }

  init(_ file: MappedFile) throws { try self.init(file.bytes, name: nameOf(file.path), path: file.path, owner: file) }

  /// Rows in memory that outlives the value, in the form that `name` and the first character tell.
  init(_ bytes: UnsafeRawBufferPointer, name: String) throws {
    try self.init(bytes, name: name, path: name, owner: nil)
  }

  /// JSON lines in memory that outlives the value.
  init(lines bytes: UnsafeRawBufferPointer, name: String) {
    (self.bytes, self.name, owner) = (bytes, name, nil)
    (kind, form, unit) = (.lines, "jsonl", "line")
  }

  private init(_ bytes: UnsafeRawBufferPointer, name: String, path: String, owner: MappedFile?) throws {
    (self.bytes, self.name, self.owner) = (bytes, name, owner)
    try OtherForm.refuse(bytes, path: path)
    let plain = name.hasSuffix(".gz") ? String(name.dropLast(3)) : name
    if plain.hasSuffix(".csv") {
      (kind, form, unit) = (.table(separator: UInt8(ascii: ",")), "csv", "line")
    } else if plain.hasSuffix(".tsv") {
      (kind, form, unit) = (.table(separator: UInt8(ascii: "\t")), "tsv", "line")
    } else if !plain.hasSuffix(".jsonl"), !plain.hasSuffix(".ndjson"),
      try ByteWindow(bytes, name: name).nextByte() == UInt8(ascii: "[")
    {
      (kind, form, unit) = (.array, "json", "row")
    } else {
      (kind, form, unit) = (.lines, "jsonl", "line")
    }
  }

  /// Whether the name or the first character of a file tells of rows. Models begin otherwise.
  static func isLikely(_ path: String) throws -> Bool {
    guard fileKind(path) == .file else { return false }
    if hasEnding(path, of: endings.filter { $0 != ".json" }) { return true }
    let file = try MappedFile(path)
    return try withExtendedLifetime(file) {
      let first = try ByteWindow(file.bytes, name: nameOf(path)).nextByte()
      return first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
    }
  }

  var size: Int { bytes.count }

  /// Whether a path ends so, perhaps with ".gz" behind it.
  static func hasEnding(_ path: String, of endings: [String]) -> Bool {
    endings.contains { path.hasSuffix($0) || path.hasSuffix($0 + ".gz") }
  }

  /// Calls `body` with every row as it stands. Errors name the file and the place.
  package func forEach(_ body: (_ row: JSONObject, _ place: RowPlace) throws -> Void) throws {
    try forEachRaw { row, place in try body(row.object(), place) }
  }

  /// As `forEach`, before rows are parsed. `counter` is told how far the file was read.
  func forEachRaw(
    _ counter: ReadCounter? = nil, _ body: (_ row: RawRow, _ place: RowPlace) throws -> Void
  ) throws {
    defer { withExtendedLifetime(owner) {} }
    let window = try ByteWindow(bytes, name: name)
    let before = counter?.done ?? 0
    defer { counter?.done = before + bytes.count }
    var forgotten = 0
    let numbered = { (row: RawRow, number: Int) in
      try body(row, RowPlace(file: name, unit: unit, number: number))
      let read = bytes.count - window.left
      counter?.done = before + read
      if let owner, read - forgotten >= MappedFile.piece {
        owner.forget(forgotten..<read)
        forgotten = read
      }
    }
    switch kind {
    case .lines: try JSONLines(name: name).forEach(window, numbered)
    case .array: try JSONArray(name: name).forEach(window, numbered)
    case .table(let separator): try CSVTable(separator: separator, name: name).forEach(window, numbered)
    }
  }

  /// As `forEach`, of rows of data: null is absent.
  package func forEachRow(_ body: (_ row: JSONObject, _ place: RowPlace) throws -> Void) throws {
    try forEach { row, place in try body(row.withoutNulls, place) }
  }
}

/// Forms of rows that are not read, and how to make others of them.
private enum OtherForm {
  static func refuse(_ bytes: UnsafeRawBufferPointer, path: String) throws {
    for (magic, name, program) in [
      ([0x28, 0xB5, 0x2F, 0xFD], "zstd", "zstd -d"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz", "xz -dk"),
      ([0x42, 0x5A, 0x68], "bzip2", "bzip2 -dk"), ([0x50, 0x4B, 0x03, 0x04], "zip", "unzip"),
    ] as [([UInt8], String, String)] where bytes.starts(with: magic) {
      throw DPOError.format(path, "packed by \(name), which is not read (gzip is); unpack it: \(program) \(path)")
    }
    let read: (name: String, call: String)? =
      if bytes.starts(with: "PAR1".utf8) || path.hasSuffix(".parquet") {
        ("Parquet", "import pandas; pandas.read_parquet('\(path)')")
      } else if bytes.starts(with: "ARROW1".utf8) || path.hasSuffix(".arrow") {
        ("Arrow", "import datasets; datasets.Dataset.from_file('\(path)')")
      } else {
        nil
      }
    guard let read else { return }
    let lines = "\(path.prefix(upTo: path.lastIndex(of: ".") ?? path.endIndex)).jsonl"
    throw DPOError.format(
      path,
      "\(read.name) is not read; make JSON lines of it: python3 -c \"\(read.call).to_json('\(lines)', orient='records', lines=True)\""
    )
  }
}

/// Rows of files, one file after the other.
package struct RowFiles: Sendable {
  let paths: [String]
  /// The name in errors.
  package let name: String

  /// - Parameter paths: files, and directories, which stand for the files of rows in them, by name.
  /// - Throws: `.io` for a path where nothing is, `.format` for a directory without such files.
  package init(_ paths: [String]) throws {
    self.paths = try RowFiles.files(at: paths, endings: RowFile.endings, empty: "a directory without rows")
    name = RowFiles.name(of: paths)
  }

  /// One path, named so or by the number of them.
  static func name(of paths: [String]) -> String { paths.count == 1 ? nameOf(paths[0]) : "\(paths.count) files" }

  /// The files at paths: a directory stands for those in it that end so.
  static func files(at paths: [String], endings: [String], empty: String) throws -> [String] {
    var files: [String] = []
    for path in paths {
      switch fileKind(path) {
      case .none: throw DPOError(.io, "\(path): no such file or directory")
      case .directory:
        let names = try directoryNames(path).filter { !$0.hasPrefix(".") && RowFile.hasEnding($0, of: endings) }
        guard !names.isEmpty else {
          let known = endings.dropLast().joined(separator: ", ")
          throw DPOError.format(path, "\(empty): it holds no file that ends with \(known) or \(endings.last ?? "")")
        }
        files += names.map { "\(path)/\($0)" }
      case .file, .other: files.append(path)
      }
    }
    return files
  }

  /// Bytes of files; those that cannot be looked at have none.
  static func size(of paths: [String]) -> Int { paths.reduce(0) { $0 + ((try? FileStamp($1))?.size ?? 0) } }

  /// Calls `body` with every row; null is absent.
  package func forEachRow(_ body: (_ row: JSONObject, _ place: RowPlace) throws -> Void) throws {
    for path in paths { try RowFile(path).forEachRow(body) }
  }

  /// Calls `body` with every row before it is parsed.
  func forEachRaw(_ counter: ReadCounter?, _ body: (_ row: RawRow, _ place: RowPlace) throws -> Void) throws {
    for path in paths { try RowFile(path).forEachRaw(counter, body) }
  }

  /// Calls `body` with every row as it stands.
  package func forEach(_ body: (_ row: JSONObject, _ place: RowPlace) throws -> Void) throws {
    for path in paths { try RowFile(path).forEach(body) }
  }
}
