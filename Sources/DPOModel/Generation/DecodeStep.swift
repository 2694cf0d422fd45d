import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// One token more for each of some sequences. The same as `Pass`, for few rows: products that read each weight once, as it
/// is stored; keys and values from the cache.
final class DecodeStep {
  /// A sequence that goes on: cached rows of its prompt and its own.
  struct Row {
    let token: Int32
    let position: Int
    let promptRow, promptCount: Int
    let ownRow, ownCount: Int
  }

  private struct Block {
    let queryKeyValue, output, gateUp, down: Projection
    let queryBias, keyBias, valueBias: UnsafePointer<Float>?
  }

  private let decoder: Decoder
  private let team: ThreadTeam
  private let cache: KeyValueCache
  private let rotation: RotationTable
  private let rounds: Bool
  private let rounded: RoundedMatrices?
  private let blocks: [Block]
  private let head: Projection?
  private var c: DecoderConfiguration { decoder.configuration }
  private var kernels: UnsafePointer<ck_engine> { team.kernels }

  private let x, normed, output, queryKeyValue, gateUp, activated, statistics, adapterHidden, scratch: FloatBuffer
  private let roundedNormed, roundedActivated: FloatBuffer
  private let positions: FloatBuffer
  /// [rows, vocabulary]
  let logits: FloatBuffer
  private let scratchCount: Int
  private var rows = 0

  /// What a step of `rows` sequences takes, at most.
  static func bytes(_ c: DecoderConfiguration, rows: Int, threads: Int, longest: Int) -> Int {
    let perRow =
      2 * c.hiddenSize + 2 * max(c.hiddenSize, c.queryWidth) + c.queryWidth + 2 * c.keyValueWidth
      + 4 * c.intermediateSize + 1024 + c.vocabularySize
    // The sampler keeps a probability and an id of every token.
    return 4 * (rows * (perRow + 2 * c.vocabularySize) + threads * scratchCount(c, longest: longest))
  }

  private static func scratchCount(_ c: DecoderConfiguration, longest: Int) -> Int {
    let group = c.headCount / c.keyValueHeadCount
    return
      (max(
        ck_weights_scratch(max(c.hiddenSize, c.intermediateSize, c.queryWidth)),
        ck_cached_attention_scratch(longest, 2), group * (c.headSize + 1)) + 15) / 16 * 16
  }

  /// - Parameters:
  ///   - most: rows that `run` takes.
  ///   - longest: positions that a sequence may have.
  init(
    _ decoder: Decoder, adapter: LoRAAdapter?, team: ThreadTeam, precision: Precision, cache: KeyValueCache,
    rotation: RotationTable, rows most: Int, longest: Int
  ) throws {
    let c = decoder.configuration
    self.decoder = decoder
    self.team = team
    self.cache = cache
    self.rotation = rotation
    rounds = precision == .bf16
    try rotation.extend(to: longest)
    let rounded = rounds ? try RoundedMatrices(decoder.products, team: team) : nil
    self.rounded = rounded
    func projection(_ layer: Int, _ linears: [Linear], paired: Bool = false) -> Projection {
      Projection(
        linears.map { ($0.weight, adapter?.matrices(layer: layer, part: $0.part)) }, rounded: rounded,
        team: team, paired: paired)
    }
    blocks = decoder.blocks.enumerated().map { layer, block in
      Block(
        queryKeyValue: projection(layer, block.queryKeyValue), output: projection(layer, [block.output]),
        gateUp: projection(layer, block.gateUp, paired: c.gatedMLP), down: projection(layer, [block.down]),
        queryBias: block.queryKeyValueBias(at: 0), keyBias: block.queryKeyValueBias(at: c.queryWidth),
        valueBias: block.queryKeyValueBias(at: c.queryWidth + c.keyValueWidth))
    }
    head = decoder.head.map { Projection([($0, nil)], rounded: rounded, team: team) }

    func buffer(_ width: Int) throws -> FloatBuffer { try FloatBuffer(count: most * width) }
    x = try buffer(c.hiddenSize)
    normed = try buffer(max(c.hiddenSize, c.queryWidth))
    output = try buffer(c.hiddenSize)
    queryKeyValue = try buffer(c.queryWidth + 2 * c.keyValueWidth)
    gateUp = try buffer(c.gatedMLP ? 2 * c.intermediateSize : c.intermediateSize)
    activated = try buffer(c.intermediateSize)
    roundedNormed = try buffer(rounds ? max(c.hiddenSize, c.queryWidth) : 1)
    roundedActivated = try buffer(rounds ? c.intermediateSize : 1)
    statistics = try buffer(2)
    adapterHidden = try buffer(
      blocks.reduce(1) { most, block in
        [block.queryKeyValue, block.output, block.gateUp, block.down].reduce(most) { max($0, $1.hiddenWidth) }
      })
    positions = try buffer(1)
    logits = try buffer(c.vocabularySize)
    scratchCount = DecodeStep.scratchCount(c, longest: longest)
    scratch = try FloatBuffer(count: team.threads * scratchCount)
  }

