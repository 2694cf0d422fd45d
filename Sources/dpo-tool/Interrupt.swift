import DPOPlatform

/// Ctrl-C and a polite kill ask for a stop; a second Ctrl-C ends at once.
enum Interrupt {
  nonisolated(unsafe) private static var action: (() -> Void)?
  /// Whether a stop was asked for.
  nonisolated(unsafe) private(set) static var requested = false

  static func install(_ body: @escaping () -> Void = {}) {
    action = body
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interrupt.requested = true
        Interrupt.action?()
        signal(number, SIG_DFL)
      }
    }
  }

  /// While `body` runs, Ctrl-C asks it to stop; before and after, it ends the program.
  static func during<Result>(_ body: () throws -> Result) rethrows -> Result {
    requested = false
    install()
    defer { remove() }
    return try body()
  }

  static func remove() {
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    action = nil
  }
}
