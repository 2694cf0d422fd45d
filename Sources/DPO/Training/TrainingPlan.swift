import DPOBase
import DPOKernels
import DPOModel

/// What a run will do and take, known before any large memory is asked for.
public struct TrainingPlan: Sendable {
  public let steps: Int
  public let stepsPerEpoch: Int
  public let rows: Int
  public let evaluationRows: Int
  /// Tokens of one epoch that are computed: a prompt counts once for all its completions in a micro-batch.
  public let distinctTokens: Int
  /// Tokens that a trainer with padding, and a prompt in every row, would compute for the same epoch.
  public let paddedTokens: Int
  /// Sizes of the largest micro-batch.
  public let largestTokens: Int
  public let largestTargets: Int
  public let trainableParameters: Int
  public let memory: MemoryPlan
  /// Bytes that the run may take.
  public let memoryLimit: Int

  /// The plan in a sentence.
  public var summary: String {
    let saved = paddedTokens > distinctTokens ? 100 - distinctTokens * 100 / paddedTokens : 0
    let comparison = saved > 0 ? " (\(saved) % fewer than with padding and unshared prompts)" : ""
    return "\(steps) \(steps == 1 ? "step" : "steps") over \(rows) \(rows == 1 ? "row" : "rows"); "
      + "\(distinctTokens) distinct tokens an epoch\(comparison); \(trainableParameters) parameters to train; "
      + "\(memory.total >> 20) MiB planned of \(memoryLimit >> 20) MiB"
  }

  public var json: JSON {
    var parts = JSONObject()
    for part in memory.parts { parts[part.name] = .int(part.bytes) }
    return [
      "steps": .int(steps), "steps_per_epoch": .int(stepsPerEpoch), "rows": .int(rows),
      "evaluation_rows": .int(evaluationRows), "distinct_tokens": .int(distinctTokens),
      "padded_tokens": .int(paddedTokens), "largest_micro_batch_tokens": .int(largestTokens),
      "trainable_parameters": .int(trainableParameters), "memory_bytes": .object(parts),
      "memory_total_bytes": .int(memory.total), "memory_limit_bytes": .int(memoryLimit),
    ]
  }

  /// - Parameters:
  ///   - lora: the adapter's configuration; nil in full training.
  ///   - separateReference: the reference is another decoder than the policy's.
  ///   - mappedBytes: size of the model's weights in their file.
  init(
    configuration: DecoderConfiguration, lora: LoRAConfiguration?, data: TokenizedDataset,
    evaluation: TokenizedDataset?,
    order: BatchPlan, method: TrainingMethod, options: TrainingOptions, separateReference: Bool, mappedBytes: Int
  ) throws {
    steps = order.totalSteps
    stepsPerEpoch = order.stepsPerEpoch
    rows = data.count
    evaluationRows = evaluation?.count ?? 0
    var largest = TrainingPlan.largestMicroBatch(data, order: order, size: method.size)
    if let evaluation {
      let size = options.perDeviceEvalBatchSize
      let evaluated = TrainingPlan.bound(evaluation, packs: size, size: method.size)
      largest = (max(largest.tokens, evaluated.tokens), max(largest.targets, evaluated.targets))
    }
    largestTokens = largest.tokens
    largestTargets = largest.targets
    distinctTokens = (0..<data.count).reduce(0) { $0 + method.size(data, $1).tokens }
    paddedTokens = TrainingPlan.paddedTokens(
      data, batchSize: options.perDeviceTrainBatchSize, mismatched: method.mismatchedSequences)

    let threads = options.threads == 0 ? ThreadTeam.availableProcessors : options.threads
    let longest = max(data.longestRow, evaluation?.longestRow ?? 0)
    var memory = MemoryPlan()
    let weights = Family.named(configuration.family).parameters(configuration).reduce(0) { $0 + $1.shape.reduce(1, *) }
    trainableParameters =
      try lora.map {
        try $0.resolve(configuration).reduce(0) { $0 + $1.rank * ($1.module.inputSize + $1.module.outputSize) }
      } ?? weights
    if lora == nil { memory.add("weights", bytes: 4 * weights) }
    if lora != nil || separateReference { memory.add("mapped model file", bytes: mappedBytes) }
    if lora != nil { memory.add("adapter", bytes: 4 * trainableParameters) }
    memory.add("gradients", bytes: 4 * trainableParameters)
    memory.add("optimizer", bytes: 8 * trainableParameters)
    if options.syncRefModel { memory.add("reference weights", bytes: 4 * weights) }
    func pass(_ mode: ComputationMode) throws {
      let plan = try ForwardPass.plan(
        configuration, tokens: largest.tokens, targets: largest.targets, maxLength: longest, mode: mode,
        threads: threads, recomputesBlocks: options.gradientCheckpointing)
      for part in plan.parts { memory.add(part.name, bytes: part.bytes) }
    }
    try pass(lora.map(ComputationMode.lora) ?? .full)
    if separateReference { try pass(.score) }
    self.memory = memory
    memoryLimit = options.memoryLimitMb > 0 ? options.memoryLimitMb << 20 : availableMemory()
  }

  private typealias Size = (TokenizedDataset, Int) -> (tokens: Int, targets: Int)

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

  /// Throws when the plan exceeds the limit, naming the parts and the options that shrink them.
  func checkMemory() throws {
    guard memory.total > memoryLimit else { return }
    func mib(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
    let parts = memory.parts.sorted { $0.bytes > $1.bytes }.map { "\($0.name) \(mib($0.bytes))" }.joined(
      separator: ", ")
    throw DPOError(
      .memory,
      "the plan needs \(mib(memory.total)), but the limit is \(mib(memoryLimit)) (\(parts)); smaller: --gradient-checkpointing, --lora-r, --per-device-train-batch-size with --gradient-accumulation-steps, --max-length"
    )
  }
}
