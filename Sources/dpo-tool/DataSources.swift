import ArgumentParser
import DPO
import DPOPlatform

extension ModelFile {
  /// Rows of a command, with a line about the reading of many.
  /// - Parameter shows: of several processes one shows what is done.
  func rows(_ source: DataSource, options: DatasetOptions, shows: Bool = true) throws -> TokenizedDataset {
    var line = ReadingLine()
    let data = try dataset(source, options: options) { if shows { line.show($0) } }
    line.end()
    return data
  }
}

/// Rows as `--data` names them: a file, a directory, or "-" for stdin; behind "=" its share of a mixture.
enum DataSources {
  static let help = "JSON lines or array, CSV, TSV, each also as .gz; a directory of them; or - for stdin."

  static func source(_ names: [String]) throws -> DataSource {
    let parts = try names.map(part)
    guard parts.contains(where: { $0.weight != nil || $0.contents != nil }) else { return .files(names) }
    guard parts.count(where: { $0.contents != nil }) <= 1 else { throw ValidationError("--data - can be given once") }
    guard parts.allSatisfy({ ($0.weight == nil) == (parts[0].weight == nil) }) else {
      throw ValidationError("--data: give every source a share of the mixture, FILE=WEIGHT, or none")
    }
    return .parts(parts)
  }

  static func source(_ name: String) throws -> DataSource { try source([name]) }

  private static func part(_ name: String) throws -> DataPart {
    if fileKind(name) != .none { return DataPart(name) }
    var (path, weight) = (name, nil as Double?)
    if let equals = name.lastIndex(of: "="), let number = Double(name[name.index(after: equals)...]) {
      guard number > 0, number.isFinite else {
        throw ValidationError("--data \(name): the share of a mixture is \(number), expected a number above 0")
      }
      (path, weight) = (String(name[..<equals]), number)
    }
    return DataPart(path == "-" ? "stdin" : path, contents: path == "-" ? try standardInput() : nil, weight: weight)
  }

  private static func standardInput() throws -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = buffer.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw DPOError(.io, "stdin: cannot read: \(systemMessage())") }
      guard count > 0 else { return bytes }
      bytes += buffer[..<count]
    }
  }
}
