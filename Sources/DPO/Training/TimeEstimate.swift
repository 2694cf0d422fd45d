import DPOModel

/// How long micro-batches take, from some of them: forward, loss and backward as in a step, whose gradients are thrown away.
struct MicroBatchTimes {
  /// Seconds of the policy's passes, of its forward pass alone, and of the reference's pass.
  struct Seconds {
    var policy = 0.0
    var forward = 0.0
    var reference = 0.0

    var total: Double { policy + reference }

    static func + (a: Seconds, b: Seconds) -> Seconds {
      Seconds(policy: a.policy + b.policy, forward: a.forward + b.forward, reference: a.reference + b.reference)
    }
  }

  /// By the token.
  private(set) var perToken = Seconds()
  /// What the first one takes longer, because it reads the weights and fills memory for the first time.
  private(set) var warmUp = 0.0
  /// Measuring ends after so many seconds; a longer micro-batch is measured alone.
  private static let patience = 8.0

  /// - Parameter batches: micro-batches of `data`, the most usual first.
  init(_ data: TokenizedDataset, _ batches: [[Int]], _ models: TrainedModels) throws {
    guard let usual = batches.first else { return }
    defer { models.optimizer.clearGradients() }
    func tokens(_ rows: [Int]) -> Int { rows.reduce(0) { $0 + models.method.size(data, $1).tokens } }
    let first = try MicroBatchTimes.measure(data, usual, models)
    var (sum, count) = (first, tokens(usual))
    if first.total < MicroBatchTimes.patience {
      sum = try MicroBatchTimes.measure(data, usual, models)
      warmUp = max(0, first.total - sum.total)
      for rows in batches.dropFirst() where first.total + sum.total < MicroBatchTimes.patience {
        sum = sum + (try MicroBatchTimes.measure(data, rows, models))
        count += tokens(rows)
      }
    }
    let scale = 1 / Double(max(1, count))
    perToken = Seconds(policy: sum.policy * scale, forward: sum.forward * scale, reference: sum.reference * scale)
  }

  private static func measure(_ data: TokenizedDataset, _ rows: [Int], _ models: TrainedModels) throws -> Seconds {
    try models.checkCancelled()
    let clock = ContinuousClock()
    let forest = models.method.forest(data, rows)
    let start = clock.now
    let sums = try models.reference?.sums(rows: rows, forest: forest, method: models.method)
    let compared = clock.now
    let scores = try models.runner.forward(forest, adapter: models.adapter, extras: models.method.extras)
    let scored = clock.now
    let result = try models.method.loss(
      MicroBatch(
        data: data, rows: rows, policy: scores, reference: sums, stepMicroBatches: 1,
        stepTargets: forest.targets.count, state: models.state))
    try models.runner.backward(logProbGradients: result.tokenGradients, valueGradients: result.valueGradients)
    return Seconds(
      policy: compared.duration(to: clock.now) / .seconds(1), forward: compared.duration(to: scored) / .seconds(1),
      reference: start.duration(to: compared) / .seconds(1))
  }
}

extension Optimizer {
  /// Seconds of a step's norm and update, the first time and then. Nothing changes: before the first step gradients and moments
  /// are 0. Later it is not measured, and 0.
  func secondsOfUpdate() -> (first: Double, usual: Double) {
    guard step == 0 else { return (0, 0) }
    clearGradients()
    func measured() -> Double {
      let clock = ContinuousClock()
      let start = clock.now
      apply(learningRate: 0, norm: gradientNorm(), maxNorm: 1)
      return start.duration(to: clock.now) / .seconds(1)
    }
    defer { step = 0 }
    return (measured(), measured())
  }
}

extension EpochSource {
  /// From timing micro-batches of short, usual and long rows, and an update.
  func estimateSeconds(_ models: TrainedModels) throws -> Double {
    // So many steps stand for all: the sizes of a longer run's micro-batches repeat.
    let known = min(totalSteps, 2000)
    let batches = (0..<known).flatMap { order.step($0).microBatches }.filter { !$0.isEmpty }
    let sizes = batches.map { rows in rows.reduce(0) { $0 + models.method.size(data, $1).tokens } }
    let sorted = batches.indices.sorted { sizes[$0] < sizes[$1] }
    guard !sorted.isEmpty else { return 0 }
    let times = try MicroBatchTimes(data, [3, 1, 5].map { batches[sorted[sorted.count * $0 / 6]] }, models)
    let tokens = Double(sizes.reduce(0, +)) * Double(totalSteps) / Double(known)
    let update = models.optimizer.secondsOfUpdate()
    let evaluations =
      options.files.evalSteps > 0
      ? (Double(totalSteps) / Double(options.files.evalSteps)).rounded(.up)
      : (Double(totalSteps) / Double(stepsPerEpoch)).rounded(.up)
    let compared = options.method.precomputeRefLogProbs ? Double(workload.distinctTokens) : tokens
    let evaluated = evaluations * Double(evaluationTokens(models.method))
    return times.warmUp + tokens * times.perToken.policy + compared * times.perToken.reference
      + evaluated * (times.perToken.forward + times.perToken.reference)
      + max(0, update.first - update.usual) + Double(totalSteps) * update.usual
  }
}
