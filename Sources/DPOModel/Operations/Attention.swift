import CKernels
import DPOKernels
import DPOPlatform

/// Attention over a forest: softmax(q kᵀ / √d) v per head, with the model's own scale or cap of q kᵀ, each row seeing its
/// ancestors and itself. k and v may be those of another block. Scores exist for one block of rows at a time; the backward pass
/// makes them again from the saved log Σ exp. Heads that share keys and values are done together, so that those are packed once
/// for all of them.
struct Attention {
  typealias Pointer = UnsafeMutablePointer<Float>
  /// Heads of all rows: the first head of the first row, and the distance of rows. Of keys; values follow them.
  typealias Matrix = (x: UnsafePointer<Float>, distance: Int)
  typealias Gradient = (x: Pointer, distance: Int)

  let shape: AttentionShape
  let forest: PreparedForest
  let team: ThreadTeam
  let products: LocalProducts
  /// `scratchCount` numbers a thread.
  let scratch: Pointer
  let scratchCount: Int

  /// What one thread works in: natural matrices of the keys that a block of queries sees, and sides of products.
  private struct Scratch {
    let scores, dscores, keys, values, dkeys, dvalues, keyRows, valueRows, keyColumns, left, right, inverse: Pointer

    init(_ base: Pointer, keys count: Int, size: Int) {
      var next = base
      func take(_ part: KeyPath<AttentionScratch, Int>) -> Pointer {
        defer { next += AttentionScratch(keys: count, size: size)[keyPath: part] }
        return next
      }
      (scores, dscores) = (take(\.scores), take(\.scores))
      (keys, values, dkeys, dvalues) = (take(\.keys), take(\.keys), take(\.keys), take(\.keys))
      (keyRows, valueRows, keyColumns) = (take(\.right), take(\.right), take(\.right))
      (left, right) = (take(\.left), take(\.right))
      inverse = take(\.inverse)
    }
  }

  private var kernels: UnsafePointer<ck_engine> { team.kernels }
  private var size: Int { shape.headSize }
  private var scores: ck_scores { shape.scores }
  private var group: Int { shape.group }
  private var window: Int { shape.window ?? Int(Int32.max) }
  private var outWidth: Int { shape.queryWidth }

  private func scratch(_ member: Int) -> Scratch {
    Scratch(scratch + member * scratchCount, keys: forest.mostKeys, size: size)
  }

  /// out[t, heads · d] and lse[t, heads].
  func forward(_ q: Matrix, _ k: Matrix, out: Pointer, lse: Pointer) {
    let (heads, keyHeads) = (shape.headCount, shape.keyValueHeadCount)
    team.measured("attention forward", operations: 2 * operations) {
      team.run(forest.blocks.count * keyHeads) { index, member in
        let block = forest.blocks[index / keyHeads].within(window)
        let keyHead = index % keyHeads
        let s = scratch(member)
        let seen = seen(block, keyHead, k, s)
        let keys = products.right(seen.keys.x, seen.keys.distance, rows: block.keys, k: size, in: s.keyRows)
        let values = products.right(
          seen.values.x, seen.values.distance, transposed: true, rows: size, k: block.keys, in: s.valueRows)
        for head in keyHead * group..<(keyHead + 1) * group {
          let queries = products.left(
            q.x + block.row * q.distance + head * size, q.distance, rows: block.count, k: size, in: s.left)
          products.multiply(queries, keys, into: s.scores, block.keys)
          kernels.pointee.softmax_forward(
            s.scores, block.keys, block.count, block.keys, block.position - block.firstKey, window, scores,
            lse + block.row * heads + head, heads, s.inverse)
          let p = products.left(s.scores, block.keys, rows: block.count, k: block.keys, in: s.left)
          let rows = out + block.row * outWidth + head * size
          products.multiply(p, values, into: rows, outWidth)
          for row in 0..<block.count {
            kernels.pointee.scale(rows + row * outWidth, rows + row * outWidth, s.inverse[row], size)
          }
        }
      }
    }
  }

  /// Of one product of all scores.
  private var operations: Double {
    forest.blocks.reduce(0) { $0 + 2 * Double($1.count * $1.within(window).keys * shape.queryWidth) }
  }

