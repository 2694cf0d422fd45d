import DPOBase
import DPOModel
import DPOStorage
import DPOText

/// Rows that the policy draws itself: before the first of some steps it answers prompts, the reward scores the answers, and
/// the method makes of them what these steps learn from.
final class RolloutSource: BatchSource {
  let workload: Workload
  private let prompts: TokenizedDataset
  private let model: ModelFile
  private let method: RolloutMethod
  private let options: TrainingOptions
  private let plan: RolloutPlan
  /// β of the next rollout.
  private var coefficient: Double
  private var current: (index: Int, rollout: Rollout)?
  private(set) var isRestingPlace = false

  init(
    _ prompts: TokenizedDataset, evaluation: TokenizedDataset?, model: ModelFile, method: RolloutMethod,
    options: TrainingOptions, microBatches: Int
  ) throws {
    let (rows, parts) = (options.batches.perDeviceTrainBatchSize * microBatches, method.rowsPerPrompt)
    guard rows <= RolloutSource.largest, rows % parts == 0 else {
      let share = microBatches == options.batches.gradientAccumulationSteps ? "" : " × ranks"
      throw DPOError.argument(
        "per_device_train_batch_size × gradient_accumulation_steps\(share) is \(rows), the completions of a rollout; expected a "
          + "multiple of num_generations = \(parts), at most \(RolloutSource.largest)")
    }
    guard rows % method.miniBatches == 0 else {
      throw DPOError.argument(
        "num_mini_batches is \(method.miniBatches); expected a divisor of the \(rows) completions of a rollout")
    }
    plan = try RolloutPlan(
      prompts: prompts.count, promptsPerRollout: rows / parts, epochs: method.epochs,
      miniBatches: method.miniBatches, batchSize: options.batches.perDeviceTrainBatchSize, length: options.runLength,
      seed: options.batches.dataSeed ?? options.batches.seed, shuffle: options.batches.shuffle)
    let context = model.configuration.contextLength
    for set in [prompts, evaluation].compactMap(\.self) {
      if let row = (0..<set.count).first(where: { set.prompt($0).count >= context }) {
        throw DPOError.format(
          set.place(row), "\(set.prompt(row).count) tokens leave no room for an answer in a context of \(context)")
      }
    }
    self.prompts = prompts
    self.model = model
    self.method = method
    self.options = options
    coefficient = method.kl.coefficient
    workload = Workload(
      prompts: prompts, evaluation: evaluation, plan: plan, method: method, context: context, options: options)
  }

  /// Rows of a rollout, all of which are held in memory.
  private static let largest = 1 << 20

  var totalSteps: Int { plan.totalSteps }
  var stepsPerEpoch: Int { plan.stepsPerEpoch }
  var mostMicroBatches: Int {
    let rows = plan.promptsPerRollout * method.rowsPerPrompt / plan.miniBatches
    return (rows + plan.batchSize - 1) / plan.batchSize
  }
  func epochs(after steps: Int) -> Double { plan.epochs(after: steps) }

  func check(_ models: TrainedModels) throws { _ = try reward(models) }

  private func reward(_ models: TrainedModels) throws -> Judge {
    guard let reward = models.reward else {
      throw DPOError(.state, "method \(models.method.name) needs a reward: a reward model, a classifier or a function")
    }
    if reward.readsText, try model.tokenizer == nil { throw DPOError.noTokenizer(model) }
    return reward
  }

  func prepare(_ k: Int, _ models: TrainedModels) throws -> [String] {
    let index = plan.rollout(of: k)
    isRestingPlace = k % plan.stepsPerRollout == 0
    guard current?.index != index else { return [] }
    isRestingPlace = false
    do {
      let samples = try draw(
        prompts, rows: plan.prompts(ofRollout: index), first: index * plan.promptsPerRollout,
        seed: UInt64(options.batches.seed), models)
      var rollout = try method.learn(samples, coefficient)
      if let limit = method.kl.limit, !(rollout.divergence <= limit) {
        throw DPOError(
          .diverged,
          "the policy has left its reference: KL \(rollout.divergence) nats a completion, the limit max_kl is \(limit)")
      }
      rollout.metrics[.objectiveKlCoef] = coefficient
      rollout.metrics[.episode] = Double((index + 1) * plan.promptsPerRollout * method.completionsPerPrompt)
      coefficient = method.kl.next(coefficient, kl: rollout.divergence, batch: samples.counts.count)
      current = (index, rollout)
      isRestingPlace = k % plan.stepsPerRollout == 0
      return rollout.notes
    } catch let error as DPOError {
      throw DPOError(error.code, error.code == .cancelled ? error.message : "step \(k + 1): \(error.message)")
    }
  }

