import DPOBase

/// Documents of text: a file of rows (*.jsonl, *.json, *.csv and others, docs/data.md) holds a document in every row's "text"; any
/// other file is one document; a directory stands for its *.txt files and files of rows, by name. Each may be packed by gzip
/// (*.gz). Documents of blanks alone are skipped.
public struct TextCorpus: Sendable {
  let files: [String]
  /// The name in errors.
  let name: String

  /// - Throws: `.invalidArgument` without paths, `.io` for a path where nothing is, `.format` for a directory without
  ///   such files.
  public init(_ paths: [String]) throws {
    guard !paths.isEmpty else { throw DPOError.argument("a corpus needs at least one file or directory") }
    files = try RowFiles.files(at: paths, endings: [".txt"] + RowFile.endings, empty: "an empty corpus")
    name = RowFiles.name(of: paths)
  }

  /// A file that is one document.
  private static func isText(_ path: String) -> Bool { !RowFile.hasEnding(path, of: RowFile.endings) }

  /// What the numbers of documents count.
  var unit: String { countsLines ? "line" : "document" }
  private var countsLines: Bool { files.count == 1 && !TextCorpus.isText(files[0]) }

  /// Calls `body` with every document and its number: the line of the only file, or counted from 1.
  /// - Throws: `.format` if there is none.
  public func forEach(_ body: (_ text: String, _ number: Int) throws -> Void) throws { try forEach(nil, body) }

  /// As `forEach`; `counter` is told how far the files were read.
  func forEach(_ counter: ReadCounter?, _ body: (_ text: String, _ number: Int) throws -> Void) throws {
    var count = 0
    func add(_ text: String, line: Int) throws {
      guard !TextCorpus.isBlank(text) else { return }
      count += 1
      try body(text, countsLines ? line : count)
    }
    for file in files {
      if TextCorpus.isText(file) {
        let text = try TextCorpus.read(file)
        try add(text, line: 1)
        counter?.done += text.utf8.count
        continue
      }
      try RowFile(file).forEachRaw(counter) { raw, place in
        let row = try raw.object()
        guard let text = row["text"]?.string else {
          throw DPOError.format(
            place.description, "\"text\" is \(row["text"]?.kind ?? "missing"); expected a string")
        }
        try add(text, line: place.number)
      }
    }
    guard count > 0 else { throw DPOError.format(name, "an empty corpus: there is no text in it") }
  }

  private static func isBlank(_ text: String) -> Bool {
    text.utf8.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
  }

  private static func read(_ path: String) throws -> String {
    let file = try MappedFile(path)
    return try withExtendedLifetime(file) { try text(file.bytes, name: path) }
  }

  /// The text of a document, unpacked where it is packed.
  static func text(_ bytes: UnsafeRawBufferPointer, name: String) throws -> String {
    let window = try ByteWindow(bytes, name: name)
    guard let document = try window.record({ name }, most: 1 << 34, end: { _, _ in nil }) else { return "" }
    if let text = String(validating: document.bytes, as: UTF8.self) { return text }
    let lines = document.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
    throw DPOError.format(name, "line \(bad + 1) is not UTF-8; expected plain text")
  }
}
