import CKernels
import DPOKernels
import DPOPlatform

/// A Gated DeltaNet's way from its inputs to the rows that the rule takes, and from what the rule gives to its output; row by
/// row, for training and for generation.
struct DeltaRows {
  typealias Pointer = UnsafeMutablePointer<Float>

  let net: DeltaNet
  let speed, timeBias, norm: WeightVector
  let epsilon: Float
  let kernels: UnsafePointer<ck_engine>

  init?(_ net: DeltaNet, _ branch: DecoderBranch, epsilon: Float, with kernels: UnsafePointer<ck_engine>) {
    guard let speed = branch.vectors[.deltaDecay], let timeBias = branch.vectors[.deltaTimeBias],
      let norm = branch.vectors[.deltaNorm]
    else { return nil }
    (self.net, self.speed, self.timeBias, self.norm) = (net, speed, timeBias, norm)
    (self.epsilon, self.kernels) = (epsilon, kernels)
  }

  var gateColumn: Int { net.convolved }
  var betaColumn: Int { net.convolved + net.valueWidth }
  var alphaColumn: Int { betaColumn + net.valueHeads }

  /// ε of the lengths of q and k.
  private static let lengthEpsilon: Float = 1e-6
  private var queryScale: Float { 1 / Float(net.keySize).squareRoot() }

  private static func sigmoid(_ x: Float) -> Float { 1 / (1 + exp(-x)) }
  private static func softplus(_ x: Float) -> Float { x > 20 ? x : log1p(exp(x)) }

  /// From y, what the convolution made of q, k and v, to q, k and v of the rule: SiLU, then q / (|q| √keySize) and k / |k|.
  func activate(_ y: Pointer, into x: Pointer) {
    kernels.pointee.activation_forward(CK_SILU, y, nil, x, 1, net.convolved)
    for head in 0..<2 * net.keyHeads {
      let h = x + head * net.keySize
      var squares = DeltaRows.lengthEpsilon
      for i in 0..<net.keySize { squares += h[i] * h[i] }
      let scale = (head < net.keyHeads ? queryScale : 1) / squares.squareRoot()
      for i in 0..<net.keySize { h[i] *= scale }
    }
  }

  /// From d of the rule's q, k and v to d y, in place of them. `room` takes as many numbers.
  func activateBackward(_ y: Pointer, _ d: Pointer, room: Pointer) {
    kernels.pointee.activation_forward(CK_SILU, y, nil, room, 1, net.convolved)
    for head in 0..<2 * net.keyHeads {
      let (s, g) = (room + head * net.keySize, d + head * net.keySize)
      var (squares, dot) = (DeltaRows.lengthEpsilon, Float(0))
      for i in 0..<net.keySize {
        squares += s[i] * s[i]
        dot += s[i] * g[i]
      }
      let r = 1 / squares.squareRoot()
      let (a, b) = ((head < net.keyHeads ? queryScale : 1) * r, r * r * dot)
      for i in 0..<net.keySize { g[i] = a * (g[i] - b * s[i]) }
    }
    kernels.pointee.activation_backward(CK_SILU, y, d, room, 1, net.convolved)
    d.update(from: y, count: net.convolved)
  }

  /// decay = exp(−exp(A) softplus(α + b)) and β = σ(…) of each head of values, side by side.
  func coefficients(_ input: UnsafePointer<Float>, into out: Pointer) {
    for head in 0..<net.valueHeads {
      let time = DeltaRows.softplus(input[alphaColumn + head] + timeBias.values[head])
      out[head] = exp(-exp(speed.values[head]) * time)
      out[net.valueHeads + head] = DeltaRows.sigmoid(input[betaColumn + head])
    }
  }

  /// From d log decay and d β to d of the inputs that they are made of.
  func coefficientsBackward(
    _ input: UnsafePointer<Float>, _ coefficients: UnsafePointer<Float>, _ d: UnsafePointer<Float>, into dinput: Pointer
  ) {
    for head in 0..<net.valueHeads {
      let beta = coefficients[net.valueHeads + head]
      let slope = DeltaRows.sigmoid(input[alphaColumn + head] + timeBias.values[head])
      dinput[alphaColumn + head] = -d[head] * exp(speed.values[head]) * slope
      dinput[betaColumn + head] = d[net.valueHeads + head] * beta * (1 - beta)
    }
  }

