import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import TestSupport
import Testing

/// Keys and values that blocks share, and numbers of each token that each block gets: what the goldens do not show.
@Suite(.timeLimit(.minutes(10))) struct PerLayerInputTests {
  private static let names = ["gemma4", "gemma4-text", "gemma4-equal"]

  private struct Model {
    let family: GoldenFamily
    let file: ModelFile
    let adapter: LoRAAdapter
    private let directory: TemporaryDirectory

    init(_ name: String, dropout: Double = 0) throws {
      (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
      try family.writeModel(directory.path)
      file = try ModelFile.open(directory.path)
      try family.writeAdapter(directory.path)
      let opened = try AdapterFile.open(directory.path, for: file)
      var configuration = opened.configuration
      configuration.dropout = dropout
      adapter = try LoRAAdapter(configuration, model: file.configuration, tensors: opened.tensors)
    }

    func decoder(trainable: Bool) throws -> Decoder {
      try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: trainable)
    }
  }

  /// Log-probs and gradients of all weights, or of an adapter with dropout.
  private func run(
    _ name: String, _ engine: Engine, adapted: Bool, threads: Int = 2, recomputes: Bool = false
  ) throws -> [Float] {
    let model = try Model(name, dropout: 0.2)
    let decoder = try model.decoder(trainable: !adapted)
    let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: threads, engine: engine))
    runner.recomputesBlocks = recomputes
    let (forest, coefficients) = model.family.forest
    let adapter = adapted ? model.adapter : nil
    let scores = try runner.forward(forest, adapter: adapter, dropout: adapted ? CounterRandom(key: 5) : nil)
    try runner.backward(logProbGradients: coefficients)
    let store = try #require(adapter?.parameters ?? decoder.parameters)
    return scores.logProbs + Array(store.gradients.buffer)
  }

  @Test(arguments: names, [false, true]) func bitsDependOnNeitherThreadsNorRecomputation(name: String, adapted: Bool)
    throws
  {
    for engine in Engine.available {
      let one = try run(name, engine, adapted: adapted, threads: 1)
      for threads in [2, 3, 5] {
        let more = try run(name, engine, adapted: adapted, threads: threads, recomputes: threads == 3)
        #expect(firstDifference(more, one) == nil, "\(engine.name), \(threads) threads")
      }
    }
  }

  @Test(arguments: names, Precision.allCases) func sampledLogProbsEqualScores(name: String, precision: Precision) throws
  {
    let model = try Model(name)
    let decoder = try model.decoder(trainable: false)
    let team = try ThreadTeam(threads: 2)
    var options = GenerationOptions()
    (options.maxNewTokens, options.completionsPerPrompt, options.temperature) = (20, 3, 1.3)
    options.precision = precision
    let prompts: [[Int32]] = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [20]]
    let found = try Generator(decoder: decoder, adapter: model.adapter, team: team).generate(
      prompts: prompts, options: options)
    var forest = TokenForest()
    for (prompt, completions) in zip(prompts, found) {
      let parent = forest.addPrompt(prompt)
      for completion in completions { forest.addCompletion(completion.tokens, parent: parent) }
    }
    let scores = try ModelRunner(decoder: decoder, team: team, precision: precision).score(
      forest, adapter: model.adapter)
    #expect(
      difference(scores.logProbs, found.flatMap { $0.flatMap(\.logProbs) }).error < (precision == .fp32 ? 3e-4 : 0.5))
  }

  /// Neither the table nor a gradient of it is in what LoRA takes, and blocks that share keys have none in the cache.
  @Test func plansOfLoRADoNotGrowWithTheTable() throws {
    var json = try #require(try GoldenFamily("gemma4-text").golden["config"]?.object)
    func plan(vocabulary: Int, sharing: Int) throws -> (training: Int, cache: Int) {
      json["vocab_size"] = .int(vocabulary)
      json["vocab_size_per_layer_input"] = .int(vocabulary)
      json["num_kv_shared_layers"] = .int(sharing)
      let configuration = try Family.configuration(huggingFace: .object(json), file: "config.json")
      let plan = try ModelRunner.plan(
        configuration, tokens: 100, targets: 50, maxLength: 100, mode: .lora(LoRAConfiguration()), threads: 2)
      let generation = try Generator.plan(
        configuration, promptLengths: [16], options: GenerationOptions(), threads: 2)
      return (plan["per-layer inputs"] + plan["activations"] + plan["working memory"], generation["key-value cache"])
    }
    #expect(try plan(vocabulary: 96, sharing: 3).training == plan(vocabulary: 262_144, sharing: 3).training)
    // Two heads of 8 in 2 blocks with a window and two of 16 in 2 without; if none share, in 4 and in 3.
    let (shared, alone) = (try plan(vocabulary: 96, sharing: 3).cache, try plan(vocabulary: 96, sharing: 0).cache)
    #expect(shared * (4 * 16 + 3 * 32) == alone * (2 * 16 + 2 * 32))
  }
}
