import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// One run of a decoder over a forest, forward and, where it trains, back. The residual stream x, [t, hidden], goes through
/// the blocks that `BlockDescription` describes; the operations lie in Operations, each with its backward pass.
struct ModelRun {
  typealias Pointer = UnsafeMutablePointer<Float>

  let decoder: Decoder
  let adapter: LoRAAdapter?
  let team: ThreadTeam
  let precision: Precision
  let forest: PreparedForest
  let layout: ActivationLayout
  let kept, memory: FloatBuffer
  let rotations: Rotations
  let trains, recomputes: Bool
  let dropout: (key: UInt64, rate: Float)?
  /// Where the state of a head of values of a block is to go that a tree ends with; nil: nowhere.
  typealias StateKeeper = (_ layer: Int, _ tree: Int, _ head: Int) -> Pointer?
  var keepsState: StateKeeper?
  /// Blocks that alone are computed, where passes are only to be timed; nil: all are.
  var excerpt: Excerpt?
  /// Logits are divided by it.
  let temperature: Float
  /// nil: it is not asked for, or the model is no mixture of experts.
  let routerLoss: RouterLoss?

  var c: DecoderConfiguration { decoder.configuration }
  var count: Int { forest.count }
  var hidden: Int { c.hiddenSize }
  /// The weights of the model themselves are trained.
  var trainsModel: Bool { trains && adapter == nil }

  var kernels: UnsafePointer<ck_engine> { team.kernels }