  func batches(_ k: Int) throws -> StepBatches {
    guard let current, current.index == plan.rollout(of: k) else {
      throw DPOError(.internal, "there is no rollout for step \(k + 1)")
    }
    let rollout = current.rollout
    return StepBatches(
      data: rollout.data ?? prompts, microBatches: plan.microBatches(k, rows: rollout.rowCount),
      epochAfter: plan.epochs(after: k + 1), rollout: rollout)
  }

  // MARK: - Drawing

  /// Answers to some prompts, with everything that is to be known of them. Each rank answers and judges some of the prompts, and
  /// scores some of the rows.
  ///
  /// - Parameter first: what the first prompt counts as in the draws.
  private func draw(
    _ prompts: TokenizedDataset, rows: [Int], first: Int, seed: UInt64, isEvaluation: Bool = false,
    _ models: TrainedModels
  ) throws -> Samples {
    let ranks = models.ranks
    let answered = try ranks.gather {
      let part = rows.count * ranks.rank / ranks.count..<rows.count * (ranks.rank + 1) / ranks.count
      return try answer(
        prompts, rows: Array(rows[part]), first: first + part.lowerBound, seed: seed, isEvaluation: isEvaluation, models
      )
    }
    let completions = answered.flatMap(\.completions)
    let drawn = completions.enumerated().map { index, completion in
      TokenizedRow(
        prompt: Array(prompts.prompt(rows[index / method.completionsPerPrompt])), completion: completion)
    }
    let (scores, isFinished) = (answered.flatMap(\.scores), answered.flatMap(\.isFinished))
    let penalty = method.sampling.missingEosPenalty ?? 0
    let policy = try score(drawn, models.runner, models.adapter, models)
    let reference = try models.reference.map { try score(drawn, $0.runner, $0.adapter, models) }
    return Samples(
      completionsPerPrompt: method.completionsPerPrompt, rows: drawn, isFinished: isFinished,
      scores: zip(scores, isFinished).map { $1 ? $0 : $0 - penalty }, counts: drawn.map(\.completion.count),
      logProbs: policy.logProbs, referenceLogProbs: reference?.logProbs ?? policy.logProbs, values: policy.values)
  }

  /// This rank's part of the answers, and what the judge says of them.
  private func answer(
    _ prompts: TokenizedDataset, rows: [Int], first: Int, seed: UInt64, isEvaluation: Bool, _ models: TrainedModels
  ) throws -> JudgedAnswers {
    let reward = try reward(models)
    var generation = GenerationOptions(method, eosTokens: model.configuration.eosTokens)
    generation.seed = seed
    generation.firstPrompt = first
    var stop: (any Error)?
    let completions = try Generator(decoder: models.runner.decoder, adapter: models.adapter, team: models.runner.team)
      .generate(prompts: rows.map { Array(prompts.prompt($0)) }, options: generation) { _, _, _ in
        do { try models.checkCancelled() } catch { stop = error }
        return stop == nil
      }
    if let stop { throw stop }
    var answers: [Answer] = []
    let tokenizer = try model.tokenizer
    for (row, completions) in zip(rows, completions) {
      let prompt = Array(prompts.prompt(row))
      var columns = try prompts.promptColumns(row) ?? [:]
      let asked =
        Content(columns["prompt"]) ?? tokenizer.map { .text($0.decode(prompt, skipSpecialTokens: true)) }
      columns["prompt"] = nil
      let template = try asked.map { try TemplateColumns(columns, beside: $0, place: prompts.place(row)) }
      for completion in completions {
        var answer = Answer(
          prompt: asked,
          completion: tokenizer.map { .text($0.decode(completion.tokens, skipSpecialTokens: true)) })
        (answer.template, answer.columns) = (template ?? .none, columns)
        answer.promptTokens = prompt
        answer.completionTokens = completion.tokens
        answer.isFinished = completion.finish == .stop
        answer.row = prompts.lineNumber(row)
        answer.isEvaluation = isEvaluation
        answers.append(answer)
      }
    }
    try models.checkCancelled()
    return JudgedAnswers(
      completions: completions.flatMap { $0.map(\.tokens) }, isFinished: answers.map(\.isFinished),
      scores: answers.isEmpty ? [] : try reward.scores(answers))
  }

