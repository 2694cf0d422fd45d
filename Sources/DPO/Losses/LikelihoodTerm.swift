/// What a loss has of a likelihood term: mean `factors` · NLL, NLL = Σ `sums` / Σ `counts`, a ratio of sums over rows. Kept row by
/// row, so that an evaluation takes it, and its standard error, over all rows whatever the batches were.
struct LikelihoodTerm: Sendable {
  /// −w_i Σ_t log-prob of each row.
  private(set) var sums: [Double]
  /// Predicted tokens of each row.
  private(set) var counts: [Int]
  /// What the term counts in each row's loss.
  private(set) var factors: [Double]

  init(sums: [Double], counts: [Int], factors: [Double]) {
    (self.sums, self.counts, self.factors) = (sums, counts, factors)
  }

  /// - Parameter sums: of log-probs, to be multiplied by the weights.
  init(sums: [Double], counts: [Int], _ weights: [Double]?, factors: [Double]) {
    self.init(sums: sums.indices.map { -sums[$0] * (weights?[$0] ?? 1) }, counts: counts, factors: factors)
  }

  static func += (first: inout LikelihoodTerm, second: LikelihoodTerm) {
    first.sums += second.sums
    first.counts += second.counts
    first.factors += second.factors
  }

  var tokens: Int { counts.reduce(0, +) }
  /// 0 without tokens.
  var nll: Double { tokens > 0 ? sums.sum / Double(tokens) : 0 }
  /// The term of the mean loss.
  var loss: Double { factors.mean * nll }

  /// Numbers whose mean is NLL and whose spread is that between rows: NLL + (sum_i − NLL · n_i) · B / Σ n, by which NLL differs
  /// with one of B rows to first order (the delta method).
  var values: [Double] {
    let (nll, scale) = (nll, Double(sums.count) / Double(max(1, tokens)))
    return zip(sums, counts).map { nll + ($0 - nll * Double($1)) * scale }
  }

  /// The same of the term of the loss.
  var losses: [Double] {
    let (nll, factor) = (nll, factors.mean)
    return zip(values, factors).map { factor * ($0 - nll) + $1 * nll }
  }
}

extension PairLossResult {
  /// Adds the term, the same NLL for every pair, to the losses and its gradients to those of the tokens.
  mutating func add(_ term: LikelihoodTerm, _ weights: [Double]?) {
    // A sum of losses may have it twice.
    let before = likelihood?.factors ?? term.factors.map { _ in 0 }
    likelihood = LikelihoodTerm(sums: term.sums, counts: term.counts, factors: zip(before, term.factors).map(+))
    guard term.tokens > 0 else { return }
    let (nll, share) = (term.nll, term.factors.mean / Double(term.tokens))
    for pair in losses.indices {
      losses[pair] += term.factors[pair] * nll
      likelihoodGradients[pair] -= share * (weights?[pair] ?? 1)
    }
  }
}
