import DPOBase

/// A mean, its 95 % interval and its standard error.
public struct Estimate: Sendable, Equatable {
  /// `value`: the mean. `low` and `high`: the ends of its 95 % interval. `standardError`: of the mean. All have the
  /// unit of what is measured.
  public let value, low, high, standardError: Double

  /// - Parameter standardError: unset: that of a normal distribution with this interval.
  public init(_ value: Double, low: Double, high: Double, standardError: Double? = nil) {
    (self.value, self.low, self.high) = (value, low, high)
    self.standardError = standardError ?? (high - low) / (2 * 1.96)
  }

  /// Percentile bootstrap over groups (say, prompts, as samples of one prompt are not independent): the mean of the groups'
  /// means on 2,000 resamples of the groups; of differences after − before it is the paired bootstrap. One group says nothing
  /// of how far the mean may be off: its interval is the whole line.
  public init(bootstrap groups: [Double], seed: UInt64) {
    let count = groups.count
    func mean(_ next: () -> Double) -> Double { (0..<count).reduce(0) { sum, _ in sum + next() } / Double(count) }
    var (random, index) = (CounterRandom(stream: [seed, 0x626F_6F74]), -1)
    value = mean {
      index += 1
      return groups[index]
    }
    guard count > 1 else {
      (low, high, standardError) = (-.infinity, .infinity, .infinity)
      return
    }
    let means = (0..<2000).map { _ in mean { groups[Int(random.next() % UInt64(count))] } }.sorted()
    (low, high) = (means[50], means[1949])
    let center = means.mean
    standardError = means.map { ($0 - center) * ($0 - center) }.mean.squareRoot()
  }

  /// "0.9 (95 % interval 0.76 … 1.04)", to two decimals.
  public var text: String { "\(Self.rounded(value)) (95 % interval \(Self.rounded(low)) … \(Self.rounded(high)))" }

  /// `{"value", "standard_error", "low", "high"}`.
  public var json: JSON {
    ["value": .real(value), "standard_error": .real(standardError), "low": .real(low), "high": .real(high)]
  }

  private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
