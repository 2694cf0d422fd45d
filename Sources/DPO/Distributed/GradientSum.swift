import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform

/// The gradient of an optimiser step: Σ g_m over its micro-batches m = 0, 1, …, M − 1, wherever they are computed.
///
/// Rank r computes those with m mod ranks = r, one a round. In one order (`reproducible`) the sum is ((g_0 + g_1) + g_2) + …,
/// whatever the number of ranks: every number has one rank that owns it, which gets what each rank of a round found and adds it
/// in the order of ranks. Otherwise each rank first adds up what it finds itself, and the ranks' sums are added once a step.
///
/// What a round's backward pass has finished, the last layers first, is on its way in buckets while the pass goes on.
final class GradientSum {
  /// Numbers of a bucket, 25 MB as in torch's DistributedDataParallel.
  private static let bucketSize = 100 << 16

  /// What travels together.
  private struct Bucket {
    /// Complete when so many layers, counted from the last, are.
    var stage = 0
    var pieces: [Owners.Piece] = []
    var count: Int { pieces.reduce(0) { $0 + $1.range.count } }

    func count(of rank: Int) -> Int { pieces.reduce(0) { $0 + ($1.owner == rank ? $1.range.count : 0) } }
  }

  private let parameters: ParameterStore
  private let team: ThreadTeam
  private let ranks: Ranks
  private let reproducible: Bool
  private let layerCount: Int
  let owners: Owners
  private let worker: Worker?
  private let buckets: [Bucket]
  private let outgoing, incoming: FloatBuffer?
  /// Of the rounds so far, what this rank owns; of one rank by itself everything. nil: the step has one round.
  private var sum: FloatBuffer?
  private var microBatches = 0
  private var sent = 0

  init(
    _ parameters: ParameterStore, owners: Owners, layerCount: Int, reproducible: Bool, team: ThreadTeam, ranks: Ranks
  ) throws {
    (self.parameters, self.layerCount, self.reproducible) = (parameters, layerCount, reproducible)
    (self.owners, self.team, self.ranks) = (owners, team, ranks)
    guard ranks.communicator != nil else {
      (worker, buckets, outgoing, incoming) = (nil, [], nil, nil)
      return
    }
    worker = try Worker()
    buckets = GradientSum.buckets(parameters, owners, layerCount: layerCount)
    outgoing = try FloatBuffer(count: buckets.map(\.count).max() ?? 0)
    let own = buckets.map { bucket in (0..<ranks.count).map { bucket.count(of: $0) }.max() ?? 0 }.max() ?? 0
    incoming = try FloatBuffer(count: ranks.count * max(own, owners.largestBlock))
  }

  /// Bytes that all this takes at most, but for the unevenness of what a bucket has of each rank.
  static func bytes(_ owners: Owners, microBatches: Int, reproducible: Bool) -> Int {
    let isKept = reproducible && microBatches > owners.ranks
    guard owners.ranks > 1 else { return isKept ? 4 * owners.count : 0 }
    let bucket = min(owners.count, bucketSize)
    let share = max(bucket / owners.ranks, owners.largestBlock)
    return 4 * ((isKept ? owners.most : 0) + bucket + owners.ranks * share)
  }

  // MARK: A step

  /// The micro-batches of the step that begins.
  func begin(microBatches: Int) throws {
    self.microBatches = microBatches
    if isKept, sum == nil {
      sum = try FloatBuffer(count: owners.most)
    }
  }

  var rounds: Int { (microBatches + ranks.count - 1) / ranks.count }
  /// Whether a round's sum waits for the next one's in `sum`.
  private var isKept: Bool { reproducible && rounds > 1 }

  /// Adds what the round's micro-batches give. `backward` is this rank's, nil where it has none in this round; it adds to the
  /// store's gradients, and says after each layer that its parameters' are complete.
  func add(round: Int, _ backward: ((_ layerDone: (_ layer: Int) -> Void) throws -> Void)?) throws {
    guard let worker else {
      try backward? { _ in }
      addAlone(round)
      return
    }
    let travels = reproducible || round == rounds - 1
    sent = 0
    // A rank that fails lets the others have theirs, and tells them why when they speak next.
    let failed = Result {
      try backward? { [self] layer in if travels { send(round, upTo: layerCount - layer) } }
    }
    if travels { send(round, upTo: layerCount + 1) }
    try worker.finish()
    try failed.get()
  }

