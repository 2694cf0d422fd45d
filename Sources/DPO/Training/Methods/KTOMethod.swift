import DPOBase
import DPOModel

extension TrainingMethod {
  static func kto(_ options: TrainingOptions) throws -> TrainingMethod {
    .kto(try options.ktoLoss(), group: options.batches.perDeviceTrainBatchSize)
  }

  static func bco(_ options: TrainingOptions) throws -> TrainingMethod { .bco(beta: options.method.beta) }

  /// KTO (Ethayarajh et al. 2024) on completions with a thumb up or down. After the rows' own sequences a micro-batch
  /// scores each prompt with the completion of the row before it, whose mean log-ratio estimates the KL divergence; not for
  /// apo_zero_unpaired, which takes it as 0.
  static func kto(_ options: KTOLossOptions, group: Int) -> TrainingMethod {
    var method = unpaired("kto") { batch, labels, ratios, weights in
      let count = labels.count
      let result = try DPO.ktoLoss(
        logRatios: Array(ratios[..<count]), labels: labels, klLogRatios: Array(ratios[count...]), weights: weights,
        options)
      return (result, [.kl: result.baseline], nil)
    }
    guard options.kind == .kto else { return method }
    method.isSequential = true
    method.mismatchedSequences = 1
    method.makeForest = { data, rows, keepsLast in
      try data.forest(of: rows.map(data.sequence) + data.mismatched(rows, group: group), keepsLast: keepsLast)
    }
    method.ownRemarks = { data in
      guard data.count % group == 1 else { return [] }
      return [
        "\(data.name): the last row is alone in its group of \(group), so that KTO compares it with itself: the KL divergence is "
          + "its own log-ratio there; another per_device_train_batch_size gives it company"
      ]
    }
    method.size = { data, row in
      let sequence = data.sequence(row)
      return (sequence.prompt.count + 2 * sequence.completion.count, 2 * sequence.targetCount)
    }
    return method
  }

  /// BCO (Jung et al. 2024) on completions with a thumb up or down. The running mean of the rewards is the run's state.
  static func bco(beta: Double) -> TrainingMethod {
    var method = unpaired("bco") { batch, labels, ratios, weights in
      var baseline = BCOBaseline(mean: batch.state.first ?? 0, rows: batch.state.last ?? 0)
      let result = try bcoLoss(
        logRatios: ratios, labels: labels, weights: weights, beta: beta, baseline: &baseline,
        isTraining: batch.isTraining || baseline.rows == 0)
      return (result, [.delta: result.baseline], [baseline.mean, baseline.rows])
    }
    method.state = HandedOn(
      initial: [0, 0],
      observation: { batch in
        let sums = batch.policy.sums
        return zip(sums, batch.reference ?? Array(repeating: 0, count: sums.count)).map { beta * ($0 - $1) }
      },
      adding: { state, rewards in
        var baseline = BCOBaseline(mean: state.first ?? 0, rows: state.last ?? 0)
        baseline.add(rewards)
        return [baseline.mean, baseline.rows]
      })
    return method
  }

  /// A method on labelled completions, by its loss of the micro-batch's labels, log-ratios of all its sequences and
  /// weights, with metrics of its own and the state that it hands on.
  private static func unpaired(
    _ name: String,
    loss:
      @escaping @Sendable (_ batch: MicroBatch, _ labels: [Bool], _ logRatios: [Double], _ weights: [Double]?) throws
      -> (UnpairedLossResult, metrics: Metrics, state: [Double]?)
  ) -> TrainingMethod {
    TrainingMethod(
      name: name, purpose: .unpaired, usesReference: true, extras: [.entropy, .meanLogit],
      loss: { batch in
        let sums = batch.policy.sums
        let labels = batch.rows.map { batch.data.labels?[$0] ?? true }
        let ratios = zip(sums, batch.reference ?? Array(repeating: 0, count: sums.count)).map { $0 - $1 }
        let (result, metrics, state) = try loss(
          batch, labels, ratios, batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight))
        let share = 1 / Double(batch.stepMicroBatches)
        let rows = unpairedRowMetrics(sums: Array(sums[..<labels.count]), labels: labels, rewards: result.rewards)
        let tokens = unpairedTokenSums(batch.policy, labels: labels)
        return MethodLoss(
          loss: result.loss * share,
          tokenGradients: spread(result.gradients.map { $0 * share }, over: batch.policy.counts),
          metrics: metrics + unpairedMetrics(rows, tokens),
          nonFiniteRows: batch.rows.indices.filter { !result.losses[$0].isFinite }.map { batch.rows[$0] }, state: state,
          rowMetrics: [.loss: result.losses] + rows, tokenSums: tokens)
      },
      rowDifferences: [
        RowMetrics.Difference(name: .rewardsMargins, of: .rewardsChosen, and: .rewardsRejected)
      ])
  }
}

