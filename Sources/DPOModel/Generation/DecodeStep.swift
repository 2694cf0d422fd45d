import CKernels
import DPOBase
import DPOKernels
import Glibc

/// One token more for each of some sequences. The same as `Pass`, for few rows: products that read each weight once, keys
/// and values from the cache.
final class DecodeStep {
  /// A sequence that goes on: cached rows of its prompt and its own.
  struct Row {
    let token: Int32
    let position: Int
    let promptRow, promptCount: Int
    let ownRow, ownCount: Int
  }

  private let decoder: Decoder
  private let adapter: LoRAAdapter?
  private let team: ThreadTeam
  private let cache: KeyValueCache
  private let rotation: RotationTable
  private let most: Int
  private var c: DecoderConfiguration { decoder.configuration }

  private let x, normed, output, queryKeyValue, raw, gateUp, activated, statistics, adapterHidden, scratch: FloatBuffer
  private let positions: FloatBuffer
  /// [rows, vocabulary]
  let logits: FloatBuffer
  private let scratchCount: Int
  private var rows = 0

  /// Weight rows that a task takes, and those that it dequantises at a time.
  private static let taskRows = 64
  private static let tileRows = 8

  /// What a step of `rows` sequences takes.
  static func bytes(_ c: DecoderConfiguration, rows: Int, threads: Int, longest: Int) -> Int {
    let perRow =
      2 * c.hiddenSize + max(c.hiddenSize, c.queryWidth) + 2 * (c.queryWidth + c.keyValueWidth) + c.keyValueWidth
      + 3 * c.intermediateSize + c.headCount + 3 + c.vocabularySize
    // The sampler keeps a probability and an id of every token.
    return 4 * (rows * (perRow + 2 * c.vocabularySize) + threads * scratchCount(c, longest: longest))
  }

  private static func scratchCount(_ c: DecoderConfiguration, longest: Int) -> Int {
    max(tileRows * max(c.hiddenSize, c.intermediateSize, c.queryWidth), longest + 16)
  }

  init(
    _ decoder: Decoder, adapter: LoRAAdapter?, team: ThreadTeam, cache: KeyValueCache, rotation: RotationTable,
    rows most: Int,
    longest: Int
  ) throws {
    let c = decoder.configuration
    self.decoder = decoder
    self.adapter = adapter
    self.team = team
    self.cache = cache
    self.rotation = rotation
    self.most = most
    try rotation.extend(to: longest)
    func buffer(_ width: Int) throws -> FloatBuffer { try FloatBuffer(count: most * width) }
    x = try buffer(c.hiddenSize)
    normed = try buffer(max(c.hiddenSize, c.queryWidth))
    output = try buffer(c.hiddenSize)
    queryKeyValue = try buffer(c.queryWidth + 2 * c.keyValueWidth)
    raw = try buffer(c.queryWidth + c.keyValueWidth)
    gateUp = try buffer(2 * c.intermediateSize)
    activated = try buffer(c.intermediateSize)
    statistics = try buffer(2 + c.headCount)
    adapterHidden = try buffer(max(1, adapter?.places.reduce(0) { max($0, $1.rank) } ?? 0))
    positions = try buffer(1)
    logits = try buffer(c.vocabularySize)
    scratchCount = DecodeStep.scratchCount(c, longest: longest)
    scratch = try FloatBuffer(count: team.threads * scratchCount)
  }

  /// Logits of each row's next token.
  func run(_ batch: [Row]) {
    rows = batch.count
    let hidden = c.hiddenSize
    let positions = UnsafeMutableRawPointer(positions.pointer).assumingMemoryBound(to: Int32.self)
    for (index, row) in batch.enumerated() {
      positions[index] = Int32(row.position)
      decoder.embedding.copyRow(Int(row.token), into: x.pointer + index * hidden)
      if let table = decoder.positions {
        table.copyRow(row.position, into: output.pointer)
        ck_accumulate(x.pointer + index * hidden, output.pointer, hidden)
      }
    }
    for layer in 0..<c.layerCount { block(layer, batch, positions) }
    vocabulary()
  }

