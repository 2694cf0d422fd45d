import DPOBase

/// Tokens of a micro-batch without padding: segments that continue others. A prompt is one segment, its completions are
/// its children; a child sees its ancestors and itself, causally.
public struct TokenForest: Sendable {
  /// Consecutive tokens.
  public struct Segment: Sendable, Equatable {
    /// First row and number of rows (forwarded tokens).
    public let start, count: Int
    /// The segment that this one continues, by its index; nil: it begins a text.
    public let parent: Int?
    /// Absolute position of the first token.
    public let position: Int
  }

  /// A scored token.
  public struct Target: Sendable, Equatable {
    /// Row whose hidden state predicts the token.
    public let row: Int32
    /// Its id.
    public let token: Int32
    /// Index of the scored sequence.
    public let sequence: Int32
  }

  /// Ids of what is forwarded, one a row.
  public private(set) var tokens: [Int32] = []
  /// Parents stand before their children.
  public private(set) var segments: [Segment] = []
  /// What is scored, in the order of sequences, then of tokens.
  public private(set) var targets: [Target] = []
  /// Scored sequences, those without a target among them.
  public private(set) var sequenceCount = 0
  /// Row of each sequence's last forwarded token, its prompt's where it has none of its own; −1 without both.
  public private(set) var lastRows: [Int] = []
  /// The auxiliary loss of a mixture's routers counts the tokens of so many first sequences, shared ones once for each; nil: it
  /// is not asked for.
  package var balancedSequences: Int?

  /// No tokens.
  public init() {}

  /// More than the lists of a pass take for a token, and for a target: those of the forest, which grow, of `PreparedForest`, of the
  /// scores and of a loss. The numbers of the pass itself take kilobytes.
  private static let bytesOfTables = 256

  /// Refuses a forest whose lists, and those of a pass over it, would not find memory: an array cannot tell that there is none.
  ///
  /// - Throws: `.memory`
  package static func requireRoom(tokens: Int, targets: Int) throws {
    try Machine.requireRoom(for: bytesOfTables * (min(tokens, 1 << 40) + min(targets, 1 << 40)))
  }

  /// Adds a segment that children may continue, and returns its index. nil if `ids` is empty.
  @discardableResult
  public mutating func addPrompt(_ ids: some Collection<Int32>, parent: Int? = nil) -> Int? {
    guard !ids.isEmpty else { return nil }
    return append(ids, parent: parent)
  }

  /// Adds a scored sequence and returns its index. Each token of `ids` whose label is true (all without `labels`) is a
  /// target; without a parent the first one cannot be predicted and never is. Tokens after the last target are not
  /// forwarded, nor is the last target itself, unless `keepLast`.
  @discardableResult
  public mutating func addCompletion(
    _ ids: some Collection<Int32>, parent: Int?, labels: [Bool]? = nil, keepLast: Bool = false
  ) -> Int {
    let ids = Array(ids)
    let sequence = sequenceCount
    sequenceCount += 1
    let before = parent.map { segments[$0].start + segments[$0].count - 1 }
    let start = tokens.count
    var forwarded = keepLast ? ids.count : 0
    for (index, id) in ids.enumerated() where labels.map({ index < $0.count && $0[index] }) ?? true {
      guard let row = index > 0 ? start + index - 1 : before else { continue }
      targets.append(Target(row: Int32(row), token: id, sequence: Int32(sequence)))
      forwarded = max(forwarded, index)
    }
    if forwarded > 0 { _ = append(ids[..<forwarded], parent: parent) }
    lastRows.append(forwarded > 0 ? tokens.count - 1 : before ?? -1)
    return sequence
  }

  /// Adds a scored sequence that forwards nothing: the tokens of a root segment that stands there already, all but its
  /// first. nil: a sequence without targets. Returns its index.
  @discardableResult
  public mutating func addScores(ofPrompt segment: Int?) -> Int {
    let sequence = sequenceCount
    sequenceCount += 1
    let rows = segment.map { segments[$0].start..<segments[$0].start + segments[$0].count } ?? 0..<0
    for row in rows.dropLast() {
      targets.append(Target(row: Int32(row), token: tokens[row + 1], sequence: Int32(sequence)))
    }
    lastRows.append((rows.last ?? -1))
    return sequence
  }

