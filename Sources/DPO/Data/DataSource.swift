import DPOBase

/// Where the rows of a data set come from.
public enum DataSource {
  /// Files of rows, and directories of them: JSON lines, JSON arrays, CSV and TSV, also packed by gzip (docs/data.md). For
  /// pretraining also text files, see `TextCorpus`. Rows stand in the order of the paths.
  case files([String])
  /// Files or text, of which each gives a share of the rows.
  case parts([DataPart])
  /// The bytes of JSON lines; `name` stands for the file in errors.
  case lines(UnsafeRawBufferPointer, name: String)
  /// Objects with the keys of JSON lines. Errors count them from 1.
  case rows([JSONObject])
  /// Token ids, which need no tokenizer.
  case tokens([TokenizedRow])

  /// One file or directory.
  public static func file(_ path: String) -> DataSource { .files([path]) }

  /// Texts of which one is preferred to the other.
  public static func pairs(_ pairs: [(prompt: String, chosen: String, rejected: String)]) -> DataSource {
    .rows(pairs.map { ["prompt": .string($0), "chosen": .string($1), "rejected": .string($2)] })
  }

  /// Texts and what comes after them.
  public static func completions(_ texts: [(prompt: String, completion: String)]) -> DataSource {
    .rows(texts.map { ["prompt": .string($0), "completion": .string($1)] })
  }

  /// The source once its maker has taken its memory back.
  func kept() throws -> KeptSource {
    switch self {
    case .files(let paths) where paths.count == 1 && fileKind(paths[0]) == .file: .file(try MappedFile(paths[0]))
    case .files(let paths): .files(paths)
    case .parts(let parts): .parts(parts)
    case .lines(let bytes, let name): .lines(Array(bytes), name: name)
    case .rows(let rows): .rows(rows)
    case .tokens(let rows): .tokens(rows)
    }
  }

  /// The files that it reads; nil where rows come from elsewhere.
  func paths(_ purpose: DatasetPurpose) throws -> [String]? {
    func files(_ paths: [String]) throws -> [String] {
      purpose == .pretraining ? try TextCorpus(paths).files : try RowFiles(paths).paths
    }
    switch self {
    case .files(let paths): return try files(paths)
    case .parts(let parts):
      guard parts.allSatisfy({ $0.contents == nil }) else { return nil }
      return try files(parts.map(\.path))
    case .lines, .rows, .tokens: return nil
    }
  }

  /// Whether a tokenizer has to make tokens of it.
  var needsTokenizer: Bool { if case .tokens = self { false } else { true } }
}

/// A part of a data set that has several.
public struct DataPart: Sendable, Equatable {
  /// A file or a directory of files.
  public var path: String
  /// Its bytes, where they are no file's: JSON lines or an array. `path` then names them in errors.
  public var contents: [UInt8]?
  /// Its share of the rows, against those of the other parts. The data set has as many rows as it can have without one that
  /// stands in it twice; which rows of a part those are is drawn from `DatasetOptions.mixtureSeed`. nil for all parts: every row
  /// of each.
  public var weight: Double?

  /// What stands at a path, or `contents`.
  public init(_ path: String, contents: [UInt8]? = nil, weight: Double? = nil) {
    (self.path, self.contents, self.weight) = (path, contents, weight)
  }
}

/// A data source that owns what it reads.
enum KeptSource: Sendable {
  case files([String])
  /// A file of rows, which may have another name or none by now.
  case file(MappedFile)
  case parts([DataPart])
  case lines([UInt8], name: String)
  case rows([JSONObject])
  case tokens([TokenizedRow])

  /// The files of a source that has only files.
  var files: DataSource? {
    switch self {
    case .files(let paths): .files(paths)
    case .file(let file): .file(file.path)
    case .parts(let parts): .parts(parts)
    case .lines, .rows, .tokens: nil
    }
  }

  /// Calls `body` with the rows once more.
  func rows(_ options: DatasetOptions) throws -> RowStream? {
    switch self {
    case .files(let paths): return try RowStream(.files(paths), options)
    case .file(let file):
      try file.checkUnchanged()
      return RowStream(try RowFile(file))
    case .parts(let parts): return try RowStream(.parts(parts), options)
    case .lines(let bytes, let name): return try RowStream(DataPart(name, contents: bytes), options.purpose)
    case .rows(let rows): return try RowStream(.rows(rows), options)
    case .tokens: return nil
    }
  }
}

/// Rows before tokenisation, one at a time.
struct RowStream {
  /// The name in errors.
  let name: String
  /// What the data set has of each part, in words; empty where it has every row.
  private(set) var shares: [String] = []
  /// Bytes of the files, and how many of them were read.
  let size: Int
  let position: () -> Int
  /// Calls its argument with every row and its place. Null is not taken away yet.
  let forEach: ((_ row: RawRow, _ place: RowPlace) throws -> Void) throws -> Void

