import Synchronization

/// A value that nobody else holds, for one thread at a time.
final class Guarded<Value>: @unchecked Sendable {
  private let lock = Mutex(())
  private var value: Value

  init(_ value: Value) { self.value = value }

  func use<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    try lock.withLock { _ in try body(&value) }
  }
}

extension ContinuousClock.Instant {
  /// So many seconds from here; 30 years stand for more, which no duration holds.
  func deadline(after seconds: Double) -> ContinuousClock.Instant { advanced(by: .seconds(min(seconds, 1e9))) }
}
