import DPOBase
import HeapModule

/// Byte-pair encoding learned from words and their counts (Sennrich et al. 2016): the pair of neighbours that occurs most
/// often becomes a token, again and again. Of pairs that occur equally often the one with the smaller ids goes first, as in
/// the BpeTrainer of `tokenizers`.
///
/// Pairs know their places, so a merge costs what it changes and not another pass over the words.
struct MergeLearner {
  struct Merge {
    let left, right, merged: Int32
  }

  /// Tokens in the spelling of the vocabulary, by id.
  private(set) var tokens: [[UInt8]]
  private(set) var merges: [Merge] = []

  private var ids: [[UInt8]: Int32]
  private let wordCounts: [Int]
  /// The symbols of all words in one array; a symbol that was joined to the one before it is −1.
  private var symbols: [Int32]
  private let words: [Int32]
  /// Neighbours within the word, −1 at its ends.
  private var previous, next: [Int32]

  private struct Pair {
    let left, right: Int32
    var count = 0
    /// Where the left symbol stands, ascending; what has changed since is skipped.
    var places: [Int32] = []
    /// The token that it became.
    var merged: Int32?
    /// Among `formed`.
    var isFormed = false

    var key: UInt64 { MergeLearner.key(left, right) }
    /// A pair that forms again after its merge is joined at once, as encoding does: its rank is lower than all to come.
    var priority: Int { merged == nil ? count : .max }
  }
  private var pairs: [Pair] = []
  private var pairIndices: [UInt64: Int] = [:]
  private var queue = Heap<QueuedPair>()
  /// Pairs that the running merge formed.
  private var formed: [Int] = []

  /// - Parameters:
  ///   - tokens: what the vocabulary starts with.
  ///   - byteTokens: the id of each byte among them.
  init(_ counts: WordCounts, tokens: [[UInt8]], byteTokens: [Int32]) {
    self.tokens = tokens
    ids = Dictionary(zip(tokens, 0...)) { first, _ in first }
    wordCounts = counts.counts
    symbols = counts.text.map { byteTokens[Int($0)] }
    var words: [Int32] = []
    words.reserveCapacity(symbols.count)
    previous = (0..<symbols.count).map { Int32($0) - 1 }
    next = (0..<symbols.count).map { Int32($0) + 1 }
    for word in counts.counts.indices {
      let range = counts.range(word)
      words.append(contentsOf: repeatElement(Int32(word), count: range.count))
      if let first = range.first, let last = range.last {
        previous[first] = -1
        next[last] = -1
      }
    }
    self.words = words
    for place in symbols.indices where next[place] >= 0 {
      change(symbols[place], symbols[place + 1], by: wordCounts[Int(words[place])], newPlace: Int32(place))
    }
    queueFormed()
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Learns until there are `vocabularySize` tokens or no pair occurs `minimumFrequency` times.
  mutating func learn(vocabularySize: Int, minimumFrequency: Int, progress: (Int) throws -> Void) throws {
    while tokens.count < vocabularySize, let top = queue.popMin() {
      guard let index = pairIndices[top.key] else { continue }
      let priority = pairs[index].priority
      guard top.priority == priority else {
        if priority > 0, !pairs[index].places.isEmpty { queue.insert(QueuedPair(priority: priority, key: top.key)) }
        continue
      }
      if pairs[index].merged == nil {
        guard priority >= max(1, minimumFrequency) else { return }
        addMerge(index)
        if merges.count % 64 == 0 { try progress(tokens.count) }
      }
      apply(index)
      queueFormed()
    }
  }

  private mutating func addMerge(_ index: Int) {
    let (left, right) = (pairs[index].left, pairs[index].right)
    let spelling = tokens[Int(left)] + tokens[Int(right)]
    let id = ids[spelling] ?? Int32(tokens.count)
    if Int(id) == tokens.count {
      tokens.append(spelling)
      ids[spelling] = id
    }
    pairs[index].merged = id
    merges.append(Merge(left: left, right: right, merged: id))
  }

  /// Joins the pair wherever it stands.
  private mutating func apply(_ index: Int) {
    let (a, b) = (pairs[index].left, pairs[index].right)
    guard let merged = pairs[index].merged else { return }
    let places = pairs[index].places
    pairs[index].places = []
    for place in places {
      let left = Int(place)
      let right = Int(next[left])
      guard symbols[left] == a, right >= 0, symbols[right] == b else { continue }
      let count = wordCounts[Int(words[left])]
      let (before, after) = (Int(previous[left]), Int(next[right]))
      if before >= 0 {
        change(symbols[before], a, by: -count)
        change(symbols[before], merged, by: count, newPlace: Int32(before))
      }
      symbols[left] = merged
      symbols[right] = -1
      next[left] = Int32(after)
      if after >= 0 {
        previous[after] = place
        change(b, symbols[after], by: -count)
        change(merged, symbols[after], by: count, newPlace: place)
      }
    }
    pairs[index].count = 0
  }

  private mutating func change(_ left: Int32, _ right: Int32, by count: Int, newPlace: Int32? = nil) {
    let key = MergeLearner.key(left, right)
    let index: Int
    if let known = pairIndices[key] {
      index = known
    } else {
      index = pairs.count
      pairIndices[key] = index
      pairs.append(Pair(left: left, right: right))
    }
    pairs[index].count += count
    if let newPlace {
      pairs[index].places.append(newPlace)
      if !pairs[index].isFormed { formed.append(index) }
      pairs[index].isFormed = true
    }
  }

  private mutating func queueFormed() {
    for index in formed {
      pairs[index].isFormed = false
      if pairs[index].priority > 0 { queue.insert(QueuedPair(priority: pairs[index].priority, key: pairs[index].key)) }
    }
    formed.removeAll(keepingCapacity: true)
  }
}

/// A pair, and its priority when it was queued. The highest priority comes first, of equals the smallest key.
private struct QueuedPair: Comparable {
  let priority: Int
  let key: UInt64

  static func < (a: QueuedPair, b: QueuedPair) -> Bool {
    a.priority != b.priority ? a.priority > b.priority : a.key < b.key
  }
}
