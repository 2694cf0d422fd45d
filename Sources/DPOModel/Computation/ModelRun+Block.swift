import DPOKernels

/// A branch over the rows of a forest: what `run` calls, and the way back through it.
extension ModelRun: BlockExecutor {
  /// Rows of numbers, and the same as they were packed for a product, if they were.
  struct Rows {
    let x: Pointer
    let prepared: PreparedOperand?
  }

  /// x[t, hidden] at the input of a branch.
  private func stream(_ place: BranchPlace) -> Pointer { at(layout.streams[place.branch], place.layer) }

  /// What a branch reads: of a parallel one what the branch before it reads.
  private func source(_ place: BranchPlace) -> Pointer {
    at(layout.streams[decoder.branch(place).isParallel ? place.branch - 1 : place.branch], place.layer)
  }

  /// What the activation of a branch reads.
  func gateUp(_ place: BranchPlace) -> Pointer { at(layout.gateUps[place.branch], place.layer) }

  /// They stand behind gate and up.
  private func rowGates(_ place: BranchPlace) -> RowGates? {
    let branch = decoder.branch(place)
    return branch.rowGate.map { _ in RowGates(gateUp(place), width: branch.inputWidth) }
  }

  /// The output of a branch before the norm behind it, which the backward pass needs.
  private func unnormed(_ place: BranchPlace) -> Pointer { at(layout.outputs[place.branch], place.layer) }

  // MARK: Forward

  func enter(_ place: BranchPlace, _ norm: NormWeights?, adding before: BranchPlace?) -> Rows {
    let x = stream(place)
    guard let norm else {
      if let before { add(before, into: x) }
      return Rows(x: x, prepared: nil)
    }
    let isParallel = decoder.branch(place).isParallel
    let normed = at(layout.normed)
    let prepared = prepareInput(decoder.branch(place).entries, inputSize: hidden)
    var added = isParallel ? nil : before
    if let before = added, decoder.branch(before).scale != nil {
      add(before, into: x)
      added = nil
    }
    normForward(
      norm, isParallel ? source(place) : added.map(stream) ?? x, add: added.map { _ in at(layout.output) },
      bias: added.flatMap { decoder.branch($0).biasLeft }, sum: x, into: normed,
      statistics: at(layout.statistics[place.branch], place.layer), count, prepared)
    if isParallel, let before { add(before, into: x) }
    return Rows(x: normed, prepared: prepared)
  }

  /// The residual stream behind a branch whose output stands at `output`.
  func add(_ place: BranchPlace, into sum: Pointer) {
    let branch = decoder.branch(place)
    addForward(stream(place), at(layout.output), bias: branch.biasLeft, into: sum)
    if let scale = branch.scale { scaleRows(sum, scale.values[0], into: sum) }
  }

  func attend(_ place: BranchPlace, _ input: Rows, _ shape: AttentionShape) -> Rows {
    let branch = decoder.branch(place)
    let (qkv, attended) = (at(layout.queryKeyValue, place.layer), at(layout.attended, place.layer))
    let lse = at(layout.attentionLSE, place.layer)
    project(place.layer, branch.inputs, input, inputSize: hidden, into: qkv, shape.width)
    rotationForward(place, shape)
    attention(shape).forward(
      (UnsafePointer(qkv), shape.width), keys(place.layer, shape), out: attended, lse: lse)
    if let sinks = branch.vectors[.attentionSinks] { sinkForward(sinks, shape, attended, lse) }
    guard shape.isGated else { return Rows(x: attended, prepared: nil) }
    gateForward(shape, qkv, attended, into: at(layout.gated))
    return Rows(x: at(layout.gated), prepared: nil)
  }

  /// What a block's attention reads beside q, its own or another block's.
  private func keys(_ layer: Int, _ shape: AttentionShape) -> Attention.Matrix {
    let source = shape.keySource ?? layer
    let own = c.attention(source)
    return (UnsafePointer(at(layout.queryKeyValue, source) + own.keyColumn), own.width)
  }

  func recur(_ place: BranchPlace, _ input: Rows, _ kind: Recurrence) -> Rows {
    let branch = decoder.branch(place)
    project(
      place.layer, branch.inputs, input, inputSize: hidden, into: at(layout.recurrentInputs, place.layer),
      branch.inputWidth)
    switch kind {
    case .convolution(let kernel): convolutionForward(place, kernel: kernel)
    case .deltaNet(let net): deltaForward(place, net)
    }
    return Rows(x: at(layout.recurrentMixed), prepared: nil)
  }

