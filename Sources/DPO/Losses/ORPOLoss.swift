import DPOBase
import DPOPlatform

/// ORPO (Hong et al. 2024), no reference model: loss = NLL − β · mean log σ(o),
/// o = (c − r) − [log(1 − e^c) − log(1 − e^r)], c and r the mean log-prob per predicted completion token.
///
/// - Parameters:
///   - chosen, rejected: summed log-probs of the completions; `chosenCounts`, `rejectedCounts` their predicted tokens.
///   - full: summed log-probs of prompt and completion of the chosen rows, and `fullCounts` their tokens; the
///     likelihood term is their token mean, and `likelihoodGradients` belong to those tokens.
public func orpoLoss(
  chosen: [Double], rejected: [Double], chosenCounts: [Int], rejectedCounts: [Int], full: [Double], fullCounts: [Int],
  weights: [Double]? = nil, beta: Double = TrainingOptions.Method.standard.beta
) throws -> PairLossResult {
  guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
  var columns = PairScores(
    chosen: chosen, rejected: rejected, chosenCounts: chosenCounts, rejectedCounts: rejectedCounts)
  columns.weights = weights
  columns.chosenTotals = full
  columns.chosenTargets = fullCounts
  try columns.validate()
  let count = chosen.count
  var result = PairLossResult(pairs: count)
  var logOdds: [Double] = []
  var logSigmoids: [Double] = []
  for pair in 0..<count {
    let nw = Double(max(chosenCounts[pair], 1))
    let nl = Double(max(rejectedCounts[pair], 1))
    // A completion of probability 1 has infinite odds: its mean log-prob is held a rounding step below 0.
    let c = min(chosen[pair] / nw, -0x1p-53)
    let r = min(rejected[pair] / nl, -0x1p-53)
    let odds = (c - r) - (log1mExp(c) - log1mExp(r))
    let weight = weights?[pair] ?? 1
    let g = -weight * beta * sigmoid(-odds) / Double(count)
    result.losses[pair] = -weight * beta * logSigmoid(odds)
    result.chosenGradients[pair] = g / (-expm1(c)) / nw
    result.rejectedGradients[pair] = -g / (-expm1(r)) / nl
    result.chosenRewards[pair] = beta * c
    result.rejectedRewards[pair] = beta * r
    logOdds.append(odds)
    logSigmoids.append(logSigmoid(odds))
  }
  addNLL(sums: full, counts: fullCounts, weights, factor: 1, to: &result)
  let odds: RowMetrics = [.logOddsRatio: logSigmoids, .logOddsChosen: logOdds]
  result.rowMetrics += odds
  result.metrics += odds.means
  return result
}