  /// Logits of rows of the residual stream that a prefill left.
  func logits(of residuals: UnsafePointer<Float>, _ chosen: [Int]) {
    rows = chosen.count
    for (index, row) in chosen.enumerated() {
      (x.pointer + index * c.hiddenSize).update(from: residuals + row * c.hiddenSize, count: c.hiddenSize)
    }
    vocabulary()
  }

  private func vocabulary() {
    guard let head = decoder.head else { return }
    norm(decoder.finalNorm, add: nil, bias: nil)
    project(layer: nil, part: nil, head, normed.pointer, into: logits.pointer, c.vocabularySize)
  }

  private func block(_ layer: Int, _ batch: [Row], _ positions: UnsafeMutablePointer<Int32>) {
    let block = decoder.blocks[layer]
    let width = c.queryWidth + 2 * c.keyValueWidth
    norm(block.attentionNorm, add: nil, bias: nil)
    project(layer, block.queryKeyValue, normed.pointer, into: queryKeyValue.pointer, width)
    rotate(block, positions, width)
    for (index, row) in batch.enumerated() {
      cache.store(layer, row: row.ownRow + row.ownCount, from: queryKeyValue.pointer + index * width)
    }
    attend(layer, batch, width)
    project(layer, [block.output], normed.pointer, into: output.pointer, c.hiddenSize)
    norm(block.mlpNorm, add: output.pointer, bias: block.output.bias)
    let gateUpWidth = c.gatedMLP ? 2 * c.intermediateSize : c.intermediateSize
    project(layer, block.gateUp, normed.pointer, into: gateUp.pointer, gateUpWidth)
    activate(block, gateUpWidth)
    project(layer, [block.down], activated.pointer, into: output.pointer, c.hiddenSize)
    ck_accumulate(x.pointer, output.pointer, rows * c.hiddenSize)
    if let bias = block.down.bias { ck_add_bias(x.pointer, c.hiddenSize, bias.values, rows, c.hiddenSize) }
  }

  /// x += add + bias; normed = norm(x)
  private func norm(_ norm: NormWeights, add: UnsafePointer<Float>?, bias: WeightVector?) {
    let rstd = statistics.pointer
    if let b = norm.bias {
      ck_layer_norm_forward(
        x.pointer, add, bias?.values, x.pointer, norm.weight.values, b.values, normed.pointer, rstd + most, rstd, rows,
        c.hiddenSize, c.normEpsilon)
    } else {
      ck_rms_forward(
        x.pointer, add, bias?.values, x.pointer, norm.weight.values, normed.pointer, rstd, rows, c.hiddenSize,
        c.normEpsilon)
    }
  }

  private func rotate(_ block: DecoderBlock, _ positions: UnsafeMutablePointer<Int32>, _ width: Int) {
    let x = queryKeyValue.pointer
    var column = 0
    for linear in block.queryKeyValue {
      if let bias = linear.bias { ck_add_bias(x + column, width, bias.values, rows, linear.weight.rows) }
      column += linear.weight.rows
    }
    if let queryNorm = block.queryNorm, let keyNorm = block.keyNorm {
      let keyWidth = c.queryWidth + c.keyValueWidth
      for row in 0..<rows { memcpy(raw.pointer + row * keyWidth, x + row * width, keyWidth * 4) }
      ck_head_norm_forward(
        raw.pointer, keyWidth, queryNorm.values, x, width, statistics.pointer, rows, c.headCount, c.headSize,
        c.normEpsilon)
      ck_head_norm_forward(
        raw.pointer + c.queryWidth, keyWidth, keyNorm.values, x + c.queryWidth, width, statistics.pointer, rows,
        c.keyValueHeadCount, c.headSize, c.normEpsilon)
    }
    guard let cosines = rotation.cosines, let sines = rotation.sines else { return }
    ck_rope(
      x, width, cosines.pointer, sines.pointer, positions, rows, c.headCount + c.keyValueHeadCount, c.headSize, 1)
  }

