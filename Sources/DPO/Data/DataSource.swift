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

  /// Whether a tokenizer has to make tokens of it.
  var needsTokenizer: Bool { if case .tokens = self { false } else { true } }
}

/// Rows before tokenisation, one at a time.
struct RowStream {
  /// The name in errors.
  let name: String
  /// "line" of a file, "row" of a host's, or "document".
  let unit: String
  /// Calls its argument with every row and its number from 1.
  let forEach: ((_ row: JSONObject, _ number: Int) throws -> Void) throws -> Void

  init(_ lines: JSONLines) { (name, unit, forEach) = (lines.name, "line", lines.forEach) }

  init(_ rows: [JSONObject]) {
    (name, unit) = ("rows", "row")
    forEach = { body in for (index, row) in rows.enumerated() { try body(row, index + 1) } }
  }

  init(_ corpus: TextCorpus) {
    (name, unit) = (corpus.name, corpus.unit)
    forEach = { body in try corpus.forEach { text, number in try body(["text": .string(text)], number) } }
  }

  init(files paths: [String], purpose: DatasetPurpose) throws {
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
