import CKernels
import DPOBase
import DPOKernels
import DPOPlatform

/// One token more for each of some sequences: what `ModelRun` does, for few rows. Products read each weight once, as it is
/// stored; keys and values come from the cache.
final class DecodeStep {
  /// A sequence that goes on: cached rows of its prompt and its own.
  struct Row {
    let token: Int32
    let position: Int
    /// Positions that the sequence may grow to.
    let length: Int
    let promptRow, promptCount: Int
    let ownRow, ownCount: Int
    /// In the cache of recurrences.
    let slot: Int
  }

  /// Products of a branch: of a mixture those of its router, and of each expert gate and up, and down.
  private struct Branch {
    let inputs: Projection
    let output: Projection?
    let experts: [(inputs: Projection, output: Projection)]
    let queryBias, keyBias, valueBias: UnsafePointer<Float>?
  }

  let decoder: Decoder
  private let team: ThreadTeam
  private let cache: KeyValueCache
  private let recurrent: RecurrentCache?
  /// Of a convolution by its block, [kernel, channels].
  private let convolutions: [Int: FloatBuffer]
  private let rotations: Rotations
  private let rounds: Bool
  private let rounded: RoundedMatrices?
  private let blocks: [[Branch]]
  private let perLayerProjection: Projection?
  private let head: Projection?
  private var c: DecoderConfiguration { decoder.configuration }
  private var kernels: UnsafePointer<ck_engine> { team.kernels }

  private let x, normed, output, queryKeyValue, gateUp, activated, statistics, adapterHidden, scratch: FloatBuffer
  private let roundedNormed, roundedActivated: FloatBuffer
  /// Of the model's per-layer inputs.
  private let perLayerInputs, perLayerProjected, perLayerStatistics: FloatBuffer
  private let routerScores, expertInput, roundedExpertInput, expertOutput: FloatBuffer
  private let convolved, recurrentRows, recurrentOutputs, coefficients: FloatBuffer
  private let placeNumbers: FloatBuffer
  /// [rows, vocabulary]
  let logits: FloatBuffer
  private let scratchCount: Int
  private var rows = 0
  private var batch = UnsafeBufferPointer<Row>(start: nil, count: 0)
  /// Rows of the batch follow each other: each attends to those before it.
  private var followEachOther = false

