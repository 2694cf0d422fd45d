import CKernels
import DPOKernels
import DPOPlatform

/// Which experts the rows of a run go through, and how much each counts. Rows of an expert stand together: they are its products'.
struct Routing {
  /// The row of the run at each place; experts one after another, and each one's rows in their order.
  let rows: [Int32]
  /// How much the expert at a place counts for its row.
  let weights: [Float]
  /// Places of each row's experts, the one with the highest score first: [rows, active].
  let visits: [Int32]
  /// The same experts by their numbers.
  let chosen: [Int32]
  /// Experts of a row.
  let active: Int
  /// Experts that have rows, and their places.
  let groups: [(expert: Int, places: Range<Int>)]

  /// From scores[rows, experts].
  init(_ scores: UnsafePointer<Float>, rows count: Int, _ experts: Experts, team: ThreadTeam) {
    let active = experts.active
    var chosen = [Int32](repeating: 0, count: count * active)
    var shares = [Float](repeating: 0, count: count * active)
    chosen.withUnsafeMutableBufferPointer { chosen in
      shares.withUnsafeMutableBufferPointer { shares in
        team.rows("routing", count) { rows, _ in
          for row in rows {
            experts.choose(
              scores + row * experts.count,
              UnsafeMutableBufferPointer(rebasing: chosen[row * active..<(row + 1) * active]),
              UnsafeMutableBufferPointer(rebasing: shares[row * active..<(row + 1) * active]))
          }
        }
      }
    }
    var starts = [Int](repeating: 0, count: experts.count + 1)
    for expert in chosen { starts[Int(expert) + 1] += 1 }
    for expert in 0..<experts.count { starts[expert + 1] += starts[expert] }
    groups = (0..<experts.count).compactMap { expert in
      starts[expert] < starts[expert + 1] ? (expert, starts[expert]..<starts[expert + 1]) : nil
    }
    var rows = [Int32](repeating: 0, count: count * active)
    var weights = [Float](repeating: 0, count: count * active)
    var visits = [Int32](repeating: 0, count: count * active)
    for index in chosen.indices {
      let place = starts[Int(chosen[index])]
      starts[Int(chosen[index])] += 1
      rows[place] = Int32(index / active)
      weights[place] = shares[index]
      visits[index] = Int32(place)
    }
    (self.rows, self.weights, self.visits, self.chosen, self.active) = (rows, weights, visits, chosen, active)
  }

  /// Where a row's experts are in `visits` and `chosen`.
  private func visits(of row: Int) -> Range<Int> { row * active..<(row + 1) * active }

  /// sum[width] = Σ w_e y_e over a row's experts, whose outputs y[places, width] are used up.
  func mix(
    _ row: Int, _ y: UnsafeMutablePointer<Float>, _ width: Int, into sum: UnsafeMutablePointer<Float>,
    with kernels: UnsafePointer<ck_engine>
  ) {
    sum.update(repeating: 0, count: width)
    for visit in visits[visits(of: row)] {
      let output = y + Int(visit) * width
      kernels.pointee.scale(output, output, weights[Int(visit)], width)
      kernels.pointee.accumulate(sum, output, width)
    }
  }

  /// sum[width] += Σ x_e over a row's experts, of x[places, width].
  func accumulate(
    _ row: Int, _ x: UnsafeMutablePointer<Float>, _ width: Int, into sum: UnsafeMutablePointer<Float>,
    with kernels: UnsafePointer<ck_engine>
  ) {
    for visit in visits[visits(of: row)] { kernels.pointee.accumulate(sum, x + Int(visit) * width, width) }
  }

  /// From q = w · dL/dw of the weights w, one a place, to dL/d score of each expert of a row: q − p Σ q, where p is the softmax
  /// that the weights are of.
  func scoreGradient(
    _ row: Int, _ scores: UnsafePointer<Float>, _ experts: Experts, q: UnsafePointer<Float>,
    into gradient: UnsafeMutablePointer<Float>
  ) {
    let own = visits(of: row)
    let sum = own.reduce(Float(0)) { $0 + q[Int(visits[$1])] }
    if experts.weighsActiveOnly {
      for expert in 0..<experts.count { gradient[expert] = 0 }
      for index in own { gradient[Int(chosen[index])] = -weights[Int(visits[index])] * sum }
    } else {
      let (top, scale) = (scores[Int(chosen[own.lowerBound])], weights[Int(visits[own.lowerBound])] * sum)
      for expert in 0..<experts.count { gradient[expert] = -exp(scores[expert] - top) * scale }
    }
    for index in own { gradient[Int(chosen[index])] += q[Int(visits[index])] }
  }