  /// d A and d b, from the coefficients' gradients of all rows in their order.
  func weightGradients(
    rows: Int, _ input: (Int) -> UnsafePointer<Float>, _ d: (Int) -> UnsafePointer<Float>
  ) {
    guard let dspeed = speed.gradient, let dbias = timeBias.gradient else { return }
    for row in 0..<rows {
      let (x, g) = (input(row), d(row))
      for head in 0..<net.valueHeads {
        let time = x[alphaColumn + head] + timeBias.values[head]
        let each = -g[head] * exp(speed.values[head])
        dbias[head] += each * DeltaRows.sigmoid(time)
        dspeed[head] += each * DeltaRows.softplus(time)
      }
    }
  }

  /// mixed = norm(o) ∘ silu(gate), head by head; `statistics` takes 1/σ of each head, `normed` is scratch.
  func gate(
    _ o: UnsafePointer<Float>, _ input: UnsafePointer<Float>, into mixed: Pointer, normed: Pointer, statistics: Pointer
  ) {
    kernels.pointee.head_norm_forward(
      o, net.valueWidth, norm.values, normed, net.valueWidth, statistics, 1, net.valueHeads, net.valueSize, epsilon)
    kernels.pointee.gated_forward(CK_SILU, input + gateColumn, normed, 0, mixed, 1, net.valueWidth)
  }

  /// Rows of head `value` for the rule.
  func rule(
    _ x: UnsafePointer<Float>, _ coefficients: UnsafePointer<Float>, key: Int, value: Int
  ) -> ck_delta {
    ck_delta(
      q: x + key * net.keySize, k: x + net.keyWidth + key * net.keySize,
      v: x + 2 * net.keyWidth + value * net.valueSize, ld: net.convolved, decay: coefficients + value,
      beta: coefficients + net.valueHeads + value, ldc: 2 * net.valueHeads, keys: net.keySize, values: net.valueSize)
  }
}

/// The rule over the rows of a forest, a block of them as one chunk: the state behind a prompt goes on into each of its
/// completions.
extension ModelRun {
  private func rows(_ net: DeltaNet, _ place: BranchPlace) -> (rows: DeltaRows, convolution: CausalConvolution)? {
    let branch = decoder.branch(place)
    guard let rows = DeltaRows(net, branch, epsilon: c.normEpsilon, with: kernels),
      let weight = branch.vectors[.deltaConvolution]
    else { return nil }
    return (
      rows,
      CausalConvolution(
        weight, kernel: net.kernel, channels: net.convolved, in: at(layout.recurrentWeights), previous: forest.previous,
        with: kernels)
    )
  }

  /// q, k, v and the coefficients of all rows, [t, convolved] and [t, 2 · heads].
  private func prepareDelta(_ net: DeltaNet, _ place: BranchPlace, _ delta: DeltaRows, _ convolution: CausalConvolution)
  {
    let (inputs, x, coefficients) = (
      at(layout.recurrentInputs, place.layer), at(layout.recurrentRows), at(layout.coefficients)
    )
    let y = at(layout.convolved)
    team.rows("delta rows", count, bytes: 16 * net.convolved) { rows, _ in
      for row in rows {
        let own = y + row * net.convolved
        convolution.row(row, into: own) { UnsafePointer(inputs + $0 * net.inputWidth) }
        delta.activate(own, into: x + row * net.convolved)
        delta.coefficients(inputs + row * net.inputWidth, into: coefficients + row * 2 * net.valueHeads)
      }
    }
  }