  /// Of each row, in the tables of rotations.
  private var places: UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(placeNumbers.pointer).assumingMemoryBound(to: Int32.self)
  }

  /// What a step of `rows` sequences takes, at most.
  static func bytes(_ c: DecoderConfiguration, rows: Int, threads: Int, longest: Int) -> Int {
    let (visits, activation) = (c.experts?.active ?? 1, c.widestActivation)
    let perRow =
      2 * c.hiddenSize + 2 * max(c.hiddenSize, c.widest(\.queryWidth)) + c.widest(\.width)
      + activation.input + 2 * activation.output + c.layerCount * (2 * c.perLayerInputSize + 1) + 1024
      + c.vocabularySize + (c.experts.map { $0.count + 3 * visits * c.hiddenSize } ?? 0)
    // The sampler keeps a probability and an id of every token.
    return 4 * (rows * (perRow + 2 * c.vocabularySize) + threads * scratchCount(c, longest: longest))
  }

  private static func scratchCount(_ c: DecoderConfiguration, longest: Int) -> Int {
    let queryWidth = c.widest(\.queryWidth)
    let normed = c.queryKeyNorm == .whole ? queryWidth : c.widest { $0.group * $0.headSize }
    let recurrence = c.recurrence.map { RecurrenceWidths($0, hidden: c.hiddenSize) }
    return
      (max(
        ck_weights_scratch(
          max(c.hiddenSize, c.widestMLP, queryWidth, c.perLayerInputSize, recurrence?.mixed ?? 0)),
        c.layerCount * c.perLayerInputSize, 2 * (recurrence?.outputs ?? 0) + (recurrence?.coefficients ?? 0),
        ck_cached_attention_scratch(longest, 2), normed + c.headCount) + 15) / 16 * 16
  }

  /// - Parameters:
  ///   - most: rows that `run` takes.
  ///   - longest: positions that a sequence may have.
  init(
    _ decoder: Decoder, adapter: LoRAAdapter?, team: ThreadTeam, precision: Precision, cache: KeyValueCache,
    recurrent: RecurrentCache?,
    rotations: Rotations, rows most: Int, longest: Int
  ) throws {
    let c = decoder.configuration
    self.decoder = decoder
    self.team = team
    self.cache = cache
    self.recurrent = recurrent
    convolutions = try DecodeStep.convolutions(decoder, recurrent)
    self.rotations = rotations
    rounds = precision == .bf16
    try rotations.extend(to: longest)
    let rounded = rounds ? try RoundedMatrices(decoder.products, team: team) : nil
    self.rounded = rounded
    func projection(_ layer: Int?, _ linears: [Linear], width: Int, paired: Bool = false) -> Projection {
      Projection(
        linears.map { ($0.weight, adapter?.matrices(layer: layer, $0)) }, width: width, rounded: rounded,
        team: team, paired: paired)
    }
    blocks = decoder.blocks.enumerated().map { layer, block in
      block.branches.map { branch in
        let columns =
          if case .attention(let shape) = branch.mixing { (shape.keyColumn, shape.valueColumn) } else { (0, 0) }
        return Branch(
          inputs: projection(
            layer, branch.entries, width: branch.entryWidth,
            paired: branch.activates && c.gatedMLP && branch.experts == nil),
          output: branch.output.map { projection(layer, [$0], width: c.hiddenSize) },
          experts: branch.experts.map { experts in
            zip(experts.inputs, experts.outputs).map {
              (
                projection(layer, $0, width: branch.inputWidth, paired: true),
                projection(layer, [$1], width: c.hiddenSize)
              )
            }
          } ?? [],
          queryBias: branch.inputBias(at: 0),
          keyBias: branch.inputBias(at: columns.0), valueBias: branch.inputBias(at: columns.1))
      }
    }
    perLayerProjection = decoder.perLayerInputs.map { projection(nil, [$0.projection], width: $0.width) }
    head = decoder.head.map { Projection([($0, nil)], width: $0.rows, rounded: rounded, team: team) }

    func buffer(_ width: Int) throws -> FloatBuffer { try FloatBuffer(count: most * width) }
    x = try buffer(c.hiddenSize)
    let recurrence = c.recurrence.map { RecurrenceWidths($0, hidden: c.hiddenSize) }
    let mixed = max(c.hiddenSize, c.widest(\.queryWidth), recurrence?.mixed ?? 0)
    let activation = c.widestActivation
    normed = try buffer(mixed)
    output = try buffer(c.hiddenSize)
    queryKeyValue = try buffer(max(c.widest(\.width), recurrence?.inputs ?? 0))
    convolved = try buffer(max(1, recurrence.map { max($0.convolved, $0.rows) } ?? 1))
    recurrentRows = try buffer(max(1, recurrence?.rows ?? 1))
    recurrentOutputs = try buffer(max(1, recurrence?.outputs ?? 1))
    coefficients = try buffer(max(1, recurrence?.coefficients ?? 1))
    let visits = c.experts?.active ?? 1
    gateUp = try buffer(activation.input)
    activated = try buffer(activation.output)
    routerScores = try buffer(c.experts?.count ?? 1)
    expertInput = try buffer(c.experts == nil ? 1 : visits * c.hiddenSize)
    roundedExpertInput = try buffer(c.experts == nil || !rounds ? 1 : visits * c.hiddenSize)
    expertOutput = try buffer(c.experts == nil ? 1 : visits * c.hiddenSize)
    perLayerInputs = try buffer(max(1, c.layerCount * c.perLayerInputSize))
    perLayerProjected = try buffer(max(1, c.layerCount * c.perLayerInputSize))
    perLayerStatistics = try buffer(c.layerCount)
    roundedNormed = try buffer(rounds ? mixed : 1)
    roundedActivated = try buffer(rounds ? activation.output : 1)
    statistics = try buffer(2)
    adapterHidden = try buffer(
      blocks.joined().reduce(max(1, perLayerProjection?.hiddenWidth ?? 0)) { most, branch in
        branch.experts.reduce(max(most, branch.inputs.hiddenWidth, branch.output?.hiddenWidth ?? 0)) {
          max($0, visits * $1.inputs.hiddenWidth, visits * $1.output.hiddenWidth)
        }
      })
    placeNumbers = try buffer(1)
    logits = try buffer(c.vocabularySize)
    scratchCount = DecodeStep.scratchCount(c, longest: longest)
    scratch = try FloatBuffer(count: team.threads * scratchCount)
  }

  /// Logits of each row's next token; where the rows follow each other in one sequence, of the last row's alone.
  func run(_ batch: UnsafeBufferPointer<Row>, ofOneSequence: Bool = false) {
    rows = batch.count
    self.batch = batch
    followEachOther = ofOneSequence && batch.count > 1
    defer { self.batch = UnsafeBufferPointer(start: nil, count: 0) }
    for (index, row) in batch.enumerated() {
      places[index] = rotations.place(Int32(row.position), ofSequence: row.length)
      decoder.embed(
        row.token, position: row.position, into: x.pointer + index * c.hiddenSize, room: output.pointer, with: kernels)
    }
    makePerLayerInputs()
    for layer in blocks.indices { run(layer) }
    if followEachOther {
      for buffer in [x, output] {
        buffer.pointer.update(from: buffer.pointer + (rows - 1) * c.hiddenSize, count: c.hiddenSize)
      }
      rows = 1
    }
    vocabulary(adding: decoder.lastPlace, into: logits.pointer)
  }

  /// Logits of rows of the residual stream that a prefill left, from row `first` of `logits` on.
  func logits(of residuals: UnsafePointer<Float>, _ chosen: [Int], from first: Int) {
    rows = chosen.count
    for (index, row) in chosen.enumerated() {
      (x.pointer + index * c.hiddenSize).update(from: residuals + row * c.hiddenSize, count: c.hiddenSize)
    }
    vocabulary(adding: nil, into: logits.pointer + first * c.vocabularySize)
  }

  private func vocabulary(adding before: BranchPlace?, into logits: UnsafeMutablePointer<Float>) {
    guard let head else { return }
    let scale = Float(c.logitScale) / (c.logitSoftCap.map { Float($0) } ?? 1)
    norm(decoder.finalNorm, adding: before, scale: scale)
    project("decode head", head, rows(normed, roundedNormed, c.hiddenSize), into: logits)
    if let bias = decoder.headBias {
      HeadBias(vector: bias, scale: scale / Float(c.logitScale)).add(to: logits, 0, c.vocabularySize, rows: rows)
    }
    if let cap = c.logitSoftCap {
      let size = c.vocabularySize
      team.run(rows) { row, _ in kernels.pointee.soft_cap(logits + row * size, size, Float(cap)) }
    }
  }

  private func halves(_ buffer: FloatBuffer) -> UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(buffer.pointer).assumingMemoryBound(to: UInt16.self)
  }

  private func rows(_ x: FloatBuffer, _ rounded: FloatBuffer, _ width: Int) -> ck_activations {
    ck_activations(x: x.pointer, rounded: rounds ? halves(rounded) : nil, ld: width, rows: rows)
  }

  /// x ← g · (x + the output of `before` + its bias); normed = scale · norm(x)
  private func norm(_ norm: NormWeights, adding before: BranchPlace?, scale: Float = 1) {
    team.measured("decode norm", bytes: Double(rows * c.hiddenSize * 16)) {
      var added = before
      if let before, decoder.branch(before).scale != nil {
        add(before)
        added = nil
      }
      normRows(
        norm, x.pointer, add: added.map { _ in output.pointer },
        bias: added.flatMap { decoder.branch($0).biasLeft }, into: normed.pointer)
      if scale != 1 { kernels.pointee.scale(normed.pointer, normed.pointer, scale, rows * c.hiddenSize) }
      if rounds { kernels.pointee.round_to_bf16(normed.pointer, halves(roundedNormed), rows * c.hiddenSize) }
    }
  }

  /// x += add + bias; y = norm(x)
  private func normRows(
    _ norm: NormWeights, _ x: UnsafeMutablePointer<Float>, add: UnsafeMutablePointer<Float>?, bias: WeightVector?,
    into y: UnsafeMutablePointer<Float>
  ) {
    norm.forward(
      x, add: add, bias: bias, sum: x, into: y, mean: statistics.pointer + rows, rstd: statistics.pointer, rows: rows,
      width: c.hiddenSize, epsilon: c.normEpsilon, with: kernels)
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
}