  init(_ source: DataSource, _ options: DatasetOptions) throws {
    switch source {
    case .files(let paths): try self.init(files: paths, options.purpose)
    case .parts(let parts): try self.init(parts, options)
    case .lines(let bytes, let name):
      self.init(RowFile(lines: bytes, name: name))
    case .rows(let rows): self.init(rows)
    case .tokens: throw DPOError(.internal, "token ids are no rows of text")
    }
  }

  /// Refuses rows that do not fit into memory: tokens take about as much as the text that they are of.
  static func checkRoom(_ bytes: Int, made name: String) throws {
    let room = Machine.availableMemory
    guard bytes < room else {
      throw DPOError(
        .memory,
        "\(name): \(bytes >> 20) MiB of rows, more than the \(room >> 20) MiB of memory that are free; let data_cache name a "
          + "directory, from which they are then read")
    }
  }

  init(_ file: RowFile) {
    let counter = ReadCounter(total: file.size)
    (name, size, position) = (file.name, counter.total, { counter.done })
    forEach = { body in
      counter.done = 0
      try file.forEachRaw(counter, body)
    }
  }

  private init(_ rows: [JSONObject]) {
    (name, size, position) = ("rows", 0, { 0 })
    forEach = { body in
      for (index, row) in rows.enumerated() {
        try body(.object(row), RowPlace(file: "rows", unit: "row", number: index + 1))
      }
    }
  }

  private init(files paths: [String], _ purpose: DatasetPurpose) throws {
    if purpose == .pretraining {
      let corpus = try TextCorpus(paths)
      let counter = ReadCounter(total: RowFiles.size(of: corpus.files))
      (name, size, position) = (corpus.name, counter.total, { counter.done })
      forEach = { body in
        counter.done = 0
        try corpus.forEach(counter) { text, number in
          try body(.object(["text": .string(text)]), RowPlace(file: corpus.name, unit: corpus.unit, number: number))
        }
      }
    } else {
      let files = try RowFiles(paths)
      let counter = ReadCounter(total: RowFiles.size(of: files.paths))
      (name, size, position) = (files.name, counter.total, { counter.done })
      forEach = { body in
        counter.done = 0
        try files.forEachRaw(counter, body)
      }
    }
  }

  /// A part without its weight.
  init(_ part: DataPart, _ purpose: DatasetPurpose) throws {
    if let bytes = part.contents {
      self.init(bytes, name: part.path, purpose)
    } else {
      try self.init(files: [part.path], purpose)
    }
  }

  private init(_ bytes: [UInt8], name: String, _ purpose: DatasetPurpose) {
    self.name = name
    (size, position) = (bytes.count, { 0 })
    forEach = { body in
      try bytes.withUnsafeBytes { bytes in
        let first = try ByteWindow(bytes, name: name).nextByte()
        guard purpose == .pretraining, first != UInt8(ascii: "{"), first != UInt8(ascii: "[") else {
          return try RowFile(bytes, name: name).forEachRaw(nil, body)
        }
        try body(
          .object(["text": .string(TextCorpus.text(bytes, name: name))]),
          RowPlace(file: name, unit: "document", number: 1))
      }
    }
  }

  private init(_ parts: [DataPart], _ options: DatasetOptions) throws {
    let streams = try parts.map { try RowStream($0, options.purpose) }
    name = parts.count == 1 ? streams[0].name : "\(parts.count) sources"
    size = streams.reduce(0) { $0 + $1.size }
    position = { streams.reduce(0) { $0 + $1.position() } }
    let weights = parts.compactMap(\.weight)
    guard !weights.isEmpty else {
      forEach = { body in for stream in streams { try stream.forEach(body) } }
      return
    }
    guard weights.count == parts.count, weights.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw DPOError.argument("a mixture needs a weight above 0 for each of its \(parts.count) parts")
    }
    let counts = try streams.map { stream in
      var count = 0
      // Parsed, so that a damaged row is told of whether it is taken or not.
      try stream.forEach { row, _ in
        _ = try row.object()
        count += 1
      }
      guard count > 0 else { throw DPOError.format(stream.name, "no rows; expected at least one for the mixture") }
      return count
    }
    // The part with the fewest rows for its weight gives all of them.
    let size = zip(counts, weights).map { Double($0) / $1 }.min() ?? 0
    let taken = zip(counts, weights).map { max(1, min($0, Int((size * $1).rounded()))) }
    shares = zip(streams, zip(taken, counts)).map { "\($1.0) of \($1.1) rows of \($0.name)" }
    forEach = { body in
      for (index, stream) in streams.enumerated() {
        var random = CounterRandom(stream: [options.mixtureSeed, 0x4D49_5854, UInt64(index)])
        var (wanted, left) = (taken[index], counts[index])
        try stream.forEach { row, place in
          // Knuth's algorithm S: each choice of rows is as likely as any other, and they stay in their order.
          let isTaken = random.uniform() * Double(left) < Double(wanted)
          left -= 1
          guard isTaken else { return }
          wanted -= 1
          try body(row, place)
        }
      }
    }
  }
}