  func activate(_ place: BranchPlace, _ input: Rows) -> Rows {
    let branch = decoder.branch(place)
    let (gateUp, activated) = (gateUp(place), at(layout.activated))
    project(place.layer, branch.entries, input, inputSize: hidden, into: gateUp, branch.inputWidth)
    let prepared = prepareInput(branch.outputs, inputSize: branch.mixedWidth)
    activationForward(branch, gateUp, count, into: activated, prepared)
    return Rows(x: activated, prepared: prepared)
  }

  func takePerLayerInput(_ place: BranchPlace, _ input: Rows) -> Rows {
    let branch = decoder.branch(place)
    let (gate, activated) = (at(layout.perLayerGate, place.layer), at(layout.activated))
    project(place.layer, branch.inputs, input, inputSize: hidden, into: gate, branch.inputWidth)
    perLayerGateForward(place.layer, gate, into: activated)
    return Rows(x: activated, prepared: nil)
  }

  func project(_ place: BranchPlace, _ mixed: Rows) {
    let branch = decoder.branch(place)
    project(
      place.layer, branch.outputs, mixed, inputSize: branch.mixedWidth, into: outputPlace(place), hidden)
  }

  /// Where a branch leaves its output.
  func outputPlace(_ place: BranchPlace) -> Pointer {
    decoder.branch(place).normAfter == nil ? at(layout.output) : unnormed(place)
  }

  func normOutput(_ place: BranchPlace, _ norm: NormWeights) {
    let x = unnormed(place)
    addBias(decoder.branch(place).output?.bias, to: x, hidden)
    normForward(
      norm, x, add: nil, bias: nil, sum: x, into: at(layout.output),
      statistics: at(layout.outputStatistics[place.branch], place.layer), count)
  }

  func scaleOutput(_ place: BranchPlace) {
    let (branch, output) = (decoder.branch(place), at(layout.output))
    scaleRows(output, bias: branch.output?.bias, branch.factor, gates: rowGates(place), into: output)
  }

  // MARK: Again

  /// Computes what the backward pass through a block needs and the forward pass has not kept. False: it has kept all.
  func again(_ layer: Int) -> Bool {
    let places = decoder.places(layer)
    guard recomputes else {
      // The last block's gate and up are still there.
      guard layer >= layout.keptGateUps, layer < c.layerCount - 1 else { return false }
      for place in places where decoder.branch(place).activates {
        gateUpAgain(place, adding: nil, keepsAdapterHidden: true)
      }
      return true
    }
    for place in places {
      let branch = decoder.branch(place)
      // x of the first branch is kept, and that of a parallel one is there.
      let before = place.branch == 0 || branch.isParallel ? nil : decoder.place(before: place)
      let isRead = places.contains { $0.branch > place.branch && !decoder.branch($0).isParallel }
      if !isRead, branch.activates, branch.normAfter == nil {
        gateUpAgain(place, adding: before, keepsAdapterHidden: false)
      } else {
        run(place, adding: before)
      }
    }
    return true
  }

  /// Gate and up with their biases, which is all that the backward pass through an MLP needs: it makes the activation itself.
  /// `keepsAdapterHidden`: what adapters made of the input is there already.
  private func gateUpAgain(_ place: BranchPlace, adding before: BranchPlace?, keepsAdapterHidden: Bool) {
    let branch = decoder.branch(place)
    let input = enter(place, branch.normBefore, adding: before)
    if case .experts(let experts) = branch.mixing {
      _ = expertInputs(place, input, experts, keepsAdapterHidden: keepsAdapterHidden)
      return
    }
    let gateUp = gateUp(place)
    project(
      place.layer, branch.entries, input, inputSize: hidden, into: gateUp, branch.inputWidth,
      keepsAdapterHidden: keepsAdapterHidden)
    addBiases(branch, gateUp)
  }

  // MARK: Backward