extension DecodeStep: BlockExecutor {
  func enter(_ place: BranchPlace, _ norm: NormWeights?, adding before: BranchPlace?) -> ck_activations {
    if let norm {
      let isParallel = decoder.branch(place).isParallel
      self.norm(norm, adding: isParallel ? nil : before)
      if isParallel, let before { add(before) }
      return rows(normed, roundedNormed, c.hiddenSize)
    }
    if let before { add(before) }
    return residual()
  }

  /// x itself as the input of a product.
  private func residual() -> ck_activations {
    guard rounds else { return rows(x, roundedNormed, c.hiddenSize) }
    normed.pointer.update(from: x.pointer, count: rows * c.hiddenSize)
    kernels.pointee.round_to_bf16(normed.pointer, halves(roundedNormed), rows * c.hiddenSize)
    return rows(normed, roundedNormed, c.hiddenSize)
  }

  /// x ← g · (x + the output of a branch + its bias)
  private func add(_ place: BranchPlace) {
    let branch = decoder.branch(place)
    kernels.pointee.accumulate(x.pointer, output.pointer, rows * c.hiddenSize)
    if let bias = branch.biasLeft {
      kernels.pointee.add_bias(x.pointer, c.hiddenSize, bias.values, rows, c.hiddenSize)
    }
    if let scale = branch.scale { kernels.pointee.scale(x.pointer, x.pointer, scale.values[0], rows * c.hiddenSize) }
  }

