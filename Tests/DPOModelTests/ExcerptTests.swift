import DPOBase
import DPOKernels
import DPOModel
import TestSupport
import Testing

/// Timing a model by a few of its blocks: what is computed, and what the result is scaled by.
@Suite(.timeLimit(.minutes(5))) struct ExcerptTests {
  /// Two prompts of 20 and 6 tokens with two completions each, and a text alone.
  private var forest: TokenForest {
    var forest = TokenForest()
    for (length, lengths) in [(20, [9, 30]), (6, [4, 12])] {
      let prompt = forest.addPrompt((0..<length).map { Int32(1 + $0) })
      for count in lengths { forest.addCompletion((0..<count).map { Int32(40 + $0) }, parent: prompt) }
    }
    forest.addCompletion((0..<25).map { Int32(5 + $0) }, parent: nil)
    return forest
  }

  @Test(arguments: GoldenModel.names, [false, true]) func oneBlockOfEachKindIsComputed(
    name: String, adapted: Bool
  ) throws {
    let model = try GoldenModel(name)
    let configuration = model.file.configuration
    let runner = ModelRunner(decoder: try model.decoder(trainable: !adapted), team: try ThreadTeam(threads: 2))
    let times = try runner.timePasses(forest, adapter: adapted ? model.adapter() : nil, trains: true)
    #expect(times.blocks.reduce(0) { $0 + $1.stands } == configuration.layerCount)
    #expect(times.blocks.allSatisfy { (0..<configuration.layerCount).contains($0.layer) })
    #expect(times.forward.total > 0 && times.backward.total > 0)
    let scored = try runner.timePasses(forest, trains: false)
    #expect(scored.backward.total == 0)
    if name == "llama-tied" {
      // All its blocks are alike; with an adapter a third of them keep more for the backward pass.
      #expect(scored.blocks.count == 1)
      #expect(times.blocks.count == (adapted ? 2 : 1) || configuration.layerCount < 3)
    }
  }

  @Test(arguments: GoldenModel.names) func timingLeavesNothingBehind(name: String) throws {
    let model = try GoldenModel(name)
    let runner = ModelRunner(decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2))
    let adapter = try model.adapter()
    let before = try runner.score(forest, adapter: adapter)
    _ = try runner.timePasses(forest, adapter: adapter, trains: true)
    #expect(try runner.score(forest, adapter: adapter).logProbs == before.logProbs)
    #expect(throws: DPOError.self) { try runner.backward(logProbGradients: before.logProbs) }
  }

  /// Against counting, for each row, the positions that it sees.
  @Test(arguments: GoldenModel.names) func whatTimesGrowWithIsCounted(name: String) throws {
    let c = try GoldenModel(name).file.configuration
    var pairs = 0.0
    for layer in c.layersWithAttention {
      let width = c.headCount * ((c.isWindowed(layer) ? nil : c.fullHeads?.size) ?? c.headSize)
      let window = c.isWindowed(layer) ? c.slidingWindow : nil
      for segment in forest.segments {
        for position in segment.position..<segment.position + segment.count {
          pairs += Double(width * min(position + 1, window ?? .max))
        }
      }
    }
    let size = forest.passSize(c)
    #expect(size.tokens == forest.tokens.count && size.pairs == pairs)
    #expect(size.headRows == Set(forest.targets.map(\.row)).count)
  }

  @Test func aShorterForestIsLikeTheWhole() {
    let first = forest.shortened(to: 60)
    var expected = TokenForest()
    let prompt = expected.addPrompt((0..<20).map { Int32(1 + $0) })
    for count in [9, 30] { expected.addCompletion((0..<count).map { Int32(40 + $0) }, parent: prompt) }
    #expect(first.tokens == expected.tokens && first.segments == expected.segments)
    #expect(first.targets == expected.targets && first.lastRows == expected.lastRows)
    #expect(first.sequenceCount == 2)

    let half = forest.shortened(to: 28)  // of the first tree's 57 tokens
    #expect(half.segments.map(\.count) == [9, 3, 14])
    #expect(half.segments.map(\.position) == [0, 9, 9])
    #expect(half.segments.map(\.parent) == [nil, 0, 0])
    // What follows the prompt is predicted by its last row.
    #expect(half.targets.filter { $0.row == 8 }.map(\.token) == [40, 40])
    #expect(half.targets.allSatisfy { $0.row < half.tokens.count })
    #expect(forest.shortened(to: 1000).tokens == forest.tokens)
    #expect(forest.shortened(to: 1).segments.map(\.count) == [1, 1, 1])
    #expect(TokenForest().shortened(to: 5).tokens.isEmpty)
  }
}