  /// Logits of each row's next token.
  func run(_ batch: UnsafeBufferPointer<Row>) {
    rows = batch.count
    let hidden = c.hiddenSize
    let positions = UnsafeMutableRawPointer(positions.pointer).assumingMemoryBound(to: Int32.self)
    for (index, row) in batch.enumerated() {
      positions[index] = Int32(row.position)
      decoder.embedding.copyRow(Int(row.token), into: x.pointer + index * hidden)
      if let table = decoder.positions {
        table.copyRow(row.position, into: output.pointer)
        kernels.pointee.accumulate(x.pointer + index * hidden, output.pointer, hidden)
      }
    }
    for layer in blocks.indices { block(layer, batch, positions) }
    let last = decoder.blocks.last
    vocabulary(add: last == nil ? nil : output.pointer, bias: last?.down.bias, into: logits.pointer)
  }

  /// Logits of rows of the residual stream that a prefill left, from row `first` of `logits` on.
  func logits(of residuals: UnsafePointer<Float>, _ chosen: [Int], from first: Int) {
    rows = chosen.count
    for (index, row) in chosen.enumerated() {
      (x.pointer + index * c.hiddenSize).update(from: residuals + row * c.hiddenSize, count: c.hiddenSize)
    }
    vocabulary(add: nil, bias: nil, into: logits.pointer + first * c.vocabularySize)
  }

  private func vocabulary(add: UnsafePointer<Float>?, bias: WeightVector?, into logits: UnsafeMutablePointer<Float>) {
    guard let head else { return }
    norm(decoder.finalNorm, add: add, bias: bias)
    project("decode head", head, normedRows(c.hiddenSize), into: logits)
  }

  private func block(
    _ layer: Int, _ batch: UnsafeBufferPointer<Row>, _ positions: UnsafeMutablePointer<Int32>
  ) {
    let (block, linears) = (decoder.blocks[layer], blocks[layer])
    let before = layer > 0 ? decoder.blocks[layer - 1] : nil
    norm(block.attentionNorm, add: before == nil ? nil : output.pointer, bias: before?.down.bias)
    project("decode q, k, v", linears.queryKeyValue, normedRows(c.hiddenSize), into: queryKeyValue.pointer)
    attend(layer, batch, positions)
    project("decode output", linears.output, normedRows(c.queryWidth), into: output.pointer)
    norm(block.mlpNorm, add: output.pointer, bias: block.output.bias)
    projectAndActivate(block, linears.gateUp)
    let inner = c.intermediateSize
    let activations = ck_activations(
      x: activated.pointer, rounded: rounds ? halves(roundedActivated) : nil, ld: inner, rows: rows)
    project("decode down", linears.down, activations, into: output.pointer)
  }

