import DPO
import DPOKernels
import DPOPlatform
import TestSupport
import Testing

/// Runs that stop and go on end in the same bits as runs that never stopped.
@Suite(.timeLimit(.minutes(10))) struct ResumeTests {
  static let optimizers = [
    "optim adamw_8bit", "optim adafactor", "optim lion_32bit", "optim lion_8bit", "optim sgd", "optim sgd momentum=0.9",
    "optim adamw_torch bf16", "optim sgd momentum=0.9 bf16 gpt2",
  ]
  static let kinds =
    [
      "full", "lora with dropout", "reference synced", "reference precomputed", "from an adapter", "sft", "reward",
      "reward lora", "checkpointing", "bco", "ranked precomputed",
    ] + optimizers + Engine.available.map(\.name) + Engine.available.map { "bf16 " + $0.name }

  @Test(arguments: kinds) func aResumedRunEndsInTheSameBits(kind: String) throws {
    let folder = try TemporaryDirectory()
    let straight = try makeTrainer(kind)
    try straight.run(outputDirectory: "\(folder.path)/straight")

    // Stopped after four of nine steps, then taken up by a new trainer from what lies in the directory.
    let first = try makeTrainer(kind)
    #expect(throws: DPOError.self) {
      try first.run(outputDirectory: "\(folder.path)/stopped") { event in
        if case .step(let record) = event { return record.step < 4 }
        return true
      }
    }
    let second = try makeTrainer(kind)
    let result = try second.run(outputDirectory: "\(folder.path)/stopped", resume: .last)

    #expect(result.steps == 9)
    #expect(firstDifference(parameterBits(second), parameterBits(straight)) == nil)
    let lines = try ["straight", "stopped"].map { try metricRows("\(folder.path)/\($0)") }
    #expect(lines[0] == lines[1])
    #expect(lines[0].count == 9)
  }

  /// In the middle and at the last step, after which no step is left that could bring the line.
  @Test(arguments: [4, 9]) func anEvaluationThatWasStoppedIsMadeUpFor(step: Int) throws {
    let folder = try TemporaryDirectory()
    func evaluating() throws -> Trainer { try makeTrainer("full", evaluates: true) { $0.files.evalSteps = 2 } }
    try evaluating().run(outputDirectory: "\(folder.path)/straight")
    let error = #expect(throws: DPOError.self) {
      try evaluating().run(outputDirectory: "\(folder.path)/stopped") { event in
        if case .step(let record) = event { return record.step < step }
        return true
      }
    }
    #expect(error?.code == .cancelled)
    let stopped = try metricRows("\(folder.path)/stopped")
    #expect(stopped.count == step && stopped.last?["eval_loss"] == nil && stopped.last?["loss"] != nil)
    try evaluating().run(outputDirectory: "\(folder.path)/stopped", resume: .last)
    let lines = try ["straight", "stopped"].map { try metricRows("\(folder.path)/\($0)") }
    #expect(lines[0] == lines[1])
    #expect(lines[0].filter { $0["eval_loss"] != nil }.compactMap { $0["step"]?.int } == [2, 4, 6, 8, 9])
  }

  @Test func aCheckpointOfAnotherEngineGoesOnAndSaysSo() throws {
    let folder = try TemporaryDirectory()
    let engines = Engine.available
    try #require(engines.count > 1)
    let first = try makeTrainer("full") { $0.machine.engine = engines[0].name }
    for _ in 0..<2 { try first.takeStep() }
    try first.saveCheckpoint(to: "\(folder.path)/c.h5")
    let same = try makeTrainer("full") { $0.machine.engine = engines[0].name }
    #expect(try same.resume(from: "\(folder.path)/c.h5").isEmpty)
    let other = try makeTrainer("full") { $0.machine.engine = engines[1].name }
    let notes = try other.resume(from: "\(folder.path)/c.h5")
    #expect(notes.count == 1 && notes[0].contains(engines[0].name) && notes[0].contains(engines[1].name))
    #expect(other.step == 2)
    try other.takeStep()
  }

  @Test func checkpointsOfOtherRunsAreRefusedAndNothingChanges() throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer("full")
    for _ in 0..<2 { try trainer.takeStep() }
    try trainer.saveCheckpoint(to: "\(folder.path)/c.h5")

    for (what, change) in [
      ("beta", { $0.method.beta = 0.3 }), ("seed", { $0.batches.seed = 1 }),
      ("loss_type", { $0.method.lossType = ["ipo"] }), ("optim", { $0.optimization.optim = .lion32bit }),
      ("max_length", { $0.rows.maxLength = 40 }),
    ] as [(String, (inout TrainingOptions) -> Void)] {
      let other = try makeTrainer("full", change: change)
      let before = parameterBits(other)
      let error = #expect(throws: DPOError.self) { try other.resume(from: "\(folder.path)/c.h5") }
      #expect(error?.code == .mismatch)
      #expect(error?.message.contains(what) == true || error?.message.contains("training data") == true)
      #expect(firstDifference(parameterBits(other), before) == nil)
      try other.resume(from: "\(folder.path)/c.h5", allowMismatch: true)
      #expect(other.step == 2)
    }
    let otherModel = try makeTrainer("full", model: "models/llama-untied")
    #expect(throws: DPOError.self) { try otherModel.resume(from: "\(folder.path)/c.h5") }
  }

  @Test func stepsThatAreNotFiniteAreNotApplied() throws {
    let trainer = try makeTrainer(
      "full",
      change: {
        $0.optimization.learningRate = 1e30
        $0.optimization.maxGradNorm = 0
        $0.optimization.lrSchedulerType = .constant
      })
    var error: DPOError?
    var before: [UInt32] = []
    for _ in 0..<9 {
      before = parameterBits(trainer)
      do { try trainer.takeStep() } catch let failure as DPOError {
        error = failure
        break
      }
    }
    #expect(error?.code == .nonFinite)
    #expect(error?.message.contains("step \(trainer.step + 1)") == true)
    #expect(firstDifference(parameterBits(trainer), before) == nil)
  }

  @Test func plansBeyondTheLimitAreRefusedBeforeWork() throws {
    let error = #expect(throws: DPOError.self) {
      try makeTrainer(
        "full",
        change: {
          $0.machine.memoryLimitMb = 1
          $0.batches.perDeviceTrainBatchSize = 12
        })
    }
    #expect(error?.code == .memory)
    #expect(error?.message.contains("per_device_train_batch_size") == true)
  }

  @Test func aHostsOwnLossTakesTheSameStep() throws {
    let planned = try makeTrainer("full", change: { $0.batches.shuffle = false })
    let own = try makeTrainer("full", change: { $0.batches.shuffle = false })
    for step in 0..<3 {
      let record = try planned.takeStep()
      let rows = Array(step * 4..<step * 4 + 4)
      var gradients: [Float] = []
      for half in [rows[..<2], rows[2...]] {
        let scores = try own.forward(rows: Array(half))
        let sums = scores.policy.sums
        let reference = try #require(scores.reference)
        // −log σ(u), u = β[(C − Cr) − (R − Rr)], mean over the pairs of both micro-batches
        var perSequence: [Double] = []
        for pair in 0..<2 {
          let u = 0.1 * ((sums[2 * pair] - reference[2 * pair]) - (sums[2 * pair + 1] - reference[2 * pair + 1]))
          let g = -0.1 / (1 + exp(u)) / 4
          perSequence += [g, -g]
        }
        gradients = []
        for (sequence, count) in scores.policy.counts.enumerated() {
          gradients += Array(repeating: Float(perSequence[sequence]), count: count)
        }
        try own.backward(tokenGradients: gradients)
      }
      let applied = try own.applyGradients()
      #expect(abs((applied["grad_norm"] ?? 0) - (record["grad_norm"] ?? 1)) < 1e-5 * (record["grad_norm"] ?? 1))
    }
    let difference =
      zip(parameterBits(planned), parameterBits(own)).map { abs(Float(bitPattern: $0) - Float(bitPattern: $1)) }.max()
      ?? 1
    #expect(difference < 1e-6)
  }

  private func makeTrainer(
    _ kind: String, model name: String = "models/llama-tied", evaluates: Bool = false,
    change: (inout TrainingOptions) -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = 2
    options.batches.gradientAccumulationSteps = 2
    options.optimization.learningRate = 1e-3
    options.optimization.warmupSteps = 2
    options.optimization.weightDecay = 0.01
    options.files.saveSteps = 3
    var start: String?
    var data = "data/pairs.jsonl"
    switch kind {
    case "lora with dropout":
      options.lora.rank = 4
      options.lora.dropout = 0.2
      options.lora.disableDropout = false
      options.lora.targetModules = ["all-linear"]
    case "reference synced":
      options.method.syncRefModel = true
      options.method.refModelSyncSteps = 2
    case "reference precomputed": options.method.precomputeRefLogProbs = true
    case _ where Engine.names.contains(kind): options.machine.engine = kind
    case _ where kind.hasPrefix("bf16 "):
      options.machine.precision = .bf16
      options.machine.engine = String(kind.dropFirst(5))
    case "checkpointing": options.machine.gradientCheckpointing = true
    case "from an adapter": start = "adapters/llama-tied-lora-sigmoid-final"
    case "sft":
      options.method.name = "sft"
      data = "data/completions.jsonl"
      options.batches.maxSteps = 9
    case "reward", "reward lora":
      options.method.name = "reward"
      if kind == "reward lora" { options.lora.rank = 4 }
    case "ranked precomputed":
      options.method.name = "ranked"
      options.method.precomputeRefLogProbs = true
      data = "data/ranked.jsonl"
      options.batches.maxSteps = 9
    case "bco":
      options.method.name = "bco"
      options.batches.maxSteps = 9
    case _ where kind.hasPrefix("optim "):
      let words = kind.split(separator: " ").map(String.init)
      options.optimization.optim = try #require(OptimizerName(rawValue: words[1]))
      options.optimization.optimArgs = words.filter { $0.contains("=") }
      options.optimization.optimStateDtype = words.contains("bf16") ? "bf16" : "fp32"
    default: break
    }
    change(&options)
    let model = try ModelFile.open(Fixtures.path(kind.hasSuffix("gpt2") ? "models/gpt2" : name))
    let rows = try model.dataset(.file(Fixtures.path(data)), options: options.dataset())
    return try Trainer(
      model: model, adapter: start.map { try AdapterFile.open(Fixtures.path($0), for: model) }, data: rows,
      evaluation: evaluates ? rows : nil, options: options)
  }
}
