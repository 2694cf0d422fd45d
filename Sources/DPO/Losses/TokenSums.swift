/// Metrics that are means over tokens: a sum and the number of tokens of each.
struct TokenSums: Sendable, ExpressibleByDictionaryLiteral {
  private(set) var columns: [(name: Metrics.Name, sum: Double, tokens: Int)] = []

  init(_ columns: [(name: Metrics.Name, sum: Double, tokens: Int)]) { self.columns = columns }

  init(dictionaryLiteral elements: (Metrics.Name, (sum: Double, tokens: Int))...) {
    columns = elements.map { ($0, $1.sum, $1.tokens) }
  }

  static func += (first: inout TokenSums, second: TokenSums) {
    for (name, sum, tokens) in second.columns {
      if let index = first.columns.firstIndex(where: { $0.name == name }) {
        first.columns[index].sum += sum
        first.columns[index].tokens += tokens
      } else {
        first.columns.append((name, sum, tokens))
      }
    }
  }

  /// 0 where there are no tokens.
  var means: Metrics { Metrics(columns.map { ($0.name, $0.tokens > 0 ? $0.sum / Double($0.tokens) : 0) }) }
}