  /// Log-probs, and values, of every token that was drawn.
  private func score(
    _ rows: [TokenizedRow], _ runner: ModelRunner, _ adapter: LoRAAdapter?, _ models: TrainedModels
  ) throws -> TokenColumns {
    let data = try TokenizedDataset.drawn(rows)
    var all = TokenColumns()
    let size = options.batches.perDeviceTrainBatchSize
    try models.ranks.map((rows.count + size - 1) / size) { batch in
      try models.checkCancelled()
      let scores = try runner.score(
        data.forest(rows: Array(batch * size..<min(rows.count, (batch + 1) * size))), adapter: adapter, extras: [])
      guard scores.logProbs.allSatisfy(\.isFinite), scores.values.allSatisfy(\.isFinite) else {
        throw DPOError(.nonFinite, "log-probs or values of the policy's own completions are NaN or infinite")
      }
      return TokenColumns(logProbs: scores.logProbs, values: scores.values)
    } take: { _, part in
      all.logProbs += part.logProbs
      all.values += part.values
    }
    return all
  }

  // MARK: - Evaluation and time

  /// Completions of the evaluation prompts, the same draws at every evaluation.
  func evaluate(_ data: TokenizedDataset, _ models: TrainedModels) throws -> Metrics {
    var means = MetricMeans()
    let size = max(1, options.batches.perDeviceEvalBatchSize / method.completionsPerPrompt)
    for first in stride(from: 0, to: data.count, by: size) {
      let rows = Array(first..<min(data.count, first + size))
      let samples = try draw(
        data, rows: rows, first: first, seed: UInt64(options.batches.seed) ^ 0x4556_414C, isEvaluation: true, models)
      let metrics = try method.learn(samples, coefficient).metrics.filter { $0.name.text.hasPrefix("objective/") }
      means.add(Metrics(metrics), weight: Double(rows.count))
    }
    return means.means
  }

  /// From timing passes over a micro-batch of the longest answers (see `MicroBatchTimes`), and a few drawn tokens.
  func estimateSeconds(_ models: TrainedModels) throws -> Double {
    let rows = plan.prompts(ofRollout: 0).map { Array(prompts.prompt($0)) }
    let (completions, length) = (rows.count * method.completionsPerPrompt, method.sampling.maxCompletionLength)
    let data = try TokenizedDataset.drawn(
      (0..<min(completions, options.batches.perDeviceTrainBatchSize)).map { answer in
        let prompt = rows[answer / method.completionsPerPrompt]
        return TokenizedRow(prompt: prompt, completion: [Int32](repeating: prompt.last ?? 0, count: length))
      })
    let forest = try data.forest(rows: Array(0..<data.count))
    let times = try MicroBatchTimes(forest, models)
    let size = forest.passSize(models.runner.decoder.configuration)
    let (forward, backward) = (times.forward.seconds(size), times.backward.seconds(size))
    // Every drawn token is scored by policy and reference, then learned from; prompts are read once before.
    let micro = Double(completions) / Double(max(1, data.count))
    let scored = micro * (forward + times.reference.seconds(size))
    let learned = micro * Double(method.epochs) * (forward + backward)
    let read = Double(rows.reduce(0) { $0 + $1.count }) * forward / Double(max(1, size.tokens))
    let drawn = Double(completions * length) * (try secondsOfDrawnToken(rows, models))
    return times.warmUp + Double(totalSteps) / Double(plan.stepsPerRollout) * (drawn + read + scored + learned)
  }

  /// By drawing a few with the beginnings of some prompts: what reading these takes falls out of the difference.
  private func secondsOfDrawnToken(_ rows: [[Int32]], _ models: TrainedModels) throws -> Double {
    let generator = Generator(decoder: models.runner.decoder, adapter: models.adapter, team: models.runner.team)
    let starts = rows.prefix(max(1, 32 / method.completionsPerPrompt)).map { Array($0.prefix(2)) }
    var generation = GenerationOptions(method, eosTokens: [])
    func seconds(_ tokens: Int) throws -> Double {
      generation.maxNewTokens = tokens
      let clock = ContinuousClock()
      let start = clock.now
      _ = try generator.generate(prompts: starts, options: generation)
      return start.duration(to: clock.now) / .seconds(1)
    }
    _ = try seconds(1)
    let (one, more) = (try seconds(1), try seconds(4))
    return max(0, more - one) / Double(3 * starts.count * method.completionsPerPrompt)
  }

  // MARK: - State

