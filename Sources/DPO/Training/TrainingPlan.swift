import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

/// What a run will do and take, known before any large memory is asked for.
public struct TrainingPlan: Sendable {
  /// Optimiser steps of the run.
  public let steps: Int
  /// Steps in which every row is seen once.
  public let stepsPerEpoch: Int
  /// Rows to train on.
  public let rows: Int
  /// Rows to evaluate on.
  public let evaluationRows: Int
  /// Tokens of one epoch that are computed: a prompt counts once for all its completions in a micro-batch.
  public let distinctTokens: Int
  /// Tokens that a trainer with padding, and a prompt in every row, would compute for the same epoch.
  public let paddedTokens: Int
  /// Sizes of the largest micro-batch.
  public let largestTokens: Int
  /// Predicted tokens of it.
  public let largestTargets: Int
  /// Numbers that are trained.
  public let trainableParameters: Int
  /// Processes among which the run is divided. The memory is that of one of them.
  public let ranks: Int
  /// Threads that compute.
  public let threads: Int
  /// Tokens that the model knows.
  public let vocabularySize: Int
  /// What the run takes, part by part.
  public let memory: MemoryPlan
  /// Of these, what embedding and head take with their gradients and moments, which grow with the vocabulary.
  public let vocabularyMemory: Int
  /// Bytes that the run may take.
  public let memoryLimit: Int

  /// The plan in a sentence.
  public var summary: String {
    let saved = paddedTokens > distinctTokens ? 100 - distinctTokens * 100 / paddedTokens : 0
    let comparison = saved > 0 ? " (\(saved) % fewer than with padding and unshared prompts)" : ""
    return "\(steps) \(steps == 1 ? "step" : "steps") over \(rows) \(rows == 1 ? "row" : "rows"); "
      + "\(distinctTokens) distinct tokens an epoch\(comparison); \(trainableParameters) parameters to train; "
      + "\(memory.total >> 20) MiB planned of \(memoryLimit >> 20) MiB"
      + (memory.offloaded > 0 ? " and \(memory.offloaded >> 20) MiB in files" : "")
      + (ranks > 1 ? " on each of \(ranks) ranks" : "")
  }

  /// The same by name.
  public var json: JSON {
    var parts = JSONObject()
    var files = JSONObject()
    for part in memory.parts {
      if part.isOffloaded { files[part.name] = .int(part.bytes) } else { parts[part.name] = .int(part.bytes) }
    }
    return [
      "steps": .int(steps), "steps_per_epoch": .int(stepsPerEpoch), "rows": .int(rows),
      "evaluation_rows": .int(evaluationRows), "distinct_tokens": .int(distinctTokens),
      "padded_tokens": .int(paddedTokens), "largest_micro_batch_tokens": .int(largestTokens),
      "trainable_parameters": .int(trainableParameters), "threads": .int(threads), "memory_bytes": .object(parts),
      "offload_bytes": .object(files), "memory_total_bytes": .int(memory.total),
      "vocabulary_bytes": .int(vocabularyMemory),
      "memory_limit_bytes": .int(memoryLimit),
      "ranks": .int(ranks),
    ]
  }

  /// - Parameters:
  ///   - lora: the adapter's configuration; nil in full training.
  ///   - separateReference: the reference is another decoder than the policy's.
  init(
    model: ModelFile, lora: LoRAConfiguration?, rows: DatedRows, rewardBytes: Int, separateReference: Bool,
    options: TrainingOptions, share: MachineShare
  ) throws {
    let (configuration, source) = (model.configuration, rows.source)
    steps = source.totalSteps
    stepsPerEpoch = source.stepsPerEpoch
    self.rows = rows.data.count
    evaluationRows = rows.evaluation?.count ?? 0
    ranks = rows.ranks
    let workload = source.workload
    largestTokens = workload.tokens
    largestTargets = workload.targets
    distinctTokens = workload.distinctTokens
    paddedTokens = workload.paddedTokens

    threads = share.threads
    trainableParameters = try TrainingPlan.trained(configuration, lora)
    let shape = BatchShape(tokens: workload.tokens, targets: workload.targets, longest: workload.longest)
    let optimizer = try OptimizerChoice(options.optimization)
    let owners = Owners(
      counts: try TrainingPlan.trainedShapes(configuration, lora).map { $0.reduce(1, *) }, ranks: ranks,
      isSharded: ranks > 1 && lora == nil && optimizer.isElementwise)
    var memory = try TrainingPlan.step(
      model, lora, shape, optimizer: optimizer, owners: owners, threads: threads,
      separateReference: separateReference, recomputesBlocks: options.machine.gradientCheckpointing,
      offloads: options.machine.offload != nil, updatesInBackward: options.machine.optimizerInBackward)
    memory.add(
      "sums of gradients",
      bytes: GradientSum.bytes(
        owners, microBatches: source.mostMicroBatches, reproducible: options.batches.reproducibleSums))
    if options.method.syncRefModel {
      memory.add("reference weights", bytes: 4 * (try TrainingPlan.trained(configuration, nil)))
    }
    if let sampling = workload.sampling {
      let plan = try Generator.plan(
        configuration, promptLengths: sampling.prompts, options: sampling.options, threads: threads)
      memory.add(plan)
    }
    if rewardBytes > 0 { memory.add("reward model", bytes: rewardBytes) }
    self.memory = memory
    vocabularySize = configuration.vocabularySize
    vocabularyMemory = TrainingPlan.vocabularyMemory(memory, configuration, isTrained: lora == nil)
    memoryLimit =
      options.machine.memoryLimitMb > 0
      ? options.machine.memoryLimitMb << 20 : Machine.availableMemory / share.ranksHere
  }