  private func attend(_ layer: Int, _ batch: [Row], _ width: Int) {
    let (keyHeads, size) = (c.keyValueHeadCount, c.headSize)
    let group = c.headCount / keyHeads
    let window = c.slidingWindow ?? Int.max
    batch.withUnsafeBufferPointer { batch in
      team.run(batch.count * keyHeads) { task, member in
        let (index, head) = (task / keyHeads, task % keyHeads)
        let row = batch[index]
        let total = row.promptCount + row.ownCount + 1
        withUnsafeTemporaryAllocation(of: ck_cache_part.self, capacity: 2) { parts in
          parts[0] = ck_cache_part(
            keys: cache.keys(layer, row.promptRow) + head * size,
            values: cache.values(layer, row.promptRow) + head * size,
            count: row.promptCount)
          parts[1] = ck_cache_part(
            keys: cache.keys(layer, row.ownRow) + head * size, values: cache.values(layer, row.ownRow) + head * size,
            count: row.ownCount + 1)
          ck_decode_attention(
            queryKeyValue.pointer + index * width + head * group * size, group, size, parts.baseAddress, 2,
            c.keyValueWidth,
            total > window ? total - window : 0, 1 / Float(size).squareRoot(), scratch.pointer + member * scratchCount,
            normed.pointer + index * c.queryWidth + head * group * size)
        }
      }
    }
  }

  private func activate(_ block: DecoderBlock, _ width: Int) {
    let (x, inner) = (gateUp.pointer, c.intermediateSize)
    if c.gatedMLP {
      for (index, linear) in block.gateUp.enumerated() {
        if let bias = linear.bias { ck_add_bias(x + index * inner, width, bias.values, rows, inner) }
      }
      ck_gated_forward(c.activation.kernel, x, x + inner, width, activated.pointer, rows, inner)
    } else {
      ck_activation_forward(c.activation.kernel, x, block.gateUp[0].bias?.values, activated.pointer, rows, inner)
    }
  }

  private func project(
    _ layer: Int, _ linears: [Linear], _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, _ width: Int
  ) {
    var column = 0
    for linear in linears {
      project(layer: layer, part: linear.part, linear.weight, x, into: y + column, width)
      column += linear.weight.rows
    }
  }

  private func project(
    layer: Int?, part: ModelPart?, _ weight: WeightMatrix, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>,
    _ width: Int
  ) {
    let inputSize = weight.columns
    var matrices: LoRAAdapter.Matrices?
    if let layer, let part { matrices = adapter?.matrices(layer: layer, part: part) }
    let u = adapterHidden.pointer
    if let a = matrices {
      ck_few_rows_product(x, inputSize, rows, a.a, inputSize, a.rank, inputSize, u, a.rank, 0)
      ck_scale(u, u, a.scale, rows * a.rank)
    }
    let tasks = (weight.rows + DecodeStep.taskRows - 1) / DecodeStep.taskRows
    team.run(tasks) { task, member in
      let end = min(weight.rows, (task + 1) * DecodeStep.taskRows)
      for first in stride(from: task * DecodeStep.taskRows, to: end, by: DecodeStep.tileRows) {
        let count = min(DecodeStep.tileRows, end - first)
        var w = scratch.pointer + member * scratchCount
        if let values = weight.values {
          w = UnsafeMutablePointer(mutating: values) + first * inputSize
        } else {
          weight.stored?.dequantize(rows: first..<first + count, into: w)
        }
        ck_few_rows_product(x, inputSize, rows, w, inputSize, count, inputSize, y + first, width, 0)
        if let a = matrices {
          ck_few_rows_product(u, a.rank, rows, a.b + first * a.rank, a.rank, count, a.rank, y + first, width, 1)
        }
      }
    }
  }
}