  /// dx, the gradient of x behind a branch, becomes that of x before it. `prepared` is dx as it was packed for the output's
  /// products; the result is the same for the branch before.
  func backward(_ place: BranchPlace, _ dx: Pointer, _ prepared: PreparedOperand?) -> PreparedOperand? {
    let branch = decoder.branch(place)
    if let scale = branch.scale { scaleRows(dx, scale.values[0], into: dx) }
    let doutput = branch.finishes ? finishBackward(place, dx) : Rows(x: dx, prepared: prepared)
    var routing: Routing?
    let dinputs: Rows
    switch branch.mixing {
    case .attention(let shape): dinputs = attendBackward(place, doutput, shape)
    case .activation: dinputs = activateBackward(place, doutput)
    case .experts(let experts): (dinputs, routing) = mixBackward(place, doutput, experts)
    case .recurrence(let kind): dinputs = recurBackward(place, doutput, kind)
    case .perLayerInput: dinputs = perLayerInputBackward(place, doutput)
    }
    let before = decoder.place(before: place).map(decoder.branch)
    let needsInput = trainsModel || before != nil
    let (x, dnormed) = (source(place), at(layout.gradientOfNormed))
    let statistics = at(layout.statistics[place.branch], place.layer)
    inputGradient(
      place.layer, branch.entries, dy: dinputs, branch.entryWidth, inputSize: hidden, into: needsInput ? dnormed : nil)
    if let routing { expertInputGradient(place, routing, addingTo: needsInput ? dnormed : nil) }
    var input = Rows(x: x, prepared: nil)
    if let norm = branch.normBefore {
      input = Rows(x: at(layout.normed), prepared: prepareInputColumns(inputSize: hidden))
      normAgain(norm, x, statistics: statistics, into: input.x, input.prepared)
    }
    weightGradients(place.layer, branch.entries, dy: dinputs.x, branch.entryWidth, x: input, inputSize: hidden)
    if let routing { expertWeightGradients(place, routing, input.x) }
    guard needsInput else { return nil }
    if branch.isParallel, let norm = branch.normBefore {
      // dx is that of the branch before as well; what goes around it waits.
      normBackward(
        norm, dy: dnormed, sum: x, statistics: statistics, dx: at(layout.gradientOfParallel), count, overwrites: true)
      return nil
    }
    if decoder.isReadInParallel(place) { addBackward(at(layout.gradientOfParallel), into: dx, nil) }
    let dbefore = before.flatMap { $0.passesGradient ? prepareGradient($0.outputs) : nil }
    if let norm = branch.normBefore {
      normBackward(norm, dy: dnormed, sum: x, statistics: statistics, dx: dx, count, dbefore)
    } else {
      addBackward(dnormed, into: dx, dbefore)
    }
    return dbefore
  }

  /// From dx to d of the output before its norm, or its factor and gates.
  private func finishBackward(_ place: BranchPlace, _ dx: Pointer) -> Rows {
    let branch = decoder.branch(place)
    let doutput = Rows(x: at(layout.normed), prepared: prepareGradient(branch.outputs))
    guard let norm = branch.normAfter else {
      scaleRows(dx, branch.factor, gates: rowGates(place), into: doutput.x, doutput.prepared)
      return doutput
    }
    normBackward(
      norm, dy: dx, sum: unnormed(place), statistics: at(layout.outputStatistics[place.branch], place.layer),
      dx: doutput.x, count, doutput.prepared, overwrites: true)
    return doutput
  }

  /// From d of the output to d q, d k and d v.
  private func attendBackward(_ place: BranchPlace, _ doutput: Rows, _ shape: AttentionShape) -> Rows {
    let (branch, layer) = (decoder.branch(place), place.layer)
    let (attended, dattended) = (at(layout.attended, layer), at(layout.gradientOfAttended))
    let (qkv, dqkv) = (at(layout.queryKeyValue, layer), at(layout.gradientOfQueryKeyValue))
    inputGradient(layer, branch.outputs, dy: doutput, hidden, inputSize: shape.queryWidth, into: dattended)
    var (mixed, dout) = (attended, dattended)
    if shape.isGated {
      (mixed, dout) = (at(layout.gated), at(layout.gradientOfGated))
      gateBackward(
        shape, qkv, attended, dmixed: dattended, mixed: mixed, dattended: dout, dqkv: dqkv)
    }
    weightGradients(
      layer, branch.outputs, dy: doutput.x, hidden, x: Rows(x: mixed, prepared: nil), inputSize: shape.queryWidth)
    attention(shape).backward(
      (UnsafePointer(qkv), shape.width), keys(layer, shape), out: attended, lse: at(layout.attentionLSE, layer),
      dout: dout, delta: at(layout.delta), dq: (dqkv, shape.width), dk: keyGradient(layer, shape, dqkv))
    if let sinks = branch.vectors[.attentionSinks] { sinkBackward(sinks, shape, layer) }
    // The heads' norms change it once more behind the rotation.
    let prepared = branch.queryNorm == nil ? prepareGradient(branch.inputs) : nil
    rotationBackward(place, shape, dqkv, prepared)
    return Rows(x: dqkv, prepared: prepared)
  }