  func state(before k: Int) -> SourceState {
    var state = SourceState()
    state.attributes["kl_coef"] = .real(coefficient)
    guard let current, current.index == plan.rollout(of: k) else { return state }
    state.attributes["rollout"] = .int(current.index)
    current.rollout.store(in: &state)
    return state
  }

  func restore(_ state: SourceState, step k: Int, file: String) throws {
    guard let coefficient = state.attributes["kl_coef"]?.double, coefficient.isFinite else {
      throw DPOError.format(file, "attribute kl_coef of /trainer is missing")
    }
    let index = state.attributes["rollout"]?.int
    var restored: (index: Int, rollout: Rollout)?
    if let index {
      restored = (index, try Rollout(state, vocabularySize: model.configuration.vocabularySize, file: file))
    }
    guard k % plan.stepsPerRollout == 0 || index == plan.rollout(of: k) else {
      throw DPOError.format(file, "lacks the rollout that step \(k + 1) learns from")
    }
    // The weight of the penalty goes on where it was, unless it is fixed: then the option says it.
    self.coefficient = method.kl.target == nil ? method.kl.coefficient : coefficient
    current = restored
  }
}

/// What a rank drew, completion after completion.
private struct JudgedAnswers: RankMessage {
  let completions: [[Int32]]
  let isFinished: [Bool]
  let scores: [Double]

  init(completions: [[Int32]], isFinished: [Bool], scores: [Double]) {
    (self.completions, self.isFinished, self.scores) = (completions, isFinished, scores)
  }

  init(from reader: inout MessageReader) throws {
    self.init(
      completions: try reader.list { try $0.numbers(of: Int32.self) }, isFinished: try reader.list { try $0.flag() },
      scores: try [Double](from: &reader))
  }

  func write(to writer: inout MessageWriter) {
    writer.write(list: completions) { $0.write($1) }
    writer.write(list: isFinished) { $0.write($1) }
    scores.write(to: &writer)
  }
}

/// What a model says of some rows' tokens.
private struct TokenColumns: RankMessage {
  var logProbs: [Float] = []
  var values: [Float] = []

  init(logProbs: [Float] = [], values: [Float] = []) { (self.logProbs, self.values) = (logProbs, values) }

  init(from reader: inout MessageReader) throws {
    self.init(logProbs: try reader.numbers(of: Float.self), values: try reader.numbers(of: Float.self))
  }

  func write(to writer: inout MessageWriter) {
    writer.write(logProbs)
    writer.write(values)
  }
}

extension TokenizedDataset {
  /// Rows that a policy drew, whole.
  static func drawn(_ rows: [TokenizedRow]) throws -> TokenizedDataset {
    var options = DatasetOptions(.any)
    options.maxLength = nil
    return try TokenizedDataset(.tokens(rows), options: options)
  }
}

extension GenerationOptions {
  init(_ method: RolloutMethod, eosTokens: [Int]) {
    self.init()
    maxNewTokens = method.sampling.maxCompletionLength
    temperature = method.sampling.temperature
    completionsPerPrompt = method.completionsPerPrompt
    stopTokens = eosTokens.map { Int32(clamping: $0) }
  }
}

extension Workload {
  init(
    prompts: TokenizedDataset, evaluation: TokenizedDataset?, plan: RolloutPlan, method: RolloutMethod, context: Int,
    options: TrainingOptions
  ) {
    self.init()
    let sets = [prompts, evaluation].compactMap(\.self)
    let lengths = sets.flatMap { set in (0..<set.count).map { set.prompt($0).count } }.sorted(by: >)
    let answer = method.sampling.maxCompletionLength
    let longestPrompt = lengths.first ?? 0
    let perRow = method.completionsPerPrompt / method.rowsPerPrompt
    let rows = min(options.batches.perDeviceTrainBatchSize, plan.promptsPerRollout * method.rowsPerPrompt)
    longest = min(context, longestPrompt + answer)
    targets = rows * perRow * answer
    tokens = targets + (0..<rows).reduce(0) { $0 + ($1 < lengths.count ? lengths[$1] : longestPrompt) }
    let all = (0..<prompts.count).reduce(0) { $0 + prompts.prompt($1).count }
    let answers = prompts.count * method.completionsPerPrompt
    distinctTokens = all + answers * answer
    paddedTokens = answers * (answer + longestPrompt)
    let drawn = max(plan.promptsPerRollout, min(options.batches.perDeviceEvalBatchSize, evaluation?.count ?? 0))
    sampling = (
      (0..<drawn).map { $0 < lengths.count ? lengths[$0] : longestPrompt },
      GenerationOptions(method, eosTokens: [])
    )
  }
}
