import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// One forward pass over a forest, and its backward pass. Block by block, with x the residual stream of [t, hidden]:
///
///     x ← x + O(attention(Q, K, V of norm(x)));  x ← x + down(f(gate) · up of norm(x))
struct Pass {
  typealias Pointer = UnsafeMutablePointer<Float>

  let decoder: Decoder
  let adapter: LoRAAdapter?
  let team: ThreadTeam
  let precision: Precision
  let forest: PreparedForest
  let layout: ActivationLayout
  let memory: FloatBuffer
  let rotation: RotationTable
  let trains, recomputes: Bool
  let dropout: (key: UInt64, rate: Float)?
  /// The head sees hidden rows / temperature, and with them its logits are.
  let temperature: Float

  var c: DecoderConfiguration { decoder.configuration }
  var count: Int { forest.count }
  var hidden: Int { c.hiddenSize }
  var queryKeyValueWidth: Int { c.queryWidth + 2 * c.keyValueWidth }
  /// The weights of the model themselves are trained.
  var trainsModel: Bool { trains && adapter == nil }

  var kernels: UnsafePointer<ck_engine> { team.kernels }

  func at(_ offset: Int) -> Pointer { memory.pointer + offset }
  func at(_ slot: ActivationLayout.Slot, _ layer: Int) -> Pointer { memory.pointer + slot.offset(layer) }
  var positions: UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(at(layout.positions)).assumingMemoryBound(to: Int32.self)
  }
  var headRows: UnsafeMutablePointer<Float> { at(layout.headRowNumbers) }

  var attention: Attention {
    Attention(
      configuration: c, forest: forest, team: team, products: LocalProducts(team.engine, precision),
      scratch: at(layout.attentionScratch),
      scratchCount: layout.attentionScratchCount)
  }

  /// nil in a reward model.
  var head: Head? {
    let rows = forest.headRows.count
    guard let weight = trainsModel ? decoder.head : decoder.head?.frozen else { return nil }
    return Head(
      team: team, precision: precision, weight: weight, forest: forest, shape: layout.headShape,
      hidden: UnsafePointer(at(layout.headNormed)),
      statistics: UnsafeMutableRawPointer(at(layout.headStatistics)).assumingMemoryBound(to: ck_logit_statistics.self),
      tiles: at(layout.headTiles), lse: headRows + 2 * rows, scales: headRows + 3 * rows,
      partials: at(layout.headPartials),
      means: layout.headMeans.map { (at($0), at(layout.headMaxima)) })
  }

  /// The adapter's own where there is one.
  var scalarHead: ScalarHead? {
    guard let weight = adapter?.scalarHead ?? decoder.scalarHead else { return nil }
    return ScalarHead(weight: weight, width: hidden)
  }

  // MARK: Forward

  func forward(_ extras: ScoreExtras) -> TokenScores {
    guard count > 0 else { return head?.merge([], extras) ?? TokenScores(forest) }
    runBlocks()
    let rows = forest.headRows.count
    let (input, last) = (at(layout.headInput), at(layout.input, c.layerCount))
    for (index, row) in forest.headRows.enumerated() {
      memcpy(input + index * hidden, last + Int(row) * hidden, hidden * 4)
    }
    normForward(
      decoder.finalNorm, input, add: nil, bias: nil, sum: input, into: at(layout.headNormed), statistics: headRows, rows
    )
    let values = scalarHead?.forward(at(layout.headNormed), rows)
    scaleHeadRows(at(layout.headNormed), 1 / temperature)
    var scores = head?.scores(extras: extras) ?? TokenScores(forest)
    if let values { scores.values = forest.headRowOfValue.map { values[Int($0)] } }
    return scores
  }

  /// Rows that the head reads, or their gradients.
  func scaleHeadRows(_ x: Pointer, _ scale: Float) {
    if scale != 1 { kernels.pointee.scale(x, x, scale, forest.headRows.count * hidden) }
  }

  /// The residual stream after the last block, which stands at the input of the block that would follow.
  /// `onQueryKeyValue(layer, qkv)` sees each block's q, k and v after the rotation.
  func runBlocks(onQueryKeyValue: ((Int, Pointer) -> Void)? = nil) {
    forest.positions.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { positions.update(from: base, count: count) }
    }
    embed()
    for layer in 0..<c.layerCount {
      forward(layer, continues: layer > 0)
      onQueryKeyValue?(layer, at(layout.queryKeyValue, layer))
    }
    finishBlocks()
  }

  private func embed() {
    let x = at(layout.input, 0)
    team.rows("embedding", count) { rows, _ in
      for row in rows {
        decoder.embedding.copyRow(Int(forest.tokens[row]), into: x + row * hidden)
        if let table = decoder.positions {
          let y = at(layout.normed) + row * hidden
          table.copyRow(Int(forest.positions[row]), into: y)
          kernels.pointee.accumulate(x + row * hidden, y, hidden)
        }
      }
    }
  }

  /// From x of a block to what its MLP adds to it, which stands at `output`. `continues`: x has yet to be made, of what the
  /// block before left there. `again`: only what the backward pass needs, from a kept x.
  func forward(_ layer: Int, continues: Bool, again: Bool = false) {
    let block = decoder.blocks[layer]
    let (x, middle) = (at(layout.input, layer), at(layout.middle, layer))
    let (normed, output) = (at(layout.normed), at(layout.output))
    let before = continues ? layer - 1 : nil
    let attentionInput = prepareInput(block.queryKeyValue, inputSize: hidden)
    normForward(
      block.attentionNorm, before.map { at(layout.middle, $0) } ?? x, add: before.map { _ in output },
      bias: before.flatMap { decoder.blocks[$0].down.bias }, sum: x, into: normed,
      statistics: at(layout.attentionStatistics, layer), count, attentionInput)
    project(
      layer, block.queryKeyValue, x: normed, attentionInput, inputSize: hidden, into: at(layout.queryKeyValue, layer),
      queryKeyValueWidth)
    rotate(layer)
    attention.forward(
      at(layout.queryKeyValue, layer), out: at(layout.attended, layer), lse: at(layout.attentionLSE, layer))
    project(layer, [block.output], x: at(layout.attended, layer), nil, inputSize: c.queryWidth, into: output, hidden)
    let mlpInput = prepareInput(block.gateUp, inputSize: hidden)
    normForward(
      block.mlpNorm, x, add: output, bias: block.output.bias, sum: middle, into: normed,
      statistics: at(layout.mlpStatistics, layer), count, mlpInput)
    let gateUp = at(layout.gateUp, layer)
    project(layer, block.gateUp, x: normed, mlpInput, inputSize: hidden, into: gateUp, gateUpWidth)
    if again { return addGateUpBiases(block, gateUp) }
    let downInput = prepareInput([block.down], inputSize: c.intermediateSize)
    activate(block, gateUp, into: at(layout.activated), downInput)
    project(
      layer, [block.down], x: at(layout.activated), downInput, inputSize: c.intermediateSize, into: output, hidden)
  }

  /// Gate and up of a block that does not keep them, from the kept input of its norm and what its adapters' forward pass left.
  func gateUpAgain(_ layer: Int) {
    let block = decoder.blocks[layer]
    let (middle, gateUp) = (at(layout.middle, layer), at(layout.gateUp, layer))
    let input = prepareInput(block.gateUp, inputSize: hidden)
    normForward(
      block.mlpNorm, middle, add: nil, bias: nil, sum: middle, into: at(layout.normed),
      statistics: at(layout.mlpStatistics, layer), count, input)
    project(
      layer, block.gateUp, x: at(layout.normed), input, inputSize: hidden, into: gateUp, gateUpWidth,
      keepsAdapterHidden: true)
    addGateUpBiases(block, gateUp)
  }

  /// The residual stream after the last block.
  private func finishBlocks() {
    guard c.layerCount > 0 else { return }
    let (middle, output) = (at(layout.middle, c.layerCount - 1), at(layout.output))
    let next = at(layout.input, c.layerCount)
    team.rows("residual", count, bytes: 12 * hidden) { rows, _ in
      let (from, size) = (rows.lowerBound * hidden, rows.count * hidden)
      kernels.pointee.add(next + from, middle + from, output + from, size)
      if let bias = decoder.blocks[c.layerCount - 1].down.bias {
        kernels.pointee.add_bias(next + from, hidden, bias.values, rows.count, hidden)
      }
    }
  }

  var gateUpWidth: Int { c.gatedMLP ? 2 * c.intermediateSize : c.intermediateSize }

  /// Biases, the heads' norms and the rotation of q and k.
  private func rotate(_ layer: Int) {
    let block = decoder.blocks[layer]
    let (qkv, width) = (at(layout.queryKeyValue, layer), queryKeyValueWidth)
    let keyWidth = c.queryWidth + c.keyValueWidth
    team.rows("rotation", count, bytes: 8 * keyWidth) { rows, _ in
      let x = qkv + rows.lowerBound * width
      var column = 0
      for linear in block.queryKeyValue {
        if let bias = linear.bias {
          kernels.pointee.add_bias(x + column, width, bias.values, rows.count, linear.weight.rows)
        }
        column += linear.weight.rows
      }
      if let queryNorm = block.queryNorm, let keyNorm = block.keyNorm {
        let raw = at(layout.rawQueryKey, layer) + rows.lowerBound * keyWidth
        let statistics = at(layout.queryKeyStatistics, layer)
        for row in 0..<rows.count { memcpy(raw + row * keyWidth, x + row * width, keyWidth * 4) }
        kernels.pointee.head_norm_forward(
          raw, keyWidth, queryNorm.values, x, width, statistics + rows.lowerBound * c.headCount, rows.count,
          c.headCount,
          c.headSize, c.normEpsilon)
        kernels.pointee.head_norm_forward(
          raw + c.queryWidth, keyWidth, keyNorm.values, x + c.queryWidth, width,
          statistics + count * c.headCount + rows.lowerBound * c.keyValueHeadCount, rows.count, c.keyValueHeadCount,
          c.headSize, c.normEpsilon)
      }
      rope(x, rows, sign: 1)
    }
  }

  /// q and k stand side by side and turn alike.
  func rope(_ x: Pointer, _ rows: Range<Int>, sign: Float) {
    guard let cosines = rotation.cosines, let sines = rotation.sines else { return }
    kernels.pointee.rope(
      x, queryKeyValueWidth, cosines.pointer, sines.pointer, positions + rows.lowerBound, rows.count,
      c.headCount + c.keyValueHeadCount, c.headSize, sign)
  }

  private func activate(
    _ block: DecoderBlock, _ gateUp: Pointer, into out: Pointer, _ prepared: PreparedOperand?
  ) {
    let (width, inner) = (gateUpWidth, c.intermediateSize)
    team.rows("activation forward", count, bytes: 4 * (width + inner)) { rows, _ in
      let x = gateUp + rows.lowerBound * width
      let y = out + rows.lowerBound * inner
      if c.gatedMLP {
        addBiases(block, x, rows.count)
        kernels.pointee.gated_forward(c.activation.kernel, x, x + inner, width, y, rows.count, inner)
      } else {
        kernels.pointee.activation_forward(c.activation.kernel, x, block.gateUp[0].bias?.values, y, rows.count, inner)
      }
      prepared?.packRows(y, inner, rows)
    }
  }

  private func addBiases(_ block: DecoderBlock, _ x: Pointer, _ rows: Int) {
    for (index, linear) in block.gateUp.enumerated() {
      guard let bias = linear.bias else { continue }
      kernels.pointee.add_bias(x + index * c.intermediateSize, gateUpWidth, bias.values, rows, c.intermediateSize)
    }
  }

  /// What the backward pass needs of gate and up that were computed again: it makes their activation itself.
  private func addGateUpBiases(_ block: DecoderBlock, _ gateUp: Pointer) {
    guard block.gateUp.contains(where: { $0.bias != nil }) else { return }
    team.rows("gate, up biases", count, bytes: 8 * gateUpWidth) { rows, _ in
      addBiases(block, gateUp + rows.lowerBound * gateUpWidth, rows.count)
    }
  }

  /// y = norm(x + add + bias); the sum goes to `sum`, y to `prepared` besides.
  func normForward(
    _ norm: NormWeights, _ x: Pointer, add: Pointer?, bias: WeightVector?, sum: Pointer, into y: Pointer,
    statistics: Pointer, _ total: Int, _ prepared: PreparedOperand? = nil
  ) {
    team.rows("norm forward", total, bytes: (add == nil ? 8 : 16) * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let added = add.map { $0 + from }
      if let b = norm.bias {
        kernels.pointee.layer_norm_forward(
          x + from, added, bias?.values, sum + from, norm.weight.values, b.values, y + from,
          statistics + total + rows.lowerBound, statistics + rows.lowerBound, rows.count, hidden, c.normEpsilon)
      } else {
        kernels.pointee.rms_forward(
          x + from, added, bias?.values, sum + from, norm.weight.values, y + from, statistics + rows.lowerBound,
          rows.count, hidden, c.normEpsilon)
      }
      prepared?.packRows(y + from, hidden, rows)
    }
  }
}