  /// Biases, norms and rotation of q, k and v, then attention, to `normed`. A task has one key head of one row; rows of one
  /// prompt follow each other, so that its keys and values are read from memory once.
  func attend(_ place: BranchPlace, _ input: ck_activations, _ shape: AttentionShape) -> ck_activations {
    let (branch, products, layer) = (decoder.branch(place), blocks[place.layer][place.branch], place.layer)
    project("decode q, k, v", products.inputs, input, into: queryKeyValue.pointer)
    let (keyHeads, size) = (shape.keyValueHeadCount, shape.headSize)
    let (group, width) = (shape.group, shape.width)
    let window = shape.window ?? Int.max
    let (rotation, scores, sinks) = (rotations[layer], shape.scores, branch.vectors[.attentionSinks])
    /// Some heads of q, and of k and v, of a row.
    func prepare(_ index: Int, queries: Range<Int>, keys: Range<Int>, in scratch: UnsafeMutablePointer<Float>) {
      let (q, k) = (queries.lowerBound * size, keys.lowerBound * size)
      let x = queryKeyValue.pointer + index * width
      decoder.prepareHeads(
        x + q, width, rows: 1, heads: queries.count, size: size, bias: products.queryBias.map { $0 + q },
        norm: branch.queryNorm,
        keeping: (scratch, queries.count * size, scratch + queries.count * size), places: places + index,
        rotation?.query, with: kernels)
      guard shape.keySource == nil else { return }
      let (keyHeads, valueHeads) = (x + shape.keyColumn + k, x + shape.valueColumn + k)
      if shape.valuesAreKeys { valueHeads.update(from: keyHeads, count: keys.count * size) }
      let kept = (scratch, keys.count * size, scratch + keys.count * size)
      decoder.prepareHeads(
        keyHeads, width, rows: 1, heads: keys.count, size: size, bias: products.keyBias.map { $0 + k },
        norm: branch.keyNorm, keeping: kept, places: places + index, rotation?.key, with: kernels)
      decoder.prepareHeads(
        valueHeads, width, rows: 1, heads: keys.count, size: size, bias: products.valueBias.map { $0 + k },
        norm: branch.valueNorm, keeping: kept, places: places + index, nil, with: kernels)
    }
    let together = c.queryKeyNorm == .whole
    if together {
      team.run(batch.count) { index, member in
        prepare(
          index, queries: 0..<shape.headCount, keys: 0..<keyHeads, in: scratch.pointer + member * scratchCount)
      }
    }
    /// One key head of a row to the cache, with its queries.
    func store(_ task: Int, in scratch: UnsafeMutablePointer<Float>) {
      let (head, index) = (task / batch.count, task % batch.count)
      let row = batch[index]
      let x = queryKeyValue.pointer + index * width
      if !together { prepare(index, queries: head * group..<(head + 1) * group, keys: head..<head + 1, in: scratch) }
      guard shape.keySource == nil else { return }
      cache.store(
        layer, row: row.ownRow + row.ownCount, head: head, heads: 1, keys: x + shape.keyColumn + head * size,
        values: x + shape.valueColumn + head * size, with: kernels)
    }
    team.measured("decode attention") {
      if followEachOther {
        team.run(batch.count * keyHeads) { task, member in store(task, in: scratch.pointer + member * scratchCount) }
      }
      team.run(batch.count * keyHeads) { task, member in
        let (head, index) = (task / batch.count, task % batch.count)
        let row = batch[index]
        let x = queryKeyValue.pointer + index * width
        let q = x + head * group * size
        let scratch = scratch.pointer + member * scratchCount
        if !followEachOther { store(task, in: scratch) }
        let total = row.promptCount + row.ownCount + 1
        var parts = (
          ck_cache_part(
            keys: cache.keys(layer, row.promptRow, head: head), values: cache.values(layer, row.promptRow, head: head),
            count: row.promptCount),
          ck_cache_part(
            keys: cache.keys(layer, row.ownRow, head: head), values: cache.values(layer, row.ownRow, head: head),
            count: row.ownCount + 1)
        )
        let out = normed.pointer + index * shape.queryWidth + head * group * size
        withUnsafePointer(to: &parts) { parts in
          parts.withMemoryRebound(to: ck_cache_part.self, capacity: 2) {
            kernels.pointee.cached_attention(
              q, group, size, $0, 2, shape.keyValueWidth, total > window ? total - window : 0,
              scores, sinks.map { $0.values + head * group }, scratch, out)
          }
        }
        if shape.isGated {
          let gate = x + shape.queryWidth + head * group * size
          scratch.update(from: out, count: group * size)
          kernels.pointee.gated_forward(CK_SIGMOID, gate, scratch, 0, out, 1, group * size)
        }
        if rounds {
          kernels.pointee.round_to_bf16(
            out, halves(roundedNormed) + index * shape.queryWidth + head * group * size, group * size)
        }
      }
    }
    return rows(normed, roundedNormed, shape.queryWidth)
  }

