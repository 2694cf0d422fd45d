import DPOBase

/// What a preference loss sees of a micro-batch of B pairs: log-probs summed over completion tokens (natural logarithm).
public struct PairScores: Sendable {
  /// C and R: policy sums of the chosen and the rejected completion, with `ldAlpha` applied where it is used.
  public var chosen, rejected: [Double]
  /// Cr and Rr, the same under the reference. May be nil where no loss compares with it.
  public var referenceChosen, referenceRejected: [Double]?
  /// n: completion tokens, the first of a sequence without prompt included. ipo and sigmoid_norm divide by them.
  public var chosenCounts, rejectedCounts: [Int]
  /// What the sft term sees when it differs from `chosen` and `chosenCounts`: sums without `ldAlpha`, and the number of
  /// predicted tokens.
  public var chosenTotals: [Double]?
  /// Predicted tokens of the chosen completions.
  public var chosenTargets: [Int]?
  /// Data weights: a pair's loss ℓ is multiplied by its weight before the mean over B (never renormalised).
  public var weights: [Double]?
  /// WPO's w_chosen · w_rejected for each pair, constants of the loss; see `wpoWeight`.
  public var wpoWeights: [Double]?

  /// Columns of one length, which the losses check.
  public init(
    chosen: [Double], rejected: [Double], referenceChosen: [Double]? = nil, referenceRejected: [Double]? = nil,
    chosenCounts: [Int], rejectedCounts: [Int]
  ) {
    self.chosen = chosen
    self.rejected = rejected
    self.referenceChosen = referenceChosen
    self.referenceRejected = referenceRejected
    self.chosenCounts = chosenCounts
    self.rejectedCounts = rejectedCounts
  }

  /// B: number of pairs.
  public var count: Int { chosen.count }

  func validate() throws {
    guard count > 0 else { throw DPOError.argument("a preference loss needs at least one pair") }
    let columns: [(String, Int?)] = [
      ("rejected", rejected.count), ("referenceChosen", referenceChosen?.count),
      ("referenceRejected", referenceRejected?.count), ("chosenCounts", chosenCounts.count),
      ("rejectedCounts", rejectedCounts.count), ("chosenTotals", chosenTotals?.count),
      ("chosenTargets", chosenTargets?.count), ("weights", weights?.count), ("wpoWeights", wpoWeights?.count),
    ]
    for (name, found) in columns {
      if let found, found != count {
        throw DPOError.argument("\(name) has \(found) values; expected \(count), one for each pair")
      }
    }
    for counts in [chosenCounts, rejectedCounts, chosenTargets ?? []] {
      if let bad = counts.first(where: { $0 < 0 || $0 > 1 << 32 }) {
        throw DPOError.argument("a token count is \(bad); expected a number ≥ 0")
      }
    }
    try validateWeights(weights)
  }
}

/// A loss over pairs and its gradient.
public struct PairLossResult: Sendable {
  /// The micro-batch's loss: the mean of `losses`.
  public var loss: Double
  /// Each pair's loss, weights applied, summed over the losses of a sum.
  public var losses: [Double]
  /// ∂loss/∂C and ∂loss/∂R, the 1/B of the mean included: what each counted token's log-prob gets as well (times
  /// `ldAlpha` in a tail).
  public var chosenGradients, rejectedGradients: [Double]
  /// ∂loss/∂log-prob that each target of the likelihood term gets besides (sft, CPO's and ORPO's NLL): all predicted
  /// tokens of the chosen completion, in ORPO of prompt and completion.
  public var likelihoodGradients: [Double]
  /// Implicit rewards, without gradient; for the DPO family β log π/π_ref.
  public var chosenRewards, rejectedRewards: [Double]
  /// Metrics beyond the rewards, by TRL's names.
  public var metrics: Metrics = [:]
  /// What `metrics` are the means of, one number a pair.
  var rowMetrics: RowMetrics = [:]
  /// The likelihood term, where there is one, pair by pair.
  var likelihood: LikelihoodTerm?

  init(pairs count: Int) {
    loss = 0
    losses = [Double](repeating: 0, count: count)
    chosenGradients = losses
    rejectedGradients = losses
    likelihoodGradients = losses
    chosenRewards = losses
    rejectedRewards = losses
  }

  /// Each pair's loss without the likelihood term.
  var lossesBesideLikelihood: [Double] {
    guard let likelihood else { return losses }
    return zip(losses, likelihood.factors).map { $0 - $1 * likelihood.nll }
  }

  /// The first pair whose loss or gradient is NaN or infinite.
  public var firstNonFinitePair: Int? {
    losses.indices.first {
      !(losses[$0].isFinite && chosenGradients[$0].isFinite && rejectedGradients[$0].isFinite
        && likelihoodGradients[$0].isFinite)
    }
  }
}

/// Data weights are finite and not negative.
func validateWeights(_ weights: [Double]?) throws {
  if let bad = weights?.first(where: { !($0 >= 0 && $0.isFinite) }) {
    throw DPOError.argument("a row's weight is \(bad); expected a finite number ≥ 0")
  }
}

extension Collection where Element == Double {
  var sum: Double { reduce(0, +) }
  var mean: Double { isEmpty ? 0 : sum / Double(count) }
}
