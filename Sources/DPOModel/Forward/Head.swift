import CKernels
import DPOBase
import DPOKernels
import Glibc

/// The language model head on the rows that predict a target: log-probs and their gradient, one tile of the vocabulary at
/// a time, so that logits exist only for one tile a thread.
struct Head {
  /// Logits of a tile: at most rowBlock × tileColumns.
  static let tileColumns = 256
  static let rowBlock = 512
  /// Sums over the vocabulary are made in so many parts, whatever the number of threads.
  static let slots = 16
  static let statisticsFloats = MemoryLayout<ck_logit_statistics>.stride / 4

  let team: ThreadTeam
  let weight: WeightMatrix
  let forest: PreparedForest
  /// [rows, hidden], after the last norm.
  let hidden: UnsafePointer<Float>
  /// [tiles, rows]
  let statistics: UnsafeMutablePointer<ck_logit_statistics>
  /// One tile of logits a thread, and room for the dequantised weights of a tile.
  let tiles: UnsafeMutablePointer<Float>
  let tileCount: Int
  /// log Σ exp of each row, and a row's sum of log-prob gradients.
  let lse: UnsafeMutablePointer<Float>
  let scales: UnsafeMutablePointer<Float>

  private var rows: Int { forest.headRows.count }
  private var width: Int { weight.columns }
  private var tileTotal: Int { (weight.rows + Head.tileColumns - 1) / Head.tileColumns }

  /// Weights of a tile: in place, or dequantised behind the thread's logits.
  private func tileWeights(_ first: Int, _ columns: Int, member: Int) -> UnsafePointer<Float> {
    if let values = weight.values { return values + first * width }
    let out = tiles + member * tileCount + min(rows, Head.rowBlock) * Head.tileColumns
    weight.stored?.dequantize(rows: first..<first + columns, into: out)
    return UnsafePointer(out)
  }

  func scores(extras: ScoreExtras) -> TokenScores {
    var targetLogits = [Float](repeating: 0, count: forest.targets.count)
    targetLogits.withUnsafeMutableBufferPointer { targetLogits in
      let targetLogits = targetLogits.baseAddress
      let byTile = targetsByTile()
      team.measured("head forward", operations: operations) {
        team.run(tileTotal) { tile, member in
          let first = tile * Head.tileColumns
          let columns = min(Head.tileColumns, weight.rows - first)
          let w = tileWeights(first, columns, member: member)
          let z = tiles + member * tileCount
          for start in stride(from: 0, to: rows, by: Head.rowBlock) {
            let count = min(Head.rowBlock, rows - start)
            gemm(false, true, count, columns, width, 1, hidden + start * width, width, w, width, 0, z, columns)
            ck_logits_statistics(
              z, columns, count, columns, Int32(first), statistics + tile * rows + start, 1)
            for target in byTile[tile] {
              let row = Int(forest.headRowOfTarget[target]) - start
              if row >= 0, row < count {
                targetLogits?[target] = z[row * columns + Int(forest.targets[target].token) - first]
              }
            }
          }
        }
      }
    }
    return team.measured("head merge") { merge(targetLogits, extras) }
  }

  /// Of one product of all logits.
  private var operations: Double { 2 * Double(rows) * Double(weight.rows) * Double(width) }

  private func targetsByTile() -> [[Int]] {
    var byTile = [[Int]](repeating: [], count: tileTotal)
    for (index, target) in forest.targets.enumerated() { byTile[Int(target.token) / Head.tileColumns].append(index) }
    return byTile
  }

  /// Numbers of a row over the whole vocabulary.
  private struct RowTotals {
    var lse = 0.0, entropy = 0.0, mean = 0.0, logSquares = 0.0
    var max: Float = 0
    var argmax: Int32 = 0
  }