  func deltaForward(_ place: BranchPlace, _ net: DeltaNet) {
    guard let (delta, convolution) = rows(net, place) else { return }
    prepareDelta(net, place, delta, convolution)
    let (inputs, x, coefficients) = (
      at(layout.recurrentInputs, place.layer), at(layout.recurrentRows), at(layout.coefficients)
    )
    let (o, mixed) = (at(layout.recurrentOutputs, place.layer), at(layout.recurrentMixed))
    let size = net.keySize * net.valueSize
    team.measured("delta rule", operations: operations(net, states: 6, keys: 2, values: 2)) {
      team.run(forest.trees.count * net.keyHeads) { task, member in
        let (tree, key) = (forest.trees[task / net.keyHeads], task % net.keyHeads)
        let states = at(layout.recurrentScratch) + member * layout.recurrentScratchCount
        let scratch = states + forest.mostTreeBlocks * size
        for value in net.values(ofKeyHead: key) {
          for (index, entry) in tree.enumerated() {
            let block = forest.treeBlocks[entry]
            let state = states + index * size
            begin(state, block, states, tree, size)
            var rule = delta.rule(
              x + forest.blocks[block].row * net.convolved,
              coefficients + forest.blocks[block].row * 2 * net.valueHeads,
              key: key, value: value)
            kernels.pointee.delta_chunk_forward(
              &rule, forest.blocks[block].count, state,
              o + forest.blocks[block].row * net.valueWidth + value * net.valueSize, net.valueWidth, scratch)
          }
          // Of a prompt whose completions are to be generated.
          if let kept = keepsState?(place.layer, task / net.keyHeads, value), tree.count > 0 {
            kept.update(from: states + (tree.count - 1) * size, count: size)
          }
        }
      }
    }
    let (normed, statistics) = (at(layout.recurrentNormed), at(layout.recurrentStatistics))
    team.rows("delta gate", count, bytes: 16 * net.valueWidth) { rows, _ in
      for row in rows {
        delta.gate(
          o + row * net.valueWidth, inputs + row * net.inputWidth, into: mixed + row * net.valueWidth,
          normed: normed + row * net.valueWidth, statistics: statistics + row * net.valueHeads)
      }
    }
  }

  /// Of products of rows with states, and of those within blocks over keys and over values.
  private func operations(_ net: DeltaNet, states: Int, keys: Int, values: Int) -> Double {
    forest.blocks.reduce(0) {
      $0 + Double($1.count * net.valueHeads)
        * Double(states * net.keySize * net.valueSize + $1.count * (keys * net.keySize + values * net.valueSize))
    }
  }

  /// The state before a block: what is behind the block before it, or nothing.
  private func begin(_ state: Pointer, _ block: Int, _ states: Pointer, _ tree: Range<Int>, _ size: Int) {
    let before = forest.blockBefore[block]
    if before < 0 {
      state.update(repeating: 0, count: size)
    } else {
      state.update(from: states + (forest.placeInTree[before]) * size, count: size)
    }
  }

