import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// The language model head on the rows that predict a target: log-probs and their gradient, one tile of the vocabulary at
/// a time, so that logits exist only for one tile a thread.
struct LanguageHead {
  /// Sums over the vocabulary are made in so many parts, whatever the number of threads.
  static let slots = 16
  static let statisticsFloats = MemoryLayout<ck_logit_statistics>.stride / 4

  let team: ThreadTeam
  var kernels: UnsafePointer<ck_engine> { team.kernels }
  let precision: Precision
  let weight: WeightMatrix
  let forest: PreparedForest
  let shape: HeadShape
  /// [rows, hidden], after the last norm.
  let hidden: UnsafePointer<Float>
  /// [tiles, rows]
  let statistics: UnsafeMutablePointer<ck_logit_statistics>
  /// One tile of logits a thread.
  let tiles: UnsafeMutablePointer<Float>
  /// log Σ exp of each row, and a row's sum of log-prob gradients.
  let lse: UnsafeMutablePointer<Float>
  let scales: UnsafeMutablePointer<Float>
  /// Of each target.
  let targetLogits: UnsafeMutablePointer<Float>
  let bias: HeadBias?
  /// c of z = c·tanh(h Wᵀ); nil: z = h Wᵀ.
  let cap: Float?
  /// [slots, rows of a block, hidden]: sums over parts of the vocabulary; only where gradients are wanted.
  let partials: UnsafeMutablePointer<Float>
  /// Of a frozen head: the mean Σ p W of the weights' rows under each row's probabilities, [rows, hidden], with a cap that of
  /// p·dz/d(h Wᵀ), which is all that the backward pass needs of the logits, and each slot's largest logit, [slots, rows of a block].
  let means: (mean: UnsafeMutablePointer<Float>, maxima: UnsafeMutablePointer<Float>)?

  private var rows: Int { forest.headRows.count }
  private var width: Int { weight.columns }
  private var tileTotal: Int { (weight.rows + shape.columns - 1) / shape.columns }

  /// The rows in blocks, and the product of each with the weights of a tile.
  private func eachRowBlock(_ body: (_ start: Int, _ product: HeadProduct) -> Void) {
    for start in stride(from: 0, to: rows, by: shape.rows) {
      let product = HeadProduct(
        team: team, precision: precision, weight: weight, hidden: hidden + start * width,
        rows: min(shape.rows, rows - start), bias: bias, cap: cap)
      body(start, product)
    }
  }

  /// Log-probs and `extras` of all targets, from z[rows, vocabulary] = h Wᵀ, of which a thread holds one tile.
  func scores(extras: ScoreExtras) -> TokenScores {
    let byTile = targetsByTile()
    team.measured("head forward", operations: (means == nil ? 1 : 2) * operations) {
      eachRowBlock { start, product in
        /// Logits of a tile and their statistics.
        func score(_ tile: Int, _ z: UnsafeMutablePointer<Float>, _ member: Int) {
          let first = tile * shape.columns
          let columns = min(shape.columns, weight.rows - first)
          product.logits(first, columns, into: z, member)
          kernels.pointee.logits_statistics(
            z, columns, product.rows, columns, Int32(first), statistics + tile * rows + start, 1)
          for target in byTile[tile] {
            let row = Int(forest.headRowOfTarget[target]) - start
            if row >= 0, row < product.rows {
              targetLogits[target] = z[row * columns + Int(forest.targets[target].token) - first]
            }
          }
        }
        product.packHidden(transposedToo: false)
        if let means {
          gatherMeans(start, product, mean: means.mean, maxima: means.maxima, score)
        } else {
          team.run(tileTotal) { tile, member in score(tile, tiles + member * shape.tileCount, member) }
        }
      }
    }
    return team.measured("head merge") { merge(extras) }
  }

