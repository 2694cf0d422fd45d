import CKernels
import DPOBase
@_exported import DPOTensor
import DPOPlatform

/// Persistent threads that share numbered tasks, without the memory for products that a `ThreadTeam` has.
package final class TaskThreads: @unchecked Sendable {
  private let handle: OpaquePointer

  /// Throws `.memory` if the system has no more threads.
  package init(_ count: Int) throws {
    guard let handle = ck_team_create(Int32(clamping: count)) else {
      throw DPOError(.memory, "cannot start \(count) threads: \(systemMessage())")
    }
    self.handle = handle
  }

  deinit { ck_team_destroy(handle) }

  /// As `ThreadTeam.run`.
  package func run(_ count: Int, _ body: (_ index: Int, _ member: Int) -> Void) {
    guard count > 0 else { return }
    withoutActuallyEscaping(body) { body in
      var body = body
      withUnsafeMutablePointer(to: &body) { pointer in
        ck_team_run(
          handle,
          { context, index, member in
            guard let context else { return }
            context.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee(Int(index), Int(member))
          }, pointer, Int64(count))
      }
    }
  }
}

/// Persistent threads that share the work of one operation at a time. Idle threads sleep; the calling thread works too.
///
/// Work is cut into tasks whose size never depends on the number of threads, and each sum has a fixed order: results
/// have the same bits for any number of threads.
public final class ThreadTeam: @unchecked Sendable {
  /// How many there are, the calling one counted.
  public let threads: Int
  /// What the threads compute with.
  public let engine: Engine
  /// Set it between operations only.
  package var profile: Profile?
  private let workers: TaskThreads
  package let packing: PackingMemory

  /// Throws `.invalidArgument` for less than 1 or more than 1024 threads, `.memory` if the system has none left.
  public init(threads: Int, engine: Engine = .best) throws {
    guard (1...1024).contains(threads) else { throw DPOError.argument("threads: \(threads), expected 1 to 1024") }
    workers = try TaskThreads(threads)
    packing = try PackingMemory(threads: threads)
    self.threads = threads
    self.engine = engine
  }

  /// Processors that this process can keep busy: affinity and CPU quotas counted.
  public static var availableProcessors: Int { Machine.processors }

  /// Threads that compute where so many are asked for, 0: as many as help. More than there are processors would wait for each
  /// other, and each takes memory.
  public static func useful(_ asked: Int) -> Int {
    asked == 0 ? availableProcessors : min(asked, availableProcessors)
  }

  /// Calls `body(index, member)` for every index in 0..<count, each once, from up to `threads` threads;
  /// `member` < `threads` tells them apart (for scratch memory). Must not be called from inside a body.
  package func run(_ count: Int, _ body: (_ index: Int, _ member: Int) -> Void) { workers.run(count, body) }

  package var kernels: UnsafePointer<ck_engine> { engine.kernels }

  /// Rows a task takes in row-wise operations: whole panels of a product's left side.
  private var rowBlock: Int { Panels(engine, .fp32).rows(.a, atLeast: 24) }

  /// Calls `body(rows, member)` for blocks of `rowBlock` rows. `bytes` that each row takes are for the profile.
  package func rows(
    _ name: StaticString, _ count: Int, bytes: Int = 0, _ body: (_ rows: Range<Int>, _ member: Int) -> Void
  ) {
    let size = rowBlock
    measured(name, bytes: Double(bytes * count)) {
      run((count + size - 1) / size) { index, member in body(index * size..<min(count, (index + 1) * size), member) }
    }
  }
}
