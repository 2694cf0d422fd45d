import DPOPlatform

/// What metrics are the means of: numbers of rows one by one, by the metric's name.
struct RowMetrics: Sendable, ExpressibleByDictionaryLiteral {
  /// A metric that is the difference of two others, of different rows.
  struct Difference: Sendable {
    let name, of, and: Metrics.Name
  }

  private(set) var columns: [(name: Metrics.Name, values: [Double])] = []

  init() {}
  init(_ columns: [(name: Metrics.Name, values: [Double])]) { for (name, values) in columns { add(name, values) } }
  init(dictionaryLiteral elements: (Metrics.Name, [Double])...) {
    for (name, values) in elements { add(name, values) }
  }

  /// The rows of a metric that is there already come after those it has.
  static func += (first: inout RowMetrics, second: RowMetrics) {
    for (name, values) in second.columns { first.add(name, values) }
  }

  static func + (first: RowMetrics, second: RowMetrics) -> RowMetrics {
    var both = first
    both += second
    return both
  }

  private mutating func add(_ name: Metrics.Name, _ values: [Double]) {
    if let index = columns.firstIndex(where: { $0.name == name }) {
      columns[index].values += values
    } else {
      columns.append((name, values))
    }
  }

  /// Adds another part to the numbers of a metric, row by row.
  mutating func add(_ values: [Double], toThoseOf name: Metrics.Name) {
    guard let index = columns.firstIndex(where: { $0.name == name }), columns[index].values.count == values.count else {
      return
    }
    for row in values.indices { columns[index].values[row] += values[row] }
  }

  /// Of the metrics that any row has.
  var means: Metrics { Metrics(columns.filter { !$0.values.isEmpty }.map { ($0.name, $0.values.mean) }) }

  /// s/√n of each metric, and of differences of two metrics of independent rows the root of the sum of both squares.
  func standardErrors(differences: [Difference]) -> Metrics {
    Metrics(columns.map { ($0.name, Self.standardError($0.values)) })
      + Metrics(differences.map { ($0.name, hypot(standardError($0.of), standardError($0.and))) })
  }

  private func standardError(_ name: Metrics.Name) -> Double {
    Self.standardError(columns.first { $0.name == name }?.values ?? [])
  }

  private static func standardError(_ values: [Double]) -> Double {
    let (mean, count) = (values.mean, Double(values.count))
    return (values.map { ($0 - mean) * ($0 - mean) }.sum / (count - 1) / count).squareRoot()
  }
}