  private func slotTiles(_ slot: Int) -> Range<Int> {
    let size = (tileTotal + LanguageHead.slots - 1) / LanguageHead.slots
    return min(slot * size, tileTotal)..<min((slot + 1) * size, tileTotal)
  }

  /// Σ p W of a block's rows, as the softmax of attention is made over blocks of keys: each slot sums exp(z − m) W under its
  /// running maximum m, and the slots' sums meet as Σ exp(m − lse) of them.
  private func gatherMeans(
    _ start: Int, _ product: HeadProduct, mean: UnsafeMutablePointer<Float>, maxima: UnsafeMutablePointer<Float>,
    _ score: (_ tile: Int, _ z: UnsafeMutablePointer<Float>, _ member: Int) -> Void
  ) {
    let count = product.rows
    for row in start..<start + count { scales[row] = -1 }
    team.run(LanguageHead.slots) { slot, member in
      let (partial, largest) = (partials + slot * count * width, maxima + slot * count)
      let z = tiles + member * shape.tileCount
      let range = slotTiles(slot)
      largest.update(repeating: -.infinity, count: count)
      if range.isEmpty { partial.update(repeating: 0, count: count * width) }
      for tile in range {
        score(tile, z, member)
        let columns = min(shape.columns, weight.rows - tile * shape.columns)
        for row in 0..<count {
          let found = statistics[tile * rows + start + row].max
          guard found > largest[row] else { continue }
          if tile > range.lowerBound {
            let shrink = exp(largest[row] - found)
            for column in 0..<width { partial[row * width + column] *= shrink }
          }
          largest[row] = found
        }
        // exp(z − m), times dz/d(h Wᵀ)
        kernels.pointee.logits_backward(z, columns, count, columns, largest, scales + start, cap ?? 0)
        product.hiddenGradient(
          z, tile * shape.columns, columns, into: partial, accumulates: tile > range.lowerBound, member)
      }
    }
    team.rows("head means", count, bytes: 4 * LanguageHead.slots * width) { block, _ in
      for row in block {
        let out = mean + (start + row) * width
        out.update(repeating: 0, count: width)
        let lse = Float(totals(start + row).lse)
        for slot in 0..<LanguageHead.slots where !slotTiles(slot).isEmpty {
          let (factor, partial) = (exp(maxima[slot * count + row] - lse), partials + (slot * count + row) * width)
          for column in 0..<width { out[column] += factor * partial[column] }
        }
      }
    }
  }

  /// Of one product of all logits.
  private var operations: Double { 2 * Double(rows) * Double(weight.rows) * Double(width) }

  private func targetsByTile() -> [[Int]] {
    var byTile = [[Int]](repeating: [], count: tileTotal)
    for (index, target) in forest.targets.enumerated() { byTile[Int(target.token) / shape.columns].append(index) }
    return byTile
  }

  /// Numbers of a row over the whole vocabulary.
  private struct RowTotals {
    var lse = 0.0, entropy = 0.0, mean = 0.0, logSquares = 0.0
    var max: Float = 0
    var argmax: Int32 = 0
  }

  /// Of all tiles of a row.
  private func totals(_ row: Int) -> RowTotals {
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
    // H = lse − Σ p z, with z = max + d: log Σ e^d − Σ e^d d / Σ e^d
    return RowTotals(
      lse: Double(max) + logSum, entropy: logSum - weighted / sum, mean: total / Double(weight.rows),
      logSquares: log(squares) - 2 * logSum, max: max, argmax: argmax)
  }