  /// Puts the sum into the store: everywhere, or of each number where its owner is.
  func finish(everywhere: Bool) throws {
    guard ranks.count > 1 else { return }
    let gradients = parameters.gradients.pointer
    if isKept, let sum {
      for range in owners.ranges(of: ranks.rank) {
        (gradients + range.lowerBound).update(from: sum.pointer + owners.place(range.lowerBound), count: range.count)
      }
    }
    if everywhere { try gather(gradients) }
  }

  /// One rank by itself.
  private func addAlone(_ round: Int) {
    guard isKept, let sum = sum?.pointer else { return }
    let (gradients, count, isLast) = (parameters.gradients.pointer, parameters.count, round == rounds - 1)
    let size = GradientNorm.blockSize
    team.run((count + size - 1) / size) { block, _ in
      for index in block * size..<min(count, (block + 1) * size) {
        let total = round == 0 ? gradients[index] : sum[index] + gradients[index]
        if isLast {
          gradients[index] = total
        } else {
          sum[index] = total
          gradients[index] = 0
        }
      }
    }
  }

  // MARK: Several ranks

  /// Hands the buckets that are complete to the worker.
  private func send(_ round: Int, upTo stage: Int) {
    // Ranks that have found anything: of the round, or of the whole step.
    let givers = reproducible ? min(ranks.count, microBatches - round * ranks.count) : min(ranks.count, microBatches)
    while sent < buckets.count, buckets[sent].stage <= stage {
      let bucket = buckets[sent]
      worker?.start { [self] in try exchange(bucket, givers: givers, isFirst: round == 0 || !reproducible) }
      sent += 1
    }
  }

  /// Sends each number of a bucket to its owner, and adds up what comes.
  private func exchange(_ bucket: Bucket, givers: Int, isFirst: Bool) throws {
    guard let communicator = ranks.communicator, let outgoing, let incoming else { return }
    let gradients = parameters.gradients.pointer
    let gives = ranks.rank < givers
    var sentBytes = [Int](repeating: 0, count: ranks.count)
    var place = 0
    if gives {
      for owner in 0..<ranks.count {
        for piece in bucket.pieces where piece.owner == owner {
          (outgoing.pointer + place).update(from: gradients + piece.range.lowerBound, count: piece.range.count)
          place += piece.range.count
          sentBytes[owner] += piece.range.count * 4
        }
      }
    }
    for piece in bucket.pieces { (gradients + piece.range.lowerBound).update(repeating: 0, count: piece.range.count) }
    let own = bucket.pieces.filter { $0.owner == ranks.rank }
    let ownCount = own.reduce(0) { $0 + $1.range.count }
    let receivedBytes = (0..<ranks.count).map { $0 < givers ? ownCount * 4 : 0 }
    try communicator.collectives.allToAll(
      outgoing.pointer, bytes: sentBytes, into: incoming.pointer, bytes: receivedBytes)
    let kept = isKept ? sum?.pointer : nil
    var received = UnsafePointer(incoming.pointer)
    for giver in 0..<givers {
      for piece in own {
        let target = kept.map { $0 + owners.place(piece.range.lowerBound) } ?? gradients + piece.range.lowerBound
        if isFirst && giver == 0 {
          target.update(from: received, count: piece.range.count)
        } else {
          for index in 0..<piece.range.count { target[index] += received[index] }
        }
        received += piece.range.count
      }
    }
  }

