import DPOBase
import DPOPlatform

/// The DPO family: Σ_j weight_j · mean_i ℓ_ij, with ∂/∂C and ∂/∂R. Equations stand beside the code.
///
/// A pure function of numbers: it takes log-probs of any model and says nothing of where they come from. Infinite or NaN
/// log-probs give infinite or NaN results (`firstNonFinitePair` finds them); any finite log-probs give finite ones, but
/// for true overflow of squares and of forward_kl.
///
/// - Throws: `.invalidArgument` for options out of range, for arrays of different lengths, for a missing reference.
public func dpoLoss(_ scores: PairScores, _ options: DPOLossOptions) throws -> PairLossResult {
  try options.validate()
  try scores.validate()
  let count = scores.count
  let hasReference = scores.referenceChosen != nil && scores.referenceRejected != nil
  guard hasReference || !options.needsReference else {
    throw DPOError.argument("\(options.losses[0].type.rawValue) needs the reference's log-probs, or reference_free")
  }
  let weighted = options.losses.contains { $0.type.sortsBatch } && scores.weights?.contains { $0 != 1 } == true
  guard !weighted else {
    throw DPOError.argument("pair weights do not go with aot or aot_unpaired, which sort the batch")
  }
  if options.useWeighting, scores.wpoWeights == nil {
    throw DPOError.argument("use_weighting needs WPO weights, which take per-token log-probs")
  }

  let zeros = [Double](repeating: 0, count: count)
  let referenceChosen = options.referenceFree ? zeros : scores.referenceChosen ?? zeros
  let referenceRejected = options.referenceFree ? zeros : scores.referenceRejected ?? zeros
  let scale = (0..<count).map { pair in
    (scores.weights?[pair] ?? 1) * (options.useWeighting ? scores.wpoWeights?[pair] ?? 1 : 1)
  }
  var result = PairLossResult(pairs: count)
  let perPair = 1 / Double(count)

  for term in options.losses {
    switch term.type {
    case .sft: addLikelihood(scores, options, weight: term.weight, to: &result)
    case .aot, .aotUnpaired:
      let columns = AOTColumns(
        chosen: scores.chosen, rejected: scores.rejected, referenceChosen: referenceChosen,
        referenceRejected: referenceRejected)
      addAOT(columns, paired: term.type == .aot, options, weight: term.weight, to: &result)
    default:
      for pair in 0..<count {
        let value = pairTerm(
          term.type, a: scores.chosen[pair] - referenceChosen[pair], b: scores.rejected[pair] - referenceRejected[pair],
          chosenCount: scores.chosenCounts[pair], rejectedCount: scores.rejectedCounts[pair], options)
        let factor = term.weight * scale[pair]
        result.losses[pair] += factor * value.loss
        result.chosenGradients[pair] += factor * value.chosen * perPair
        result.rejectedGradients[pair] += factor * value.rejected * perPair
      }
    }
  }
  result.loss = result.losses.mean

  // TRL reports raw log-ratios, whatever the loss, divergence or weights.
  for pair in 0..<count {
    result.chosenRewards[pair] = options.beta * (scores.chosen[pair] - (scores.referenceChosen?[pair] ?? 0))
    result.rejectedRewards[pair] = options.beta * (scores.rejected[pair] - (scores.referenceRejected?[pair] ?? 0))
  }
  return result
}

/// ℓ of one pair, ∂ℓ/∂C and ∂ℓ/∂R.
private typealias TermValue = (loss: Double, chosen: Double, rejected: Double)

