import DPOBase
import DPOModel

/// A training method as a value: what a micro-batch looks like, which loss of its log-probs is minimised, and what is
/// reported. The trainer knows no method by name.
struct TrainingMethod: Sendable {
  let name: String
  /// Rows the method learns from.
  let purpose: DatasetPurpose
  let defaultLearningRate: Double
  /// Whether the loss or the metrics compare with a reference model.
  let usesReference: Bool
  let extras: ScoreExtras
  /// What the trained model says beside or instead of log-probs.
  var heads = Heads.language
  /// Rows longer than max_length are left out instead of cut.
  var dropsLongRows = false
  /// Rows come in the order of the file: the loss compares neighbours.
  var isSequential = false
  /// Scored sequences of a micro-batch.
  var forest: @Sendable (TokenizedDataset, [Int]) -> TokenForest = { $0.forest(rows: $1) }
  /// Distinct tokens and targets that a row brings into a micro-batch.
  var size: @Sendable (TokenizedDataset, Int) -> (tokens: Int, targets: Int) = { $0.size($1) }
  /// What the reference model's token log-probs become, one number a sequence.
  let referenceSums: @Sendable (TokenScores) throws -> [Double]
  let loss: @Sendable (MicroBatch) throws -> MethodLoss
  /// Metrics of a whole evaluation, from the numbers that the losses noted for its rows.
  var overallMetrics: @Sendable ([Double]) -> [(name: String, value: Double)] = { _ in [] }
}

/// Log-probs of some rows of the data, and what they are a part of.
struct MicroBatch {
  let data: TokenizedDataset
  let rows: [Int]
  let policy: TokenScores
  /// Reference sums, one a sequence of the forest.
  let reference: [Double]?
  /// Micro-batches of the optimiser step that this one belongs to.
  let stepMicroBatches: Int
  /// Scored tokens of that step.
  let stepTargets: Int
}

/// A micro-batch's share of an optimiser step.
struct MethodLoss {
  /// Adds up to the step's loss.
  var loss: Double
  /// d step loss / d log-prob, one a target.
  var tokenGradients: [Float] = []
  /// d step loss / d number of the scalar head; empty: 0.
  var valueGradients: [Float] = []
  var metrics: [(name: String, value: Double)]
  /// Rows whose loss is NaN or infinite.
  var nonFiniteRows: [Int] = []
  /// One number a row for `overallMetrics`.
  var rowNumbers: [Double] = []
}

extension TrainingMethod {
  static let names = ["dpo", "sft", "kto", "reward"]

  init(_ options: TrainingOptions) throws {
    switch options.method {
    case "dpo": self = .dpo(try options.dpoLoss())
    case "sft": self = .sft
    case "reward": self = .reward(centerCoefficient: options.centerRewardsCoefficient)
    case "kto": self = .kto(try options.ktoLoss(), group: options.perDeviceTrainBatchSize)
    default:
      throw DPOError.argument(
        "method is \(options.method), expected one of \(TrainingMethod.names.joined(separator: ", "))")
    }
  }

  /// Direct preference optimisation (the paper's section 4) on pairs: sequences 2i and 2i + 1 are the chosen and the
  /// rejected completion of the i-th row.
  static func dpo(_ options: DPOLossOptions) -> TrainingMethod {
    TrainingMethod(
      name: "dpo", purpose: .preference, defaultLearningRate: 1e-6, usesReference: true,
      extras: options.useWeighting ? [.entropy, .meanLogit, .top1, .logSumSquares] : [.entropy, .meanLogit, .top1],
      referenceSums: { try TokenLogProbs($0).pairSums(ldAlpha: options.ldAlpha) },
      loss: { batch in
        let weights = batch.rows.map { batch.data.weight($0) }
        let result = try dpoLoss(
          policy: TokenLogProbs(batch.policy), reference: batch.reference,
          counts: batch.rows.flatMap { batch.data.sequences($0).map(\.completionCount) },
          weights: weights.allSatisfy { $0 == 1 } ? nil : weights, options)
        let share = 1 / Double(batch.stepMicroBatches)
        let pairs = result.pairs
        var metrics: [(String, Double)] = [
          ("rewards/chosen", pairs.chosenRewards.mean), ("rewards/rejected", pairs.rejectedRewards.mean),
          ("rewards/accuracies", zip(pairs.chosenRewards, pairs.rejectedRewards).map { $0 > $1 ? 1.0 : 0 }.mean),
          ("rewards/margins", zip(pairs.chosenRewards, pairs.rejectedRewards).map { $0 - $1 }.mean),
          ("logps/chosen", stride(from: 0, to: result.sums.count, by: 2).map { result.sums[$0] }.mean),
          ("logps/rejected", stride(from: 1, to: result.sums.count, by: 2).map { result.sums[$0] }.mean),
        ]
        metrics += tokenMetrics(batch.policy)
        return MethodLoss(
          loss: pairs.loss * share, tokenGradients: result.tokenGradients.map { Float(Double($0) * share) },
          metrics: metrics,
          nonFiniteRows: batch.rows.indices.filter { !pairs.losses[$0].isFinite }.map { batch.rows[$0] })
      })
  }

