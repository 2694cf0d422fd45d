import DPOModel

/// How long passes over forests take, from timing some blocks of the model on two small ones (see `Excerpt`): with a large
/// model, or long rows, a whole micro-batch takes minutes.
struct PassTimes {
  /// What is timed, and at what sizes.
  private struct Sample {
    let size: PassSize
    let seconds: PassSeconds
  }

  /// The smaller first; one where both have the same size.
  private var samples: [Sample] = []

  /// Seconds over a forest of that size: a line through the samples.
  func seconds(_ size: PassSize) -> Double {
    guard let last = samples.last else { return 0 }
    func line(_ x: (PassSize) -> Int, _ y: (PassSeconds) -> Double) -> Double {
      let (x0, y0, at) = (Double(x(last.size)), y(last.seconds), Double(x(size)))
      guard let first = samples.first, x(first.size) < x(last.size) else { return x0 > 0 ? y0 / x0 * at : 0 }
      // Between what all of it grows with its size, and what none of it does.
      let slope = min(y0 / x0, max(0, y0 - y(first.seconds)) / (x0 - Double(x(first.size))))
      return max(0, y0 + slope * (at - x0))
    }
    let attention = last.size.pairs > 0 ? last.seconds.attention / last.size.pairs * size.pairs : 0
    return line(\.tokens, \.blocks) + line(\.headRows, \.head) + attention
  }

  mutating func add(_ size: PassSize, _ seconds: PassSeconds) {
    samples.append(Sample(size: size, seconds: seconds))
  }
}

/// The same of the passes of a micro-batch.
struct MicroBatchTimes {
  private(set) var forward = PassTimes()
  private(set) var backward = PassTimes()
  private(set) var reference = PassTimes()
  /// What the first micro-batch takes longer, because it reads the weights and fills memory for the first time.
  private(set) var warmUp = 0.0
  /// Products of a block with what is timed are at most so many operations.
  private static let operations = 40e9

  init(_ forest: TokenForest, _ models: TrainedModels) throws {
    defer { models.optimizer.clearGradients() }
    let configuration = models.runner.decoder.configuration
    let large = forest.excerpt(configuration, operations: MicroBatchTimes.operations)
    let small = large.excerpt(configuration, operations: MicroBatchTimes.operations / 2.5)
    let cold = try measure(small, models)
    for (index, forest) in [small, large].enumerated() where index == 0 || forest.tokens.count > small.tokens.count {
      let size = forest.passSize(configuration)
      var times = try measure(forest, models)
      // Small ones are over before the processor has its speed.
      for _ in 0..<2 where times.total < 0.1 { times = times.fastest(try measure(forest, models)) }
      forward.add(size, times.forward)
      backward.add(size, times.backward)
      reference.add(size, times.reference)
      if index == 0 { warmUp = max(0, cold.total - times.total) }
    }
  }

  private struct Measured {
    var forward, backward, reference: PassSeconds

    var total: Double { forward.total + backward.total + reference.total }

    func fastest(_ other: Measured) -> Measured { other.total < total ? other : self }
  }

  private func measure(_ forest: TokenForest, _ models: TrainedModels) throws -> Measured {
    try models.checkCancelled()
    let reference = try models.reference?.runner.timePasses(
      forest, adapter: models.reference?.adapter, trains: false)
    let policy = try models.runner.timePasses(
      forest, adapter: models.adapter, extras: models.method.extras, trains: true)
    return Measured(forward: policy.forward, backward: policy.backward, reference: reference?.forward ?? PassSeconds())
  }
}

extension Optimizer {
  /// Seconds of a step's norm and update, the first time and then. Nothing changes: before the first step gradients and moments
  /// are 0. Later it is not measured, and 0.
  func secondsOfUpdate(_ inBackward: BackwardUpdate?) -> (first: Double, usual: Double) {
    guard step == 0 else { return (0, 0) }
    clearGradients()
    func measured() -> Double {
      let clock = ContinuousClock()
      let start = clock.now
      if let inBackward { inBackward.rehearse() } else { apply(learningRate: 0, norm: gradientNorm(), maxNorm: 1) }
      return start.duration(to: clock.now) / .seconds(1)
    }
    defer { step = 0 }
    return (measured(), measured())
  }
}

extension EpochSource {
  /// From timing passes over a usual micro-batch, and an update.
  func estimateSeconds(_ models: TrainedModels) throws -> Double {
    // So many micro-batches stand for all: the sizes of a longer run's repeat.
    let known = min(totalSteps, 2000)
    let all = (0..<known).flatMap { order.step($0).microBatches }.filter { !$0.isEmpty }
    let batches = stride(from: 0, to: all.count, by: all.count / 256 + 1).map { all[$0] }
    let forests = try batches.map { try models.method.forest(data, $0) }.sorted { $0.tokens.count < $1.tokens.count }
    guard !forests.isEmpty else { return 0 }
    let usual = forests[forests.count / 2]
    let times = try MicroBatchTimes(usual, models)
    let c = models.runner.decoder.configuration
    let sizes = forests.map { $0.passSize(c) }
    let each = Double(totalSteps) / Double(known) * Double(all.count) / Double(batches.count)
    let trained = each * sizes.reduce(0) { $0 + times.forward.seconds($1) + times.backward.seconds($1) }
    /// Seconds of a token in a usual micro-batch.
    func perToken(_ pass: PassTimes) -> Double { pass.seconds(usual.passSize(c)) / Double(max(1, usual.tokens.count)) }
    let compared =
      models.reference.map { $0.known.allSatisfy { $0 != nil } } ?? true
      ? 0
      : options.method.precomputeRefLogProbs
        ? Double(workload.distinctTokens) * perToken(times.reference)
        : each * sizes.reduce(0) { $0 + times.reference.seconds($1) }
    let evaluations =
      options.files.evalSteps > 0
      ? (Double(totalSteps) / Double(options.files.evalSteps)).rounded(.up)
      : (Double(totalSteps) / Double(stepsPerEpoch)).rounded(.up)
    let evaluated =
      evaluations * Double(evaluationTokens(models.method)) * (perToken(times.forward) + perToken(times.reference))
    let update = models.optimizer.secondsOfUpdate(models.backwardUpdate)
    return times.warmUp + trained + compared + evaluated + max(0, update.first - update.usual)
      + Double(totalSteps) * update.usual
  }
}