  func merge(_ targetLogits: [Float], _ extras: ScoreExtras) -> TokenScores {
    var totals = [RowTotals](repeating: RowTotals(), count: rows)
    for row in 0..<rows {
      var max = -Float.infinity
      var argmax = Int32.max
      var poisoned = false
      for tile in 0..<tileTotal {
        let part = statistics[tile * rows + row]
        if part.max > max {
          max = part.max
          argmax = part.argmax
        }
        poisoned = poisoned || part.sum.isNaN
      }
      var sum = 0.0
      var squares = 0.0
      var weighted = 0.0
      var total = 0.0
      for tile in 0..<tileTotal {
        let part = statistics[tile * rows + row]
        let shift = Double(part.max) - Double(max)
        let scale = exp(shift)
        guard scale > 0 || scale.isNaN else {
          total += Double(part.total)
          continue
        }
        sum += Double(part.sum) * scale
        squares += Double(part.squares) * scale * scale
        weighted += (Double(part.weighted) + Double(part.sum) * shift) * scale
        total += Double(part.total)
      }
      let logSum = poisoned ? Double.nan : log(sum)
      let lse = Double(max) + logSum
      self.lse[row] = Float(lse)
      // H = lse − Σ p z, with z = max + d: log Σ e^d − Σ e^d d / Σ e^d
      totals[row] = RowTotals(
        lse: lse, entropy: logSum - weighted / sum, mean: total / Double(weight.rows),
        logSquares: log(squares) - 2 * logSum,
        max: max, argmax: argmax)
    }
    let count = forest.targets.count
    var scores = TokenScores(
      logProbs: [Float](repeating: 0, count: count), sums: [Double](repeating: 0, count: forest.sequenceCount),
      counts: [Int](repeating: 0, count: forest.sequenceCount))
    for (index, target) in forest.targets.enumerated() {
      let row = totals[Int(forest.headRowOfTarget[index])]
      let logProb = Double(targetLogits[index]) - row.lse
      scores.logProbs[index] = Float(logProb)
      scores.sums[Int(target.sequence)] += logProb
      scores.counts[Int(target.sequence)] += 1
    }
    func each<T>(_ value: (RowTotals, TokenForest.Target) -> T) -> [T] {
      (0..<count).map { value(totals[Int(forest.headRowOfTarget[$0])], forest.targets[$0]) }
    }
    if extras.contains(.entropy) { scores.entropy = each { row, _ in Float(row.entropy) } }
    if extras.contains(.meanLogit) { scores.meanLogit = each { row, _ in Float(row.mean) } }
    if extras.contains(.top1) { scores.top1 = each { row, target in row.argmax == target.token } }
    if extras.contains(.logSumSquares) { scores.logSumSquares = each { row, _ in Float(row.logSquares) } }
    return scores
  }

  /// Adds to the head's gradient, and writes d loss / d hidden. For a row with targets t and their gradients g:
  /// dz = Σ_t g_t (onehot_t − p); dW += dzᵀ h; dh = dz W. Logits are computed again, tile by tile.
  func backward(
    _ logProbGradients: [Float], into dhidden: UnsafeMutablePointer<Float>, partials: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows { scales[row] = 0 }
    for (index, gradient) in logProbGradients.enumerated() { scales[Int(forest.headRowOfTarget[index])] += gradient }
    let byTile = targetsByTile()
    let perSlot = (tileTotal + Head.slots - 1) / Head.slots
    for start in stride(from: 0, to: rows, by: Head.rowBlock) {
      let count = min(Head.rowBlock, rows - start)
      team.measured(
        "head backward", operations: (weight.gradient == nil ? 2 : 3) * operations * Double(count) / Double(rows)
      ) {
        team.run(Head.slots) { slot, member in
          let partial = partials + slot * count * width
          let z = tiles + member * tileCount
          let range = min(slot * perSlot, tileTotal)..<min((slot + 1) * perSlot, tileTotal)
          if range.isEmpty { partial.update(repeating: 0, count: count * width) }
          for tile in range {
            let first = tile * Head.tileColumns
            let columns = min(Head.tileColumns, weight.rows - first)
            let w = tileWeights(first, columns, member: member)
            gemm(false, true, count, columns, width, 1, hidden + start * width, width, w, width, 0, z, columns)
            ck_logits_backward(z, columns, count, columns, lse + start, scales + start)
            for target in byTile[tile] {
              let row = Int(forest.headRowOfTarget[target]) - start
              if row >= 0, row < count {
                z[row * columns + Int(forest.targets[target].token) - first] += logProbGradients[target]
              }
            }
            gemm(
              false, false, count, width, columns, 1, z, columns, w, width, tile == range.lowerBound ? 0 : 1, partial,
              width)
            if let gradient = weight.gradient {
              gemm(
                true, false, columns, width, count, 1, z, columns, hidden + start * width, width, 1,
                gradient + first * width, width)
            }
          }
        }
      }
      let out = dhidden + start * width
      team.rows("head reduction", count, bytes: 4 * Head.slots * width) { rows, _ in
        let (from, size) = (rows.lowerBound * width, rows.count * width)
        memcpy(out + from, partials + from, size * 4)
        for slot in 1..<Head.slots { ck_accumulate(out + from, partials + slot * count * width + from, size) }
      }
    }
  }
}
