package import CDPO
import DPOBase

/// What carries bytes between the processes of one job, its ranks: an MPI library, or an engine of the host's own.
///
/// Every rank calls the same functions in the same order, one at a time, from any thread. A function that throws has lost the
/// ranks to each other; a rank that does not answer must not block the others for ever.
public protocol Collectives: AnyObject, Sendable {
  /// Of this process: 0 ..< `size`.
  var rank: Int { get }
  /// Number of ranks.
  var size: Int { get }
  /// The engine and its version, for messages.
  var name: String { get }

  /// `received` gets `bytes[r]` bytes of each rank r, one after the other; `sent` are this rank's. At most 1 GiB.
  func allGather(_ sent: UnsafeRawPointer, into received: UnsafeMutableRawPointer, bytes: [Int]) throws
  /// `sent` holds `sentBytes[r]` bytes for each rank r, one after the other; `received` gets `receivedBytes[r]` of it. At most
  /// 1 GiB each.
  func allToAll(
    _ sent: UnsafeRawPointer, bytes sentBytes: [Int], into received: UnsafeMutableRawPointer,
    bytes receivedBytes: [Int]) throws
  /// Ends every rank, this one too. Returns only where that cannot be.
  func abort(exitStatus: Int32)
}

/// The ranks of a job, as trainers use them.
public final class Communicator: Sendable {
  let collectives: any Collectives
  /// Of this process: 0 ..< `size`. Rank 0 writes the files of a run.
  public let rank: Int
  /// Number of ranks.
  public let size: Int
  /// The engine and its version.
  public var name: String { collectives.name }

  /// - Throws: `.invalidArgument` for a rank outside of 0 ..< size.
  public init(_ collectives: any Collectives) throws {
    (rank, size) = (collectives.rank, collectives.size)
    guard size > 0, size <= Communicator.mostRanks, (0..<size).contains(rank) else {
      throw DPOError.argument(
        "rank \(rank) of \(size); expected a rank in 0 ..< size, of at most \(Communicator.mostRanks) ranks")
    }
    self.collectives = collectives
  }

  /// Tables of every rank's sizes are kept.
  private static let mostRanks = 1 << 16

  /// Ends every rank, this one too: for a process that cannot go on. Returns only where the engine cannot do it.
  public func abort(exitStatus: Int32 = 1) { collectives.abort(exitStatus: exitStatus) }
}

/// Collectives as dpo.h has them, of a plug-in or of a host in another language.
package final class ForeignCollectives: Collectives, @unchecked Sendable {
  package let rank, size: Int
  package let name: String
  private let functions: dpo_collectives
  /// No function has failed. (Calls come one at a time.)
  private var isHealthy = true
  private var ownsContext = false

  /// The context stays the caller's until `takeOver()`.
  package init(_ functions: dpo_collectives) throws {
    guard functions.version == DPO_COLLECTIVES_VERSION else {
      throw DPOError.unsupported(
        "collectives of version \(functions.version); this library expects version \(DPO_COLLECTIVES_VERSION)")
    }
    guard functions.all_gather != nil, functions.all_to_all != nil else {
      throw DPOError.argument("all_gather and all_to_all must not be NULL")
    }
    self.functions = functions
    (rank, size) = (Int(functions.rank), Int(functions.size))
    name = functions.name.map { String(cString: $0) } ?? "the host's collectives"
  }

  /// From now on the context is released with this object.
  package func takeOver() { ownsContext = true }

  deinit { if ownsContext { functions.release?(functions.context, isHealthy ? 1 : 0) } }

  package func allGather(_ sent: UnsafeRawPointer, into received: UnsafeMutableRawPointer, bytes: [Int]) throws {
    try check("all_gather", functions.all_gather?(functions.context, sent, received, bytes))
  }

  package func allToAll(
    _ sent: UnsafeRawPointer, bytes sentBytes: [Int], into received: UnsafeMutableRawPointer,
    bytes receivedBytes: [Int]
  ) throws {
    try check(
      "all_to_all", functions.all_to_all?(functions.context, sent, sentBytes, received, receivedBytes))
  }

  private func check(_ function: String, _ status: Int32?) throws {
    guard status != 0 else { return }
    isHealthy = false
    let reason = functions.last_error?(functions.context).map { String(cString: $0) }
    throw DPOError(
      .io, "rank \(rank) of \(size): \(reason ?? "\(function) failed with status \(status ?? -1)") (\(name))")
  }

  package func abort(exitStatus: Int32) { functions.abort?(functions.context, exitStatus) }
}
