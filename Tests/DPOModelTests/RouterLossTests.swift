import DPOKernels
import DPOModel
import DPOStorage
import TestSupport
import Testing

/// The auxiliary loss of a mixture's routers beside transformers' (make_router_loss.py) and its own slopes. Whole runs with it
/// are in TRLTrajectoryTests.
@Suite(.timeLimit(.minutes(10))) struct RouterLossTests {
  static let names = ["olmoe", "qwen3_moe", "granitemoe", "gpt_oss"]

  /// In memory: its files are gone.
  private func opened(_ name: String) throws -> (family: GoldenFamily, file: ModelFile) {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    try family.writeModel(directory.path)
    return (family, try withExtendedLifetime(directory) { try ModelFile.open(directory.path, inMemory: true) })
  }

  /// All tokens of all sequences, each prompt once.
  private func forest(_ family: GoldenFamily) -> TokenForest {
    var forest = TokenForest()
    for sequence in family.golden["sequences"]?.array ?? [] {
      let parent = forest.addPrompt(sequence.ids("prompt"))
      for completion in sequence["completions"]?.array ?? [] {
        forest.addCompletion((completion.array ?? []).map { Int32($0.int ?? -1) }, parent: parent, keepLast: true)
      }
    }
    forest.balancedSequences = forest.sequenceCount
    return forest
  }

  private func runner(_ file: ModelFile, trainable: Bool = true, threads: Int = 2) throws -> ModelRunner {
    ModelRunner(
      decoder: try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: trainable),
      team: try ThreadTeam(threads: threads))
  }

  @Test(arguments: names) func lossAndGradientsAreTransformers(name: String) throws {
    let (family, file) = try opened(name)
    let golden = try #require(Fixtures.json("golden/router_loss.json")[name])
    let forest = forest(family)
    #expect(file.configuration.experts?.lossCoefficient == golden["coefficient"]?.double)
    for recomputes in [false, true] {
      let runner = try runner(file)
      runner.recomputesBlocks = recomputes
      let loss = try #require(runner.forward(forest).routerLoss)
      #expect(abs(loss - (golden["aux_loss"]?.double ?? .nan)) < 1e-5)
      try runner.backward(
        logProbGradients: [Float](repeating: 0, count: forest.targets.count), routerLossGradient: 1)
      let store = try #require(runner.decoder.parameters)
      for (tensor, numbers) in try #require(golden["gradients"]?.object).members {
        // Of the tensors of all experts the other tests know where each expert is; here the rest says enough.
        guard let entry = store[tensor] else { continue }
        let expected = (numbers.array ?? []).compactMap(\.double)
        for (a, b) in zip(GoldenFamily.sketch(Array(store.gradients.slice(entry)), tensor), expected) {
          #expect(abs(a - b) <= 5e-4 * expected[0] + 1e-6, "\(tensor): \(a), expected \(b)")
        }
      }
    }
  }

  @Test func gradientsAreItsSlopes() throws {
    let runner = try runner(opened("olmoe").file)
    // Of few rows, so that none comes to other experts within a step.
    var forest = TokenForest()
    let prompt = forest.addPrompt([3, 9, 4])
    for completion: [Int32] in [[5, 6], [11]] { forest.addCompletion(completion, parent: prompt, keepLast: true) }
    forest.balancedSequences = 2
    let store = try #require(runner.decoder.parameters)
    _ = try runner.forward(forest)
    try runner.backward(
      logProbGradients: [Float](repeating: 0, count: forest.targets.count), routerLossGradient: 1)
    for entry in store.entries {
      let gradient = store.gradients.slice(entry).map(Double.init)
      let slope = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard slope > 1e-3 else { continue }
      let values = Array(store.values.slice(entry))
      let step = 1e-3
      func loss(_ sign: Double) throws -> Double {
        for index in values.indices {
          store.values.pointer[entry.offset + index] = values[index] + Float(sign * step * gradient[index] / slope)
        }
        return try #require(runner.score(forest).routerLoss)
      }
      let found = (try loss(1) - loss(-1)) / (2 * step)
      _ = try loss(0)
      #expect(abs(found - slope) <= 0.02 * slope + 1e-4, "\(entry.name): \(found) against \(slope)")
    }
  }

  /// A shared prompt counts once for each completion, as in a batch where each has its own; those behind do not count.
  @Test func sharedPromptsCountAsOftenAsTheyAreUsed() throws {
    let (_, file) = try opened("qwen3_moe")
    let runner = try runner(file, trainable: false)
    let (prompt, completions): ([Int32], [[Int32]]) = ([3, 9, 4, 11, 7], [[5, 6], [2, 8, 10, 1], [12]])
    func loss(shared: Bool, counted: Int) throws -> Double {
      var forest = TokenForest()
      let common = shared ? forest.addPrompt(prompt) : nil
      for completion in completions {
        forest.addCompletion(completion, parent: common ?? forest.addPrompt(prompt), keepLast: true)
      }
      forest.balancedSequences = counted
      return try #require(runner.score(forest).routerLoss)
    }
    for counted in 1...3 {
      #expect(abs(try loss(shared: true, counted: counted) - loss(shared: false, counted: counted)) < 1e-6)
    }
    #expect(abs(try loss(shared: true, counted: 2) - loss(shared: true, counted: 3)) > 1e-4)
  }

  @Test func threadsDoNotChangeItsBits() throws {
    let (family, file) = try opened("gpt_oss")
    let forest = forest(family)
    let losses = try [1, 3].map { try runner(file, trainable: false, threads: $0).score(forest).routerLoss }
    #expect(losses[0] == losses[1])
    #expect(losses[0] != nil)
  }

  @Test func othersHaveNone() throws {
    let (family, file) = try opened("smollm3")
    #expect(try runner(file, trainable: false).score(forest(family)).routerLoss == nil)
  }
}
