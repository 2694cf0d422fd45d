import DPOBase
import DPOPlatform

/// A thread that runs jobs one after the other, in the order in which they came, while its owner does something else.
final class Worker: Sendable {
  private let queue = JobQueue()

  init() throws {
    let queue = queue
    try startThread { queue.run() }
  }

  deinit { queue.end() }

  /// Runs `job` behind those before it; after one that threw, none is run until `finish`.
  func start(_ job: @escaping () throws -> Void) { queue.add(job) }

  /// Waits for all jobs, and throws what one of them threw.
  func finish() throws { try queue.finish() }
}

private final class JobQueue: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  // Under the mutex.
  private var jobs: [() throws -> Void] = []
  private var isBusy = false
  private var isEnding = false
  private var failure: (any Error)?

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  func add(_ job: @escaping () throws -> Void) {
    locked {
      jobs.append(job)
      pthread_cond_broadcast(changed)
    }
  }

  func end() {
    locked {
      isEnding = true
      pthread_cond_broadcast(changed)
    }
  }

  func finish() throws {
    let failure = locked {
      while isBusy || !jobs.isEmpty { pthread_cond_wait(changed, mutex) }
      defer { self.failure = nil }
      return self.failure
    }
    if let failure { throw failure }
  }

  /// The thread.
  func run() {
    while let job = next() {
      var failed: (any Error)?
      do { try job() } catch { failed = error }
      locked {
        isBusy = false
        if let failed {
          failure = failed
          jobs = []
        }
        pthread_cond_broadcast(changed)
      }
    }
  }

  private func next() -> (() throws -> Void)? {
    locked {
      while jobs.isEmpty && !isEnding { pthread_cond_wait(changed, mutex) }
      guard !jobs.isEmpty else { return nil }
      isBusy = true
      return jobs.removeFirst()
    }
  }
}
