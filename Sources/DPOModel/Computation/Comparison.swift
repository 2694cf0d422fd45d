import DPOBase
import DPOKernels
import DPOPlatform

/// What two models say of the same targets.
public struct ComparedScores: Sendable {
  /// Of this model, and of the other one.
  public let scores, other: TokenScores
  /// In nats, one a target:
  /// KL(p‖q) = Σ_v p(v)·(log p(v) − log q(v)) of the two predictions at each target, over the whole vocabulary.
  public let divergences: [Float]
}

extension ModelRunner {
  /// Scores a forest under this model and another one of the same vocabulary, and measures how far this model's
  /// predictions are from the other's.
  package func compare(
    _ forest: TokenForest, adapter: LoRAAdapter?, with other: ModelRunner, adapter otherAdapter: LoRAAdapter?
  ) throws -> ComparedScores {
    guard self !== other else { throw DPOError(.state, "a model cannot be compared with itself") }
    let (first, second) = (
      try prepare(forest, adapter: adapter, trains: false, dropout: nil),
      try other.prepare(forest, adapter: otherAdapter, trains: false, dropout: nil)
    )
    guard let p = first.head, let q = second.head, p.weight.rows == q.weight.rows else {
      throw DPOError.mismatch("the two models do not predict tokens of the same vocabulary")
    }
    let (scores, otherScores) = (first.forward([]), second.forward([]))
    let byRow = p.divergences(from: q)
    return ComparedScores(
      scores: scores, other: otherScores, divergences: first.forest.headRowOfTarget.map { byRow[Int($0)] })
  }
}

extension LanguageHead {
  private static let comparedRows = 64
  private static let comparedColumns = 64

  /// KL of this head's predictions from another's, row by row. Logits are computed again, tile by tile:
  ///
  ///     KL = Σ e^z (z − z′)/Σ e^z − lse(z) + lse(z′)
  fileprivate func divergences(from other: LanguageHead) -> [Float] {
    let rows = forest.headRows.count
    var result = [Float](repeating: 0, count: rows)
    let blocks = (rows + LanguageHead.comparedRows - 1) / LanguageHead.comparedRows
    result.withUnsafeMutableBufferPointer { result in
      team.run(blocks) { block, _ in
        let start = block * LanguageHead.comparedRows
        let count = min(LanguageHead.comparedRows, rows - start)
        var sums = [RowSums](repeating: RowSums(), count: count)
        let tile = LanguageHead.comparedColumns * LanguageHead.comparedRows
        withUnsafeTemporaryAllocation(
          of: Float.self, capacity: 2 * tile + TileOfLogits.count(self) + TileOfLogits.count(other)
        ) { memory in
          guard let z = memory.baseAddress else { return }
          let y = z + tile
          let own = TileOfLogits(self, rows: start..<start + count, in: y + tile)
          let others = TileOfLogits(other, rows: start..<start + count, in: y + tile + TileOfLogits.count(self))
          for first in stride(from: 0, to: weight.rows, by: LanguageHead.comparedColumns) {
            let columns = min(LanguageHead.comparedColumns, weight.rows - first)
            own.compute(first, columns, into: z)
            others.compute(first, columns, into: y)
            for row in 0..<count {
              let from = row * columns
              sums[row].add(z + from, y + from, columns)
            }
          }
        }
        for row in 0..<count { result[start + row] = Float(sums[row].divergence) }
      }
    }
    return result
  }

  /// Logits of some rows of a head, a tile of the vocabulary at a time, on the calling thread.
  private struct TileOfLogits {
    let head: LanguageHead
    let products: LocalProducts
    let hidden: LocalProducts.Side
    let rows: Int
    let decoded, packed: UnsafeMutablePointer<Float>

    /// Numbers of scratch memory.
    static func count(_ head: LanguageHead) -> Int {
      let width = head.weight.columns
      return LocalProducts.leftCount(rows: comparedRows, k: width) + comparedColumns * width
        + LocalProducts.rightCount(rows: comparedColumns, k: width)
    }

    init(_ head: LanguageHead, rows: Range<Int>, in scratch: UnsafeMutablePointer<Float>) {
      let width = head.weight.columns
      self.head = head
      self.rows = rows.count
      products = LocalProducts(head.team.engine, .fp32)
      hidden = products.left(head.hidden + rows.lowerBound * width, width, rows: rows.count, k: width, in: scratch)
      decoded = scratch + LocalProducts.leftCount(rows: comparedRows, k: width)
      packed = decoded + comparedColumns * width
    }

    func compute(_ first: Int, _ columns: Int, into z: UnsafeMutablePointer<Float>) {
      let (weight, width) = (head.weight, head.weight.columns)
      let w = weight.rows(first..<first + columns, in: decoded, with: head.team.kernels)
      products.multiply(hidden, products.right(w, width, rows: columns, k: width, in: packed), into: z, columns)
      head.bias?.add(to: z, first, columns, rows: rows)
      if let cap = head.cap { head.team.kernels.pointee.soft_cap(z, rows * columns, cap) }
    }
  }
}

/// Running sums over the vocabulary, relative to the largest logits so far.
private struct RowSums {
  private var largest = -Double.infinity, otherLargest = -Double.infinity
  private var sum = 0.0, otherSum = 0.0, weighted = 0.0

  mutating func add(_ z: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) {
    for index in 0..<count {
      let (a, b) = (Double(z[index]), Double(y[index]))
      if a > largest {
        let scale = exp(largest - a)
        (largest, sum, weighted) = (a, sum * scale, weighted * scale)
      }
      if b > otherLargest {
        let scale = exp(otherLargest - b)
        (otherLargest, otherSum) = (b, otherSum * scale)
      }
      let e = exp(a - largest)
      sum += e
      weighted += e * (a - b)
      otherSum += exp(b - otherLargest)
    }
  }

  /// Not negative, whatever rounding says; NaN where a logit is.
  var divergence: Double {
    let kl = weighted / sum - (largest + log(sum)) + (otherLargest + log(otherSum))
    return kl < 0 ? 0 : kl
  }
}
