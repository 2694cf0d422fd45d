import DPO
import DPOKernels
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct PrecisionTests {
  private func trainer(_ name: String = "models/llama-tied", _ change: (inout TrainingOptions) -> Void) throws
    -> Trainer
  {
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = 4
    options.optimization.learningRate = 1e-3
    options.optimization.lrSchedulerType = .constant
    options.batches.maxSteps = 50
    change(&options)
    let model = try ModelFile.open(Fixtures.path(name))
    let data = try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: options.dataset())
    return try Trainer(model: model, data: data, options: options)
  }

  /// The first step's loss within 2e-2 of fp32's, fifty steps' reward margin within a tenth.
  @Test(arguments: Engine.available) func halfPrecisionLearnsTheSame(engine: Engine) throws {
    let exact = try trainer { $0.machine.engine = engine.name }
    let rounded = try trainer {
      $0.machine.precision = .bf16
      $0.machine.engine = engine.name
    }
    for step in 1...50 {
      let (a, b) = (try exact.takeStep(), try rounded.takeStep())
      if step == 1 {
        #expect(abs(try #require(a["loss"]) - (try #require(b["loss"]))) < 2e-2)
        #expect(a["grad_norm"] != b["grad_norm"], "bf16 is another arithmetic")
      }
      if step == 50 {
        let margins = (try #require(a["rewards/margins"]), try #require(b["rewards/margins"]))
        #expect(margins.0 > 0.5 && abs(margins.0 - margins.1) < 0.1 * margins.0, "\(margins)")
      }
    }
  }

  @Test func enginesThatAreNotHereAreRefused() throws {
    for name in Engine.names where !Engine.available.contains(where: { $0.name == name }) {
      let error = #expect(throws: DPOError.self) { try trainer { $0.machine.engine = name } }
      #expect(error?.code == .unsupported && error?.message.contains(Engine.best.name) == true)
    }
    let error = #expect(throws: DPOError.self) { try trainer { $0.machine.engine = "fast" } }
    #expect(error?.code == .invalidArgument && error?.message.contains("portable") == true)
  }

  /// The same bits with less memory: each block's input alone is kept.
  @Test func checkpointedGradientsAreTheSame() throws {
    let (kept, again) = (try trainer { _ in }, try trainer { $0.machine.gradientCheckpointing = true })
    for _ in 0..<3 {
      let (a, b) = (try kept.takeStep(), try again.takeStep())
      #expect(a["loss"] == b["loss"] && a["grad_norm"] == b["grad_norm"])
    }
    func activations(_ trainer: Trainer) -> Int {
      trainer.plan.memory.parts.filter { $0.name == "activations" }.reduce(0) { $0 + $1.bytes }
    }
    #expect(activations(again) < activations(kept))
  }
  /// With an adapter most blocks compute gate and up again; `gradient_checkpointing` nearly all of a block.
  /// The adapter's scale, 8/3, is rounded into one of the factors.
  @Test(arguments: ["models/llama-tied", "models/llama-untied", "models/gpt2", "models/qwen3"])
  func adaptersGradientsAreTheSameHoweverMuchIsKept(name: String) throws {
    func adapted(_ change: (inout TrainingOptions) -> Void) throws -> Trainer {
      try trainer(name) {
        $0.lora = .init(rank: 3, alpha: 8, targetModules: ["all-linear"])
        change(&$0)
      }
    }
    let (kept, again) = (try adapted { _ in }, try adapted { $0.machine.gradientCheckpointing = true })
    for _ in 0..<3 {
      let (a, b) = (try kept.takeStep(), try again.takeStep())
      #expect(a["loss"] == b["loss"] && a["grad_norm"] == b["grad_norm"])
    }
    let count = kept.parameters.count
    #expect(
      firstDifference(
        UnsafeBufferPointer(start: again.parameters.values.pointer, count: count),
        UnsafeBufferPointer(start: kept.parameters.values.pointer, count: count)) == nil)
  }
}