  func at(_ offset: Int) -> Pointer { memory.pointer + offset }
  func at(_ slot: ActivationLayout.Slot, _ layer: Int) -> Pointer { kept.pointer + slot.offset(layer) }
  /// Of each row, in the tables of rotations.
  var rotationPlaces: UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(at(layout.rotationPlaces)).assumingMemoryBound(to: Int32.self)
  }
  var headRows: UnsafeMutablePointer<Float> { at(layout.headRowNumbers) }

  private var headBias: HeadBias? {
    decoder.headBias.map {
      HeadBias(vector: trainsModel ? $0 : $0.frozen, scale: headScale / Float(c.logitScale))
    }
  }

  /// nil in a reward model.
  var head: LanguageHead? {
    let rows = forest.headRows.count
    guard let weight = trainsModel ? decoder.head : decoder.head?.frozen else { return nil }
    return LanguageHead(
      team: team, precision: precision, weight: weight, forest: forest, shape: layout.headShape,
      hidden: UnsafePointer(at(layout.headNormed)),
      statistics: UnsafeMutableRawPointer(at(layout.headStatistics)).assumingMemoryBound(to: ck_logit_statistics.self),
      tiles: at(layout.headTiles), lse: headRows + 2 * rows, scales: headRows + 3 * rows,
      targetLogits: at(layout.targetLogits), bias: headBias, cap: c.logitSoftCap.map { Float($0) / temperature },
      partials: at(layout.headPartials),
      means: layout.headMeans.map { (at($0), at(layout.headMaxima)) })
  }

  /// The adapter's own where there is one.
  var scalarHead: ScalarHead? {
    guard let weight = adapter?.scalarHead ?? decoder.scalarHead else { return nil }
    return ScalarHead(weight: weight, width: hidden)
  }

  /// Scores of the forest's targets, and what the scalar head says.
  func forward(_ extras: ScoreExtras) -> TokenScores {
    guard count > 0 else { return head?.merge(extras) ?? TokenScores(forest) }
    routerLoss?.isCounting = true
    runBlocks()
    routerLoss?.isCounting = false
    let rows = forest.headRows.count
    let (input, last) = (at(layout.headInput), at(layout.streams[0], c.layerCount))
    for (index, row) in forest.headRows.enumerated() {
      memcpy(input + index * hidden, last + Int(row) * hidden, hidden * 4)
    }
    normForward(
      decoder.finalNorm, input, add: nil, bias: nil, sum: input, into: at(layout.headNormed), statistics: headRows, rows
    )
    let values = scalarHead?.forward(at(layout.headNormed), rows)
    scaleHeadRows(at(layout.headNormed), headScale)
    var scores = head?.scores(extras: extras) ?? TokenScores(forest)
    if let values { scores.values = forest.headRowOfValue.map { values[Int($0)] } }
    scores.routerLoss = routerLoss?.value
    return scores
  }

  /// The residual stream after the last block, which stands at the input of the block that would follow.
  /// `onQueryKeyValue(layer, qkv)` sees each block's q, k and v after the rotation, or the inputs of its recurrence.
  func runBlocks(onQueryKeyValue: ((Int, Pointer) -> Void)? = nil) {
    for row in 0..<count {
      rotationPlaces[row] = rotations.place(forest.positions[row], ofSequence: forest.lengths[row])
    }
    embedForward()
    perLayerForward()
    for layer in layers {
      timed(layer, fromEmbedding: true) { run(layer) }
      let recurs = c.layersWithRecurrence.contains(layer)
      onQueryKeyValue?(layer, at(recurs ? layout.recurrentInputs : layout.queryKeyValue, layer))
    }
    if let last = decoder.lastPlace { add(last, into: at(layout.streams[0], c.layerCount)) }
  }

  /// Adds d loss / d weight to the gradients, given d loss / d log-prob of each target and d loss / d value of each
  /// number of the scalar head (none: 0). `layerDone`: the gradients of that layer's parameters are complete.
  func backward(_ logProbGradients: [Float], _ valueGradients: [Float], layerDone: (Int) -> Void) {
    guard count > 0, !forest.headRows.isEmpty else { return }
    let rows = forest.headRows.count
    let dx = at(layout.gradient)
    let dhead = at(layout.headGradient)
    if let head {
      head.backward(logProbGradients, into: dhead)
      scaleHeadRows(dhead, headScale)
      scaleHeadRows(at(layout.headNormed), 1 / headScale)
    } else {
      memset(dhead, 0, rows * hidden * 4)
    }
    if let scalarHead, !valueGradients.isEmpty {
      var perRow = [Float](repeating: 0, count: rows)
      for (place, gradient) in zip(forest.headRowOfValue, valueGradients) { perRow[Int(place)] += gradient }
      scalarHead.backward(perRow, at(layout.headNormed), into: dhead)
    }
    // d of the rows before the last norm, in place of the normed ones, which nobody needs any more.
    let dinput = at(layout.headNormed)
    memset(dinput, 0, rows * hidden * 4)
    normBackward(decoder.finalNorm, dy: dhead, sum: at(layout.headInput), statistics: headRows, dx: dinput, rows)
    memset(dx, 0, count * hidden * 4)
    for source in c.keySources {
      memset(at(layout.gradientOfSharedKeys, source), 0, count * 2 * c.attention(source).keyValueWidth * 4)
    }
    for (index, row) in forest.headRows.enumerated() {
      memcpy(dx + Int(row) * hidden, dinput + index * hidden, hidden * 4)
    }
    var prepared: PreparedOperand?
    for layer in layers.reversed() {
      timed(layer, fromEmbedding: false) {
        if again(layer) || excerpt != nil { prepared = nil }
        for place in decoder.places(layer).reversed() { prepared = backward(place, dx, prepared) }
      }
      layerDone(layer)
    }
    perLayerBackward(dx)
    if trainsModel { embedBackward(dx) }
  }

  /// What the head's rows are multiplied by: a product with them is logits / temperature, or with a cap c what tanh takes of
  /// logits / c.
  private var headScale: Float { Float(c.logitScale) / (c.logitSoftCap.map { Float($0) } ?? temperature) }

  /// Rows that the head reads, or their gradients.
  private func scaleHeadRows(_ x: Pointer, _ scale: Float) {
    if scale != 1 { kernels.pointee.scale(x, x, scale, forest.headRows.count * hidden) }
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
