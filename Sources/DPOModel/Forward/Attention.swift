import CKernels
import DPOKernels

/// Attention over a forest: softmax(q kᵀ / √d) v per head, each row seeing its ancestors and itself. Scores exist for one
/// block of rows at a time; the backward pass makes them again from the saved log Σ exp.
struct Attention {
  let configuration: DecoderConfiguration
  let forest: PreparedForest
  let team: ThreadTeam
  /// Two blocks of scores a thread, each `scratchCount` numbers.
  let scratch: UnsafeMutablePointer<Float>
  let scratchCount: Int

  static func scratchCount(mostKeys: Int) -> Int { PreparedForest.queryBlock * mostKeys }

  private var window: Int { configuration.slidingWindow ?? Int(Int32.max) }
  private var size: Int { configuration.headSize }
  private var scale: Float { 1 / Float(configuration.headSize).squareRoot() }
  /// Distance of rows of q, k and v, which stand side by side.
  private var width: Int { configuration.queryWidth + 2 * configuration.keyValueWidth }

  /// out[t, heads · d]; lse[t, heads].
  func forward(_ qkv: UnsafePointer<Float>, out: UnsafeMutablePointer<Float>, lse: UnsafeMutablePointer<Float>) {
    let heads = configuration.headCount
    let group = heads / configuration.keyValueHeadCount
    team.measured("attention forward", operations: 2 * products) {
      team.run(forest.blocks.count * heads) { index, member in
        let block = forest.blocks[index / heads]
        let head = index % heads
        let scores = scratch + 2 * member * scratchCount
        let keys = qkv + configuration.queryWidth + head / group * size
        let values = keys + configuration.keyValueWidth
        let queries = qkv + block.row * width + head * size
        eachRun(block) { row, count, column in
          gemm(
            false, true, block.count, count, size, 1, queries, width, keys + row * width, width, 0, scores + column,
            block.keys)
        }
        ck_softmax_forward(
          scores, block.keys, block.count, block.keys, block.position - block.firstKey, window, scale,
          lse + block.row * heads + head, heads)
        var first = true
        eachRun(block) { row, count, column in
          gemm(
            false, false, block.count, size, count, 1, scores + column, block.keys, values + row * width, width,
            first ? 0 : 1, out + block.row * configuration.queryWidth + head * size, configuration.queryWidth)
          first = false
        }
      }
    }
  }

  /// Operations of one product of all scores.
  private var products: Double {
    forest.blocks.reduce(0) { $0 + 2 * Double($1.count * $1.keys * configuration.queryWidth) }
  }

  /// From d out to d q, d k, d v. `delta` is [t, heads] scratch.
  func backward(
    _ qkv: UnsafePointer<Float>, out: UnsafePointer<Float>, lse: UnsafePointer<Float>, dout: UnsafePointer<Float>,
    delta: UnsafeMutablePointer<Float>, dqkv: UnsafeMutablePointer<Float>
  ) {
    let heads = configuration.headCount
    let keyHeads = configuration.keyValueHeadCount
    let group = heads / keyHeads
    let queryWidth = configuration.queryWidth
    team.rows("attention delta", forest.count) { rows, _ in
      ck_head_dots(
        dout + rows.lowerBound * queryWidth, queryWidth, out + rows.lowerBound * queryWidth, queryWidth,
        delta + rows.lowerBound * heads, rows.count, heads, size)
      for row in rows { (dqkv + row * width + queryWidth).update(repeating: 0, count: 2 * configuration.keyValueWidth) }
    }
    // Gradients of keys and values gather from all rows of a tree: one task a tree and key head keeps their order fixed.
    team.measured("attention backward", operations: 5 * products) {
      team.run(forest.trees.count * keyHeads) { index, member in
        let keyHead = index % keyHeads
        let scores = scratch + 2 * member * scratchCount
        let dscores = scores + scratchCount
        let keyOffset = queryWidth + keyHead * size
        let valueOffset = keyOffset + configuration.keyValueWidth
        for entry in forest.trees[index / keyHeads] {
          let block = forest.blocks[forest.treeBlocks[entry]]
          for head in keyHead * group..<(keyHead + 1) * group {
            let queries = qkv + block.row * width + head * size
            let douts = dout + block.row * queryWidth + head * size
            eachRun(block) { row, count, column in
              gemm(
                false, true, block.count, count, size, 1, queries, width, qkv + row * width + keyOffset, width, 0,
                scores + column, block.keys)
              gemm(
                false, true, block.count, count, size, 1, douts, queryWidth, qkv + row * width + valueOffset, width, 0,
                dscores + column, block.keys)
            }
            ck_softmax_backward(
              scores, dscores, block.keys, block.count, block.keys, block.position - block.firstKey, window, scale,
              lse + block.row * heads + head, delta + block.row * heads + head, heads)
            var first = true
            eachRun(block) { row, count, column in
              gemm(
                false, false, block.count, size, count, 1, dscores + column, block.keys, qkv + row * width + keyOffset,
                width, first ? 0 : 1, dqkv + block.row * width + head * size, width)
              gemm(
                true, false, count, size, block.count, 1, dscores + column, block.keys, queries, width, 1,
                dqkv + row * width + keyOffset, width)
              gemm(
                true, false, count, size, block.count, 1, scores + column, block.keys, douts, queryWidth, 1,
                dqkv + row * width + valueOffset, width)
              first = false
            }
          }
        }
      }
    }
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