  /// The rows that a convolution makes of its channels and those before, the rule, and the gate, to `normed`.
  func recur(_ place: BranchPlace, _ input: ck_activations, _ kind: Recurrence) -> ck_activations {
    let layer = place.layer
    project("decode recurrence", blocks[layer][place.branch].inputs, input, into: queryKeyValue.pointer)
    guard let recurrent, let weights = convolutions[layer]?.pointer else { return rows(normed, roundedNormed, 0) }
    let width: Int
    switch kind {
    case .convolution:
      width = c.hiddenSize
      team.measured("decode convolution") {
        team.run(batch.count) { index, _ in
          let x = queryKeyValue.pointer + index * 3 * width
          let (u, y) = (convolved.pointer + index * width, normed.pointer + index * width)
          for i in 0..<width { u[i] = x[i] * x[2 * width + i] }
          recurrent.convolve(layer, batch[index].slot, u, weights: weights, into: y)
          recurrent.append(layer, batch[index].slot, u)
          for i in 0..<width { y[i] *= x[width + i] }
        }
      }
    case .deltaNet(let net):
      width = net.valueWidth
      decodeDelta(place, net, recurrent, weights)
    }
    if rounds { kernels.pointee.round_to_bf16(normed.pointer, halves(roundedNormed), rows * width) }
    return rows(normed, roundedNormed, width)
  }

