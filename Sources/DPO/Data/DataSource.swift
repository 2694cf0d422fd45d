import DPOBase

/// Where the rows of a data set come from.
public enum DataSource {
  /// One file of JSON lines; for pretraining any number of text files and directories of them, see `TextCorpus`.
  case files([String])
  /// The bytes of JSON lines; `name` stands for the file in errors.
  case lines(UnsafeRawBufferPointer, name: String)
  /// Objects with the keys of JSON lines. Errors count them from 1.
  case rows([JSONObject])
  /// Token ids, which need no tokenizer.
  case tokens([TokenizedRow])

  /// One file of JSON lines.
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
    case .files(let paths): paths.count == 1 ? .file(try MappedFile(paths[0])) : .files(paths)
    case .lines(let bytes, let name): .lines(Array(bytes), name: name)
    case .rows(let rows): .rows(rows)
    case .tokens(let rows): .tokens(rows)
    }
  }

  /// Whether a tokenizer has to make tokens of it.
  var needsTokenizer: Bool { if case .tokens = self { false } else { true } }
}

/// A data source that owns what it reads.
enum KeptSource: Sendable {
  case files([String])
  /// A file of JSON lines, which may have another name or none by now.
  case file(MappedFile)
  case lines([UInt8], name: String)
  case rows([JSONObject])
  case tokens([TokenizedRow])

  func withSource<T>(_ body: (DataSource) throws -> T) throws -> T {
    switch self {
    case .files(let paths): return try body(.files(paths))
    case .file(let file):
      try file.checkUnchanged()
      return try withExtendedLifetime(file) { try body(.lines(file.bytes, name: nameOf(file.path))) }
    case .lines(let bytes, let name): return try bytes.withUnsafeBytes { try body(.lines($0, name: name)) }
    case .rows(let rows): return try body(.rows(rows))
    case .tokens(let rows): return try body(.tokens(rows))
    }
  }
}

/// Rows before tokenisation, one at a time.
struct RowStream {
  /// The name in errors.
  let name: String
  /// "line" of a file, "row" of a host's, or "document".
  let unit: String
  /// Calls its argument with every row and its number from 1.
  let forEach: ((_ row: JSONObject, _ number: Int) throws -> Void) throws -> Void

  init(_ source: DataSource, purpose: DatasetPurpose) throws {
    switch source {
    case .files(let paths): try self.init(files: paths, purpose: purpose)
    case .lines(let bytes, let name): self.init(JSONLines(bytes, name: name))
    case .rows(let rows): self.init(rows)
    case .tokens: throw DPOError(.internal, "token ids are no rows of text")
    }
  }

  private init(_ lines: JSONLines) { (name, unit, forEach) = (lines.name, "line", lines.forEachRow) }

  private init(_ rows: [JSONObject]) {
    (name, unit) = ("rows", "row")
    forEach = { body in for (index, row) in rows.enumerated() { try body(row.withoutNulls, index + 1) } }
  }

  private init(_ corpus: TextCorpus) {
    (name, unit) = (corpus.name, corpus.unit)
    forEach = { body in try corpus.forEach { text, number in try body(["text": .string(text)], number) } }
  }

  private init(files paths: [String], purpose: DatasetPurpose) throws {
    guard purpose != .pretraining else {
      self.init(try TextCorpus(paths))
      return
    }
    guard paths.count == 1 else {
      throw DPOError.argument("several files of text are data for pretrain; other methods take one file of JSON lines")
    }
    self.init(try JSONLines(paths[0]))
  }
}