  /// Supervised fine-tuning: cross-entropy of the labelled tokens, its mean taken over the optimiser step.
  static let sft = TrainingMethod(
    name: "sft", purpose: .supervised, defaultLearningRate: 2e-5, usesReference: false, extras: [.entropy, .top1],
    referenceSums: { $0.sums },
    loss: { batch in
      let result = try sftLoss(logProbs: batch.policy.logProbs, normalizer: Double(batch.stepTargets))
      var metrics: [(String, Double)] = []
      let count = Double(max(1, batch.policy.logProbs.count))
      if let entropy = batch.policy.entropy {
        metrics.append(("entropy", entropy.reduce(0) { $0 + Double($1) } / count))
      }
      if let top1 = batch.policy.top1 { metrics.append(("mean_token_accuracy", Double(top1.count { $0 }) / count)) }
      return MethodLoss(
        loss: result.loss, tokenGradients: result.tokenGradients, metrics: metrics,
        nonFiniteRows: batch.rows.indices.filter { !batch.policy.sums[$0].isFinite }.map { batch.rows[$0] })
    })
}

extension TrainingMethod {
  /// KTO (Ethayarajh et al. 2024) on completions with a thumb up or down. After the rows' own sequences a micro-batch
  /// scores each prompt with the completion of the row before it, whose mean log-ratio estimates the KL divergence.
  static func kto(_ options: KTOLossOptions, group: Int) -> TrainingMethod {
    TrainingMethod(
      name: "kto", purpose: .unpaired, defaultLearningRate: 1e-6, usesReference: true,
      extras: [.entropy, .meanLogit], isSequential: true,
      forest: { data, rows in data.forest(of: rows.map(data.sequence) + data.mismatched(rows, group: group)) },
      size: { data, row in
        let sequence = data.sequence(row)
        return (sequence.prompt.count + 2 * sequence.completion.count, 2 * sequence.targetCount)
      },
      referenceSums: { $0.sums },
      loss: { batch in
        let count = batch.rows.count
        let labels = batch.rows.map { batch.data.labels?[$0] ?? true }
        let sums = Array(batch.policy.sums[..<count])
        let ratios = zip(batch.policy.sums, batch.reference ?? Array(repeating: 0, count: 2 * count)).map { $0 - $1 }
        let result = try DPO.ktoLoss(
          logRatios: Array(ratios[..<count]), labels: labels, klLogRatios: Array(ratios[count...]),
          weights: batch.data.weights == nil ? nil : batch.rows.map(batch.data.weight), options)
        let share = 1 / Double(batch.stepMicroBatches)
        var gradients: [Float] = []
        gradients.reserveCapacity(batch.policy.logProbs.count)
        for (sequence, targets) in batch.policy.counts.enumerated() {
          let gradient = sequence < count ? Float(result.gradients[sequence] * share) : 0
          gradients.append(contentsOf: repeatElement(gradient, count: targets))
        }
        return MethodLoss(
          loss: result.loss * share, tokenGradients: gradients,
          metrics: [("kl", result.baseline)]
            + ktoMetrics(batch.policy, sums: sums, labels: labels, rewards: result.rewards),
          nonFiniteRows: batch.rows.indices.filter { !result.losses[$0].isFinite }.map { batch.rows[$0] })
      })
  }
}

