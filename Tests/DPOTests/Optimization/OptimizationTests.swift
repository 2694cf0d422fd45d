import DPO
import DPOBase
import Testing

@Suite(.timeLimit(.minutes(10))) struct ScheduleTests {
  /// S = 8; factors k = 0, 1, … printed by transformers 5.23's get_scheduler.
  @Test func factorsAreThoseOfTransformers() {
    let golden: [(ScheduleKind, Int, [Double])] = [
      (.linear, 0, [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0]),
      (.linear, 3, [0, 1.0 / 3, 2.0 / 3, 1, 0.8, 0.6, 0.4, 0.2, 0, 0]),
      (.cosine, 0, [1, 0.961939766256, 0.853553390593, 0.691341716183, 0.5, 0.308658283817, 0.146446609407]),
      (.cosine, 3, [0, 1.0 / 3, 2.0 / 3, 1, 0.904508497187, 0.654508497187, 0.345491502813, 0.095491502813, 0]),
      (.constant, 3, [1, 1, 1, 1, 1]),
      (.constantWithWarmup, 3, [0, 1.0 / 3, 2.0 / 3, 1, 1]),
      (
        .cosineWithRestarts, 3,
        [0, 1.0 / 3, 2.0 / 3, 1, 0.904508497187, 0.654508497187, 0.345491502813, 0.095491502813, 0, 0]
      ),
      (
        .polynomial, 0, [1, 0.87500125, 0.7500025, 0.62500375, 0.500005, 0.37500625, 0.2500075, 0.12500875, 1e-5, 1e-5]
      ),
      (.polynomial, 3, [0, 1.0 / 3, 2.0 / 3, 1, 0.800002, 0.600004, 0.400006, 0.200008, 1e-5, 1e-5]),
      (.inverseSquareRoot, 0, [1, 0.99995000375, 0.999900014998, 0.999850033742]),
      (.inverseSquareRoot, 3, [0, 1.0 / 3, 2.0 / 3, 1, 0.866025403784, 0.774596669241, 0.707106781187]),
    ]
    for (kind, warmup, factors) in golden {
      let schedule = Schedule(kind, learningRate: 0.01, warmupSteps: warmup, totalSteps: 8)
      for (step, factor) in factors.enumerated() {
        #expect(abs(schedule.factor(step: step) - factor) < 1e-11, "\(kind) warmup \(warmup) step \(step)")
      }
    }
  }

  @Test func optionsOfSchedulesAreThoseOfTransformers() {
    var restarts = Schedule(.cosineWithRestarts, learningRate: 0.01, warmupSteps: 2, totalSteps: 8)
    restarts.cycles = 3
    var polynomial = Schedule(.polynomial, learningRate: 0.01, warmupSteps: 2, totalSteps: 8)
    polynomial.power = 2
    polynomial.finalLearningRate = 1e-3
    var inverse = Schedule(.inverseSquareRoot, learningRate: 0.01, warmupSteps: 2, totalSteps: 8)
    inverse.timescale = 5
    let golden: [(Schedule, [Double])] = [
      (restarts, [0, 0.5, 1, 0.5, 1, 0.5, 1, 0.5, 0]),
      (polynomial, [0, 0.5, 1, 0.725, 0.5, 0.325, 0.2, 0.125, 0.1, 0.1]),
      (inverse, [0, 0.5, 1, 0.912870929175, 0.845154254729, 0.790569415042]),
    ]
    for (schedule, factors) in golden {
      for (step, factor) in factors.enumerated() { #expect(abs(schedule.factor(step: step) - factor) < 1e-11) }
    }
  }

  @Test func warmupIsACountOrAFraction() throws {
    #expect(try Schedule.warmupSteps(0, totalSteps: 10) == 0)
    #expect(try Schedule.warmupSteps(0.11, totalSteps: 10) == 2)
    #expect(try Schedule.warmupSteps(1, totalSteps: 10) == 1)
    #expect(try Schedule.warmupSteps(7.0, totalSteps: 10) == 7)
    for bad in [-1, .nan, Double.infinity] {
      #expect(throws: DPOError.self) { try Schedule.warmupSteps(bad, totalSteps: 10) }
    }
    #expect(throws: DPOError.self) { try ScheduleKind(named: "step") }
  }
}

@Suite(.timeLimit(.minutes(10))) struct OptimizerTests {
  /// Flat memory with its own copy of values, gradients and moments.
  final class Memory {
    let count: Int
    let base: UnsafeMutablePointer<Float>

    init(count: Int, seed: UInt64) {
      self.count = count
      base = .allocate(capacity: 4 * count)
      var random = CounterRandom(key: seed)
      for i in 0..<3 * count { base[i] = Float(random.uniform() - 0.5) }
      for i in 3 * count..<4 * count { base[i] = Float(random.uniform()) }
    }
    deinit { base.deallocate() }

    var buffers: AdamWBuffers {
      AdamWBuffers(
        values: base, gradients: base + count, firstMoments: base + 2 * count, secondMoments: base + 3 * count,
        count: count)
    }
    var bits: [UInt32] { (0..<4 * count).map { base[$0].bitPattern } }
  }

  @Test func threeStepsGiveTorchsNumbers() {
    let memory = Memory(count: 1, seed: 0)
    let buffers = memory.buffers
    buffers.values[0] = 1
    buffers.firstMoments[0] = 0
    buffers.secondMoments[0] = 0
    var options = AdamWOptions()
    options.weightDecay = 0.01
    let steps: [(Float, Double, Double)] = [
      (0.5, 1e-2, 0.9899000002), (-0.1, 1e-2, 0.9846907496), (0.3, 5e-3, 0.981318734),
    ]
    for (index, (gradient, rate, expected)) in steps.enumerated() {
      buffers.gradients[0] = gradient
      AdamWStep(options, step: index + 1, learningRate: rate, gradientScale: 1, decayRanges: [0..<1])
        .apply(to: buffers, range: 0..<1)
      #expect(abs(Double(buffers.values[0]) - expected) < 2e-7)
      #expect(buffers.gradients[0] == 0)
    }
  }

  @Test func theKernelHasTheBitsOfThePlainLoopHoweverTheRangeIsCut() {
    let count = 1003
    var options = AdamWOptions()
    options.weightDecay = 0.1
    let step = AdamWStep(
      options, step: 3, learningRate: 1e-3, gradientScale: 0.7, decayRanges: [5..<77, 77..<100, 400..<1003])
    let reference = Memory(count: count, seed: 1)
    step.applyReference(to: reference.buffers, range: 0..<count)
    for cuts in [[0, count], [0, 1, 50, 401, 402, count], Array(0...count)] {
      let memory = Memory(count: count, seed: 1)
      for (start, end) in zip(cuts, cuts.dropFirst()) { step.apply(to: memory.buffers, range: start..<end) }
      #expect(memory.bits == reference.bits)
    }
  }

  @Test func onlyDecayRangesDecay() {
    var options = AdamWOptions()
    options.weightDecay = 0.5
    let memory = Memory(count: 4, seed: 2)
    for i in 0..<4 {
      memory.base[i] = 1
      for part in 1..<4 { memory.base[part * 4 + i] = 0 }
    }
    AdamWStep(options, step: 1, learningRate: 0.1, gradientScale: 1, decayRanges: [1..<3])
      .apply(to: memory.buffers, range: 0..<4)
    #expect((0..<4).map { memory.base[$0] } == [1, 0.95, 0.95, 1])
  }

  @Test func theNormIsInDoubleAndTheSameHoweverItIsComputed() {
    let count = 3 * GradientNorm.blockSize + 17
    let memory = Memory(count: count, seed: 3)
    var sum = 0.0
    for i in 0..<count { sum += Double(memory.base[i]) * Double(memory.base[i]) }
    let norm = GradientNorm.norm(memory.base, count: count)
    #expect(abs(norm - sum.squareRoot()) < 1e-10 * norm)
    let blocks = (0..<GradientNorm.blockCount(count)).reversed().map {
      GradientNorm.sumOfSquares(memory.base, count: count, block: $0)
    }
    #expect(GradientNorm.norm(ofBlocks: blocks.reversed()) == norm)
    memory.base[0] = .greatestFiniteMagnitude
    #expect(GradientNorm.norm(memory.base, count: count).isFinite)
    #expect(GradientNorm.firstNonFinite(memory.base, count: count) == nil)
    memory.base[count - 1] = .nan
    #expect(GradientNorm.norm(memory.base, count: count).isNaN)
    #expect(GradientNorm.firstNonFinite(memory.base, count: count) == count - 1)
  }

  @Test func clippingFollowsTorch() {
    #expect(GradientNorm.clipFactor(norm: 0.5, maximum: 1) == 1)
    #expect(GradientNorm.clipFactor(norm: 3, maximum: 1) == 1 / (3 + 1e-6))
    #expect(GradientNorm.clipFactor(norm: 3, maximum: 0) == 1)
  }

  @Test func optionsOutOfRangeAreRefused() {
    for change in [{ $0.beta1 = 1 }, { $0.beta2 = -0.1 }, { $0.epsilon = 0 }, { $0.weightDecay = .nan }]
      as [(inout AdamWOptions) -> Void]
    {
      var options = AdamWOptions()
      change(&options)
      #expect(throws: DPOError.self) { try options.validate() }
    }
  }
}
