import DPOBase
import DPOModel
import DPOStorage
import DPOText
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct NewModelTests {
  private func shape(_ family: String) -> ModelShape {
    var shape = ModelShape()
    shape.family = family
    shape.hiddenSize = 96
    shape.layerCount = 3
    shape.headCount = 6
    shape.keyValueHeadCount = family == "gpt2" ? nil : 3
    shape.vocabularySize = 500
    shape.contextLength = 128
    shape.tiedHead = family != "mistral"
    return shape
  }

  private func values(_ model: ModelFile, _ name: String) throws -> [Float] {
    let tensor = try #require(model.tensors[name])
    var values = [Float](repeating: 0, count: tensor.count)
    values.withUnsafeMutableBufferPointer { tensor.dequantize(rows: 0..<tensor.rows, into: $0.baseAddress!) }
    return values
  }

  /// transformers' `_init_weights`: N(0, 0.02²), norms 1, biases 0; GPT-2's projections into the residual stream
  /// N(0, 0.02² / (2 · layers)).
  @Test(arguments: ["llama", "mistral", "qwen2", "qwen3", "gpt2"])
  func weightsAreDrawnAsTransformersDraws(family: String) throws {
    let model = try ModelFile.make(shape(family), tokenizer: nil, seed: 7)
    for parameter in model.configuration.family.parameters(model.configuration) {
      let values = try values(model, parameter.name)
      if parameter.isBias {
        #expect(values.allSatisfy { $0 == 0 }, "\(parameter.name)")
      } else if parameter.shape.count == 1 {
        #expect(values.allSatisfy { $0 == 1 }, "\(parameter.name)")
      } else {
        let intoResidual = parameter.part == .attentionOutput || parameter.part == .down
        let expected = family == "gpt2" && intoResidual ? 0.02 / 6.0.squareRoot() : 0.02
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let variance = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
        // Five standard errors.
        let count = Double(values.count)
        #expect(abs(mean) < 5 * expected / count.squareRoot(), "\(parameter.name)")
        #expect(abs(variance.squareRoot() / expected - 1) < 5 / (2 * count).squareRoot(), "\(parameter.name)")
      }
    }
    #expect(model.configuration.tiedHead == (family != "mistral"))
    #expect(model.configuration.slidingWindow == nil)
  }

  @Test(arguments: ["llama", "mistral", "qwen2", "qwen3", "gpt2"]) func filesHoldWhatWasMade(family: String) throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try Tokenizer.open(Fixtures.path("models/llama-untied"))
    let made = try ModelFile.make(shape(family), tokenizer: tokenizer, seed: 7)
    for path in ["\(directory.path)/\(family)", "\(directory.path)/\(family).h5"] {
      try made.save(to: path)
      let opened = try ModelFile.open(path)
      #expect(opened.fingerprint() == made.fingerprint(), "\(path)")
      var expected = made.configuration
      expected.eosTokens = opened.configuration.eosTokens
      #expect(opened.configuration == expected && opened.configuration.eosTokens == made.configuration.eosTokens)
      let text = "The harbour, 1999."
      #expect(
        try opened.tokenizer?.encode(text, addSpecialTokens: true) == tokenizer.encode(text, addSpecialTokens: true))
      #expect(throws: DPOError.self) { try made.save(to: path) }
      try made.save(to: path, overwrite: true)
    }
  }

  @Test func seedsMakeDifferentModelsAndEqualOnesEqual() throws {
    let first = try ModelFile.make(shape("llama"), tokenizer: nil, seed: 1)
    #expect(try ModelFile.make(shape("llama"), tokenizer: nil, seed: 1).fingerprint() == first.fingerprint())
    #expect(try ModelFile.make(shape("llama"), tokenizer: nil, seed: 2).fingerprint() != first.fingerprint())
    // No two tensors are drawn alike.
    let (q, o) = (
      try values(first, "model.layers.0.self_attn.q_proj.weight"),
      try values(first, "model.layers.0.self_attn.o_proj.weight")
    )
    #expect(q.count == o.count && q != o)
  }

  @Test func sizesFollowFromTheHiddenSize() throws {
    var shape = ModelShape()
    shape.vocabularySize = 300
    var configuration = try ModelFile.make(shape, tokenizer: nil).configuration
    #expect(configuration.headCount == 4 && configuration.keyValueHeadCount == 4 && configuration.headSize == 64)
    #expect(configuration.intermediateSize == 704)
    shape.family = "gpt2"
    configuration = try ModelFile.make(shape, tokenizer: nil).configuration
    #expect(configuration.intermediateSize == 1024 && configuration.bosToken == nil && configuration.eosTokens.isEmpty)
  }

  @Test func sizesThatDoNotGoTogetherAreErrors() throws {
    func fails(_ change: (inout ModelShape) -> Void, _ words: String) {
      var shape = shape("llama")
      change(&shape)
      do {
        _ = try ModelFile.make(shape, tokenizer: nil)
        Issue.record("no error about \(words)")
      } catch { #expect("\(error)".contains(words), "\(error)") }
    }
    fails({ $0.family = "bloom" }, "bloom")
    fails({ $0.headCount = 5 }, "not divisible by 5 heads")
    fails({ $0.keyValueHeadCount = 4 }, "num_key_value_heads: 4 does not divide")
    fails({ $0.headCount = 96 }, "even head size")
    fails({ $0.headCount = 0 }, "number of heads is 0")
    fails({ $0.hiddenSize = -3 }, "hidden size is -3")
    fails({ $0.layerCount = 1 << 40 }, "number of layers")
    fails({ $0.contextLength = 0 }, "context is 0")
    fails({ $0.intermediateSize = 0 }, "intermediate_size")
    fails({ $0.vocabularySize = nil }, "expected the size of the vocabulary")
    fails({ $0.initializerRange = .nan }, "initializer_range")
    fails(
      {
        $0.hiddenSize = 65_536
        $0.headCount = 512
        $0.keyValueHeadCount = nil
        $0.layerCount = 1024
      }, "MiB are free")
    var gpt2 = shape("gpt2")
    gpt2.keyValueHeadCount = 3
    #expect(throws: DPOError.self) { try ModelFile.make(gpt2, tokenizer: nil) }
    let tokenizer = try Tokenizer.open(Fixtures.path("models/llama-untied"))
    var small = shape("llama")
    small.vocabularySize = 20
    #expect(throws: DPOError.self) { try ModelFile.make(small, tokenizer: tokenizer) }
    let empty = try TemporaryDirectory()
    #expect(throws: DPOError.self) { try Tokenizer.open(empty.path) }
  }
}