  func merge(_ extras: ScoreExtras) -> TokenScores {
    let totals = (0..<rows).map(totals)
    for row in 0..<rows { lse[row] = Float(totals[row].lse) }
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

  /// dz/d(h Wᵀ) of a target.
  private func slope(_ target: Int) -> Float {
    guard let cap else { return 1 }
    let share = targetLogits[target] / cap
    return cap * (1 - share * share)
  }

  /// Adds to the head's gradient, [vocabulary, hidden], and writes d loss / d hidden, [rows, hidden]. For a row with targets t and their gradients g:
  /// dz = Σ_t g_t (onehot_t − p); dW += dzᵀ h; dh = dz W. Logits are computed again, tile by tile. With a cap dz is what comes
  /// through it.
  func backward(_ logProbGradients: [Float], into dhidden: UnsafeMutablePointer<Float>) {
    for row in 0..<rows { scales[row] = 0 }
    for (index, gradient) in logProbGradients.enumerated() { scales[Int(forest.headRowOfTarget[index])] += gradient }
    if let means { return backward(logProbGradients, mean: means.mean, into: dhidden) }
    let byTile = targetsByTile()
    eachRowBlock { start, product in
      let count = product.rows
      team.measured(
        "head backward", operations: (weight.gradient == nil ? 2 : 3) * operations * Double(count) / Double(rows)
      ) {
        product.packHidden(transposedToo: weight.gradient != nil)
        team.run(LanguageHead.slots) { slot, member in
          let partial = partials + slot * count * width
          let z = tiles + member * shape.tileCount
          let range = slotTiles(slot)
          if range.isEmpty { partial.update(repeating: 0, count: count * width) }
          for tile in range {
            let first = tile * shape.columns
            let columns = min(shape.columns, weight.rows - first)
            product.logits(first, columns, into: z, member)
            kernels.pointee.logits_backward(z, columns, count, columns, lse + start, scales + start, cap ?? 0)
            for target in byTile[tile] {
              let row = Int(forest.headRowOfTarget[target]) - start
              if row >= 0, row < count {
                z[row * columns + Int(forest.targets[target].token) - first] += logProbGradients[target] * slope(target)
              }
            }
            product.hiddenGradient(z, first, columns, into: partial, accumulates: tile > range.lowerBound, member)
            if let gradient = weight.gradient {
              product.weightGradient(z, columns, into: gradient + first * width, member)
            }
            bias?.accumulate(z, first, columns, rows: count)
          }
        }
      }
      let out = dhidden + start * width
      team.rows("head reduction", count, bytes: 4 * LanguageHead.slots * width) { rows, _ in
        let (from, size) = (rows.lowerBound * width, rows.count * width)
        memcpy(out + from, partials + from, size * 4)
        for slot in 1..<LanguageHead.slots {
          kernels.pointee.accumulate(out + from, partials + slot * count * width + from, size)
        }
      }
    }
  }

  /// A frozen head's: dh = Σ_t g_t W_t − (Σ_t g_t) Σ p W, without logits.
  private func backward(
    _ logProbGradients: [Float], mean: UnsafePointer<Float>, into dhidden: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      for column in 0..<width { dhidden[row * width + column] = -scales[row] * mean[row * width + column] }
    }
    for (index, gradient) in logProbGradients.enumerated() where gradient != 0 {
      weight.copyRow(Int(forest.targets[index].token), into: team.packing.decoded(0))
      let out = dhidden + Int(forest.headRowOfTarget[index]) * width
      let gradient = gradient * slope(index)
      for column in 0..<width { out[column] += gradient * team.packing.decoded(0)[column] }
    }
  }
}

extension WeightVector {
  var frozen: WeightVector { WeightVector(values: values, gradient: nil) }
}

extension WeightMatrix {
  var frozen: WeightMatrix {
    WeightMatrix(rows: rows, columns: columns, values: values, tensor: tensor, gradient: nil)
  }

  /// Some rows as f32: where they are, or decoded into `room`.
  func rows(
    _ rows: Range<Int>, in room: UnsafeMutablePointer<Float>, with kernels: UnsafePointer<ck_engine>
  ) -> UnsafePointer<Float> {
    if let values { return values + rows.lowerBound * columns }
    tensor.dequantize(rows: rows, columns: 0..<columns, into: room, with: kernels)
    return UnsafePointer(room)
  }
}