  /// Every rank, or rank 0 alone, gets from each number's owner what stands there.
  func gather(_ numbers: UnsafeMutablePointer<Float>, atRoot: Bool = false) throws {
    guard let communicator = ranks.communicator, let outgoing, let incoming else { return }
    // As many blocks of each rank as fit.
    let most = max(1, min(outgoing.count, incoming.count / ranks.count) / owners.largestBlock) * ranks.count
    for first in stride(from: 0, to: owners.blocks.count, by: most) {
      let part = first..<min(owners.blocks.count, first + most)
      func ranges(_ rank: Int) -> [Range<Int>] { owners.ranges(of: rank, inBlocks: part) }
      var place = 0
      for range in ranges(ranks.rank) {
        (outgoing.pointer + place).update(from: numbers + range.lowerBound, count: range.count)
        place += range.count
      }
      let bytes = (0..<ranks.count).map { ranges($0).reduce(0) { $0 + $1.count * 4 } }
      if atRoot {
        let sent = (0..<ranks.count).map { $0 == 0 ? bytes[ranks.rank] : 0 }
        try communicator.collectives.allToAll(
          outgoing.pointer, bytes: sent, into: incoming.pointer, bytes: bytes.map { ranks.isRoot ? $0 : 0 })
        if !ranks.isRoot { continue }
      } else {
        try communicator.collectives.allGather(outgoing.pointer, into: incoming.pointer, bytes: bytes)
      }
      var received = UnsafePointer(incoming.pointer)
      for rank in 0..<ranks.count {
        for range in ranges(rank) {
          (numbers + range.lowerBound).update(from: received, count: range.count)
          received += range.count
        }
      }
    }
  }

  /// The store in the order in which a backward pass completes it: the parameters of the last layer, …, of the first, and those
  /// that belong to none. All ranks cut it in the same way.
  private static func buckets(_ parameters: ParameterStore, _ owners: Owners, layerCount: Int) -> [Bucket] {
    let byLayer = parameters.ranges(byLayer: layerCount)
    let byStage = byLayer.dropLast().reversed() + byLayer.suffix(1)
    var buckets: [Bucket] = []
    for (index, ranges) in byStage.enumerated() {
      for piece in ranges.flatMap(owners.pieces) {
        if buckets.last.map({ $0.count + piece.range.count > bucketSize }) ?? true { buckets.append(Bucket()) }
        // A bucket is complete with its last part.
        buckets[buckets.count - 1].stage = index + 1
        buckets[buckets.count - 1].pieces.append(piece)
      }
    }
    return buckets
  }
}

/// Which rank owns which numbers of a store: block b belongs to rank b mod ranks.
struct Owners {
  /// A part of the store that has one owner.
  struct Piece {
    let range: Range<Int>
    let owner: Int
  }

  let ranks: Int
  let isSharded: Bool
  let blocks: StoreBlocks
  /// Numbers of the store.
  let count: Int
  /// Numbers of a block at most.
  let largestBlock: Int
  /// Numbers that a rank owns at most, and such a rank.
  let most, fullest: Int
  /// Where each block begins among those of its owner.
  private let places: [Int]

  /// - Parameters:
  ///   - counts: numbers of the store's parameters, in order.
  ///   - isSharded: what an owner does with its numbers it does for all (ZeRO-1); the gradient's norm is then a sum of whole
  ///     blocks of its own.
  init(counts: [Int], ranks: Int, isSharded: Bool) {
    (self.ranks, self.isSharded) = (ranks, isSharded)
    blocks = StoreBlocks(counts, size: isSharded ? GradientNorm.blockSize : 1 << 12)
    count = counts.reduce(0, +)
    largestBlock = blocks.ranges.map(\.count).max() ?? 0
    var (places, owned) = ([Int](), [Int](repeating: 0, count: ranks))
    for (block, range) in blocks.ranges.enumerated() {
      places.append(owned[block % ranks])
      owned[block % ranks] += range.count
    }
    self.places = places
    let most = owned.max() ?? 0
    (self.most, fullest) = (most, owned.firstIndex(of: most) ?? 0)
  }

  /// What a rank owns, in order.
  func ranges(of rank: Int) -> [Range<Int>] { ranges(of: rank, inBlocks: 0..<blocks.count) }

  func ranges(of rank: Int, inBlocks part: Range<Int>) -> [Range<Int>] {
    let first = part.lowerBound + (rank - part.lowerBound % ranks + ranks) % ranks
    return stride(from: first, to: part.upperBound, by: ranks).map { blocks[$0] }
  }

  /// Where an owned number stands among those of its owner.
  func place(_ offset: Int) -> Int {
    let block = blocks.index(of: offset)
    return places[block] + offset - blocks[block].lowerBound
  }

  /// A range, cut where the owner changes.
  func pieces(_ range: Range<Int>) -> [Piece] {
    guard !range.isEmpty else { return [] }
    return (blocks.index(of: range.lowerBound)...blocks.index(of: range.upperBound - 1)).map { block in
      Piece(range: blocks[block].clamped(to: range), owner: block % ranks)
    }
  }
}