  /// From d mixed to d of the inputs, with mixed itself made again; and the gradients of the vectors.
  func deltaBackward(_ place: BranchPlace, _ net: DeltaNet, dmixed: Pointer, dinputs: Pointer) {
    guard let (delta, convolution) = rows(net, place) else { return }
    let branch = decoder.branch(place)
    prepareDelta(net, place, delta, convolution)
    let (inputs, x, coefficients) = (
      at(layout.recurrentInputs, place.layer), at(layout.recurrentRows), at(layout.coefficients)
    )
    let (o, mixed, dx, dcoefficients) = (
      at(layout.recurrentOutputs, place.layer), at(layout.recurrentMixed), at(layout.gradientOfRecurrentRows),
      at(layout.gradientOfCoefficients)
    )
    let (width, heads) = (net.valueWidth, net.valueHeads)
    let (normed, statistics) = (at(layout.recurrentNormed), at(layout.recurrentStatistics))
    // mixed = norm(o) ∘ silu(gate): d gate, d norm(o), and mixed again.
    team.rows("delta gate backward", count, bytes: 24 * width) { rows, _ in
      for row in rows {
        let (own, dgate) = (normed + row * width, dinputs + row * net.inputWidth + delta.gateColumn)
        kernels.pointee.head_norm_forward(
          o + row * width, width, delta.norm.values, own, width, statistics + row * heads, 1, heads, net.valueSize,
          c.normEpsilon)
        dgate.update(from: inputs + row * net.inputWidth + delta.gateColumn, count: width)
        kernels.pointee.gated_backward(
          CK_SILU, dgate, own, 0, dmixed + row * width, mixed + row * width, 1, width)
        (dx + row * net.convolved).update(repeating: 0, count: net.convolved)
        (dinputs + row * net.inputWidth).update(repeating: 0, count: net.convolved)
      }
    }
    team.measured("delta norm backward") {
      kernels.pointee.head_norm_backward(
        normed, width, o, width, statistics, delta.norm.values, trainsModel ? delta.norm.gradient : nil, count, heads,
        net.valueSize)
    }
    let size = net.keySize * net.valueSize
    team.measured("delta rule backward", operations: operations(net, states: 18, keys: 7, values: 6)) {
      team.run(forest.trees.count * net.keyHeads) { task, member in
        let (tree, key) = (forest.trees[task / net.keyHeads], task % net.keyHeads)
        let states = at(layout.recurrentScratch) + member * layout.recurrentScratchCount
        let dstates = states + forest.mostTreeBlocks * size
        let state = dstates + forest.mostTreeBlocks * size
        let scratch = state + size
        for value in net.values(ofKeyHead: key) {
          func rule(_ block: Int) -> ck_delta {
            delta.rule(
              x + forest.blocks[block].row * net.convolved, coefficients + forest.blocks[block].row * 2 * heads,
              key: key,
              value: value)
          }
          // The states behind all blocks that others continue; then from the last block to the first.
          for (index, entry) in tree.enumerated() {
            let block = forest.treeBlocks[entry]
            (dstates + index * size).update(repeating: 0, count: size)
            guard forest.isContinued[block] else { continue }
            begin(states + index * size, block, states, tree, size)
            var own = rule(block)
            kernels.pointee.delta_chunk_forward(
              &own, forest.blocks[block].count, states + index * size, nil, 0, scratch)
          }
          for (index, entry) in tree.enumerated().reversed() {
            let block = forest.treeBlocks[entry]
            let (row, count) = (forest.blocks[block].row, forest.blocks[block].count)
            begin(state, block, states, tree, size)
            var own = rule(block)
            let (g, gc) = (dx + row * net.convolved, dcoefficients + row * 2 * heads)
            var gradient = ck_delta_gradient(
              q: g + key * net.keySize, k: g + net.keyWidth + key * net.keySize,
              v: g + 2 * net.keyWidth + value * net.valueSize, ld: net.convolved, log_decay: gc + value,
              beta: gc + heads + value, ldc: 2 * heads)
            kernels.pointee.delta_chunk_backward(
              &own, count, state, normed + row * width + value * net.valueSize, width, dstates + index * size,
              &gradient,
              scratch)
            let before = forest.blockBefore[block]
            if before >= 0 {
              kernels.pointee.accumulate(dstates + forest.placeInTree[before] * size, dstates + index * size, size)
            }
          }
        }
      }
    }
    let y = at(layout.convolved)
    team.rows("delta rows backward", count, bytes: 24 * net.convolved) { rows, member in
      for row in rows {
        delta.activateBackward(
          y + row * net.convolved, dx + row * net.convolved, room: x + row * net.convolved)
        delta.coefficientsBackward(
          inputs + row * net.inputWidth, coefficients + row * 2 * heads, dcoefficients + row * 2 * heads,
          into: dinputs + row * net.inputWidth)
      }
    }
    if trainsModel {
      delta.weightGradients(
        rows: count, { UnsafePointer(inputs + $0 * net.inputWidth) },
        { UnsafePointer(dcoefficients + $0 * 2 * heads) })
    }
    let dw = trainsModel ? branch.vectors[.deltaConvolution]?.gradient : nil
    eachColumnBlock("convolution gradient", net.convolved) { from, to in
      convolution.backward(
        from..<to, rows: count, dy: { UnsafePointer(dx + $0 * net.convolved) },
        u: { UnsafePointer(inputs + $0 * net.inputWidth) }, du: { dinputs + $0 * net.inputWidth }, dw: dw)
    }
  }
}
