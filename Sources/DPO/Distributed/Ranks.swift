import DPOBase
import DPOPlatform

/// The ranks of a job as a trainer sees them; without a communicator it is the only one. Calls are made by all ranks in the same
/// order: what one of them throws in its part, all throw.
final class Ranks: Sendable {
  let communicator: Communicator?
  /// This process: 0 ..< `count`.
  var rank: Int { communicator?.rank ?? 0 }
  var count: Int { communicator?.size ?? 1 }
  /// Whether this rank writes the files.
  var isRoot: Bool { rank == 0 }

  init(_ communicator: Communicator?) { self.communicator = communicator?.size == 1 ? nil : communicator }

  /// A trainer by itself.
  static let alone = Ranks(nil)

  // MARK: Work dealt to the ranks

  /// `body` of each index, at most one a rank: the first is rank 0's. Every rank gets all results, in order.
  func round<Message: RankMessage>(_ indices: Range<Int>, _ body: (Int) throws -> Message) throws -> [Message] {
    guard let communicator else { return try indices.map(body) }
    let own = indices.lowerBound + rank
    let answers = try exchange(communicator) { writer in
      if indices.contains(own) { try body(own).write(to: &writer) }
    }
    return try answers.prefix(indices.count).map { answer in
      var reader = answer
      return try Message(from: &reader)
    }
  }

  /// `body` of each index in 0..<count, dealt to the ranks in turn; `take` gets the results in order, on every rank.
  func map<Message: RankMessage>(
    _ count: Int, _ body: (Int) throws -> Message, take: (Int, Message) throws -> Void
  ) throws {
    for first in stride(from: 0, to: count, by: self.count) {
      let results = try round(first..<min(count, first + self.count), body)
      for (offset, result) in results.enumerated() { try take(first + offset, result) }
    }
  }

  /// What every rank says, in order.
  func gather<Message: RankMessage>(_ body: () throws -> Message) throws -> [Message] {
    try round(0..<count) { _ in try body() }
  }

  /// Runs `body` on every rank, and goes on when all have succeeded.
  func agree<Result>(_ body: () throws -> Result) throws -> Result {
    var result: Result?
    guard let communicator else { return try body() }
    _ = try exchange(communicator) { _ in result = try body() }
    guard let result else { throw DPOError(.internal, "the ranks agreed on nothing") }
    return result
  }

  /// Runs `body` on rank 0 alone, and goes on when it has succeeded.
  func onRoot(_ body: () throws -> Void) throws { try agree { if isRoot { try body() } } }

  /// What rank 0 says, on every rank.
  func fromRoot<Message: RankMessage>(_ body: () throws -> Message) throws -> Message {
    let answers = try round(0..<1) { _ in try body() }
    guard let answer = answers.first else { throw DPOError(.internal, "rank 0 said nothing") }
    return answer
  }

  /// Sends what `body` writes to all ranks. If it threw on any, all throw the error of the first such rank.
  private func exchange(
    _ communicator: Communicator, _ body: (inout MessageWriter) throws -> Void
  ) throws -> [MessageReader] {
    var writer = MessageWriter()
    var own: (any Error)?
    writer.write(false)
    do {
      try body(&writer)
    } catch {
      own = error
      writer = MessageWriter()
      writer.write(true)
      writer.write(Int((error as? DPOError)?.code.rawValue ?? DPOError.Code.internal.rawValue))
      writer.write((error as? DPOError)?.message ?? "\(error)")
    }
    var readers = try communicator.gather(writer.bytes).map(MessageReader.init)
    for rank in readers.indices where try readers[rank].flag() {
      if let own, rank == self.rank { throw own }
      let code = DPOError.Code(rawValue: Int32(clamping: try readers[rank].integer())) ?? .internal
      throw DPOError(code, "rank \(rank) of \(count): \(try readers[rank].text())")
    }
    return readers
  }
}

extension Communicator {
  /// Bytes of every rank, in order.
  fileprivate func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    var sizes = [Int](repeating: 0, count: size)
    try sizes.withUnsafeMutableBytes { buffer in
      guard let received = buffer.baseAddress else { return }
      var own = bytes.count
      try collectives.allGather(&own, into: received, bytes: Array(repeating: MemoryLayout<Int>.size, count: size))
    }
    let (total, overflow) = sizes.reduce((0, false)) { sum, size in
      let (next, overflow) = sum.0.addingReportingOverflow(size)
      return (next, sum.1 || overflow || size < 0)
    }
    guard !overflow, total <= Communicator.mostBytes else {
      throw DPOError(.memory, "the ranks' messages of \(total) bytes are more than \(Communicator.mostBytes)")
    }
    var all = [UInt8](repeating: 0, count: total)
    try all.withUnsafeMutableBytes { buffer in
      try bytes.withUnsafeBytes { own in
        // An empty array has no address.
        var nothing: UInt8 = 0
        try withUnsafeMutablePointer(to: &nothing) { nothing in
          try collectives.allGather(
            own.baseAddress ?? UnsafeRawPointer(nothing),
            into: buffer.baseAddress ?? UnsafeMutableRawPointer(nothing), bytes: sizes)
        }
      }
    }
    var start = 0
    return sizes.map { size in
      defer { start += size }
      return Array(all[start..<start + size])
    }
  }

  /// Of one call of an engine.
  static let mostBytes = 1 << 30
}
