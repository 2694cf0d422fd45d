import DPO
import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
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
  /// Flat memory with its own copy of values, gradients and states.
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

    func numbers(_ range: Range<Int>) -> ElementNumbers {
      let start = base + range.lowerBound
      return ElementNumbers(
        values: start, gradients: start + count, states: (start + 2 * count, start + 3 * count), count: range.count)
    }
    var bits: [UInt32] { (0..<4 * count).map { base[$0].bitPattern } }
  }

  static func step(_ number: Int, rate: Double = 1e-3, scale: Double = 1) -> UpdateStep {
    UpdateStep(number: number, learningRate: rate, gradientScale: scale)
  }

  static let rules: [any ElementRule] = {
    var adam = AdamW()
    var lion = Lion()
    var (plain, heavy, nesterov) = (SGD(), SGD(), SGD())
    (adam.weightDecay, lion.weightDecay, plain.weightDecay) = (0.1, 0.1, 0.1)
    (heavy.momentum, heavy.dampening, heavy.weightDecay) = (0.9, 0.5, 0.1)
    (nesterov.momentum, nesterov.nesterov) = (0.8, true)
    return [adam, lion, plain, heavy, nesterov]
  }()

  @Test func threeStepsGiveTorchsNumbers() {
    let memory = Memory(count: 1, seed: 0)
    memory.base[0] = 1
    memory.base[2] = 0
    memory.base[3] = 0
    var adam = AdamW()
    adam.weightDecay = 0.01
    let steps: [(Float, Double, Double)] = [
      (0.5, 1e-2, 0.9899000002), (-0.1, 1e-2, 0.9846907496), (0.3, 5e-3, 0.981318734),
    ]
    for (index, (gradient, rate, expected)) in steps.enumerated() {
      memory.base[1] = gradient
      adam.update(memory.numbers(0..<1), OptimizerTests.step(index + 1, rate: rate), decays: true)
      #expect(abs(Double(memory.base[0]) - expected) < 2e-7)
      #expect(memory.base[1] == 0)
    }
  }

  @Test(arguments: [1, 3]) func theKernelsHaveTheBitsOfThePlainLoopsHoweverTheRangeIsCut(number: Int) {
    let count = 1003
    let step = OptimizerTests.step(number, scale: 0.7)
    for rule in OptimizerTests.rules {
      for decays in [false, true] {
        let reference = Memory(count: count, seed: 1)
        rule.updateReference(reference.numbers(0..<count), step, decays: decays)
        for cuts in [[0, count], [0, 1, 50, 401, 402, count], Array(0...count)] {
          let memory = Memory(count: count, seed: 1)
          for (start, end) in zip(cuts, cuts.dropFirst()) {
            rule.update(memory.numbers(start..<end), step, decays: decays)
          }
          #expect(memory.bits == reference.bits, "\(rule)")
        }
      }
    }
  }

  /// A store of a matrix that decays and a vector that does not, with the numbers of make_optimizers.py.
  static func store(_ shape: [Int] = [97, 65], _ length: Int = 50) throws -> ParameterStore {
    let store = try ParameterStore([("matrix", shape, true), ("vector", [length], false)])
    fill(store, store.values, 0)
    return store
  }

  static func fill(_ store: ParameterStore, _ buffer: FloatBuffer, _ step: Int) {
    for entry in store.entries {
      for i in 0..<entry.count {
        let number = Double((i * 7919 + step * 104729 + 12345) % 1009) / 1009 - 0.5
        buffer.pointer[entry.offset + i] = Float(number / Double(1 << (i % 11)))
      }
    }
  }

  static func bits(_ store: ParameterStore) -> [UInt32] { store.values.buffer.map(\.bitPattern) }

  static func apply(_ rule: any UpdateRule, _ store: ParameterStore, threads: Int = 1, steps: Int = 4) throws {
    let team = try ThreadTeam(threads: threads, engine: .best)
    for number in 1...steps {
      fill(store, store.gradients, number)
      rule.apply(step(number, rate: 1e-2), to: 0..<store.count, team: team)
      #expect(store.gradients.buffer.allSatisfy { $0 == 0 })
    }
  }

  @Test func dynamicMapsAreThoseOfBitsandbytes() throws {
    let maps = try Fixtures.json("golden/optimizers.json")["maps"]
    for (name, map) in [("signed", DynamicMap.signed), ("unsigned", .unsigned)] {
      #expect(map.values.map { Int($0.bitPattern) } == maps?[name]?.array?.compactMap(\.int), "\(name)")
    }
  }

  /// Both sides of every border between two codes, beside a search through all of the map.
  @Test(arguments: Engine.available) func codesAreTheNearestOnes(engine: Engine) throws {
    for map in [DynamicMap.signed, .unsigned] {
      let borders = zip(map.values, map.values.dropFirst()).map { $0 + ($1 - $0) / 2 }
      for border in borders + [0, 1e-30, 1] {
        let shares = [border.nextDown, border, border.nextUp].map { min($0, 1) } + [1]
        for largest in [Float(1), 0.25, 4096] {
          let numbers = shares.map { $0 * largest }
          var codes = [UInt8](repeating: 0, count: numbers.count)
          #expect(engine.kernels.pointee.dynamic_encode(map.table, numbers, &codes, numbers.count) == largest)
          let nearest = shares.map { share in UInt8(borders.firstIndex { share <= $0 } ?? 255) }
          #expect(codes == nearest, "\(border) of \(largest)")
        }
      }
    }
  }

  /// Codes, and with them values, may differ where a number lies between two codes but for rounding: fewer than 1 in 200.
  @Test(arguments: [OptimizerName.adamw8bit, .lion8bit]) func statesOf8BitsAreThoseOfBitsandbytes(name: OptimizerName)
    throws
  {
    let golden = try #require(try Fixtures.json("golden/optimizers.json")["runs"]?[name.rawValue])
    var options = TrainingOptions.Optimization()
    (options.optim, options.weightDecay) = (name, 0.1)
    let store = try OptimizerTests.store()
    let rule = try OptimizerChoice(options).make(store)
    try OptimizerTests.apply(rule, store)
    func numbers(_ key: String) -> [Int] { golden[key]?.array?.compactMap(\.int) ?? [] }
    func floats(_ key: String) -> [Float] { numbers(key).map { Float(bitPattern: UInt32($0)) } }
    let matrix = store.entries[0]
    let values = stride(from: 0, to: matrix.count, by: 13).map { store.values.pointer[$0] }
    let expected = floats("values")
    try #require(values.count == expected.count)
    #expect(zip(values, expected).filter { abs($0 - $1) > 1e-6 }.count * 200 <= values.count)
    let vector = floats("vector")
    #expect((0..<50).allSatisfy { abs(store.values.pointer[matrix.count + $0] - vector[$0]) < 1e-6 })
    let sections = rule.sections(model: try ModelFile.open(Fixtures.path("models/llama-tied")).configuration)
    for (state, group) in [("1", "/optimizer/exp_avg"), ("2", "/optimizer/exp_avg_sq")]
    where golden["codes\(state)"] != nil {
      let codes = try #require(sections.first { $0.group == group }?.entries.first)
      guard case .uint8(let found) = codes.numbers else { continue }
      #expect(codes.shape == [matrix.count])
      let wanted = numbers("codes\(state)")
      let wrong = wanted.indices.filter { Int(found[13 * $0]) != wanted[$0] }
      #expect(wrong.count * 200 <= wanted.count && wanted.count == (matrix.count + 12) / 13, "\(group): \(wrong)")
      let scales = try #require(sections.first { $0.group == group + "_absmax" }?.entries.first)
      guard case .float32(let largest) = scales.numbers else { continue }
      for (index, want) in floats("absmax\(state)").enumerated() {
        #expect(abs(largest[index] - want) <= 1e-6 * want, "\(group) block \(index)")
      }
    }
  }

  @Test func adafactorsKernelsFollowItsEquations() throws {
    for shape in [[97, 65], [1, 300], [200, 3]] {
      let store = try OptimizerTests.store(shape)
      var options = AdafactorOptions()
      options.weightDecay = 0.1
      let rule = try Adafactor(options, store)
      try OptimizerTests.apply(rule, store, threads: 2)
      let again = try OptimizerTests.store(shape)
      var values = (0..<shape[0] * shape[1]).map { Double(again.values.pointer[$0]) }
      var (rows, columns) = ([Double](repeating: 0, count: shape[0]), [Double](repeating: 0, count: shape[1]))
      for number in 1...4 {
        OptimizerTests.fill(again, again.gradients, number)
        Adafactor.matrixReference(
          options, values: &values, gradients: values.indices.map { Double(again.gradients.pointer[$0]) }, rows: &rows,
          columns: &columns, step: OptimizerTests.step(number, rate: 1e-2), decays: true)
      }
      #expect(values.indices.allSatisfy { abs(values[$0] - Double(store.values.pointer[$0])) < 1e-6 }, "\(shape)")
    }
  }

  static let choices: [(name: OptimizerName, dtype: String, arguments: [String])] =
    OptimizerName.allCases.map { ($0, "fp32", []) } + [
      (.sgd, "fp32", ["momentum=0.9"]), (.adamwTorch, "bf16", []), (.lion32bit, "bf16", []),
      (.sgd, "bf16", ["momentum=0.9", "nesterov=true"]),
    ]

  static func options(_ index: Int) -> TrainingOptions.Optimization {
    var options = TrainingOptions.Optimization()
    (options.optim, options.optimStateDtype, options.optimArgs) = choices[index]
    options.weightDecay = 0.1
    return options
  }

  /// Large enough for several tasks, and for several pieces of one parameter.
  @Test(arguments: choices.indices) func bitsDoNotDependOnTheNumberOfThreads(choice: Int) throws {
    let runs = try [1, 2, 3].map { threads in
      let store = try OptimizerTests.store([700, 500], 7000)
      let rule = try OptimizerChoice(OptimizerTests.options(choice)).make(store)
      try OptimizerTests.apply(rule, store, threads: threads)
      return OptimizerTests.bits(store)
    }
    #expect(runs[0] == runs[1] && runs[0] == runs[2])
  }

  /// Each process updates its own blocks; together they are one.
  @Test(arguments: choices.indices) func elementwiseRulesMayBeDivided(choice: Int) throws {
    let options = OptimizerTests.options(choice)
    // Borders of 8-bit blocks are not those of the store.
    let shapes = (matrix: [700, 501], vector: 7001)
    let whole = try OptimizerTests.store(shapes.matrix, shapes.vector)
    let (blocks, count) = (StoreBlocks(whole.entries.map(\.count), size: GradientNorm.blockSize), whole.count)
    let parts = [[0, 3, 4], [1, 2, 5]].map { $0.map { blocks[$0] } }
    let made = try OptimizerChoice(options)
    guard made.isElementwise else {
      #expect(throws: DPOError.self) { try made.make(whole, owned: parts[0]) }
      return
    }
    let rule = try made.make(whole)
    try OptimizerTests.apply(rule, whole)
    var bits = [UInt32](repeating: 0, count: count)
    for part in parts {
      let store = try OptimizerTests.store(shapes.matrix, shapes.vector)
      let before = OptimizerTests.bits(store)
      let rule = try #require(try made.make(store, owned: part) as? ElementwiseUpdate)
      let team = try ThreadTeam(threads: 2, engine: .best)
      for number in 1...4 {
        OptimizerTests.fill(store, store.gradients, number)
        rule.apply(OptimizerTests.step(number, rate: 1e-2), to: 0..<count, team: team)
        // States of a part move to another process and back.
        for passage in rule.passages {
          let memory = try FloatBuffer(count: count)
          for range in part { rule.give(passage, range, to: memory.pointer) }
          rule.arrange(passage, in: memory.pointer)
          for range in part { rule.take(passage, range, from: memory.pointer) }
        }
      }
      let after = OptimizerTests.bits(store)
      for index in 0..<count {
        if part.contains(where: { $0.contains(index) }) {
          bits[index] = after[index]
        } else {
          #expect(after[index] == before[index])
        }
      }
    }
    #expect(bits == OptimizerTests.bits(whole))
  }

  /// A block of a store ends where an 8-bit block of one of its parameters does, and as near to its size as that allows.
  @Test func blocksOfAStoreCutNo8BitBlock() {
    for counts in [[1000], [300, 7, 5000, 31, 70001, 1, 1, 262_145], [65536, 65536], [65535, 3], [4096 * 3 + 1]] {
      for size in [4096, 1 << 16] {
        let blocks = StoreBlocks(counts, size: size)
        #expect(blocks.ranges.first?.lowerBound == 0 && blocks.ranges.last?.upperBound == counts.reduce(0, +))
        for (block, next) in zip(blocks.ranges, blocks.ranges.dropFirst()) {
          #expect(block.upperBound == next.lowerBound)
        }
        for (index, block) in blocks.ranges.enumerated() {
          #expect(!block.isEmpty && block.count < size + StateFormat.blockSize)
          #expect(blocks.index(of: block.lowerBound) == index && blocks.index(of: block.upperBound - 1) == index)
          var start = 0
          for count in counts {
            if (start..<start + count).contains(block.lowerBound) {
              #expect((block.lowerBound - start) % StateFormat.blockSize == 0)
            }
            start += count
          }
        }
      }
    }
  }

  /// Rounding to the nearest would leave 1: the decay of a step is less than half of what bf16 can tell apart there.
  @Test func roundingByChanceKeepsTheMean() throws {
    let store = try ParameterStore([("matrix", [64, 64], false)])
    let rule = try ElementwiseUpdate(AdamW(), store, format: .bfloat16)
    let (ones, found) = (try FloatBuffer(count: 4096), try FloatBuffer(count: 4096))
    for index in 0..<4096 { ones.pointer[index] = 1 }
    rule.take(1, 0..<4096, from: ones.pointer)
    let team = try ThreadTeam(threads: 1, engine: .best)
    for number in 1...500 { rule.apply(OptimizerTests.step(number, rate: 0), to: 0..<4096, team: team) }
    rule.give(1, 0..<4096, to: found.pointer)
    let mean = found.buffer.reduce(0.0) { $0 + Double($1) } / 4096
    // 0.999^500 = 0.6064; the mean of 4096 numbers strays by less than 0.002.
    #expect(abs(mean - 0.6064) < 0.002)
  }

  @Test(arguments: choices.indices) func whatIsPlannedIsWhatIsTaken(choice: Int) throws {
    let made = try OptimizerChoice(OptimizerTests.options(choice))
    let store = try OptimizerTests.store([700, 500], 7001)
    let rule = try made.make(store)
    try OptimizerTests.apply(rule, store, steps: 1)
    let model = try ModelFile.open(Fixtures.path("models/llama-tied")).configuration
    let kept = rule.sections(model: model).flatMap(\.entries).reduce(0) { sum, entry in
      let size =
        switch entry.numbers {
        case .float32: 4
        case .bfloat16: 2
        case .uint8: 1
        }
      return sum + size * entry.shape.reduce(1, *)
    }
    let planned = made.bytes(shapes: store.entries.map(\.shape))
    // Adafactor has room for one matrix' sums beside its states.
    let scratch = OptimizerTests.choices[choice].name == .adafactor ? 4 * (1200 + 11 * 500) : 0
    #expect(planned - scratch - kept >= 0 && planned - scratch - kept < 16)
    guard made.isElementwise else { return }
    // Shares are planned as parts of the whole.
    let blocks = StoreBlocks(store.entries.map(\.count), size: GradientNorm.blockSize).ranges
    let shares = [[0, 2, 4], [1, 3, 5]].map { $0.map { blocks[$0] } }
    let divided = shares.reduce(0) { $0 + made.bytes(shapes: store.entries.map(\.shape), owned: $1) }
    #expect(divided - kept >= 0 && divided - kept < 32)
  }

  @Test func settingsAreChecked() throws {
    func made(_ change: (inout TrainingOptions.Optimization) -> Void) throws -> OptimizerChoice {
      var options = TrainingOptions.Optimization()
      change(&options)
      return try OptimizerChoice(options)
    }
    for (settings, says) in [
      (["momentum=1"], "from 0 to below 1"), (["momentum"], "momentum"), (["speed=3"], "expected momentum=0.9"),
      (["nesterov=true"], "needs a momentum"), (["dampening=0.1"], "needs a momentum"),
      (["nesterov=2"], "nesterov=true"),
    ] {
      let error = #expect(throws: DPOError.self) { try made { ($0.optim, $0.optimArgs) = (.sgd, settings) } }
      #expect(error?.message.contains(says) == true, "\(settings)")
    }
    #expect(throws: DPOError.self) { try made { $0.optimArgs = ["momentum=0.9"] } }
    #expect(throws: DPOError.self) { try made { ($0.optim, $0.optimStateDtype) = (.adafactor, "bf16") } }
    let sgd = try SGD(settings: ["momentum=0.9, nesterov=True"], weightDecay: 0)
    #expect(sgd.momentum == 0.9 && sgd.nesterov)
    #expect(OptimizerName(rawValue: "adamw_torch_fused") == .adamwTorch)
    #expect(OptimizerName(rawValue: "adamw_bnb_8bit") == .adamw8bit)
    #expect(OptimizerName(rawValue: "adam") == nil)
  }

  @Test func theNormIsInDoubleAndTheSameHoweverItIsComputed() {
    let count = 3 * GradientNorm.blockSize + 17
    let memory = Memory(count: count, seed: 3)
    var sum = 0.0
    for i in 0..<count { sum += Double(memory.base[i]) * Double(memory.base[i]) }
    let norm = GradientNorm.norm(memory.base, count: count)
    #expect(abs(norm - sum.squareRoot()) < 1e-10 * norm)
    let blocks = GradientNorm.blocks(0..<count).reversed().map { GradientNorm.sumOfSquares(memory.base, $0) }
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
}