extension Activation {
  var kernel: ck_activation {
    switch self {
    case .silu: CK_SILU
    case .geluTanh: CK_GELU_TANH
    case .gelu: CK_GELU
    }
  }
}

extension WeightMatrix {
  var frozen: WeightMatrix {
    WeightMatrix(rows: rows, columns: columns, storage: storage, gradient: nil)
  }

  /// Some rows as f32: where they are, or decoded into `room`.
  func rows(
    _ rows: Range<Int>, in room: UnsafeMutablePointer<Float>, with kernels: UnsafePointer<ck_engine>
  ) -> UnsafePointer<Float> {
    switch storage {
    case .floats(let values): return values + rows.lowerBound * columns
    case .stored(let tensor):
      tensor.dequantize(rows: rows, columns: 0..<columns, into: room, with: kernels)
      return UnsafePointer(room)
    }
  }

  /// One row as f32.
  func copyRow(_ row: Int, into out: UnsafeMutablePointer<Float>) {
    switch storage {
    case .floats(let values): memcpy(out, values + row * columns, columns * 4)
    case .stored(let tensor): tensor.dequantize(rows: row..<row + 1, into: out)
    }
  }
}

extension TokenScores {
  /// No log-probs of any token.
  fileprivate init(_ forest: PreparedForest) {
    self.init(
      logProbs: [], sums: [Double](repeating: 0, count: forest.sequenceCount),
      counts: [Int](repeating: 0, count: forest.sequenceCount))
  }
}