  /// dq, and what is added to dk and dv, from dout[t, heads · d] and what `forward` left. `delta` is [t, heads] scratch.
  func backward(
    _ q: Matrix, _ k: Matrix, out: UnsafePointer<Float>, lse: UnsafePointer<Float>, dout: UnsafePointer<Float>,
    delta: Pointer, dq: Gradient, dk: Gradient
  ) {
    let (heads, keyHeads) = (shape.headCount, shape.keyValueHeadCount)
    team.rows("attention delta", forest.count) { rows, _ in
      kernels.pointee.head_dots(
        dout + rows.lowerBound * outWidth, outWidth, out + rows.lowerBound * outWidth, outWidth,
        delta + rows.lowerBound * heads, rows.count, heads, size)
    }
    // Gradients of keys and values gather from all rows of a tree: one task a tree and key head keeps their order fixed.
    team.measured("attention backward", operations: 5 * operations) {
      team.run(forest.trees.count * keyHeads) { index, member in
        let s = scratch(member)
        for entry in forest.trees[index / keyHeads] {
          backward(
            forest.blocks[forest.treeBlocks[entry]].within(window), index % keyHeads, q, k, lse, dout, delta, dq, dk, s)
        }
      }
    }
  }

  /// One block of queries: with P = exp(S − lse) and dP = dO Vᵀ, dS = P ∘ (dP − delta) / √d; then dQ = dS K, dK += dSᵀ Q
  /// and dV += Pᵀ dO.
  private func backward(
    _ block: PreparedForest.QueryBlock, _ keyHead: Int, _ q: Matrix, _ k: Matrix, _ lse: UnsafePointer<Float>,
    _ dout: UnsafePointer<Float>, _ delta: UnsafePointer<Float>, _ dq: Gradient, _ dk: Gradient, _ s: Scratch
  ) {
    let heads = shape.headCount
    let (k, v) = seen(block, keyHead, k, s)
    let keyRows = products.right(k.x, k.distance, rows: block.keys, k: size, in: s.keyRows)
    let valueRows = products.right(v.x, v.distance, rows: block.keys, k: size, in: s.valueRows)
    let keyColumns = products.right(k.x, k.distance, transposed: true, rows: size, k: block.keys, in: s.keyColumns)
    for head in keyHead * group..<(keyHead + 1) * group {
      let isFirst = head == keyHead * group
      let queries = q.x + block.row * q.distance + head * size
      let douts = dout + block.row * outWidth + head * size
      let rows = products.left(queries, q.distance, rows: block.count, k: size, in: s.left)
      products.multiply(rows, keyRows, into: s.scores, block.keys)
      let d = products.left(douts, outWidth, rows: block.count, k: size, in: s.left)
      products.multiply(d, valueRows, into: s.dscores, block.keys)
      kernels.pointee.softmax_backward(
        s.scores, s.dscores, block.keys, block.count, block.keys, block.position - block.firstKey, window, scores,
        lse + block.row * heads + head, delta + block.row * heads + head, heads)
      let ds = products.left(s.dscores, block.keys, rows: block.count, k: block.keys, in: s.left)
      products.multiply(ds, keyColumns, into: dq.x + block.row * dq.distance + head * size, dq.distance)
      let dsColumns = products.left(
        s.dscores, block.keys, transposed: true, rows: block.keys, k: block.count, in: s.left)
      let qColumns = products.right(queries, q.distance, transposed: true, rows: size, k: block.count, in: s.right)
      products.multiply(dsColumns, qColumns, into: s.dkeys, size, accumulates: !isFirst)
      let pColumns = products.left(s.scores, block.keys, transposed: true, rows: block.keys, k: block.count, in: s.left)
      let dColumns = products.right(douts, outWidth, transposed: true, rows: size, k: block.count, in: s.right)
      products.multiply(pColumns, dColumns, into: s.dvalues, size, accumulates: !isFirst)
    }
    eachRun(block) { row, count, column in
      for i in 0..<count {
        let out = dk.x + (row + i) * dk.distance + keyHead * size
        kernels.pointee.accumulate(out, s.dkeys + (column + i) * size, size)
        kernels.pointee.accumulate(out + shape.keyValueWidth, s.dvalues + (column + i) * size, size)
      }
    }
  }

  /// Keys and values that a block sees, one row each: where they lie, or gathered where they stand in several runs.
  private func seen(
    _ block: PreparedForest.QueryBlock, _ keyHead: Int, _ k: Matrix, _ s: Scratch
  ) -> (keys: Matrix, values: Matrix) {
    let (first, width) = (k.x + keyHead * size, k.distance)
    if block.runs.count == 1 {
      let run = forest.runs[block.runs.lowerBound]
      let x = first + (run.row + block.firstKey - run.position) * width
      return ((x, width), (x + shape.keyValueWidth, width))
    }
    eachRun(block) { row, count, column in
      for i in 0..<count {
        let x = first + (row + i) * width
        (s.keys + (column + i) * size).update(from: x, count: size)
        (s.values + (column + i) * size).update(from: x + shape.keyValueWidth, count: size)
      }
    }
    return ((UnsafePointer(s.keys), size), (UnsafePointer(s.values), size))
  }