  private func halves(_ buffer: FloatBuffer) -> UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(buffer.pointer).assumingMemoryBound(to: UInt16.self)
  }

  private func normedRows(_ width: Int) -> ck_activations {
    ck_activations(x: normed.pointer, rounded: rounds ? halves(roundedNormed) : nil, ld: width, rows: rows)
  }

  /// x += add + bias; normed = norm(x)
  private func norm(_ norm: NormWeights, add: UnsafePointer<Float>?, bias: WeightVector?) {
    team.measured("decode norm", bytes: Double(rows * c.hiddenSize * 16)) {
      let rstd = statistics.pointer
      if let b = norm.bias {
        kernels.pointee.layer_norm_forward(
          x.pointer, add, bias?.values, x.pointer, norm.weight.values, b.values, normed.pointer, rstd + rows, rstd,
          rows,
          c.hiddenSize, c.normEpsilon)
      } else {
        kernels.pointee.rms_forward(
          x.pointer, add, bias?.values, x.pointer, norm.weight.values, normed.pointer, rstd, rows, c.hiddenSize,
          c.normEpsilon)
      }
      if rounds { kernels.pointee.round_to_bf16(normed.pointer, halves(roundedNormed), rows * c.hiddenSize) }
    }
  }

  /// y = W x of all layers of a projection.
  private func project(
    _ name: StaticString, _ projection: Projection, _ x: ck_activations, into y: UnsafeMutablePointer<Float>
  ) {
    team.measured(
      name, operations: 2 * Double(rows * projection.width * projection.inputSize), bytes: Double(projection.bytes)
    ) {
      projection.adapt(team, x, into: adapterHidden.pointer)
      team.run(projection.pieces.count) { index, member in
        projection.compute(
          index, x, hidden: adapterHidden.pointer, into: y, scratch: scratch.pointer + member * scratchCount)
      }
    }
  }

  /// activated = f(gate) · up, or f(up), of the MLP's input. A piece activates what it has computed.
  private func projectAndActivate(_ block: DecoderBlock, _ projection: Projection) {
    let (x, y, inner, width) = (normedRows(c.hiddenSize), gateUp.pointer, c.intermediateSize, projection.width)
    let (gated, kind) = (c.gatedMLP, c.activation.kernel)
    let biases = (block.gateUp[0].bias?.values, gated ? block.gateUp[1].bias?.values : nil)
    let out = activated.pointer
    team.measured(
      "decode gate, up", operations: 2 * Double(rows * projection.width * projection.inputSize),
      bytes: Double(projection.bytes)
    ) {
      projection.adapt(team, x, into: adapterHidden.pointer)
      team.run(gated ? projection.pieces.count / 2 : projection.pieces.count) { index, member in
        let scratch = scratch.pointer + member * scratchCount
        let piece = projection.pieces[gated ? 2 * index : index]
        projection.compute(gated ? 2 * index : index, x, hidden: adapterHidden.pointer, into: y, scratch: scratch)
        if gated { projection.compute(2 * index + 1, x, hidden: adapterHidden.pointer, into: y, scratch: scratch) }
        for row in 0..<rows {
          let (from, to) = (y + row * width + piece.first, out + row * inner + piece.first)
          if let bias = biases.0 { kernels.pointee.accumulate(from, bias + piece.first, piece.count) }
          if gated {
            if let bias = biases.1 { kernels.pointee.accumulate(from + inner, bias + piece.first, piece.count) }
            kernels.pointee.gated_forward(kind, from, from + inner, width, to, 1, piece.count)
          } else {
            kernels.pointee.activation_forward(kind, from, nil, to, 1, piece.count)
          }
          if rounds {
            kernels.pointee.round_to_bf16(to, halves(roundedActivated) + row * inner + piece.first, piece.count)
          }
        }
      }
    }
  }

  /// Biases, norms and rotation of q and k, then attention, to `normed`. A task has one key head of one row; rows of one
  /// prompt follow each other, so that its keys and values are read from memory once.
  private func attend(
    _ layer: Int, _ batch: UnsafeBufferPointer<Row>, _ positions: UnsafeMutablePointer<Int32>
  ) {
    let (keyHeads, size) = (c.keyValueHeadCount, c.headSize)
    let (group, width) = (c.headCount / keyHeads, c.queryWidth + 2 * c.keyValueWidth)
    let window = c.slidingWindow ?? Int.max
    let (block, linears) = (decoder.blocks[layer], blocks[layer])
    team.measured("decode attention") {
      team.run(batch.count * keyHeads) { task, member in
        let (head, index) = (task / batch.count, task % batch.count)
        let row = batch[index]
        let x = queryKeyValue.pointer + index * width
        let (q, k) = (x + head * group * size, x + c.queryWidth + head * size)
        let v = k + c.keyValueWidth
        let scratch = scratch.pointer + member * scratchCount
        if let bias = linears.queryBias { kernels.pointee.accumulate(q, bias + head * group * size, group * size) }
        if let bias = linears.keyBias { kernels.pointee.accumulate(k, bias + head * size, size) }
        if let bias = linears.valueBias { kernels.pointee.accumulate(v, bias + head * size, size) }
        if let queryNorm = block.queryNorm, let keyNorm = block.keyNorm {
          normHeads(q, group, queryNorm, scratch)
          normHeads(k, 1, keyNorm, scratch)
        }
        if let cosines = rotation.cosines, let sines = rotation.sines {
          kernels.pointee.rope(q, width, cosines.pointer, sines.pointer, positions + index, 1, group, size, 1)
          kernels.pointee.rope(k, width, cosines.pointer, sines.pointer, positions + index, 1, 1, size, 1)
        }
        cache.store(layer, row: row.ownRow + row.ownCount, head: head, heads: 1, keys: k, values: v, with: kernels)
        let total = row.promptCount + row.ownCount + 1
        var parts = (
          ck_cache_part(
            keys: cache.keys(layer, row.promptRow, head: head), values: cache.values(layer, row.promptRow, head: head),
            count: row.promptCount),
          ck_cache_part(
            keys: cache.keys(layer, row.ownRow, head: head), values: cache.values(layer, row.ownRow, head: head),
            count: row.ownCount + 1)
        )
        let out = normed.pointer + index * c.queryWidth + head * group * size
        withUnsafePointer(to: &parts) { parts in
          parts.withMemoryRebound(to: ck_cache_part.self, capacity: 2) {
            kernels.pointee.cached_attention(
              q, group, size, $0, 2, c.keyValueWidth, total > window ? total - window : 0,
              1 / Float(size).squareRoot(), scratch, out)
          }
        }
        if rounds {
          kernels.pointee.round_to_bf16(
            out, halves(roundedNormed) + index * c.queryWidth + head * group * size, group * size)
        }
      }
    }
  }

  private func normHeads(
    _ x: UnsafeMutablePointer<Float>, _ heads: Int, _ weight: WeightVector, _ scratch: UnsafeMutablePointer<Float>
  ) {
    let count = heads * c.headSize
    memcpy(scratch, x, count * 4)
    kernels.pointee.head_norm_forward(
      scratch, count, weight.values, x, count, scratch + count, 1, heads, c.headSize, c.normEpsilon)
  }
}

extension DecoderBlock {
  /// The bias of a column of q, k and v side by side, whether they are one layer or three.
  fileprivate func queryKeyValueBias(at column: Int) -> UnsafePointer<Float>? {
    var start = 0
    for linear in queryKeyValue {
      if column < start + linear.weight.rows { return linear.bias.map { $0.values + (column - start) } }
      start += linear.weight.rows
    }
    return nil
  }
}

extension Decoder {
  /// All matrices that a step multiplies with.
  fileprivate var products: [WeightMatrix] {
    var matrices: [WeightMatrix] = []
    for block in blocks {
      for linear in block.queryKeyValue { matrices.append(linear.weight) }
      for linear in block.gateUp { matrices.append(linear.weight) }
      matrices.append(block.output.weight)
      matrices.append(block.down.weight)
    }
    if let head { matrices.append(head) }
    return matrices
  }
}