  private func decodeDelta(
    _ place: BranchPlace, _ net: DeltaNet, _ recurrent: RecurrentCache, _ weights: UnsafePointer<Float>
  ) {
    guard let delta = DeltaRows(net, decoder.branch(place), epsilon: c.normEpsilon, with: kernels) else { return }
    let (layer, heads) = (place.layer, net.valueHeads)
    let (inputs, x) = (queryKeyValue.pointer, recurrentRows.pointer)
    let (factors, o) = (coefficients.pointer, recurrentOutputs.pointer)
    team.measured("decode delta rule") {
      team.run(batch.count) { index, _ in
        let (input, y) = (inputs + index * net.inputWidth, convolved.pointer + index * net.convolved)
        recurrent.convolve(layer, batch[index].slot, input, weights: weights, into: y)
        recurrent.append(layer, batch[index].slot, input)
        delta.activate(y, into: x + index * net.convolved)
        delta.coefficients(input, into: factors + index * 2 * heads)
      }
      team.run(batch.count * net.keyHeads) { task, member in
        let (index, key) = (task / net.keyHeads, task % net.keyHeads)
        for value in net.values(ofKeyHead: key) {
          var rule = delta.rule(x + index * net.convolved, factors + index * 2 * heads, key: key, value: value)
          kernels.pointee.delta_forward(
            &rule, 1, recurrent.state(layer, batch[index].slot, head: value),
            o + index * net.valueWidth + value * net.valueSize, net.valueWidth,
            scratch.pointer + member * scratchCount)
        }
      }
      team.run(batch.count) { index, member in
        let room = scratch.pointer + member * scratchCount
        delta.gate(
          o + index * net.valueWidth, inputs + index * net.inputWidth, into: normed.pointer + index * net.valueWidth,
          normed: room, statistics: room + net.valueWidth)
      }
    }
  }

  /// The weights of all convolutions, turned so that channels are neighbours.
  private static func convolutions(_ decoder: Decoder, _ recurrent: RecurrentCache?) throws -> [Int: FloatBuffer] {
    guard let recurrent else { return [:] }
    var out: [Int: FloatBuffer] = [:]
    for (layer, block) in decoder.blocks.enumerated() {
      for branch in block.branches {
        guard let weight = branch.vectors[.convolution] ?? branch.vectors[.deltaConvolution] else { continue }
        let (kernel, channels) = (recurrent.kernel, recurrent.channels)
        let turned = try FloatBuffer(count: kernel * channels)
        CausalConvolution.turn(weight, kernel: kernel, channels: channels, into: turned.pointer)
        out[layer] = turned
      }
    }
    return out
  }

  /// A piece of gate and up activates what it has computed.
  func activate(_ place: BranchPlace, _ input: ck_activations) -> ck_activations {
    let (branch, projection) = (decoder.branch(place), blocks[place.layer][place.branch].inputs)
    let (inner, biases) = (branch.mixedWidth, (branch.inputBias(at: 0), branch.inputBias(at: branch.mixedWidth)))
    team.measured(
      "decode gate, up", operations: 2 * Double(rows * projection.width * projection.inputSize),
      bytes: Double(projection.bytes)
    ) {
      projection.adapt(team, input, into: adapterHidden.pointer)
      let active = activePieces(projection)
      // Rows' gates come last.
      let others = projection.pieces.count - (c.gatedMLP ? 2 : 1) * active
      team.run(active + others) { index, member in
        let scratch = scratch.pointer + member * scratchCount
        if index < active {
          activate(
            projection, index, input, at: 0, inner, hidden: adapterHidden.pointer, biases, scratch: scratch)
        } else {
          projection.compute(
            projection.pieces.count - others + index - active, input, hidden: adapterHidden.pointer,
            into: gateUp.pointer, scratch: scratch)
        }
      }
    }
    return rows(activated, roundedActivated, inner)
  }

  /// Pieces of gate with the same of up, or of up alone.
  private func activePieces(_ projection: Projection) -> Int {
    c.gatedMLP ? projection.pairs : projection.pieces.count
  }

