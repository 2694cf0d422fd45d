import DPOBase

/// Documents of text: a file of JSON lines (named *.jsonl) holds a document in every row's "text"; any other file is one
/// document; a directory stands for its *.txt and *.jsonl files, by name. Documents of blanks alone are skipped.
public struct TextCorpus: Sendable {
  let files: [String]
  /// The name in errors.
  let name: String

  /// - Throws: `.invalidArgument` without paths, `.io` for a path where nothing is, `.format` for a directory without
  ///   such files.
  public init(_ paths: [String]) throws {
    guard let first = paths.first else { throw DPOError.argument("a corpus needs at least one file or directory") }
    var files: [String] = []
    for path in paths {
      switch fileKind(path) {
      case .none: throw DPOError(.io, "\(path): no such file or directory")
      case .directory:
        let names = try directoryNames(path).filter { $0.hasSuffix(".txt") || $0.hasSuffix(".jsonl") }
        guard !names.isEmpty else { throw DPOError.format(path, "an empty corpus: it holds no .txt or .jsonl file") }
        files += names.map { "\(path)/\($0)" }
      case .file, .other: files.append(path)
      }
    }
    self.files = files
    name = paths.count == 1 ? nameOf(first) : "\(paths.count) files"
  }

  /// A file that is one document.
  private static func isText(_ path: String) -> Bool { !path.hasSuffix(".jsonl") }

  /// What the numbers of documents count.
  var unit: String { countsLines ? "line" : "document" }
  private var countsLines: Bool { files.count == 1 && !TextCorpus.isText(files[0]) }

  /// Calls `body` with every document and its number: the line of the only file, or counted from 1.
  /// - Throws: `.format` if there is none.
  public func forEach(_ body: (_ text: String, _ number: Int) throws -> Void) throws {
    var count = 0
    func add(_ text: String, line: Int) throws {
      guard !TextCorpus.isBlank(text) else { return }
      count += 1
      try body(text, countsLines ? line : count)
    }
    for file in files {
      if TextCorpus.isText(file) {
        try add(TextCorpus.read(file), line: 1)
        continue
      }
      let lines = try JSONLines(file)
      try lines.forEach { row, line in
        guard let text = row["text"]?.string else {
          throw DPOError.format(
            "\(lines.name): line \(line)", "\"text\" is \(row["text"]?.kind ?? "missing"); expected a string")
        }
        try add(text, line: line)
      }
    }
    guard count > 0 else { throw DPOError.format(name, "an empty corpus: there is no text in it") }
  }

  private static func isBlank(_ text: String) -> Bool {
    text.utf8.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
  }

  private static func read(_ path: String) throws -> String {
    let file = try MappedFile(path)
    defer { withExtendedLifetime(file) {} }
    if let text = String(validating: file.bytes, as: UTF8.self) { return text }
    let lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
    throw DPOError.format(path, "line \(bad + 1) is not UTF-8; expected plain text")
  }
}
