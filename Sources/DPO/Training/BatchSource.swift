import DPOBase
import DPOModel
import DPOStorage

/// Where the rows of a run's optimiser steps come from: a data set, or completions that the policy draws as it learns.
protocol BatchSource: AnyObject {
  /// S: optimiser steps of the run.
  var totalSteps: Int { get }
  /// Steps in which every row of the data is seen once.
  var stepsPerEpoch: Int { get }
  /// Micro-batches of the largest steps.
  var mostMicroBatches: Int { get }
  /// Epochs done after so many steps, as transformers logs them.
  func epochs(after steps: Int) -> Double
  /// What the largest steps take.
  var workload: Workload { get }

  /// Throws if something is missing that the run will need.
  func check(_ models: TrainedModels) throws
  /// Makes what step k = 0, 1, … learns from, where it has to be made. If it throws, nothing has changed.
  ///
  /// - Returns: what the user should know of it.
  func prepare(_ k: Int, _ models: TrainedModels) throws -> [String]
  /// Whether the step that was prepared last is a place to go back to: nothing is known against the weights that it starts
  /// from, and nothing before it is needed any more.
  var isRestingPlace: Bool { get }
  /// The rows of step k, which was prepared.
  func batches(_ k: Int) throws -> StepBatches

  /// Metrics of the evaluation data, without "eval_".
  func evaluate(_ data: TokenizedDataset, _ models: TrainedModels) throws -> Metrics
  /// Seconds that the whole run takes, from timing a little of it.
  func estimateSeconds(_ models: TrainedModels) throws -> Double

  /// What a checkpoint made before step k has to hold besides the weights; empty where all follows from the number.
  func state(before k: Int) -> SourceState
  /// Takes up the state of a checkpoint made before step k.
  func restore(_ state: SourceState, step k: Int, file: String) throws
}

/// The models of a run, as a source of batches may use them between two steps.
struct TrainedModels {
  let runner: ModelRunner
  let adapter: LoRAAdapter?
  let reference: ReferenceModel?
  let method: TrainingMethod
  /// Takes the steps.
  let optimizer: Optimizer
  let backwardUpdate: BackwardUpdate?
  /// What the method's micro-batches hand on.
  let state: [Double]
  /// Gives completions their scores, where a method asks for that.
  let reward: Judge?
  /// Among which their work is divided.
  let ranks: Ranks
  /// Throws when a stop was asked for.
  let checkCancelled: () throws -> Void
}

/// What an optimiser step learns from.
struct StepBatches {
  let data: TokenizedDataset
  /// Rows of each micro-batch; their number is what each micro-loss is divided by. Empty: there is nothing to learn.
  let microBatches: [[Int]]
  let epochAfter: Double
  /// Of rows that the policy drew: what was noted of them.
  var rollout: Rollout?
}

/// Sizes that the plan of a run is made from.
struct Workload {
  /// Of the largest micro-batch.
  var tokens = 0
  var targets = 0
  /// Tokens of the longest sequence.
  var longest = 0
  /// Tokens of an epoch, each prompt once for all its completions in a micro-batch.
  var distinctTokens = 0
  /// The same for a trainer that pads and repeats prompts.
  var paddedTokens = 0
  /// What the policy draws between steps: lengths of the prompts of a rollout at most, and how.
  var sampling: (prompts: [Int], options: GenerationOptions)?
}

/// The part of a checkpoint that belongs to a source of batches.
struct SourceState {
  /// Attributes of /trainer.
  var attributes = JSONObject()
  /// Vectors of /rollout.
  var columns: [CheckpointColumn] = []
}

// MARK: - Rows of a data set

/// The rows of a data set, each once an epoch.
final class EpochSource: BatchSource {
  let workload: Workload
  let isRestingPlace = true
  let data: TokenizedDataset
  private let evaluation: TokenizedDataset?
  let options: TrainingOptions
  var order: BatchPlan

  init(
    _ data: TokenizedDataset, evaluation: TokenizedDataset?, method: TrainingMethod, options: TrainingOptions,
    microBatches: Int
  ) throws {
    order = try BatchPlan(
      rows: data.packCount, batchSize: options.batches.perDeviceTrainBatchSize, accumulation: microBatches,
      length: options.runLength, seed: options.batches.dataSeed ?? options.batches.seed,
      shuffle: options.batches.shuffle && !method.isSequential, packs: data.packs)
    (self.data, self.evaluation, self.options) = (data, evaluation, options)
    workload = Workload(data, evaluation: evaluation, order: order, method: method, options)
  }

