import DPOBase
import Synchronization

/// What long work on a thread of its own tells, as it happens.
///
///     for try await event in trainer.events(outputDirectory: "run") { … }
///
/// Leaving the loop early asks the work to stop; so does cancelling the task that reads, whose loop then throws
/// `CancellationError`. The work ends soon after: `ended()` waits for that, and for what it still writes.
public struct EventStream<Element: Sendable>: AsyncSequence, Sendable {
  private let stream: AsyncThrowingStream<Element, any Error>
  private let latch = Latch()

  /// Starts `work` at once.
  ///
  /// - Parameters:
  ///   - stop: asks the work to end; any thread.
  ///   - work: hands on events as they happen, and throws what the loop shall throw.
  init(stop: @escaping @Sendable () -> Void, work: @escaping @Sendable (@escaping (Element) -> Void) throws -> Void) {
    let latch = latch
    stream = AsyncThrowingStream { continuation in
      continuation.onTermination = { reason in
        if case .cancelled = reason { stop() }
      }
      do {
        try startThread {
          do {
            try work { continuation.yield($0) }
            continuation.finish()
          } catch {
            continuation.finish(throwing: error)
          }
          latch.open()
        }
      } catch {
        continuation.finish(throwing: error)
        latch.open()
      }
    }
  }

  /// Waits until the work has ended, also after its loop was left early. A run has written its checkpoint by then.
  public func ended() async { await latch.wait() }

  public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator()) }

  /// Gives the events in their order.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate var base: AsyncThrowingStream<Element, any Error>.Iterator

    /// The next event; nil when the work has ended by itself.
    ///
    /// - Throws: what the work threw; `CancellationError` if the task was cancelled.
    public mutating func next() async throws -> Element? {
      if let element = try await base.next() { return element }
      try Task.checkCancellation()
      return nil
    }
  }
}

/// Opens once; whoever waits goes on then.
private final class Latch: Sendable {
  private struct State {
    var isOpen = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for each in waiting { each.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
}
