import Glibc

/// Progress of a long phase: a line that redraws itself on a terminal, and one every ten seconds elsewhere.
struct Phase {
  private let name: String
  private let total: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var shown: ContinuousClock.Instant
  private static let isTerminal = isatty(STDOUT_FILENO) == 1

  init(_ name: String, total: Int) {
    self.name = name
    self.total = total
    start = clock.now
    shown = start
  }

  mutating func show(_ done: Int, _ detail: String = "") {
    let now = clock.now
    guard done == total || shown.duration(to: now) > (Phase.isTerminal ? .milliseconds(200) : .seconds(10)) else {
      return
    }
    shown = now
    let seconds = start.duration(to: now) / .seconds(1)
    let left = Int((seconds / Double(max(1, done)) * Double(total - done)).rounded())
    let tail = done == total ? "in \(Int(seconds.rounded())) s" : "\(left) s left"
    let line = "  \(name): \(done) of \(total)\(detail.isEmpty ? "" : ", " + detail), \(tail)"
    let before = Phase.isTerminal ? "\r\u{1B}[K" : ""
    print(before + line, terminator: Phase.isTerminal && done < total ? "" : "\n")
    fflush(nil)
  }
}