  /// Sizes of a batch.
  struct BatchShape {
    let tokens, targets, longest: Int
  }

  /// Numbers that are trained: of an adapter, or of the model itself.
  private static func trained(_ configuration: DecoderConfiguration, _ lora: LoRAConfiguration?) throws -> Int {
    try trainedShapes(configuration, lora).reduce(0) { $0 + $1.reduce(1, *) }
  }

  private static func trainedShapes(
    _ configuration: DecoderConfiguration, _ lora: LoRAConfiguration?
  ) throws -> [[Int]] {
    guard let lora else { return configuration.family.parameters(configuration).map(\.shape) }
    return try lora.resolve(configuration).flatMap {
      [[$0.rank, $0.module.inputSize], [$0.module.outputSize, $0.rank]]
    }
  }

  private static func vocabularyMemory(
    _ memory: MemoryPlan, _ configuration: DecoderConfiguration, isTrained: Bool
  ) -> Int {
    guard isTrained else { return memory["head"] }
    var (all, ofVocabulary) = (0, 0)
    for parameter in configuration.family.parameters(configuration) {
      let count = parameter.shape.reduce(1, *)
      all += count
      if [.tokenEmbedding, .perLayerEmbedding, .head].contains(parameter.part) { ofVocabulary += count }
    }
    // Their gradients are there to the end of the backward pass, whatever is updated before.
    let gradients = min(memory["gradients"], 4 * ofVocabulary)
    let kept = Double(memory["weights"] + memory["optimizer"]) * Double(ofVocabulary) / Double(max(1, all))
    return memory["head"] + gradients + Int(kept)
  }

  /// Numbers of the whole model whose gradients are there at a time where the backward pass updates weights.
  private static func gradientsAtATime(_ configuration: DecoderConfiguration) -> Int {
    BackwardUpdate.most(
      configuration.family.parameters(configuration).map { ($0.layer, $0.shape.reduce(1, *)) })
  }

  /// What a step over one batch takes, and the weights with it.
  static func step(
    _ model: ModelFile, _ lora: LoRAConfiguration?, _ batch: BatchShape, optimizer: OptimizerChoice,
    owners: Owners? = nil, threads: Int, separateReference: Bool, recomputesBlocks: Bool = false,
    offloads: Bool = false, updatesInBackward: Bool = false
  ) throws -> MemoryPlan {
    var memory = MemoryPlan()
    memory.add("packing", bytes: PackingMemory.sharedBytes)
    memory.add("threads", bytes: threads * PackingMemory.bytesOfThread)
    let shapes = try trainedShapes(model.configuration, lora)
    let trained = shapes.reduce(0) { $0 + $1.reduce(1, *) }
    if lora == nil { memory.add("weights", bytes: 4 * trained) }
    if lora != nil || separateReference { memory.add("mapped model file", bytes: model.mappedBytes) }
    if lora != nil { memory.add("adapter", bytes: 4 * trained) }
    memory.add("gradients", bytes: 4 * (updatesInBackward ? gradientsAtATime(model.configuration) : trained))
    let owned = owners.flatMap { $0.isSharded ? $0.ranges(of: $0.fullest) : nil }
    memory.add("optimizer", bytes: optimizer.bytes(shapes: shapes, owned: owned), offloaded: offloads)
    func pass(_ mode: ComputationMode) throws {
      let plan = try ModelRunner.plan(
        model.configuration, tokens: batch.tokens, targets: batch.targets, maxLength: batch.longest, mode: mode,
        threads: threads, recomputesBlocks: recomputesBlocks, offloads: offloads)
      memory.add(plan)
    }
    try pass(lora.map(ComputationMode.lora) ?? .full)
    if separateReference { try pass(.score) }
    return memory
  }

  /// Throws when the plan exceeds the limit, naming the parts and the options that shrink them.
  func checkMemory() throws {
    guard memory.total > memoryLimit else { return }
    func mib(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
    let parts = memory.parts.filter { !$0.isOffloaded }.sorted { $0.bytes > $1.bytes }.map {
      "\($0.name) \(mib($0.bytes))"
    }.joined(
      separator: ", ")
    throw DPOError(
      .memory,
      "the plan needs \(mib(memory.total)), but the limit is \(mib(memoryLimit)) (\(parts)); smaller with offload, gradient_checkpointing, lora_r, per_device_train_batch_size and gradient_accumulation_steps, max_length or max_completion_length"
    )
  }
}
