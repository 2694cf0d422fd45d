import DPOBase

/// What the kernels need to know of a forest, worked out once a run.
struct PreparedForest {
  /// Consecutive rows that are consecutive positions of one sequence.
  struct Run {
    let row, count, position: Int
  }

  /// Up to `queryBlock` rows of one segment with the keys that they see.
  struct QueryBlock {
    let row, count, position: Int
    let runs: Range<Int>
    /// First position that any of the rows sees; the last is position + count − 1.
    var firstKey = 0
    var keys: Int { position + count - firstKey }

    /// The block where rows see at most `window` positions.
    func within(_ window: Int) -> QueryBlock {
      QueryBlock(
        row: row, count: count, position: position, runs: runs,
        firstKey: position >= window ? position - window + 1 : 0)
    }
  }

  static let queryBlock = 64

  let tokens: [Int32]
  let positions: [Int32]
  let runs: [Run]
  let blocks: [QueryBlock]
  /// Blocks of each tree (a root segment and all that continue it): the unit of the attention's backward pass.
  let trees: [Range<Int>]
  let treeBlocks: [Int]
  /// Of a tree, at most.
  let mostTreeBlocks: Int
  /// The block with the positions before those of a block, −1 at the start; and a block's place among those of its tree.
  let blockBefore: [Int]
  let placeInTree: [Int]
  /// Whether a block is the one before another.
  let isContinued: [Bool]
  /// The row of the position before each row, −1 at the start.
  let previous: [Int32]
  let longest: Int
  /// Of each row, the positions of the longest sequence of its tree.
  let lengths: [Int]
  let mostKeys: Int
  let targets: [TokenForest.Target]
  let sequenceCount: Int
  /// Rows that the head reads, ascending, and the place among them of what each target or, in a reward model, each
  /// sequence needs.
  let headRows: [Int32]
  let headRowOfTarget: [Int32]
  /// The same of each number that a scalar head says; empty without such a head.
  let headRowOfValue: [Int32]

  var count: Int { tokens.count }