  var totalSteps: Int { order.totalSteps }
  var stepsPerEpoch: Int { order.stepsPerEpoch }
  var mostMicroBatches: Int { min(order.accumulation, order.batchesPerEpoch) }
  func epochs(after steps: Int) -> Double { steps == 0 ? 0 : order.step(steps - 1).epochAfter }
  func check(_ models: TrainedModels) {}
  func prepare(_ k: Int, _ models: TrainedModels) -> [String] { [] }
  func state(before k: Int) -> SourceState { SourceState() }
  func restore(_ state: SourceState, step k: Int, file: String) {}

  func batches(_ k: Int) throws -> StepBatches {
    try data.checkUnchanged()
    let step = order.step(k)
    return StepBatches(data: data, microBatches: step.microBatches, epochAfter: step.epochAfter)
  }

  func evaluate(_ data: TokenizedDataset, _ models: TrainedModels) throws -> Metrics {
    try Trainer.scores(
      of: data, runner: models.runner, adapter: models.adapter, reference: models.reference, method: models.method,
      state: models.state, batchSize: options.batches.perDeviceEvalBatchSize, ranks: models.ranks,
      beforeBatch: models.checkCancelled
    ).metrics
  }

  /// Distinct tokens of the rows to evaluate on.
  func evaluationTokens(_ method: TrainingMethod) -> Int {
    evaluation.map { rows in (0..<rows.count).reduce(0) { $0 + method.size(rows, $1).tokens } } ?? 0
  }
}

extension TrainingOptions {
  /// Steps, or passes over the data.
  var runLength: BatchPlan.Length { batches.maxSteps > 0 ? .steps(batches.maxSteps) : .epochs(batches.numTrainEpochs) }
}

extension Workload {
  typealias Size = (TokenizedDataset, Int) -> (tokens: Int, targets: Int)

  init(
    _ data: TokenizedDataset, evaluation: TokenizedDataset?, order: BatchPlan, method: TrainingMethod,
    _ options: TrainingOptions
  ) {
    self.init()
    let size = method.size
    var largest = Workload.largestMicroBatch(data, order: order, size: size)
    if let evaluation {
      let evaluated = Workload.bound(evaluation, packs: options.batches.perDeviceEvalBatchSize, size: size)
      largest = (max(largest.tokens, evaluated.tokens), max(largest.targets, evaluated.targets))
    }
    (tokens, targets) = largest
    longest = max(data.longestRow, evaluation?.longestRow ?? 0)
    distinctTokens = (0..<data.count).reduce(0) { $0 + size(data, $1).tokens }
    paddedTokens = Workload.paddedTokens(
      data, batchSize: options.batches.perDeviceTrainBatchSize, mismatched: method.mismatchedSequences)
  }

  private static func largestMicroBatch(_ data: TokenizedDataset, order: BatchPlan, size: Size) -> (
    tokens: Int, targets: Int
  ) {
    guard order.totalSteps < 10_000_000 / max(1, order.batchSize * order.accumulation) else {
      return bound(data, packs: order.batchSize, size: size)
    }
    var order = order
    var largest = (tokens: 0, targets: 0)
    for step in 0..<order.totalSteps {
      for batch in order.step(step).microBatches {
        var sum = (tokens: 0, targets: 0)
        for row in batch {
          let (tokens, targets) = size(data, row)
          sum = (sum.tokens + tokens, sum.targets + targets)
        }
        largest = (max(largest.tokens, sum.tokens), max(largest.targets, sum.targets))
      }
    }
    return largest
  }

  /// No batch of `count` packs has more than this.
  private static func bound(_ data: TokenizedDataset, packs count: Int, size: Size) -> (tokens: Int, targets: Int) {
    let sizes = (0..<data.packCount).map { pack in
      data.rows(ofPacks: pack..<pack + 1).reduce((tokens: 0, targets: 0)) { sum, row in
        let row = size(data, row)
        return (sum.tokens + row.tokens, sum.targets + row.targets)
      }
    }
    func top(_ values: [Int]) -> Int { values.sorted(by: >).prefix(count).reduce(0, +) }
    return (top(sizes.map(\.tokens)), top(sizes.map(\.targets)))
  }

  /// Rows padded to the longest of their batch, the prompt in each of them.
  private static func paddedTokens(_ data: TokenizedDataset, batchSize: Int, mismatched: Int) -> Int {
    var total = 0
    for first in stride(from: 0, to: data.count, by: batchSize) {
      let rows = first..<min(data.count, first + batchSize)
      let lengths = rows.flatMap { data.sequenceLengths($0) }
      total += (lengths.count + rows.count * mismatched) * (lengths.max() ?? 0)
    }
    return total
  }
}