  /// As many of its first trees as have at most so many tokens together; where the first one has more, that one with all its
  /// segments shortened alike. What predicts the first token behind a segment still does.
  package func shortened(to most: Int) -> TokenForest {
    var roots: [Int] = []
    for segment in segments { roots.append(segment.parent.map { roots[$0] } ?? roots.count) }
    var sizes: [Int: Int] = [:]
    for (segment, root) in zip(segments, roots) { sizes[root, default: 0] += segment.count }
    var kept: Set<Int> = []
    var total = 0
    for (root, size) in sizes.sorted(by: { $0.key < $1.key }) {
      guard kept.isEmpty || total + size <= most else { break }
      kept.insert(root)
      total += size
    }
    let share = min(1, Double(most) / Double(max(1, total)))
    var result = TokenForest()
    /// Where each row has gone, -1: nowhere; and each segment.
    var rowOf = [Int32](repeating: -1, count: tokens.count)
    var segmentOf = [Int](repeating: 0, count: segments.count)
    for (index, segment) in segments.enumerated() where kept.contains(roots[index]) {
      let count = max(1, Int(Double(segment.count) * share))
      let ids = tokens[segment.start..<segment.start + count]
      segmentOf[index] = result.append(ids, parent: segment.parent.map { segmentOf[$0] })
      let start = result.tokens.count - count
      for offset in 0..<count { rowOf[segment.start + offset] = Int32(start + offset) }
      rowOf[segment.start + segment.count - 1] = Int32(start + count - 1)
    }
    var sequenceOf: [Int32?] = []
    for last in lastRows {
      let row = last < 0 ? -1 : Int(rowOf[last])
      sequenceOf.append(row < 0 ? nil : Int32(result.sequenceCount))
      guard row >= 0 else { continue }
      result.lastRows.append(row)
      result.sequenceCount += 1
    }
    for target in targets {
      guard let sequence = sequenceOf[Int(target.sequence)], rowOf[Int(target.row)] >= 0 else { continue }
      result.targets.append(Target(row: rowOf[Int(target.row)], token: target.token, sequence: sequence))
    }
    return result
  }

  private mutating func append(_ ids: some Collection<Int32>, parent: Int?) -> Int {
    let position = parent.map { segments[$0].position + segments[$0].count } ?? 0
    segments.append(Segment(start: tokens.count, count: ids.count, parent: parent, position: position))
    tokens.append(contentsOf: ids)
    return segments.count - 1
  }
}

/// Numbers beside the log-probs that cost a little more.
public struct ScoreExtras: OptionSet, Sendable {
  /// The sum of the numbers of the chosen ones.
  public let rawValue: Int
  /// Those whose numbers `rawValue` is the sum of.
  public init(rawValue: Int) { self.rawValue = rawValue }
  /// H = lse(z) − Σ p z, in nats
  public static let entropy = ScoreExtras(rawValue: 1)
  /// mean over the vocabulary of z
  public static let meanLogit = ScoreExtras(rawValue: 2)
  /// whether the target is the argmax, the lowest id winning ties
  public static let top1 = ScoreExtras(rawValue: 4)
  /// q = log Σ p²
  public static let logSumSquares = ScoreExtras(rawValue: 8)
}

/// Scores of a forest's targets, in their order.
public struct TokenScores: Sendable {
  /// log p(token | everything before it), in nats, one a target. NaN or infinite where the model's numbers are.
  public internal(set) var logProbs: [Float]
  /// Sum of log-probs, one a sequence.
  public internal(set) var sums: [Double]
  /// Number of targets, one a sequence.
  public internal(set) var counts: [Int]
  /// `ScoreExtras.entropy`, one a target; nil where it was not asked for.
  public internal(set) var entropy: [Float]?
  /// `ScoreExtras.meanLogit`, one a target.
  public internal(set) var meanLogit: [Float]?
  /// `ScoreExtras.top1`, one a target.
  public internal(set) var top1: [Bool]?
  /// `ScoreExtras.logSumSquares`, one a target.
  public internal(set) var logSumSquares: [Float]?
  /// What the scalar head says: of a reward model one number a sequence, of a policy with a value head one a target;
  /// empty for others.
  public internal(set) var values: [Float] = []
  /// The auxiliary loss of a mixture's routers over all blocks; nil where the forest asks for none.
  package internal(set) var routerLoss: Double?
}
