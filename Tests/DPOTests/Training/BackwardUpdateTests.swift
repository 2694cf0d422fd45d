import DPO
import DPOBase
import TestSupport
import Testing

/// Weights that are updated within the backward pass.
@Suite(.timeLimit(.minutes(10))) struct BackwardUpdateTests {
  private func makeTrainer(
    _ model: String, inBackward: Bool, change: (inout TrainingOptions) throws -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = 3
    options.batches.maxSteps = 4
    options.optimization.learningRate = 1e-3
    options.optimization.weightDecay = 0.1
    options.optimization.maxGradNorm = 0
    options.machine.optimizerInBackward = inBackward
    try change(&options)
    let model = try ModelFile.open(Fixtures.path("models/\(model)"))
    return try Trainer(
      model: model, data: model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset()),
      options: options)
  }

  /// Tied and untied heads, checkpointing, states of blocks and of rows.
  @Test(arguments: [
    ("llama-tied", "adamw_torch"), ("llama-untied", "adafactor"), ("gpt2", "adamw_8bit"), ("qwen3", "lion_8bit"),
    ("mistral", "sgd"),
  ]) func endsInTheBitsOfAnUpdateBehindTheBackwardPass(model: String, optimizer: String) throws {
    for checkpointing in [false, true] {
      func trainer(inBackward: Bool) throws -> Trainer {
        try makeTrainer(model, inBackward: inBackward) {
          $0.optimization.optim = try #require(OptimizerName(rawValue: optimizer))
          $0.machine.gradientCheckpointing = checkpointing
        }
      }
      let (inside, behind) = (try trainer(inBackward: true), try trainer(inBackward: false))
      #expect(inside.plan.memory.total < behind.plan.memory.total)
      for _ in 0..<4 {
        let (a, b) = (try inside.takeStep(), try behind.takeStep())
        #expect(a[.loss] == b[.loss])
        let (norm, other) = (try #require(a[.gradNorm]), try #require(b[.gradNorm]))
        #expect(abs(norm - other) <= 1e-9 * other)
      }
      #expect(parameterBits(inside) == parameterBits(behind))
      #expect(inside.parameters.gradients.buffer.allSatisfy { $0 == 0 })
    }
  }

  @Test func theEstimateChangesNothing() throws {
    let (estimated, plain) = (
      try makeTrainer("llama-tied", inBackward: true), try makeTrainer("llama-tied", inBackward: true)
    )
    #expect(try estimated.estimateSeconds() > 0)
    for _ in 0..<2 {
      try estimated.takeStep()
      try plain.takeStep()
    }
    #expect(parameterBits(estimated) == parameterBits(plain))
  }

  @Test func aRunGoesOnFromACheckpointOfEither() throws {
    let folder = try TemporaryDirectory()
    let (straight, first) = (
      try makeTrainer("llama-tied", inBackward: false), try makeTrainer("llama-tied", inBackward: true)
    )
    for _ in 0..<4 { try straight.takeStep() }
    for _ in 0..<2 { try first.takeStep() }
    try first.saveCheckpoint(to: "\(folder.path)/c.h5")
    for inBackward in [true, false] {
      let second = try makeTrainer("llama-tied", inBackward: inBackward)
      #expect(try second.resume(from: "\(folder.path)/c.h5").isEmpty)
      for _ in 0..<2 { try second.takeStep() }
      #expect(parameterBits(second) == parameterBits(straight))
    }
  }

  @Test func whatNeedsAllGradientsIsRefused() throws {
    for (change, says) in [
      ({ $0.optimization.maxGradNorm = 1 }, "max_grad_norm"),
      ({ $0.batches.gradientAccumulationSteps = 2 }, "one micro-batch"), ({ $0.lora.rank = 4 }, "full training"),
    ] as [((inout TrainingOptions) -> Void, String)] {
      let error = #expect(throws: DPOError.self) { try makeTrainer("llama-tied", inBackward: true, change: change) }
      #expect(error?.code == .invalidArgument && error?.message.contains(says) == true)
    }
    let trainer = try makeTrainer("llama-tied", inBackward: true)
    trainer.reduceGradients = { _ in }
    #expect(throws: DPOError.self) { try trainer.takeStep() }
  }

  @Test func gradientsThatAreNotFiniteSayHowFarTheUpdateWent() throws {
    let trainer = try makeTrainer("llama-tied", inBackward: true)
    // The first layer's input norm overflows on the way back, the layers above it do not.
    let entry = try #require(trainer.parameters["model.layers.0.input_layernorm.weight"])
    trainer.parameters.values.pointer[entry.offset] = 3e38
    let error = #expect(throws: DPOError.self) { try trainer.takeStep() }
    #expect(error?.code == .nonFinite)
  }
}
