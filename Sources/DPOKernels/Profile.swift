import DPOPlatform

/// Where the time of a team's work goes. Attach one to `ThreadTeam.profile`; operations then add to it as they end.
public final class Profile: @unchecked Sendable {
  /// What operations of one name took.
  public struct Entry: Sendable {
    /// The operation.
    public let name: String
    /// How often it ran.
    public fileprivate(set) var calls = 0
    /// What it took, all calls together.
    public fileprivate(set) var seconds = 0.0
    /// Floating-point operations; 0 where not counted.
    public fileprivate(set) var operations = 0.0
    /// Bytes that have to be read and written at least; 0 where not counted.
    public fileprivate(set) var bytes = 0.0

    /// 10⁹ operations a second.
    public var gflops: Double { seconds > 0 ? operations / seconds / 1e9 : 0 }
    /// 10⁹ bytes a second.
    public var gigabytesPerSecond: Double { seconds > 0 ? bytes / seconds / 1e9 : 0 }
  }

  private var byName: [String: Entry] = [:]
  private let start = monotonicSeconds()

  package init() {}

  /// The most expensive first.
  public var entries: [Entry] { byName.values.sorted { $0.seconds > $1.seconds } }
  /// Seconds since the profile was made; what the entries lack of it was spent outside of team operations.
  public var elapsed: Double { monotonicSeconds() - start }

  func add(_ name: StaticString, seconds: Double, operations: Double, bytes: Double) {
    let name = name.description
    var entry = byName[name] ?? Entry(name: name)
    entry.calls += 1
    entry.seconds += seconds
    entry.operations += operations
    entry.bytes += bytes
    byName[name] = entry
  }
}

/// Seconds of a clock that never goes back.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

extension ThreadTeam {
  /// Runs `body`; with a profile attached its time goes to `name`.
  package func measured<Result>(
    _ name: StaticString, operations: @autoclosure () -> Double = 0, bytes: @autoclosure () -> Double = 0,
    _ body: () -> Result
  ) -> Result {
    guard let profile else { return body() }
    let start = monotonicSeconds()
    let result = body()
    profile.add(name, seconds: monotonicSeconds() - start, operations: operations(), bytes: bytes())
    return result
  }
}