  /// The layers of each expert with its rows.
  func layers(_ linears: (_ expert: Int) -> [Linear]) -> [LinearRows] {
    groups.map { LinearRows(linears: linears($0.expert), rows: $0.places) }
  }
}

extension Experts {
  /// The experts with the highest scores, of equal ones the first, and the softmax of their scores.
  func choose(
    _ scores: UnsafePointer<Float>, _ chosen: UnsafeMutableBufferPointer<Int32>,
    _ shares: UnsafeMutableBufferPointer<Float>
  ) {
    for place in 0..<active {
      var best = -1
      for expert in 0..<count
      where (best < 0 || scores[expert] > scores[best]) && !chosen[..<place].contains(Int32(expert)) { best = expert }
      chosen[place] = Int32(best)
    }
    let top = scores[Int(chosen[0])]
    let sum =
      weighsActiveOnly
      ? chosen.reduce(Float(0)) { $0 + exp(scores[Int($1)] - top) }
      : (0..<count).reduce(Float(0)) { $0 + exp(scores[$1] - top) }
    for place in 0..<active { shares[place] = exp(scores[Int(chosen[place])] - top) / sum }
  }
}

/// Mixtures of experts: y = Σ w_e (D_e (f(G_e x) · (U_e x))) over the experts e that x goes through.
extension ModelRun {
  /// Scores of all experts, and gate and up with their biases of those that each row goes through.
  func expertInputs(
    _ place: BranchPlace, _ input: Rows, _ experts: Experts, keepsAdapterHidden: Bool = false
  ) -> Routing? {
    let branch = decoder.branch(place)
    guard let weights = branch.experts else { return nil }
    let scores = at(layout.routerScores, place.layer)
    project(place.layer, [weights.router], input, inputSize: hidden, into: scores, experts.count)
    addBias(weights.router.bias, to: scores, experts.count)
    let routing = Routing(scores, rows: count, experts, team: team)
    if let routerLoss, routerLoss.isCounting { routerLoss.add(routing, scores, team: team) }
    gather(routing, input.x)
    let (groups, width) = (routing.layers { weights.inputs[$0] }, branch.inputWidth)
    let gateUp = gateUp(place)
    project(
      place.layer, groups, Rows(x: at(layout.expertInput), prepared: nil), inputSize: hidden, into: gateUp, width,
      keepsAdapterHidden: keepsAdapterHidden)
    for group in groups { addBiases(group.linears, gateUp + group.rows.lowerBound * width, width, group.rows.count) }
    return routing
  }

  func mix(_ place: BranchPlace, _ input: Rows, _ experts: Experts) {
    let (branch, activated) = (decoder.branch(place), at(layout.activated))
    guard let weights = branch.experts, let routing = expertInputs(place, input, experts) else { return }
    activationForward(branch, gateUp(place), routing.rows.count, into: activated, nil)
    let outputs = at(layout.expertOutput)
    let groups = routing.layers { [weights.outputs[$0]] }
    project(
      place.layer, groups, Rows(x: activated, prepared: nil), inputSize: c.intermediateSize, into: outputs, hidden)
    for group in groups { addBiases(group.linears, outputs + group.rows.lowerBound * hidden, hidden, group.rows.count) }
    let mixed = outputPlace(place)
    team.rows("experts' sum", count, bytes: 8 * (experts.active + 1) * hidden) { rows, _ in
      for row in rows { routing.mix(row, outputs, hidden, into: mixed + row * hidden, with: kernels) }
    }
  }

