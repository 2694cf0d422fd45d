import DPO
import DPOBase
import DPOModel
import DPOPlatform
import TestSupport
import Testing

/// What a trainer refuses before it starts, and the events of a run.
@Suite(.timeLimit(.minutes(10))) struct TrainerTests {
  @Test(
    arguments: [
      ("label_smoothing", ["label_smoothing": 0.1]),
      ("label_smoothing", ["method": "cpo", "loss_type": ["hinge"], "label_smoothing": 0.1]),
      ("label_smoothing", ["method": "online_dpo", "label_smoothing": 0.1]),
      ("discopop_tau", ["discopop_tau": 0.1]),
      ("f_alpha_divergence_coef", ["f_alpha_divergence_coef": 0.3]),
      ("ref_model_sync_steps", ["ref_model_sync_steps": 5]),
      ("ref_model_mixup_alpha", ["ref_model_mixup_alpha": 0.5]),
      ("desirable_weight", ["desirable_weight": 2]),
      ("center_rewards_coefficient", ["center_rewards_coefficient": 0.01]),
      ("loss_type", ["method": "reward", "loss_type": ["ipo"]]),
      ("init_lora_weights", ["init_lora_weights": "gaussian"]),
      ("lora_alpha", ["lora_alpha": 8]),
      ("eval_steps", ["eval_steps": 3]),
      ("precompute_ref_log_probs", ["reference_free": true, "precompute_ref_log_probs": true]),
      ("sync_ref_model", ["reference_free": true, "sync_ref_model": true]),
      ("sync_ref_model", ["lora_r": 2, "sync_ref_model": true]),
      ("sync_ref_model", ["precompute_ref_log_probs": true, "sync_ref_model": true]),
      ("precompute_ref_log_probs", ["method": "reward", "precompute_ref_log_probs": true]),
    ] as [(String, [String: JSON])])
  func optionsThatTheRunWouldNotReadAreRefused(name: String, options: [String: JSON]) throws {
    let error = #expect(throws: DPOError.self) {
      try makeTrainer { for (name, value) in options { try $0.set(name, to: value) } }
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains(name) == true)
  }

  @Test func gradientsOfAHostNeedAForwardBeforeThem() throws {
    let trainer = try makeTrainer()
    let tokens = #expect(throws: DPOError.self) { try trainer.backward(tokenGradients: []) }
    #expect(tokens?.code == .state)
    let sequences = #expect(throws: DPOError.self) { try trainer.backward(sequenceGradients: []) }
    #expect(sequences?.code == .state)
  }

  @Test func optionsOfAnAdapterDoNotGoWithOneToStartFrom() throws {
    let error = #expect(throws: DPOError.self) {
      try makeTrainer(adapter: "adapters/llama-tied-random") { $0.lora.alpha = 3 }
    }
    #expect(error?.message.contains("lora_alpha") == true)
  }

  @Test func aReferenceMustReadTheSameTokens() throws {
    let error = #expect(throws: DPOError.self) { try makeTrainer(reference: "models/gpt2") }
    #expect(error?.message.contains("models/gpt2") == true)
    let rewarded = #expect(throws: DPOError.self) {
      try makeTrainer(reference: "models/llama-tied") { $0.method.referenceFree = true }
    }
    #expect(rewarded?.message.contains("reference_free") == true)
  }

  /// It runs passes and an update to time them.
  @Test(arguments: [0, 2]) func anEstimateChangesNoBit(rank: Int) throws {
    let runs = try [false, true].map { estimates in
      let trainer = try makeTrainer {
        $0.lora.rank = rank
        $0.batches.maxSteps = 2
      }
      if estimates { #expect(try trainer.estimateSeconds() > 0) }
      let losses = try (0..<2).map { _ in try trainer.takeStep()[.loss] }
      return (
        losses, Array(UnsafeBufferPointer(start: trainer.parameters.values.pointer, count: trainer.parameters.count))
      )
    }
    #expect(runs[0].0 == runs[1].0)
    #expect(runs[0].1 == runs[1].1)
  }

  /// Reading beyond the end of a mapped file would be SIGBUS.
  @Test func aModelFileThatChangesInUseIsAnError() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/model.gguf"
    try copyFile(Fixtures.path("gguf/llama-tied.gguf"), to: path)
    let model = try ModelFile.open(path)
    var options = TrainingOptions()
    options.lora.rank = 2
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    let trainer = try Trainer(model: model, data: data, options: options)
    let generating = try LanguageModel(path: path, adapter: nil, threads: 1)
    let generator = Generator(decoder: generating.decoder, adapter: nil, team: generating.team)
    var generation = GenerationOptions()
    generation.maxNewTokens = 8

    // Another file under its name is no matter: the model keeps the one that it opened.
    try copyFile(Fixtures.path("gguf/llama-tied.gguf"), to: path + ".new")
    #expect(rename(path, path + ".old") == 0 && rename(path + ".new", path) == 0)
    try trainer.takeStep()
    _ = try generator.generate(prompts: [[1, 2, 3]], options: generation)

    try overwrite(path + ".old", [0])
    for work in [
      { _ = try trainer.takeStep() }, { _ = try generator.generate(prompts: [[1, 2, 3]], options: generation) },
      { _ = try Trainer(model: model, data: data, options: options) },
    ] as [() throws -> Void] {
      let error = #expect(throws: DPOError.self, performing: work)
      #expect(error?.code == .io && error?.message.contains(path) == true, "\(String(describing: error))")
    }
    #expect(trainer.step == 1)
  }

  @Test func checkpointsOfRunsWithAnotherReferenceAreRefused() throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer()
    try trainer.takeStep()
    try trainer.saveCheckpoint(to: "\(folder.path)/c.h5")
    let other = try makeTrainer(reference: "gguf/llama-tied-mixed.gguf")
    let error = #expect(throws: DPOError.self) { try other.resume(from: "\(folder.path)/c.h5") }
    #expect(error?.code == .mismatch)
    #expect(error?.message.contains("the reference model") == true)
  }

  @Test func weightsScaleTheLossOfTheirRows() throws {
    let model = try LanguageModel(path: Fixtures.path("models/llama-tied"))
    var options = TrainingOptions()
    options.batches.maxSteps = 1
    var plain: [JSONObject] = []
    try RowFile(Fixtures.path("data/pairs.jsonl")).forEach { row, _ in plain.append(row) }
    let records = try [1.0, 3].map { weight in
      let rows = plain.map { row in
        var row = row
        row["weight"] = .real(weight)
        return row
      }
      let data = try model.file.dataset(.rows(rows), options: options.dataset())
      return try Trainer(model: model.file, data: data, options: options).takeStep()
    }
    for name in [Metrics.Name.loss, .gradNorm] {
      let (one, three) = (try #require(records[0][name]), try #require(records[1][name]))
      #expect(abs(three - 3 * one) < 1e-5 * three)
    }
  }

  @Test func eventsOfARunAreAStream() async throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer()
    var steps: [Int] = []
    var saved: [String] = []
    for try await event in trainer.events(outputDirectory: "\(folder.path)/run") {
      switch event {
      case .step(let record): steps.append(record.step)
      case .saved(let path): saved.append(path)
      default: break
      }
    }
    #expect(steps == Array(1...6))
    #expect(saved == ["checkpoint-6.h5", "final.h5"].map { "\(folder.path)/run/\($0)" })
  }

  @Test func leavingTheLoopStopsTheRun() async throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer { $0.batches.maxSteps = 100_000 }
    for try await event in trainer.events(outputDirectory: "\(folder.path)/run") {
      if case .step(let record) = event, record.step == 2 { break }
    }
    // The run ends in its own thread; until then the trainer is busy.
    let clock = ContinuousClock()
    let end = clock.now + .seconds(60)
    while (try? trainer.saveCheckpoint(to: "\(folder.path)/c.h5")) == nil, clock.now < end {
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(try inspectFile("\(folder.path)/run/autosave.h5").found["kind"]?.string == "checkpoint")
    #expect(trainer.step < 100_000)
  }

  @Test func cancellingTheTaskThatReadsIsACancellationAndTheEndCanBeAwaited() async throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer { $0.batches.maxSteps = 100_000 }
    let events = trainer.events(outputDirectory: "\(folder.path)/run")
    let reader = Task {
      for try await event in events {
        if case .step(let record) = event, record.step == 2 { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }
    await #expect(throws: CancellationError.self) { try await reader.value }
    await events.ended()
    // Nothing of the run is under way any more: its last step is in the file, and the trainer is free.
    #expect(try inspectFile("\(folder.path)/run/autosave.h5").found["kind"]?.string == "checkpoint")
    try trainer.saveCheckpoint(to: "\(folder.path)/c.h5")
    #expect((2..<100_000).contains(trainer.step))
  }

  @Test func sharedStateMayBeReadWhileARunIsUnderWay() async throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer { $0.batches.maxSteps = 20 }
    let events = trainer.events(outputDirectory: "\(folder.path)/run")
    let watcher = Task {
      var seen = 0
      while !Task.isCancelled {
        seen = max(seen, trainer.step)
        trainer.stopRequested = { false }
        await Task.yield()
      }
      return seen
    }
    for try await _ in events {}
    watcher.cancel()
    #expect(await watcher.value <= 20)
    #expect(trainer.step == 20)
  }

  @Test func errorsEndTheStream() async throws {
    let folder = try TemporaryDirectory()
    let trainer = try makeTrainer()
    let error = await #expect(throws: DPOError.self) {
      for try await _ in trainer.events(outputDirectory: "\(folder.path)", resume: .file("\(folder.path)/none.h5")) {}
    }
    #expect(error?.message.contains("none.h5") == true)
  }

  private func makeTrainer(
    adapter: String? = nil, reference: String? = nil, change: (inout TrainingOptions) throws -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = 6
    try change(&options)
    let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    return try Trainer(
      model: model, adapter: adapter.map { try AdapterFile.open(Fixtures.path($0), for: model) },
      referenceModel: reference.map { try ModelFile.open(Fixtures.path($0)) },
      data: model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset()), options: options)
  }
}
