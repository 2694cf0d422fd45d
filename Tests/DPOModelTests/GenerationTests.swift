import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct GenerationTests {
  @Test(arguments: GoldenModel.names) func greedyContinuationsEqualTransformers(name: String) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let generator = Generator(
        decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2, engine: engine))
      let golden = try #require(model.golden["greedy"]?.array)
      var options = GenerationOptions()
      options.temperature = 0
      options.maxNewTokens = 32
      let found = try generator.generate(prompts: golden.map { $0.ids("prompt_ids") }, options: options)
      for (completions, expected) in zip(found, golden) {
        #expect(completions[0].tokens == expected.ids("token_ids"))
        #expect(completions[0].finish == .length)
        #expect(difference(completions[0].logProbs, expected.numbers("logps").map { Float($0) }).error < 1e-4)
      }
    }
  }

  @Test(arguments: GoldenModel.names) func sampledLogProbsEqualScores(name: String) throws {
    let model = try GoldenModel(name)
    let decoder = try model.decoder(trainable: false)
    let team = try ThreadTeam(threads: 2)
    let adapter = try model.adapter()
    var options = GenerationOptions()
    options.maxNewTokens = 20
    options.completionsPerPrompt = 3
    options.temperature = 1.3
    options.topK = 50
    options.topP = 0.95
    options.minP = 0.01
    let prompts: [[Int32]] = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [20]]
    let found = try Generator(decoder: decoder, adapter: adapter, team: team).generate(
      prompts: prompts, options: options)
    var forest = TokenForest()
    for (prompt, completions) in zip(prompts, found) {
      let parent = forest.addPrompt(prompt)
      for completion in completions { forest.addCompletion(completion.tokens, parent: parent) }
    }
    let scores = try ModelRunner(decoder: decoder, team: team).score(forest, adapter: adapter)
    #expect(difference(scores.logProbs, found.flatMap { $0.flatMap(\.logProbs) }).error < 1e-4)
    #expect(Set(found[0].map(\.tokens)).count == 3)
  }

  /// The cache as it is allocated: blocks of sixteen rows for every prompt and every completion; prompts are forwarded 2048
  /// tokens at a time, longer ones alone.
  @Test func plansCountBlocksOfTheCacheAndTheLargestForwardPass() throws {
    var c = try GoldenModel("qwen2").file.configuration
    c.contextLength = 4096
    var options = GenerationOptions()
    options.maxNewTokens = 17
    options.completionsPerPrompt = 3
    func plan(_ lengths: [Int]) throws -> (cache: Int, activations: Int) {
      let plan = try Generator.plan(c, promptLengths: lengths, options: options, threads: 2)
      return (plan["key-value cache"] / (8 * c.keyValueHeadCount * c.headSize * c.layerCount), plan["activations"])
    }
    func pass(_ tokens: Int, longest: Int) throws -> Int {
      try ModelRunner.plan(c, tokens: tokens, targets: 0, maxLength: longest, mode: .score, threads: 2)["activations"]
    }
    let small = try plan([10, 16, 33])
    #expect(small.cache == 16 + 16 + 48 + 9 * 32)
    #expect(try small.activations == pass(59, longest: 33))
    #expect(try plan([900, 900, 900, 900]).activations == pass(1800, longest: 900))
    #expect(try plan([3000, 20]).activations == pass(3000, longest: 3000))
    // A completion ends with the context.
    #expect(try plan([4090]).cache == 4096 + 3 * 16)
    // More prompts than grow together: the largest group counts.
    #expect(try plan([Int](repeating: 16, count: 100)).cache == 10 * 16 + 30 * 32)
  }

  @Test func drawsDependOnNeitherBatchNorThreads() throws {
    let model = try GoldenModel("qwen2")
    let decoder = try model.decoder(trainable: false)
    for engine in Engine.available {
      let prompts: [[Int32]] = [[1, 2, 3], [4, 5, 6, 7, 8], [9], [10, 11]]
      var options = GenerationOptions()
      options.maxNewTokens = 24
      options.completionsPerPrompt = 4
      options.seed = 9
      let all = try Generator(decoder: decoder, team: try ThreadTeam(threads: 2, engine: engine)).generate(
        prompts: prompts, options: options)
      options.completionsPerPrompt = 2
      let some = try Generator(decoder: decoder, team: try ThreadTeam(threads: 1, engine: engine)).generate(
        prompts: prompts, options: options)
      #expect(zip(all, some).allSatisfy { $0.map(\.tokens).prefix(2) == $1.map(\.tokens)[...] })
    }
  }

  /// Weights as GGUF stores them, in both precisions: more sequences than the kernels take at a time, and one alone.
  @Test(arguments: ["llama-untied-q4_1", "llama-tied-mixed"], Precision.allCases)
  func quantisedResultsDependOnNeitherBatchNorThreads(name: String, precision: Precision) throws {
    let file = try ModelFile.open(Fixtures.path("gguf/\(name).gguf"))
    let decoder = try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: false)
    let prompts: [[Int32]] = (0..<7).map { [1, Int32($0), 3, 4 + Int32($0)] }
    for engine in Engine.available {
      var options = GenerationOptions()
      options.maxNewTokens = 20
      options.temperature = 0
      options.precision = precision
      let all = try Generator(decoder: decoder, team: try ThreadTeam(threads: 2, engine: engine)).generate(
        prompts: prompts, options: options)
      for (prompt, completions) in zip(prompts, all) {
        let alone = try Generator(decoder: decoder, team: try ThreadTeam(threads: 1, engine: engine)).generate(
          prompts: [prompt], options: options)
        #expect(alone[0] == completions)
      }
      var forest = TokenForest()
      for (prompt, completions) in zip(prompts, all) {
        forest.addCompletion(completions[0].tokens, parent: forest.addPrompt(prompt))
      }
      let scores = try ModelRunner(decoder: decoder, team: try ThreadTeam(threads: 2, engine: engine)).score(forest)
      let error = difference(scores.logProbs, all.flatMap { $0[0].logProbs }).error
      // Eight bits of every operand, also of attention's, in models whose random weights make large logits.
      #expect(error < (precision == .fp32 ? 1e-4 : 0.2))
    }
  }

  @Test(arguments: GoldenModel.names) func bf16StaysCloseToFP32(name: String) throws {
    let model = try GoldenModel(name)
    let decoder = try model.decoder(trainable: false)
    let (team, adapter) = (try ThreadTeam(threads: 2), try model.adapter())
    var options = GenerationOptions()
    options.maxNewTokens = 16
    options.temperature = 0
    options.precision = .bf16
    let prompts: [[Int32]] = [[5, 6, 7, 8, 9, 10], [20]]
    let found = try Generator(decoder: decoder, adapter: adapter, team: team).generate(
      prompts: prompts, options: options)
    var forest = TokenForest()
    for (prompt, completions) in zip(prompts, found) {
      forest.addCompletion(completions[0].tokens, parent: forest.addPrompt(prompt))
    }
    let scores = try ModelRunner(decoder: decoder, team: team).score(forest, adapter: adapter)
    let error = difference(scores.logProbs, found.flatMap { $0[0].logProbs }).error
    #expect(error < 0.2)
    #expect(error > 0)
  }

  @Test func stopTokenEndsACompletionAndCallbackEndsAll() throws {
    let model = try GoldenModel("llama-tied")
    let generator = Generator(decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 1))
    var options = GenerationOptions()
    options.maxNewTokens = 10
    options.temperature = 0
    let whole = try generator.generate(prompts: [[1, 2, 3]], options: options)[0][0].tokens
    options.stopTokens = [whole[4]]
    let cut = try generator.generate(prompts: [[1, 2, 3]], options: options)[0][0]
    let end = try #require(whole.firstIndex(of: whole[4]))
    #expect(cut.tokens == Array(whole[...end]))
    #expect(cut.finish == .stop)
    options.stopTokens = []
    var seen = 0
    let stopped = try generator.generate(prompts: [[1, 2, 3]], options: options) { _, _, _ in
      seen += 1
      return seen < 3
    }
    #expect(stopped[0][0].tokens == Array(whole[..<3]))
  }

  @Test func optionsOutOfRangeAreRefused() throws {
    let model = try GoldenModel("llama-tied")
    let generator = Generator(decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 1))
    let wrong: [(inout GenerationOptions) -> Void] = [
      { $0.maxNewTokens = 0 }, { $0.temperature = -1 }, { $0.temperature = .nan }, { $0.topK = -1 }, { $0.topP = 0 },
      { $0.topP = 1.5 }, { $0.minP = -0.1 }, { $0.completionsPerPrompt = 0 },
    ]
    for change in wrong {
      var options = GenerationOptions()
      change(&options)
      #expect(throws: DPOError.self) { try generator.generate(prompts: [[1]], options: options) }
    }
    #expect(throws: DPOError.self) { try generator.generate(prompts: [[]], options: GenerationOptions()) }
    #expect(throws: DPOError.self) { try generator.generate(prompts: [[9999]], options: GenerationOptions()) }
  }

  /// Turns of a talk, each prompt with the one before and its completion at its beginning: as if each were read alone.
  @Test(arguments: GoldenModel.names) func conversationsGoOnAsIfEachPromptWereReadAlone(name: String) throws {
    let model = try GoldenModel(name)
    let decoder = try model.decoder(trainable: false)
    let adapter = try model.adapter()
    let team = try ThreadTeam(threads: 2)
    let conversation = Conversation(decoder: decoder, adapter: adapter, team: team)
    let alone = Generator(decoder: decoder, adapter: adapter, team: team)
    let recurs = !decoder.configuration.layersWithRecurrence.isEmpty
    var options = GenerationOptions()
    options.temperature = 0
    options.maxNewTokens = 7
    func turn(_ prompt: [Int32], keeps kept: Int) throws -> [Int32] {
      var seen: [Int32] = []
      let found = try conversation.complete(prompt, options: options) { token in
        seen.append(token)
        return true
      }
      let expected = try alone.generate(prompts: [prompt], options: options)[0][0]
      #expect(found.tokens == expected.tokens && found.finish == expected.finish && seen == found.tokens)
      #expect(difference(found.logProbs, expected.logProbs).error < 1e-4)
      #expect(conversation.keptTokens == (recurs ? 0 : kept))
      return found.tokens
    }
    func words(_ count: Int, _ first: Int32) -> [Int32] { (0..<Int32(count)).map { (first + 7 * $0) % 90 + 5 } }

    let first = words(60, 3)  // twice so much has room
    let second = try first + turn(first, keeps: 0) + words(5, 11)
    // The last token that was drawn is not read yet.
    let third = try second + turn(second, keeps: first.count + 6) + words(40, 1)
    _ = try turn(third, keeps: second.count + 6)  // more than are forwarded together
    _ = try turn(third, keeps: third.count - 1)  // the same again
    _ = try turn(second, keeps: second.count - 1)  // a turn taken back
    // Another answer in the place of the one that was drawn.
    _ = try turn(Array(second.prefix(22)) + words(8, 2), keeps: 22)
    _ = try turn(words(30, 50), keeps: 0)  // a new talk
    options.precision = .bf16
    _ = try conversation.complete(first, options: options)
    #expect(conversation.keptTokens == 0)
  }

  @Test func conversationsOutgrowTheirRoomAndTheContext() throws {
    let model = try GoldenModel("qwen2")
    let decoder = try model.decoder(trainable: false)
    let team = try ThreadTeam(threads: 2)
    let conversation = Conversation(decoder: decoder, team: team)
    let alone = Generator(decoder: decoder, team: team)
    var options = GenerationOptions()
    options.temperature = 0
    options.maxNewTokens = 3
    var prompt: [Int32] = [5, 6, 7]
    while prompt.count < 200 {
      let found = try conversation.complete(prompt, options: options)
      #expect(try found.tokens == alone.generate(prompts: [prompt], options: options)[0][0].tokens)
      prompt += found.tokens + [8, 9, 10, 11, 12]
    }
    #expect(conversation.keptTokens > 150)
    let context = decoder.configuration.contextLength
    let longest = (0..<Int32(context - 2)).map { $0 % 90 + 5 }
    #expect(try conversation.complete(longest, options: options).tokens.count == 2)
    #expect(throws: DPOError.self) { try conversation.complete(longest + [1, 2], options: options) }
    #expect(throws: DPOError.self) { try conversation.complete([], options: options) }
    // What was stopped is not lost.
    decoder.stopRequested = { true }
    #expect(throws: DPOError.self) { try conversation.complete([5, 6, 7], options: options) }
    decoder.stopRequested = nil
    #expect(
      try conversation.complete(prompt, options: options).tokens
        == alone.generate(prompts: [prompt], options: options)[0][0].tokens)
  }
}