  /// Where a block's dk and dv gather: beside dq, where those stand that the blocks behind it have gathered of its keys and
  /// values, or zeros; or, of another block's, where that block will find them.
  private func keyGradient(_ layer: Int, _ shape: AttentionShape, _ dqkv: Pointer) -> Attention.Gradient {
    let size = 2 * shape.keyValueWidth
    if let source = shape.keySource { return (at(layout.gradientOfSharedKeys, source), size) }
    let (dk, width) = (dqkv + shape.keyColumn, shape.width)
    let shared = c.keySources.contains(layer) ? at(layout.gradientOfSharedKeys, layer) : nil
    team.rows("gradient of keys", count, bytes: 4 * size) { rows, _ in
      for row in rows {
        if let shared {
          (dk + row * width).update(from: shared + row * size, count: size)
        } else {
          (dk + row * width).update(repeating: 0, count: size)
        }
      }
    }
    return (dk, width)
  }

  /// From d of the output to d of a recurrence's inputs.
  private func recurBackward(_ place: BranchPlace, _ doutput: Rows, _ kind: Recurrence) -> Rows {
    let (branch, layer) = (decoder.branch(place), place.layer)
    let width = branch.mixedWidth
    let (dmixed, dinputs) = (at(layout.gradientOfMixed), at(layout.gradientOfRecurrentInputs))
    inputGradient(layer, branch.outputs, dy: doutput, hidden, inputSize: width, into: dmixed)
    switch kind {
    case .convolution(let kernel): convolutionBackward(place, kernel: kernel, dmixed: dmixed, dinputs: dinputs)
    case .deltaNet(let net): deltaBackward(place, net, dmixed: dmixed, dinputs: dinputs)
    }
    weightGradients(
      layer, branch.outputs, dy: doutput.x, hidden, x: Rows(x: at(layout.recurrentMixed), prepared: nil),
      inputSize: width)
    return Rows(x: dinputs, prepared: nil)
  }

  /// From d of the output to d gate, d up and d of rows' gates.
  private func activateBackward(_ place: BranchPlace, _ doutput: Rows) -> Rows {
    let (branch, layer) = (decoder.branch(place), place.layer)
    let inner = branch.mixedWidth
    let (gateUp, activated) = (gateUp(place), at(layout.activated))
    inputGradient(layer, branch.outputs, dy: doutput, hidden, inputSize: inner, into: at(layout.gradientOfActivated))
    let prepared = prepareGradient(branch.entries)
    activationBackward(branch, gateUp, count, dout: at(layout.gradientOfActivated), out: activated, prepared)
    weightGradients(
      layer, branch.outputs, dy: doutput.x, hidden, x: Rows(x: activated, prepared: nil), inputSize: inner,
      keeping: prepared)
    return Rows(x: gateUp, prepared: prepared)
  }

  /// From d of the output to d gate and d of the numbers that the block got of each token, which take their places.
  private func perLayerInputBackward(_ place: BranchPlace, _ doutput: Rows) -> Rows {
    let (branch, layer) = (decoder.branch(place), place.layer)
    let (gate, activated, size) = (at(layout.perLayerGate, layer), at(layout.activated), branch.mixedWidth)
    inputGradient(layer, branch.outputs, dy: doutput, hidden, inputSize: size, into: at(layout.gradientOfActivated))
    perLayerGateBackward(layer, gate, dout: at(layout.gradientOfActivated), out: activated)
    weightGradients(
      layer, branch.outputs, dy: doutput.x, hidden, x: Rows(x: activated, prepared: nil), inputSize: size)
    return Rows(x: gate, prepared: nil)
  }

  private func attention(_ shape: AttentionShape) -> Attention {
    Attention(
      shape: shape, forest: forest, team: team,
      products: LocalProducts(team.engine, precision), scratch: at(layout.attentionScratch),
      scratchCount: layout.attentionScratchCount)
  }
}