extension TrainingOptions {
  /// The options of KTO's loss, checked. `sigmoid`, the default of `loss_type`, stands for the method's own.
  func ktoLoss() throws -> KTOLossOptions {
    var loss = KTOLossOptions()
    loss.kind = KTOLossOptions.Kind(rawValue: try singleLossType(of: KTOLossOptions.names + ["sigmoid"])) ?? .kto
    guard loss.kind == .apoZeroUnpaired || batches.perDeviceTrainBatchSize > 1 else {
      throw DPOError.argument("kto compares the rows of a micro-batch: per_device_train_batch_size must be at least 2")
    }
    guard loss.kind == .apoZeroUnpaired || !method.precomputeRefLogProbs else {
      throw DPOError.argument("precompute_ref_log_probs does not go with kto")
    }
    loss.beta = method.beta
    loss.desirableWeight = method.desirableWeight
    loss.undesirableWeight = method.undesirableWeight
    try loss.validate()
    return loss
  }
}

extension KTOLossOptions {
  /// What `loss_type` may be for the method kto.
  static let names = Kind.allCases.map(\.rawValue)
}

/// What some of the metrics of labelled rows are the means of: one number a row with a thumb up (chosen) or down (rejected).
private func unpairedRowMetrics(
  sums: [Double], labels: [Bool], rewards: [Double]
) -> RowMetrics {
  func rows(_ label: Bool) -> [Int] { labels.indices.filter { labels[$0] == label } }
  return [
    .rewardsChosen: rows(true).map { rewards[$0] }, .logpsChosen: rows(true).map { sums[$0] },
    .rewardsRejected: rows(false).map { rewards[$0] }, .logpsRejected: rows(false).map { sums[$0] },
  ]
}

/// Mean logit of rows with a thumb up (chosen) and down (rejected), where there are any, and the entropy of all.
private func unpairedTokenSums(_ scores: TokenScores, labels: [Bool]) -> TokenSums {
  var logits = [0.0, 0.0]
  var tokens = [0, 0]
  var entropy = 0.0
  var start = 0
  for (row, label) in labels.enumerated() {
    for index in start..<start + scores.counts[row] {
      logits[label ? 0 : 1] += Double(scores.meanLogit?[index] ?? 0)
      entropy += Double(scores.entropy?[index] ?? 0)
    }
    tokens[label ? 0 : 1] += scores.counts[row]
    start += scores.counts[row]
  }
  var sums: TokenSums = [:]
  if labels.contains(true) { sums += [.logitsChosen: (logits[0], tokens[0])] }
  if labels.contains(false) { sums += [.logitsRejected: (logits[1], tokens[1])] }
  sums += [.entropy: (entropy, start)]
  return sums
}

/// TRL's metrics of labelled rows.
private func unpairedMetrics(_ rows: RowMetrics, _ tokens: TokenSums) -> Metrics {
  let tokens = tokens.means
  var metrics = rows.means + Metrics(tokens.filter { $0.name != .entropy })
  if let chosen = metrics[.rewardsChosen], let rejected = metrics[.rewardsRejected] {
    metrics[.rewardsMargins] = chosen - rejected
  }
  metrics[.entropy] = tokens[.entropy]
  return metrics
}