  /// From d of the output to d of the router's scores, and of gate and up in their place.
  func mixBackward(_ place: BranchPlace, _ doutput: Rows, _ experts: Experts) -> (dscores: Rows, Routing?) {
    let (branch, layer, inner) = (decoder.branch(place), place.layer, c.intermediateSize)
    let (scores, dscores) = (at(layout.routerScores, layer), at(layout.gradientOfRouterScores))
    guard let weights = branch.experts else { return (Rows(x: dscores, prepared: nil), nil) }
    let routing = Routing(scores, rows: count, experts, team: team)
    let (visits, dweights) = (routing.rows.count, at(layout.gradientOfRouting))
    let (douts, activated, dactivated) = (at(layout.expertOutput), at(layout.activated), at(layout.gradientOfActivated))
    team.rows("experts' gradients", visits, bytes: 8 * hidden) { places, _ in
      for place in places {
        kernels.pointee.scale(
          douts + place * hidden, doutput.x + Int(routing.rows[place]) * hidden, routing.weights[place], hidden)
      }
    }
    let groups = routing.layers { [weights.outputs[$0]] }
    inputGradient(
      layer, groups, dy: Rows(x: douts, prepared: nil), hidden, inputSize: inner, into: dactivated)
    activationBackward(branch, gateUp(place), visits, dout: dactivated, out: activated, nil)
    weightGradients(layer, groups, dy: douts, hidden, x: Rows(x: activated, prepared: nil), inputSize: inner)
    // w · dL/dw = ⟨w dL/dy, y⟩, and y = D a + b
    team.rows("router backward", visits, bytes: 8 * inner) { places, _ in
      let first = places.lowerBound
      kernels.pointee.head_dots(
        dactivated + first * inner, inner, activated + first * inner, inner, dweights + first, places.count, 1, inner)
    }
    for group in groups {
      guard let bias = group.linears.first?.bias else { continue }
      for place in group.rows {
        var dot: Float = 0
        kernels.pointee.head_dots(douts + place * hidden, hidden, bias.values, hidden, &dot, 1, 1, hidden)
        dweights[place] += dot
      }
    }
    team.rows("router backward", count, bytes: 4 * experts.count) { rows, _ in
      for row in rows {
        routing.scoreGradient(
          row, scores + row * experts.count, experts, q: dweights, into: dscores + row * experts.count)
        routerLoss?.addGradient(row, scores + row * experts.count, to: dscores + row * experts.count)
      }
    }
    return (Rows(x: dscores, prepared: nil), routing)
  }

  /// dx[t, hidden] += Σ over a row's experts of d gate and d up times their weights. nil: what the adapters' need alone.
  func expertInputGradient(_ place: BranchPlace, _ routing: Routing, addingTo dx: Pointer?) {
    let branch = decoder.branch(place)
    guard let weights = branch.experts else { return }
    let dinputs = at(layout.expertOutput)
    inputGradient(
      place.layer, routing.layers { weights.inputs[$0] },
      dy: Rows(x: gateUp(place), prepared: nil), branch.inputWidth, inputSize: hidden,
      into: dx == nil ? nil : dinputs)
    guard let dx else { return }
    team.rows("experts' gradients", count, bytes: 4 * (routing.active + 2) * hidden) { rows, _ in
      for row in rows { routing.accumulate(row, dinputs, hidden, into: dx + row * hidden, with: kernels) }
    }
  }

  /// Of gate and up, from x[t, hidden].
  func expertWeightGradients(_ place: BranchPlace, _ routing: Routing, _ x: Pointer) {
    let branch = decoder.branch(place)
    guard let weights = branch.experts else { return }
    gather(routing, x)
    weightGradients(
      place.layer, routing.layers { weights.inputs[$0] }, dy: gateUp(place), branch.inputWidth,
      x: Rows(x: at(layout.expertInput), prepared: nil), inputSize: hidden)
  }

  /// The rows that experts get, to their places.
  private func gather(_ routing: Routing, _ x: Pointer) {
    let inputs = at(layout.expertInput)
    team.rows("experts' rows", routing.rows.count, bytes: 8 * hidden) { places, _ in
      for place in places { memcpy(inputs + place * hidden, x + Int(routing.rows[place]) * hidden, hidden * 4) }
    }
  }
}
