import DPOBase

/// BCO's running mean δ of all rewards seen, desirable and undesirable; a value of the run, kept in checkpoints.
public struct BCOBaseline: Sendable, Equatable {
  /// δ: mean of β log π/π_ref over the rows seen; 0 before the first.
  public private(set) var mean = 0.0
  /// Rows seen.
  public private(set) var rows = 0.0

  /// No rows seen.
  public init() {}
  /// Goes on from a run's δ over so many rows, as a checkpoint keeps them.
  public init(mean: Double, rows: Double) {
    self.mean = mean
    self.rows = rows
  }

  /// Takes the rewards β log π/π_ref of more rows into the mean.
  public mutating func add(_ rewards: [Double]) {
    guard !rewards.isEmpty else { return }
    rows += Double(rewards.count)
    mean += (rewards.sum - Double(rewards.count) * mean) / rows
  }
}

/// BCO (Jung et al. 2024) on unpaired rows, ρ = β log π/π_ref, δ the running mean of all ρ seen (constant):
/// desirable ℓ = −log σ(ρ − δ), undesirable ℓ = −log σ(δ − ρ); mean over the rows.
///
/// - Parameter baseline: rewards seen; training adds these rows' before the loss is taken, evaluation does not.
public func bcoLoss(
  logRatios: [Double], labels: [Bool], weights: [Double]? = nil, beta: Double, baseline: inout BCOBaseline,
  isTraining: Bool = true
) throws -> UnpairedLossResult {
  guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
  try checkRows(logRatios, labels, weights)
  var result = UnpairedLossResult()
  result.rewards = logRatios.map { beta * $0 }
  if isTraining { baseline.add(result.rewards) }
  result.baseline = baseline.mean
  for (row, reward) in result.rewards.enumerated() {
    let sign: Double = labels[row] ? 1 : -1
    let v = sign * (reward - baseline.mean)
    let weight = weights?[row] ?? 1
    result.losses.append(-weight * logSigmoid(v))
    result.gradients.append(-weight * sign * beta * sigmoid(-v) / Double(logRatios.count))
  }
  result.loss = result.losses.mean
  return result
}