  /// One of them, for rows of `gateUp` and `activated`, of `inner` numbers, from `first` on.
  private func activate(
    _ projection: Projection, _ index: Int, _ input: ck_activations, at first: Int, _ inner: Int,
    hidden: UnsafePointer<Float>, _ biases: (gate: UnsafePointer<Float>?, up: UnsafePointer<Float>?),
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (width, gated, kind) = (projection.width, c.gatedMLP, c.activation.kernel)
    let (y, out) = (gateUp.pointer + first * width, activated.pointer + first * inner)
    let piece = projection.pieces[gated ? 2 * index : index]
    projection.compute(gated ? 2 * index : index, input, hidden: hidden, into: y, scratch: scratch)
    if gated { projection.compute(2 * index + 1, input, hidden: hidden, into: y, scratch: scratch) }
    for row in 0..<input.rows {
      let (from, to) = (y + row * width + piece.output, out + row * inner + piece.output)
      if let bias = biases.gate { kernels.pointee.accumulate(from, bias + piece.output, piece.count) }
      if gated {
        if let bias = biases.up { kernels.pointee.accumulate(from + inner, bias + piece.output, piece.count) }
        kernels.pointee.gated_forward(kind, from, from + inner, width, to, 1, piece.count)
      } else {
        kernels.pointee.activation_forward(kind, from, nil, to, 1, piece.count)
      }
      if rounds {
        kernels.pointee.round_to_bf16(to, halves(roundedActivated) + (first + row) * inner + piece.output, piece.count)
      }
    }
  }

  /// Rows of an expert stand together; pieces of all experts are one list of tasks.
  func mix(_ place: BranchPlace, _ input: ck_activations, _ experts: Experts) {
    let (layer, inner, width) = (place.layer, c.intermediateSize, c.hiddenSize)
    guard let weights = decoder.branch(place).experts else { return }
    let products = blocks[layer][place.branch]
    project("decode router", products.inputs, input, into: routerScores.pointer)
    if let bias = weights.router.bias {
      kernels.pointee.add_bias(routerScores.pointer, experts.count, bias.values, rows, experts.count)
    }
    let routing = Routing(routerScores.pointer, rows: rows, experts, team: team)
    for (visit, row) in routing.rows.enumerated() {
      (expertInput.pointer + visit * width).update(from: input.x + Int(row) * input.ld, count: width)
      if rounds, let rounded = input.rounded {
        (halves(roundedExpertInput) + visit * width).update(from: rounded + Int(row) * input.ld, count: width)
      }
    }
    func part(_ x: FloatBuffer, _ rounded: FloatBuffer, _ width: Int, _ places: Range<Int>) -> ck_activations {
      let first = places.lowerBound * width
      return ck_activations(
        x: x.pointer + first, rounded: rounds ? halves(rounded) + first : nil, ld: width, rows: places.count)
    }
    /// A x of adapters, which no expert has more of than `hiddenWidth` a row.
    let hiddenWidth = products.experts.reduce(0) { max($0, $1.inputs.hiddenWidth, $1.output.hiddenWidth) }
    func hidden(_ places: Range<Int>) -> UnsafeMutablePointer<Float> {
      adapterHidden.pointer + places.lowerBound * hiddenWidth
    }
    /// All pieces of the experts' products, each with its group.
    func pieces(_ count: (_ expert: Int) -> Int) -> [(group: Int, piece: Int)] {
      routing.groups.indices.flatMap { group in (0..<count(routing.groups[group].expert)).map { (group, $0) } }
    }
    let (gateUps, downs) = (
      pieces { activePieces(products.experts[$0].inputs) }, pieces { products.experts[$0].output.pieces.count }
    )
    team.measured(
      "decode gate, up", operations: 4 * Double(routing.rows.count * inner * width),
      bytes: routing.groups.reduce(0) { $0 + Double(products.experts[$1.expert].inputs.bytes) }
    ) {
      for (expert, places) in routing.groups {
        let projection = products.experts[expert].inputs
        projection.adapt(
          team, part(expertInput, roundedExpertInput, width, places), into: hidden(places))
      }
      team.run(gateUps.count) { task, member in
        let (expert, places) = routing.groups[gateUps[task].group]
        let (projection, layers) = (products.experts[expert].inputs, weights.inputs[expert])
        activate(
          projection, gateUps[task].piece, part(expertInput, roundedExpertInput, width, places),
          at: places.lowerBound, inner, hidden: hidden(places), (layers[0].bias?.values, layers[1].bias?.values),
          scratch: scratch.pointer + member * scratchCount)
      }
    }
    team.measured(
      "decode down", operations: 2 * Double(routing.rows.count * inner * width),
      bytes: routing.groups.reduce(0) { $0 + Double(products.experts[$1.expert].output.bytes) }
    ) {
      for (expert, places) in routing.groups {
        let projection = products.experts[expert].output
        projection.adapt(team, part(activated, roundedActivated, inner, places), into: hidden(places))
      }
      team.run(downs.count) { task, member in
        let (expert, places) = routing.groups[downs[task].group]
        let projection = products.experts[expert].output
        projection.compute(
          downs[task].piece, part(activated, roundedActivated, inner, places), hidden: hidden(places),
          into: expertOutput.pointer + places.lowerBound * width,
          scratch: scratch.pointer + member * scratchCount)
      }
    }
    for (expert, places) in routing.groups {
      guard let bias = weights.outputs[expert].bias else { continue }
      kernels.pointee.add_bias(
        expertOutput.pointer + places.lowerBound * width, width, bias.values, places.count, width)
    }
    for row in 0..<rows {
      routing.mix(row, expertOutput.pointer, width, into: output.pointer + row * width, with: kernels)
    }
  }

