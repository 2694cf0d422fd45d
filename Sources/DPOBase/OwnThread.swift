import DPOPlatform
import Synchronization

/// Runs `body` on a new thread, for work that blocks for long: threads of the cooperative pool must not.
///
/// - Throws: `.memory` if no thread can be had; `body` is then not run.
package func startThread(_ body: @escaping @Sendable () -> Void) throws {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setstacksize(&attributes, 8 << 20)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  let box = Unmanaged.passRetained(Box(body))
  let failure = pthread_create(
    &thread, &attributes,
    { pointer in
      if let pointer { Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body() }
      return nil
    }, box.toOpaque())
  guard failure == 0 else {
    box.release()
    throw DPOError(.memory, "no thread can be started (error \(failure))")
  }
}

/// A wish that any thread may express, and that stays.
package final class StopFlag: Sendable {
  private let value = Atomic<Bool>(false)

  package init() {}

  package var isSet: Bool { value.load(ordering: .relaxed) }
  package func set() { value.store(true, ordering: .relaxed) }
}
