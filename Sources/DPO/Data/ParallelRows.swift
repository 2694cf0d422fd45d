import CKernels
import DPOBase
import DPOPlatform

/// How far a data set was read: bytes of its files, or of the file that holds its tokens.
public struct DatasetReading: Sendable, Equatable {
  /// "tokenising", "checking", "waiting for another process".
  public let phase: String
  /// Bytes done, and of all.
  public let done, total: Int
  /// Rows done.
  public let rows: Int
}

/// Is told how far a data set was read; what it throws ends the reading.
public typealias DatasetProgress = (DatasetReading) throws -> Void

extension DatasetBuilder {
  /// Reads and tokenises rows on several threads. Rows are added in their order, and of several that are bad the first one is told.
  ///
  /// - Parameter directory: takes what memory shall not; nil: all stays in memory.
  init(
    _ stream: RowStream, _ tokenizer: RowTokenizer, _ options: DatasetOptions, spillingTo directory: String?,
    _ progress: DatasetProgress?
  ) throws {
    let loader = RowLoader(stream, tokenizer, options, directory, progress)
    do { try stream.forEach(loader.add) } catch {
      // A bad row before the place where reading ended comes first.
      try loader.finish()
      throw error
    }
    try loader.finish()
    guard let builder = loader.builder else {
      throw DPOError.format(stream.name, "no rows; expected at least one JSON object")
    }
    self = builder
  }

  /// Pairs are taken apart in blocks of this many rows: all chosen completions, then all rejected ones, as TRL does.
  fileprivate static var unpairingBlock: Int { 1000 }
}

/// Rows on their way from a file to a builder: the calling thread reads, all threads parse and tokenise what was read, and one of
/// them meanwhile adds the rows that were tokenised before.
private final class RowLoader {
  /// A row and its tokens, or two where a pair was taken apart.
  struct Tokenized {
    let keys: [String]
    let rows: [(row: DataRow, tokens: RowTokenizer.Tokens)]
    let place: RowPlace
  }

  typealias Piece = [(row: RawRow, place: RowPlace)]

  private(set) var builder: DatasetBuilder?
  private let stream: RowStream
  private let tokenizer: RowTokenizer
  private let options: DatasetOptions
  private let directory: String?
  private let progress: DatasetProgress?
  private var format: RowFormat?
  private var team: TaskThreads?
  private let threads: Int
  /// Read, but not tokenised yet.
  private var pieces: [Piece] = []
  private var size = 0
  /// Tokenised, but not added yet.
  private var tokenized: [Result<Tokenized, any Error>] = []
  /// Rejected completions of a block that is being unpaired.
  private var waiting: [(row: DataRow, tokens: RowTokenizer.Tokens, place: RowPlace)] = []
  private let clock = ContinuousClock()
  private var lastTold: ContinuousClock.Instant

  /// What a thread takes at once, in rows and bytes; and the pieces for each thread before all begin.
  private static let (rowsOfPiece, bytesOfPiece, piecesOfThread) = (32, 1 << 16, 8)

  init(
    _ stream: RowStream, _ tokenizer: RowTokenizer, _ options: DatasetOptions, _ directory: String?,
    _ progress: DatasetProgress?
  ) {
    (self.stream, self.tokenizer, self.options, self.directory, self.progress) = (
      stream, tokenizer, options, directory, progress
    )
    threads = options.threads > 0 ? options.threads : Machine.processors
    lastTold = clock.now
  }

  func add(_ row: RawRow, _ place: RowPlace) throws {
    if format == nil {
      let object = try row.object().withoutNulls
      let rows = try RowFormat(first: object, purpose: options.purpose, place: place.description)
      builder = try DatasetBuilder(
        name: stream.name, kind: options.purpose.learns(rows.kind), options: options, columns: rows.columns,
        shares: stream.shares, spillingTo: directory)
      format = rows
    }
    if pieces.isEmpty || size >= RowLoader.bytesOfPiece || (pieces.last?.count ?? 0) >= RowLoader.rowsOfPiece {
      if pieces.count == threads * RowLoader.piecesOfThread { try work() }
      pieces.append([])
      size = 0
    }
    pieces[pieces.count - 1].append((row.kept, place))
    size += row.size
  }

  func finish() throws {
    try work()
    try work()
    try flush()
    try tell()
  }

  /// Tokenises what was read, and adds what was tokenised the last time.
  private func work() throws {
    let (ready, read) = (tokenized, pieces)
    tokenized = []
    pieces = []
    guard !ready.isEmpty || !read.isEmpty else { return }
    var failure: (any Error)?
    var results = [[Result<Tokenized, any Error>]](repeating: [], count: read.count)
    results.withUnsafeMutableBufferPointer { results in
      let (results, adding) = (results, ready.isEmpty ? 0 : 1)
      func task(_ index: Int) {
        if index < adding {
          do { for row in ready { try add(row.get()) } } catch { failure = error }
        } else {
          results[index - adding] = tokenize(read[index - adding])
        }
      }
      let count = read.count + adding
      if threads > 1, count > 2, let team = try? team ?? TaskThreads(min(threads, 1024)) {
        self.team = team
        team.run(count) { index, _ in task(index) }
      } else {
        for index in 0..<count { task(index) }
      }
    }
    if let failure { throw failure }
    tokenized = Array(results.joined())
    if lastTold.duration(to: clock.now) >= .milliseconds(200) { try tell() }
  }

  private func tell() throws {
    lastTold = clock.now
    try progress?(
      DatasetReading(
        phase: "tokenising", done: min(stream.position(), stream.size), total: stream.size, rows: builder?.count ?? 0))
  }

  /// The rows of a piece, up to the first bad one.
  private func tokenize(_ piece: Piece) -> [Result<Tokenized, any Error>] {
    var results: [Result<Tokenized, any Error>] = []
    for (row, place) in piece {
      do { results.append(.success(try tokenize(row, place))) } catch {
        results.append(.failure(error))
        break
      }
    }
    return results
  }

  private func tokenize(_ raw: RawRow, _ rowPlace: RowPlace) throws -> Tokenized {
    let object = try raw.object().withoutNulls
    let place = rowPlace.description
    guard let format else { throw DPOError(.internal, "rows before the first one") }
    var row = try format.read(object, place: place)
    if format.kind == .pairs { try row.extractPrompt(place: place) }
    if options.purpose == .supervised, format.kind == .pairs { row = row.unpaired().chosen }
    let unpairs = options.purpose == .unpaired && format.kind == .pairs
    let rows = unpairs ? [row.unpaired().chosen, row.unpaired().rejected] : [row]
    return Tokenized(
      keys: object.keys,
      rows: try rows.map {
        ($0, try tokenizer.tokenize($0, place: place, assistantOnly: options.learnsAssistantOnly))
      }, place: rowPlace)
  }

  private func add(_ row: Tokenized) throws {
    builder?.note(columns: row.keys)
    guard let first = row.rows.first else { return }
    try builder?.append(first.tokens, first.row, row.place)
    guard row.rows.count > 1 else { return }
    waiting.append((row.rows[1].row, row.rows[1].tokens, row.place))
    if waiting.count == DatasetBuilder.unpairingBlock { try flush() }
  }

  private func flush() throws {
    for (row, tokens, place) in waiting { try builder?.append(tokens, row, place) }
    waiting.removeAll(keepingCapacity: true)
  }
}
