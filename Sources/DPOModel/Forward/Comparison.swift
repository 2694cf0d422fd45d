import DPOBase
import DPOKernels
import Glibc

/// What two models say of the same targets.
public struct ComparedScores: Sendable {
  public let scores, other: TokenScores
  /// KL(p‖q) = Σ_v p(v)·(log p(v) − log q(v)) of the two predictions at each target, over the whole vocabulary.
  public let divergences: [Float]
}

extension ForwardPass {
  /// Scores a forest under this model and another one of the same vocabulary, and measures how far this model's
  /// predictions are from the other's.
  public func compare(
    _ forest: TokenForest, adapter: LoRAAdapter?, with other: ForwardPass, adapter otherAdapter: LoRAAdapter?
  ) throws -> ComparedScores {
    guard self !== other else { throw DPOError(.state, "a forward pass cannot be compared with itself") }
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

extension Head {
  private static let comparedRows = 64
  private static let comparedColumns = 256

  /// KL of this head's predictions from another's, row by row. Logits are computed again, tile by tile:
  ///
  ///     KL = Σ e^z (z − z′)/Σ e^z − lse(z) + lse(z′)
  fileprivate func divergences(from other: Head) -> [Float] {
    let rows = forest.headRows.count
    var result = [Float](repeating: 0, count: rows)
    let blocks = (rows + Head.comparedRows - 1) / Head.comparedRows
    result.withUnsafeMutableBufferPointer { result in
      team.run(blocks) { block, _ in
        let start = block * Head.comparedRows
        let count = min(Head.comparedRows, rows - start)
        var sums = [RowSums](repeating: RowSums(), count: count)
        let widest = max(weight.columns, other.weight.columns)
        withUnsafeTemporaryAllocation(
          of: Float.self, capacity: Head.comparedColumns * (2 * Head.comparedRows + widest)
        ) { memory in
          guard let z = memory.baseAddress else { return }
          let y = z + Head.comparedColumns * Head.comparedRows
          let room = y + Head.comparedColumns * Head.comparedRows
          for first in stride(from: 0, to: weight.rows, by: Head.comparedColumns) {
            let columns = min(Head.comparedColumns, weight.rows - first)
            logits(first, columns, rows: start..<start + count, into: z, room: room)
            other.logits(first, columns, rows: start..<start + count, into: y, room: room)
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

  private func logits(
    _ first: Int, _ columns: Int, rows: Range<Int>, into z: UnsafeMutablePointer<Float>,
    room: UnsafeMutablePointer<Float>
  ) {
    let w: UnsafePointer<Float>
    switch weight.storage {
    case .floats(let values): w = values + first * weight.columns
    case .stored(let tensor):
      tensor.dequantize(rows: first..<first + columns, into: room)
      w = UnsafePointer(room)
    }
    gemm(
      false, true, rows.count, columns, weight.columns, 1, hidden + rows.lowerBound * weight.columns, weight.columns, w,
      weight.columns, 0, z, columns)
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