  /// - Parameter room: tokens that each sequence is going to have besides.
  init(_ forest: TokenForest, _ configuration: DecoderConfiguration, room: Int = 0) throws {
    for (row, token) in forest.tokens.enumerated() where token < 0 || Int(token) >= configuration.vocabularySize {
      throw DPOError.argument("token \(token) at row \(row): the vocabulary has \(configuration.vocabularySize) tokens")
    }
    for target in forest.targets where target.token < 0 || Int(target.token) >= configuration.vocabularySize {
      throw DPOError.argument(
        "token \(target.token) of sequence \(target.sequence): the vocabulary has \(configuration.vocabularySize) tokens"
      )
    }
    tokens = forest.tokens
    targets = forest.targets
    sequenceCount = forest.sequenceCount
    var positions = [Int32](repeating: 0, count: forest.tokens.count)
    var runs: [Run] = []
    var blocks: [QueryBlock] = []
    var roots: [Int] = []
    var rootBlocks: [Int: [Int]] = [:]
    var (blockBefore, placeInTree): ([Int], [Int]) = ([], [])
    var previous = [Int32](repeating: -1, count: forest.tokens.count)
    /// Last row and block of each segment, or of what it continues if it is empty.
    var (lastRows, lastBlocks): ([Int], [Int]) = ([], [])
    var longest = 0
    for (index, segment) in forest.segments.enumerated() {
      longest = max(longest, segment.position + segment.count)
      for i in 0..<segment.count { positions[segment.start + i] = Int32(segment.position + i) }
      let root = segment.parent.map { roots[$0] } ?? index
      roots.append(root)
      let first = runs.count
      runs.append(contentsOf: PreparedForest.chain(index, forest.segments))
      lastRows.append(segment.parent.map { lastRows[$0] } ?? -1)
      lastBlocks.append(segment.parent.map { lastBlocks[$0] } ?? -1)
      for row in segment.start..<segment.start + segment.count {
        previous[row] = Int32(lastRows[index])
        lastRows[index] = row
      }
      for start in stride(from: 0, to: segment.count, by: PreparedForest.queryBlock) {
        let position = segment.position + start
        blockBefore.append(lastBlocks[index])
        lastBlocks[index] = blocks.count
        placeInTree.append(rootBlocks[root]?.count ?? 0)
        rootBlocks[root, default: []].append(blocks.count)
        blocks.append(
          QueryBlock(
            row: segment.start + start, count: min(PreparedForest.queryBlock, segment.count - start),
            position: position, runs: first..<runs.count))
      }
    }
    guard longest <= configuration.contextLength else {
      throw DPOError.argument(
        "a sequence of \(longest) tokens: the model's context has \(configuration.contextLength) positions")
    }
    self.longest = longest
    var lengthOfRoot = [Int](repeating: 0, count: forest.segments.count)
    for (index, segment) in forest.segments.enumerated() {
      lengthOfRoot[roots[index]] = max(lengthOfRoot[roots[index]], segment.position + segment.count)
    }
    var lengths = [Int](repeating: 0, count: forest.tokens.count)
    for (index, segment) in forest.segments.enumerated() {
      let length = configuration.grown(lengthOfRoot[roots[index]], by: room)
      for row in segment.start..<segment.start + segment.count { lengths[row] = length }
    }
    self.lengths = lengths
    self.positions = positions
    self.runs = runs
    self.blocks = blocks
    mostKeys = blocks.reduce(0) { max($0, $1.within(configuration.widestWindow).keys) }
    var trees: [Range<Int>] = []
    var treeBlocks: [Int] = []
    for root in roots.indices where roots[root] == root {
      let start = treeBlocks.count
      treeBlocks.append(contentsOf: rootBlocks[root] ?? [])
      trees.append(start..<treeBlocks.count)
    }
    self.trees = trees
    mostTreeBlocks = trees.reduce(0) { max($0, $1.count) }
    self.blockBefore = blockBefore
    self.placeInTree = placeInTree
    var isContinued = [Bool](repeating: false, count: blocks.count)
    for block in blockBefore where block >= 0 { isContinued[block] = true }
    self.isContinued = isContinued
    self.previous = previous
    self.treeBlocks = treeBlocks
    var place = [Int32](repeating: -1, count: forest.tokens.count)
    let isScored = configuration.heads == .score
    guard !isScored || forest.targets.isEmpty else {
      throw DPOError.unsupported("a reward model has no log-probs of tokens, only a score")
    }
    if isScored, let sequence = forest.lastRows.firstIndex(of: -1) {
      throw DPOError.argument("sequence \(sequence) has no tokens to score")
    }
    let needed =
      isScored
      ? PreparedForest.scoredRows(forest, padToken: configuration.padToken) : forest.targets.map { Int($0.row) }
    for row in needed { place[row] = 0 }
    var headRows: [Int32] = []
    for row in place.indices where place[row] == 0 {
      place[row] = Int32(headRows.count)
      headRows.append(Int32(row))
    }
    self.headRows = headRows
    let places = needed.map { place[$0] }
    headRowOfTarget = isScored ? [] : places
    headRowOfValue = configuration.heads == .language ? [] : places
  }

  /// The row of each sequence's last token that is not `padToken`, its first row if all are.
  private static func scoredRows(_ forest: TokenForest, padToken: Int?) -> [Int] {
    guard let padToken else { return forest.lastRows }
    var segmentOfRow = [Int](repeating: 0, count: forest.tokens.count)
    for (index, segment) in forest.segments.enumerated() {
      for row in segment.start..<segment.start + segment.count { segmentOfRow[row] = index }
    }
    return forest.lastRows.map { last in
      var row = last
      while forest.tokens[row] == padToken {
        let segment = forest.segments[segmentOfRow[row]]
        if row > segment.start {
          row -= 1
        } else if let parent = segment.parent {
          row = forest.segments[parent].start + forest.segments[parent].count - 1
        } else {
          break
        }
      }
      return row
    }
  }

  /// Rows from the root to the end of a segment, neighbours joined.
  private static func chain(_ index: Int, _ segments: [TokenForest.Segment]) -> [Run] {
    var path: [TokenForest.Segment] = []
    var next: Int? = index
    while let current = next {
      path.append(segments[current])
      next = segments[current].parent
    }
    var runs: [Run] = []
    for segment in path.reversed() {
      if let last = runs.last, last.row + last.count == segment.start {
        runs[runs.count - 1] = Run(row: last.row, count: last.count + segment.count, position: last.position)
      } else {
        runs.append(Run(row: segment.start, count: segment.count, position: segment.position))
      }
    }
    return runs
  }
}
