import DPOBase
import DPOPlatform

/// Log-probs of the predicted completion tokens of several sequences, one after the other.
public struct TokenLogProbs: Sendable {
  /// log π of every token, in nats. Sequence s holds `values[offsets[s]..<offsets[s + 1]]`.
  public var values: [Float]
  /// Where each sequence begins in `values`, and after the last one where that ends.
  public var offsets: [Int]
  /// log Σ_v p_v² at each value, for WPO.
  public var logSumSquares: [Float]?

  /// - Throws: `.invalidArgument` unless `counts` add up to the number of values.
  public init(values: [Float], counts: [Int], logSumSquares: [Float]? = nil) throws {
    var offsets = [0]
    offsets.reserveCapacity(counts.count + 1)
    for count in counts {
      let (end, overflow) = offsets[offsets.count - 1].addingReportingOverflow(count)
      guard count >= 0, !overflow else { throw DPOError.argument("a token count is \(count); expected a number ≥ 0") }
      offsets.append(end)
    }
    guard offsets.last == values.count, logSumSquares == nil || logSumSquares?.count == values.count else {
      throw DPOError.argument("\(values.count) token log-probs for counts that add up to \(offsets.last ?? 0)")
    }
    self.values = values
    self.offsets = offsets
    self.logSumSquares = logSumSquares
  }

  /// Sequences there are.
  public var sequenceCount: Int { offsets.count - 1 }
  /// Predicted tokens of a sequence; sequences count from 0.
  public func count(_ sequence: Int) -> Int { offsets[sequence + 1] - offsets[sequence] }

  /// Σ lp over the first `head` tokens + α Σ lp over the rest, in double.
  func sum(_ sequence: Int, head: Int = .max, tail alpha: Double = 1) -> Double {
    let start = offsets[sequence]
    let end = offsets[sequence + 1]
    let cut = min(end, start + min(head, end - start))
    var sum = 0.0
    for index in start..<cut { sum += Double(values[index]) }
    guard cut < end, alpha != 0 else { return sum }
    var rest = 0.0
    for index in cut..<end { rest += Double(values[index]) }
    return sum + alpha * rest
  }

  /// WPO's weight of a sequence: exp( Σ (lp − q) / max(N, 1) ), q = log Σ_v p_v².
  public func wpoWeight(_ sequence: Int) throws -> Double {
    guard let logSumSquares else { throw DPOError.argument("use_weighting needs log Σ p² of every token") }
    var sum = 0.0
    for index in offsets[sequence]..<offsets[sequence + 1] {
      sum += Double(values[index]) - Double(logSumSquares[index])
    }
    return exp(sum / Double(max(count(sequence), 1)))
  }

  /// What a pairwise loss compares, for each sequence: plain sums, or with LD-DPO's α on each token beyond the number of
  /// tokens of the pair's shorter completion. Sequences 2i and 2i + 1 are the chosen and the rejected of pair i. The
  /// reference's sums are formed the same way.
  public func pairSums(ldAlpha: Double? = nil) -> [Double] {
    (0..<sequenceCount).map { sequence in
      guard let ldAlpha, sequence ^ 1 < sequenceCount else { return sum(sequence) }
      return sum(sequence, head: count(sequence ^ 1), tail: ldAlpha)
    }
  }
}

/// A loss over pairs with the gradient of each token's log-prob.
public struct TokenLossResult: Sendable {
  /// The loss, and its gradients by the sums of the sequences.
  public var pairs: PairLossResult
  /// C_0, R_0, C_1, R_1, …: the policy's sums as the loss saw them.
  public var sums: [Double]
  /// ∂loss/∂log-prob of every value of the policy's `TokenLogProbs`, in the same order.
  public var tokenGradients: [Float]
}

/// `dpoLoss` from the policy's token log-probs. Sequences 2i and 2i + 1 are the chosen and the rejected of pair i.
///
/// - Parameters:
///   - policy: with `logSumSquares` when `options.useWeighting` is set.
///   - reference: sums for the same sequences (`pairSums` with the same `ldAlpha`), or nil where none is needed.
///   - counts: completion tokens of each sequence; one more than is predicted when a sequence has no prompt.
///   - weights: of the pairs; nil means 1.
public func dpoLoss(
  policy: TokenLogProbs, reference: [Double]?, counts: [Int], weights: [Double]? = nil, _ options: DPOLossOptions
) throws -> TokenLossResult {
  let sequences = policy.sequenceCount
  guard sequences % 2 == 0, sequences > 0 else {
    throw DPOError.argument("\(sequences) sequences; expected chosen and rejected of at least one pair")
  }
  guard counts.count == sequences, reference == nil || reference?.count == sequences else {
    throw DPOError.argument("expected a count and a reference log-prob for each of the \(sequences) sequences")
  }
  func side<T>(_ values: [T], _ offset: Int) -> [T] { stride(from: offset, to: sequences, by: 2).map { values[$0] } }
  let sums = policy.pairSums(ldAlpha: options.ldAlpha)
  var scores = PairScores(
    chosen: side(sums, 0), rejected: side(sums, 1), referenceChosen: reference.map { side($0, 0) },
    referenceRejected: reference.map { side($0, 1) }, chosenCounts: side(counts, 0), rejectedCounts: side(counts, 1))
  scores.weights = weights
  scores.chosenTargets = stride(from: 0, to: sequences, by: 2).map(policy.count)
  if options.ldAlpha != nil { scores.chosenTotals = stride(from: 0, to: sequences, by: 2).map { policy.sum($0) } }
  if options.useWeighting {
    scores.wpoWeights = try stride(from: 0, to: sequences, by: 2).map {
      try policy.wpoWeight($0) * policy.wpoWeight($0 + 1)
    }
  }
  let pairs = try dpoLoss(scores, options)
  return TokenLossResult(
    pairs: pairs, sums: sums, tokenGradients: spread(pairs, over: policy, ldAlpha: options.ldAlpha))
}

/// Gives every token its sequence's gradient: the pair's part (times α in an LD-DPO tail) and the likelihood's.
private func spread(_ pairs: PairLossResult, over policy: TokenLogProbs, ldAlpha: Double?) -> [Float] {
  var gradients = [Float](repeating: 0, count: policy.values.count)
  for sequence in 0..<policy.sequenceCount {
    let isChosen = sequence % 2 == 0
    let common = (isChosen ? pairs.chosenGradients : pairs.rejectedGradients)[sequence / 2]
    let likelihood = isChosen ? pairs.likelihoodGradients[sequence / 2] : 0
    let head = ldAlpha == nil ? Int.max : policy.count(sequence ^ 1)
    for (rank, index) in (policy.offsets[sequence]..<policy.offsets[sequence + 1]).enumerated() {
      gradients[index] = Float((rank < head ? common : common * (ldAlpha ?? 1)) + likelihood)
    }
  }
  return gradients
}