  /// What the blocks get of each row's token, from the embedding in x.
  private func makePerLayerInputs() {
    guard let inputs = decoder.perLayerInputs, let perLayerProjection else { return }
    project("decode per-layer inputs", perLayerProjection, residual(), into: perLayerProjected.pointer)
    team.run(batch.count) { index, member in
      inputs.make(
        batch[index].token, perLayerProjected.pointer + index * inputs.width,
        into: perLayerInputs.pointer + index * inputs.width, room: scratch.pointer + member * scratchCount,
        statistics: perLayerStatistics.pointer + index * inputs.layerCount, with: kernels)
    }
  }

  func takePerLayerInput(_ place: BranchPlace, _ input: ck_activations) -> ck_activations {
    let (size, width) = (c.perLayerInputSize, c.layerCount * c.perLayerInputSize)
    project("decode per-layer gate", blocks[place.layer][place.branch].inputs, input, into: gateUp.pointer)
    for row in 0..<rows {
      kernels.pointee.gated_forward(
        c.activation.kernel, gateUp.pointer + row * size, perLayerInputs.pointer + row * width + place.layer * size, 0,
        activated.pointer + row * size, 1, size)
    }
    if rounds { kernels.pointee.round_to_bf16(activated.pointer, halves(roundedActivated), rows * size) }
    return rows(activated, roundedActivated, size)
  }

  func project(_ place: BranchPlace, _ mixed: ck_activations) {
    guard let projection = blocks[place.layer][place.branch].output else { return }
    let name: StaticString = decoder.branch(place).activates ? "decode down" : "decode output"
    project(name, projection, mixed, into: output.pointer)
  }

  func normOutput(_ place: BranchPlace, _ norm: NormWeights) {
    if let bias = decoder.branch(place).output?.bias {
      kernels.pointee.add_bias(output.pointer, c.hiddenSize, bias.values, rows, c.hiddenSize)
    }
    normRows(norm, output.pointer, add: nil, bias: nil, into: output.pointer)
  }

  func scaleOutput(_ place: BranchPlace) {
    let branch = decoder.branch(place)
    if let bias = branch.output?.bias {
      kernels.pointee.add_bias(output.pointer, c.hiddenSize, bias.values, rows, c.hiddenSize)
    }
    let gates = branch.rowGate.map { _ in RowGates(gateUp.pointer, width: branch.inputWidth) }
    for row in 0..<rows {
      let y = output.pointer + row * c.hiddenSize
      kernels.pointee.scale(y, y, branch.factor * (gates?.factor(row) ?? 1), c.hiddenSize)
    }
  }
}

extension Decoder {
  /// All matrices that a step multiplies with.
  fileprivate var products: [WeightMatrix] {
    var matrices: [WeightMatrix] = []
    for branch in blocks.flatMap(\.branches) {
      matrices += (branch.entries + branch.outputs).map(\.weight)
      if let experts = branch.experts { matrices += (experts.inputs.joined() + experts.outputs).map(\.weight) }
    }
    if let perLayerInputs { matrices.append(perLayerInputs.projection.weight) }
    if let head { matrices.append(head) }
    return matrices
  }
}