/// The losses that look at one pair at a time. a = C − Cr, b = R − Rr; A = f(a), D = f(b), u = β(A − D).
private func pairTerm(
  _ type: LossType, a: Double, b: Double, chosenCount: Int, rejectedCount: Int, _ options: DPOLossOptions
) -> TermValue {
  let beta = options.beta
  let epsilon = options.labelSmoothing
  let (A, dA) = options.fDivergence.apply(a, alphaCoefficient: options.alphaCoefficient)
  let (D, dD) = options.fDivergence.apply(b, alphaCoefficient: options.alphaCoefficient)
  let u = beta * (A - D)
  /// A loss of u alone: ∂ℓ/∂A = β ℓ'(u) = −∂ℓ/∂D.
  func margin(_ loss: Double, _ derivative: Double) -> TermValue {
    (loss, product(beta * derivative, dA), product(-beta * derivative, dD))
  }

  switch type {
  case .sigmoid:  // −log σ(u)
    return margin(-logSigmoid(u), -sigmoid(-u))
  case .conservative:  // −(1−ε) log σ(u) − ε log σ(−u)
    return margin(
      -(1 - epsilon) * logSigmoid(u) - epsilon * logSigmoid(-u), epsilon * sigmoid(u) - (1 - epsilon) * sigmoid(-u))
  case .robust:  // [ε log σ(−u) − (1−ε) log σ(u)] / (1−2ε)
    let z = 1 - 2 * epsilon
    return margin(
      (epsilon * logSigmoid(-u) - (1 - epsilon) * logSigmoid(u)) / z,
      -((1 - epsilon) * sigmoid(-u) + epsilon * sigmoid(u)) / z)
  case .hinge:  // max(0, 1 − u)
    return margin(max(0, 1 - u), u < 1 ? -1 : 0)
  case .exoPair:  // q (log q − log(1−ε)) + (1−q)(log(1−q) − log ε),  q = σ(u)
    let q = sigmoid(u)
    let p = sigmoid(-u)
    return margin(
      q * (logSigmoid(u) - log1p(-epsilon)) + p * (logSigmoid(-u) - log(epsilon)),
      q * p * (u - log((1 - epsilon) / epsilon)))
  case .discopop:  // −(1−μ) log σ(u) + μ e^−u,  μ = σ(u/τ)
    let tau = options.discopopTau
    let mu = sigmoid(u / tau)
    let nu = sigmoid(-u / tau)
    let exponential = exp(-u + logSigmoid(u / tau))  // μ e^−u, which overflows when taken apart
    return margin(
      -nu * logSigmoid(u) + exponential,
      -nu * sigmoid(-u) - exponential + mu * nu / tau * logSigmoid(u) + exponential * nu / tau)
  case .ipo:  // (e − 1/(2β))²,  e = A/n_w − D/n_l
    let nw = Double(max(chosenCount, 1))
    let nl = Double(max(rejectedCount, 1))
    let distance = A / nw - D / nl - 1 / (2 * beta)
    return (distance * distance, product(2 * distance / nw, dA), product(-2 * distance / nl, dD))
  case .sigmoidNorm:  // −log σ(βe)
    let nw = Double(max(chosenCount, 1))
    let nl = Double(max(rejectedCount, 1))
    let v = beta * (A / nw - D / nl)
    let g = -beta * sigmoid(-v)
    return (-logSigmoid(v), product(g / nw, dA), product(-g / nl, dD))
  case .ncaPair:  // −log σ(βa) − ½ log σ(−βa) − ½ log σ(−βb)
    return (
      -logSigmoid(beta * a) - 0.5 * logSigmoid(-beta * a) - 0.5 * logSigmoid(-beta * b),
      beta * (0.5 * sigmoid(beta * a) - sigmoid(-beta * a)), 0.5 * beta * sigmoid(beta * b)
    )
  case .bcoPair:  // −log σ(βa) − log σ(−βb)
    return (-logSigmoid(beta * a) - logSigmoid(-beta * b), -beta * sigmoid(-beta * a), beta * sigmoid(beta * b))
  case .sppoHard:  // (a − 1/(2β))² + (b + 1/(2β))²
    let h = 1 / (2 * beta)
    return ((a - h) * (a - h) + (b + h) * (b + h), 2 * (a - h), 2 * (b + h))
  case .apoZero:  // 1 − σ(βa) + σ(βb)
    return (
      sigmoid(-beta * a) + sigmoid(beta * b), -beta * sigmoidDerivative(beta * a), beta * sigmoidDerivative(beta * b)
    )
  case .apoDown:  // σ(βa) + 1 − σ(β(a−b))
    let v = beta * (a - b)
    return (
      sigmoid(beta * a) + sigmoid(-v), beta * (sigmoidDerivative(beta * a) - sigmoidDerivative(v)),
      beta * sigmoidDerivative(v)
    )
  case .sft, .aot, .aotUnpaired:
    return (0, 0, 0)  // of the whole batch, computed apart
  }
}

/// x·y with 0·∞ = 0: a saturated loss has no gradient, however steep the divergence is.
private func product(_ x: Double, _ y: Double) -> Double { x == 0 || y == 0 ? 0 : x * y }

/// −(Σ_i w_i Σ_t lp_it) / (Σ_i N_i) over the chosen completions, the same value for every pair; w_i are the data weights
/// (a pair of weight 0 adds no likelihood). WPO multiplies each pair's copy of the value before the mean.
private func addLikelihood(
  _ scores: PairScores, _ options: DPOLossOptions, weight: Double, to result: inout PairLossResult
) {
  let wpo = options.useWeighting ? scores.wpoWeights : nil
  result.add(
    LikelihoodTerm(
      sums: scores.chosenTotals ?? scores.chosen, counts: scores.chosenTargets ?? scores.chosenCounts, scores.weights,
      factors: (0..<scores.count).map { weight * (wpo?[$0] ?? 1) }), scores.weights)
}

private struct AOTColumns {
  let chosen, rejected, referenceChosen, referenceRejected: [Double]
}

/// AOT: sort two columns independently, compare equal ranks: v_k = β(P_(k) − Q_(k)),
/// ℓ_k = −(1−ε) log σ(v_k) − ε log σ(−v_k). Paired: P = C − R, Q = Cr − Rr; unpaired: P = a, Q = b.
/// Ties keep the order of the pairs. ℓ_k is reported with the pair that holds rank k in P.
private func addAOT(
  _ columns: AOTColumns, paired: Bool, _ options: DPOLossOptions, weight: Double, to result: inout PairLossResult
) {
  let count = columns.chosen.count
  let epsilon = options.labelSmoothing
  func ranks(_ values: [Double]) -> [Int] {
    values.indices.sorted { values[$0] < values[$1] || (values[$0] == values[$1] && $0 < $1) }
  }
  func difference(_ x: [Double], _ y: [Double]) -> [Double] { zip(x, y).map { $0 - $1 } }
  let p = paired ? difference(columns.chosen, columns.rejected) : difference(columns.chosen, columns.referenceChosen)
  let q =
    paired
    ? difference(columns.referenceChosen, columns.referenceRejected)
    : difference(columns.rejected, columns.referenceRejected)
  for (i, j) in zip(ranks(p), ranks(q)) {
    let v = options.beta * (p[i] - q[j])
    let g = options.beta * (epsilon * sigmoid(v) - (1 - epsilon) * sigmoid(-v)) * weight / Double(count)
    result.losses[i] += weight * (-(1 - epsilon) * logSigmoid(v) - epsilon * logSigmoid(-v))
    result.chosenGradients[i] += g
    result.rejectedGradients[paired ? i : j] -= g
  }
}