/// TRL's metrics of labelled rows: means over rows with a thumb up (chosen) and down (rejected), where there are any.
private func ktoMetrics(
  _ scores: TokenScores, sums: [Double], labels: [Bool], rewards: [Double]
) -> [(name: String, value: Double)] {
  var metrics: [(name: String, value: Double)] = []
  var logits = [Double](repeating: 0, count: sums.count)
  var start = 0
  var entropy = 0.0
  for row in sums.indices {
    for index in start..<start + scores.counts[row] {
      logits[row] += Double(scores.meanLogit?[index] ?? 0)
      entropy += Double(scores.entropy?[index] ?? 0)
    }
    start += scores.counts[row]
  }
  var means: [Bool: Double] = [:]
  for (label, side) in [(true, "chosen"), (false, "rejected")] {
    let rows = labels.indices.filter { labels[$0] == label }
    guard !rows.isEmpty else { continue }
    means[label] = rows.map { rewards[$0] }.mean
    let tokens = rows.reduce(0) { $0 + scores.counts[$1] }
    metrics.append(("rewards/\(side)", rows.map { rewards[$0] }.mean))
    metrics.append(("logps/\(side)", rows.map { sums[$0] }.mean))
    metrics.append(("logits/\(side)", rows.map { logits[$0] }.sum / Double(max(1, tokens))))
  }
  if let chosen = means[true], let rejected = means[false] { metrics.append(("rewards/margins", chosen - rejected)) }
  metrics.append(("entropy", entropy / Double(max(1, start))))
  return metrics
}

/// TRL's per-token metrics of pairs: entropy over both sides, mean logit of each side, accuracy over chosen tokens.
private func tokenMetrics(_ scores: TokenScores) -> [(String, Double)] {
  var start = 0
  var tokens = [0.0, 0.0]
  var logits = [0.0, 0.0]
  var entropy = 0.0
  var right = 0
  for (sequence, count) in scores.counts.enumerated() {
    let side = sequence % 2
    tokens[side] += Double(count)
    for index in start..<start + count {
      entropy += Double(scores.entropy?[index] ?? 0)
      logits[side] += Double(scores.meanLogit?[index] ?? 0)
      if side == 0 && scores.top1?[index] == true { right += 1 }
    }
    start += count
  }
  func ratio(_ value: Double, _ count: Double) -> Double { count > 0 ? value / count : 0 }
  return [
    ("logits/chosen", ratio(logits[0], tokens[0])), ("logits/rejected", ratio(logits[1], tokens[1])),
    ("entropy", ratio(entropy, tokens[0] + tokens[1])), ("mean_token_accuracy", ratio(Double(right), tokens[0])),
  ]
}

extension TokenLogProbs {
  init(_ scores: TokenScores) throws {
    try self.init(values: scores.logProbs, counts: scores.counts, logSumSquares: scores.logSumSquares)
  }
}

extension TrainingOptions {
  /// The options of KTO's loss, checked.
  func ktoLoss() throws -> KTOLossOptions {
    guard lossType == ["sigmoid"] else {
      throw DPOError.argument("loss_type \(lossType.joined(separator: ",")) is a loss of pairs; kto has its own")
    }
    guard perDeviceTrainBatchSize > 1 else {
      throw DPOError.argument("kto compares the rows of a micro-batch: per_device_train_batch_size must be at least 2")
    }
    guard !precomputeRefLogProbs else { throw DPOError.argument("precompute_ref_log_probs does not go with kto") }
    var loss = KTOLossOptions()
    loss.beta = beta
    loss.desirableWeight = desirableWeight
    loss.undesirableWeight = undesirableWeight
    try loss.validate()
    return loss
  }

  /// How the method's rows become tokens.
  public func dataset() throws -> DatasetOptions {
    let method = try TrainingMethod(self)
    var dataset = DatasetOptions(method.purpose)
    dataset.dropsLongRows = method.dropsLongRows
    dataset.maxLength = maxLength
    dataset.truncation = try TruncationMode(named: truncationMode)
    dataset.completionOnlyLoss = completionOnlyLoss
    try dataset.validate()
    return dataset
  }

  /// The options of the DPO losses, checked.
  public func dpoLoss() throws -> DPOLossOptions {
    var loss = DPOLossOptions()
    try loss.setLosses(lossType.map { try LossType(named: $0) }, weights: lossWeights.isEmpty ? nil : lossWeights)
    loss.beta = beta
    loss.labelSmoothing = labelSmoothing
    loss.fDivergence = try FDivergence(named: fDivergenceType)
    loss.alphaCoefficient = fAlphaDivergenceCoef
    loss.discopopTau = discopopTau
    loss.useWeighting = useWeighting
    loss.ldAlpha = ldAlpha
    loss.referenceFree = referenceFree
    try loss.validate()
    return loss
  }
}
