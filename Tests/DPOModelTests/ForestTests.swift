import DPOBase
import DPOKernels
import DPOModel
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct ForestTests {
  /// The golden pairs' scores and gradients under some way of computing them.
  private func run(
    _ model: GoldenModel, _ engine: Engine = .best, threads: Int = 2, shared: Bool = true, adapted: Bool = false,
    dropout: Double = 0
  ) throws -> (scores: TokenScores, gradients: [Float]) {
    let pairs = try #require(model.golden["pairs"]?.array)
    let decoder = try model.decoder(trainable: !adapted)
    var adapter = adapted ? try model.adapter() : nil
    if dropout > 0, let old = adapter {
      var configuration = old.configuration
      configuration.dropout = dropout
      adapter = try LoRAAdapter(configuration, model: model.file.configuration, seed: 3)
      let b = try #require(adapter).parameters
      for entry in b.entries {
        for i in 0..<entry.count { b.values.pointer[entry.offset + i] = Float((i * 37) % 19 - 9) / 40 }
      }
    }
    let forest = model.forest(pairs, shared: shared)
    let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: threads, engine: engine))
    let scores = try runner.forward(
      forest, adapter: adapter, extras: [.entropy, .meanLogit, .top1, .logSumSquares],
      dropout: dropout > 0 ? CounterRandom(key: 5) : nil)
    try runner.backward(logProbGradients: forest.targets.map { 0.01 * Float($0.sequence % 5 - 2) })
    let store = try #require(adapter?.parameters ?? decoder.parameters)
    return (scores, Array(store.gradients.buffer))
  }

  @Test(arguments: GoldenModel.names) func sharedPromptsGiveWhatUnsharedOnesDo(name: String) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let (a, b) = (try run(model, engine), try run(model, engine, shared: false))
      #expect(difference(a.scores.logProbs, b.scores.logProbs).error < 2e-5, "\(engine.name)")
      let found = difference(a.gradients, b.gradients)
      #expect(found.error < 1e-5 * found.scale, "\(engine.name)")
    }
  }

  @Test(arguments: GoldenModel.names, [false, true]) func bitsDoNotDependOnTheNumberOfThreads(
    name: String, adapted: Bool
  ) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let one = try run(model, engine, threads: 1, adapted: adapted, dropout: adapted ? 0.2 : 0)
      for threads in [2, 3, 5] {
        let more = try run(model, engine, threads: threads, adapted: adapted, dropout: adapted ? 0.2 : 0)
        #expect(firstDifference(more.scores.logProbs, one.scores.logProbs) == nil, "\(engine.name), \(threads) threads")
        #expect(firstDifference(more.scores.sums, one.scores.sums) == nil, "\(engine.name), \(threads) threads")
        #expect(firstDifference(more.gradients, one.gradients) == nil, "\(engine.name), \(threads) threads")
      }
    }
  }

  @Test func aPromptMayBeScoredBesideItsCompletions() {
    var forest = TokenForest()
    let prompt = forest.addPrompt([1, 2, 3])
    forest.addCompletion([4, 5], parent: prompt)
    let rows = forest.tokens
    #expect(forest.addScores(ofPrompt: prompt) == 1)
    #expect(forest.addScores(ofPrompt: nil) == 2)
    #expect(forest.tokens == rows && forest.sequenceCount == 3)
    #expect(forest.targets.map(\.token) == [4, 5, 2, 3] && forest.targets.map(\.row) == [2, 3, 0, 1])
    #expect(forest.lastRows == [3, 2, -1])
  }

  @Test func targetsFollowLabelsParentsAndLastTokens() {
    var forest = TokenForest()
    let prompt = forest.addPrompt([1, 2, 3])
    #expect(forest.addCompletion([4, 5], parent: prompt) == 0)
    #expect(forest.addCompletion([6], parent: prompt) == 1)
    #expect(forest.addCompletion([7, 8, 9], parent: nil, labels: [true, true, false]) == 2)
    #expect(forest.addCompletion([7, 8], parent: nil, keepLast: true) == 3)
    #expect(forest.tokens == [1, 2, 3, 4, 7, 7, 8])
    #expect(forest.targets.map(\.row) == [2, 3, 2, 4, 5])
    #expect(forest.targets.map(\.token) == [4, 5, 6, 8, 8])
    #expect(forest.lastRows == [3, 2, 4, 6])
    #expect(forest.addPrompt([]) == nil)
  }

  @Test func memoryPlanIsKnownBeforeAnythingIsAllocated() throws {
    let model = try GoldenModel("llama-tied")
    let configuration = model.file.configuration
    func plan(_ tokens: Int, _ mode: ComputationMode, recomputes: Bool = false) throws -> MemoryPlan {
      try ModelRunner.plan(
        configuration, tokens: tokens, targets: tokens / 2, maxLength: 64, mode: mode, threads: 2,
        recomputesBlocks: recomputes)
    }
    let (score, full, again) = (try plan(1000, .score), try plan(1000, .full), try plan(1000, .full, recomputes: true))
    #expect(score.total < again.total && again.total < full.total)
    #expect(full["activations"] > 0 && full["head"] > 0)
    #expect(abs(Double(try plan(2000, .full)["activations"]) / Double(full["activations"]) - 2) < 0.01)
    #expect(throws: DPOError.self) { try plan(-1, .full) }
  }

  @Test func wrongCallsAreErrors() throws {
    let model = try GoldenModel("llama-tied")
    let team = try ThreadTeam(threads: 1)
    let runner = ModelRunner(decoder: try model.decoder(trainable: false), team: team)
    var forest = TokenForest()
    forest.addCompletion([1, 2, 3], parent: nil)
    #expect(throws: DPOError.self) { try runner.backward(logProbGradients: []) }
    #expect(throws: DPOError.self) { try runner.forward(forest) }
    var outside = TokenForest()
    outside.addCompletion([1, 100_000], parent: nil)
    #expect(throws: DPOError.self) { try runner.score(outside) }
    var long = TokenForest()
    long.addCompletion([Int32](repeating: 1, count: model.file.configuration.contextLength + 2), parent: nil)
    #expect(throws: DPOError.self) { try runner.score(long) }
    #expect(throws: DPOError.self) { try ThreadTeam(threads: 0) }
  }
}