  /// The rows that hold a block's keys, with the column of the first one.
  private func eachRun(_ block: PreparedForest.QueryBlock, _ body: (_ row: Int, _ count: Int, _ column: Int) -> Void) {
    let end = block.position + block.count
    for run in forest.runs[block.runs] {
      let from = max(run.position, block.firstKey)
      let to = min(run.position + run.count, end)
      if from < to { body(run.row + from - run.position, to - from, from - block.firstKey) }
    }
  }
}

/// σ(gate) ∘ attention, with the gate between q and k.
extension ModelRun {
  func gateForward(_ shape: AttentionShape, _ qkv: Pointer, _ attended: Pointer, into mixed: Pointer) {
    let (width, size) = (shape.width, shape.queryWidth)
    team.rows("attention gate", count, bytes: 12 * size) { rows, _ in
      for row in rows {
        kernels.pointee.gated_forward(
          CK_SIGMOID, qkv + row * width + size, attended + row * size, 0, mixed + row * size, 1, size)
      }
    }
  }

  /// From d mixed to d attended and d gate; mixed is made again.
  func gateBackward(
    _ shape: AttentionShape, _ qkv: Pointer, _ attended: Pointer, dmixed: Pointer, mixed: Pointer, dattended: Pointer,
    dqkv: Pointer
  ) {
    let (width, size) = (shape.width, shape.queryWidth)
    team.rows("attention gate backward", count, bytes: 24 * size) { rows, _ in
      for row in rows {
        let (dgate, up) = (dqkv + row * width + size, dattended + row * size)
        dgate.update(from: qkv + row * width + size, count: size)
        up.update(from: attended + row * size, count: size)
        kernels.pointee.gated_backward(CK_SIGMOID, dgate, up, 0, dmixed + row * size, mixed + row * size, 1, size)
      }
    }
  }
}

/// Scores that take part in the softmax of attention and have no value. With lse′ = log(exp(lse) + exp(sink)) attention is that
/// without them times exp(lse − lse′), and its way back is the same from lse′ on.
extension ModelRun {
  func sinkForward(_ sinks: WeightVector, _ shape: AttentionShape, _ attended: Pointer, _ lse: Pointer) {
    let (heads, size) = (shape.headCount, shape.headSize)
    team.rows("attention sinks", count, bytes: 8 * shape.queryWidth) { rows, _ in
      for index in rows.lowerBound * heads..<rows.upperBound * heads {
        let (before, sink) = (lse[index], sinks.values[index % heads])
        let top = max(before, sink)
        lse[index] = top + log(exp(before - top) + exp(sink - top))
        kernels.pointee.scale(attended + index * size, attended + index * size, exp(before - lse[index]), size)
      }
    }
  }

  /// d sink = −Σ exp(sink − lse′) · delta over all rows.
  func sinkBackward(_ sinks: WeightVector, _ shape: AttentionShape, _ layer: Int) {
    guard let gradient = sinks.gradient else { return }
    let (heads, lse, delta) = (shape.headCount, at(layout.attentionLSE, layer), at(layout.delta))
    for head in 0..<heads {
      for index in stride(from: head, to: count * heads, by: heads) {
        gradient[head] -= exp(sinks.values[head] - lse[index]) * delta[index]
      }
    }
  }
}
/// Numbers that the parts of a thread's scratch memory take, for blocks that see at most `keys` keys.
struct AttentionScratch {
  let scores, keys, left, right: Int
  let inverse = PreparedForest.queryBlock

  init(keys: Int, size: Int) {
    func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    let block = PreparedForest.queryBlock
    scores = padded(block * keys)
    self.keys = padded(keys * size)
    left = padded(
      max(LocalProducts.leftCount(rows: block, k: max(keys, size)), LocalProducts.leftCount(rows: keys, k: block)))
    right = padded(
      max(LocalProducts.rightCount(rows: keys, k: size), LocalProducts.rightCount(rows: size, k: max(keys, block))))
  }

  var total: Int { 2 * scores + 4 * keys + 4 * right + left + inverse }
}
