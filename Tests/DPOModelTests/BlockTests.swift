import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform
import TestSupport
import Testing

/// All kinds of blocks that a family can ask for, those among them that no family of the table has: norms behind the branches,
/// with biases, and windows in some blocks only.
@Suite(.timeLimit(.minutes(10))) struct BlockTests {
  static let positions: [NormPosition] = [.before, .after, .around]

  @Test(arguments: positions, [NormKind.rms, .layer]) func scoresAreThoseOfTheEquations(
    position: NormPosition, norm: NormKind
  ) throws {
    let model = try TinyModel(position, norm)
    for engine in Engine.available {
      let runner = ModelRunner(
        decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2, engine: engine))
      let found = try runner.score(model.forest)
      let expected = TinyModel.sequences.flatMap { prompt, completion in
        model.logProbs(prompt + completion).suffix(completion.count).map { Float($0) }
      }
      #expect(difference(found.logProbs, expected).error < 2e-4, "\(engine.name)")
    }
  }

  @Test(arguments: positions, [NormKind.rms, .layer]) func gradientsAreTheSlopesOfTheEquations(
    position: NormPosition, norm: NormKind
  ) throws {
    let model = try TinyModel(position, norm)
    let decoder = try model.decoder(trainable: true)
    let parameters = try #require(decoder.parameters)
    let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: 2))
    _ = try runner.forward(model.forest)
    try runner.backward(logProbGradients: model.forest.targets.map { _ in 1 })
    for entry in parameters.entries {
      let gradient = parameters.gradients.slice(entry).map { Double($0) }
      // Along the gradient, where the slope is its norm.
      let slope = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard slope > 1e-4 else { continue }  // a key's bias has none
      func score(_ step: Double) -> Double {
        var moved = model
        moved.values[entry.name] = zip(model.values[entry.name] ?? [], gradient).map { $0 + step / slope * $1 }
        return TinyModel.sequences.reduce(0) { sum, sequence in
          moved.logProbs(sequence.prompt + sequence.completion).suffix(sequence.completion.count).reduce(sum, +)
        }
      }
      let found = (score(1e-5) - score(-1e-5)) / 2e-5
      #expect(abs(found - slope) < 1e-3 * slope + 1e-5, "\(entry.name): \(found) against \(slope)")
    }
  }

  @Test(arguments: positions) func gradientsOfAnAdapterAreTheSlopesOfTheScores(position: NormPosition) throws {
    let model = try TinyModel(position, .layer)
    let adapter = try model.adapter()
    let runner = ModelRunner(decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2))
    try expectSlopes(runner, adapter.parameters, adapter, model.forest)
  }

  @Test(arguments: positions, [false, true]) func blocksComputedAgainGiveTheSameBits(
    position: NormPosition, adapted: Bool
  ) throws {
    for norm in [NormKind.rms, .layer] {
      let model = try TinyModel(position, norm)
      func gradients(recomputes: Bool, threads: Int) throws -> ParameterStore {
        let decoder = try model.decoder(trainable: !adapted)
        let adapter = adapted ? try model.adapter() : nil
        let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: threads))
        runner.recomputesBlocks = recomputes
        _ = try runner.forward(model.forest, adapter: adapter)
        try runner.backward(logProbGradients: model.forest.targets.map { 0.1 * Float($0.sequence % 5 - 2) })
        return try #require(adapter?.parameters ?? decoder.parameters)
      }
      let kept = try gradients(recomputes: false, threads: 2)
      for again in [try gradients(recomputes: true, threads: 2), try gradients(recomputes: true, threads: 3)] {
        for entry in kept.entries {
          let found = firstDifference(again.gradients.slice(entry), kept.gradients.slice(entry))
          #expect(found == nil, "\(norm) \(entry.name): \(found ?? "")")
        }
      }
    }
  }

  @Test(arguments: positions, Precision.allCases) func generationWalksTheSameBlocks(
    position: NormPosition, precision: Precision
  ) throws {
    let model = try TinyModel(position, .layer)
    let (decoder, adapter) = (try model.decoder(trainable: false), try model.adapter())
    let team = try ThreadTeam(threads: 2)
    var options = GenerationOptions()
    options.maxNewTokens = 12
    options.completionsPerPrompt = 3
    options.precision = precision
    let prompts = TinyModel.sequences.map(\.prompt)
    let found = try Generator(decoder: decoder, adapter: adapter, team: team).generate(
      prompts: prompts, options: options)
    var forest = TokenForest()
    for (prompt, completions) in zip(prompts, found) {
      let parent = forest.addPrompt(prompt)
      for completion in completions { forest.addCompletion(completion.tokens, parent: parent) }
    }
    let scores = try ModelRunner(decoder: decoder, team: team, precision: precision).score(forest, adapter: adapter)
    let allowed: Float = precision == .fp32 ? 1e-4 : 0.1
    #expect(difference(scores.logProbs, found.flatMap { $0.flatMap(\.logProbs) }).error < allowed)
  }
}

/// A model of a made-up family, and what its equations say, in plain loops.
private struct TinyModel {
  static let sequences: [(prompt: [Int32], completion: [Int32])] = [
    ([3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7]), ([2, 7, 1], [8, 2, 8, 1, 8, 2, 8, 4, 5]),
  ]

  let configuration: DecoderConfiguration
  /// By Hugging Face's names; f32 hold them.
  var values: [String: [Double]]
  private var shapes: [String: [Int]] = [:]

  init(_ position: NormPosition, _ norm: NormKind) throws {
    var family = Family.llama
    let final = try #require(family.modules.firstIndex { $0.part == .finalNorm })
    family.modules.insert(
      contentsOf: [
        (.attentionPostNorm, "model.layers.#.post_attention_norm"), (.mlpPostNorm, "model.layers.#.post_mlp_norm"),
      ], at: final)
    let biased = norm == .layer
    var configuration = DecoderConfiguration(
      family: family, vocabularySize: 40, hiddenSize: 24, intermediateSize: 40, layerCount: 4, headCount: 4,
      keyValueHeadCount: 2, headSize: 6, contextLength: 64, norm: norm, rope: Rope(size: 6), outputBias: biased,
      mlpBias: biased, queryKeyNorm: .heads, slidingWindow: 4)
    configuration.normPosition = position
    configuration.layersWithoutWindow = [1, 3]
    self.configuration = configuration
    var values: [String: [Double]] = [:]
    for (index, parameter) in family.parameters(configuration).enumerated() {
      var random = CounterRandom(stream: [7, UInt64(index)])
      let start = parameter.part.isNorm && !parameter.isBias ? 1.0 : 0
      values[parameter.name] = (0..<parameter.shape.reduce(1, *)).map { _ in
        Double(Float(start + 0.6 * random.uniform() - 0.3))
      }
      shapes[parameter.name] = parameter.shape
    }
    self.values = values
  }

  var forest: TokenForest {
    var forest = TokenForest()
    for (prompt, completion) in TinyModel.sequences {
      forest.addCompletion(completion, parent: forest.addPrompt(prompt))
    }
    return forest
  }

  func decoder(trainable: Bool) throws -> Decoder {
    var tensors: [String: StoredTensor] = [:]
    for (name, values) in values {
      let memory = try OwnedBytes(count: 4 * values.count)
      values.map { Float($0) }.withUnsafeBytes { memory.bytes.copyMemory(from: $0) }
      tensors[name] = try StoredTensor(
        name: name, dtype: .f32, shape: shapes[name] ?? [], bytes: UnsafeRawBufferPointer(memory.bytes), owner: memory,
        file: "tiny")
    }
    return try Decoder(configuration: configuration, tensors: tensors, trainable: trainable)
  }

  func adapter() throws -> LoRAAdapter {
    var lora = LoRAConfiguration()
    lora.rank = 4
    lora.targetModules = .allLinear
    let adapter = try LoRAAdapter(lora, model: configuration, seed: 3)
    let store = adapter.parameters
    for index in 0..<store.count where store.values.pointer[index] == 0 {
      store.values.pointer[index] = Float((index * 37) % 19 - 9) / 40
    }
    return adapter
  }

  // MARK: Equations

  /// log p of each token after the first, given those before it.
  func logProbs(_ tokens: [Int32]) -> [Double] {
    let c = configuration
    let embedding = matrix("model.embed_tokens", c.hiddenSize)
    var x = tokens.map { embedding[Int($0)] }
    for layer in 0..<c.layerCount {
      let block = "model.layers.\(layer)."
      func branch(_ before: String, _ after: String, _ f: ([[Double]]) -> [[Double]]) {
        var y = f(c.normPosition == .after ? x : x.map { norm(block + before, $0) })
        if c.normPosition != .before { y = y.map { norm(block + after, $0) } }
        x = zip(x, y).map { zip($0, $1).map(+) }
      }
      branch("input_layernorm", "post_attention_norm") { attention(block + "self_attn.", layer, $0) }
      branch("post_attention_layernorm", "post_mlp_norm") { rows in
        rows.map { row in
          let gate = linear(block + "mlp.gate_proj", row)
          let up = linear(block + "mlp.up_proj", row)
          return linear(block + "mlp.down_proj", zip(gate, up).map { $0 / (1 + exp(-$0)) * $1 })
        }
      }
    }
    return zip(x, tokens.dropFirst()).map { row, next in
      let logits = linear("lm_head", norm("model.norm", row))
      let most = logits.max() ?? 0
      return logits[Int(next)] - most - log(logits.reduce(0) { $0 + exp($1 - most) })
    }
  }

  private func attention(_ prefix: String, _ layer: Int, _ rows: [[Double]]) -> [[Double]] {
    let c = configuration
    func heads(_ name: String, _ norm: String?, _ count: Int) -> [[[Double]]] {
      rows.enumerated().map { position, row in
        let all = linear(prefix + name, row)
        return (0..<count).map { head in
          let x = Array(all[head * c.headSize..<(head + 1) * c.headSize])
          return norm.map { turned(rms(x, vector(prefix + $0 + ".weight")), position) } ?? x
        }
      }
    }
    let q = heads("q_proj", "q_norm", c.headCount)
    let k = heads("k_proj", "k_norm", c.keyValueHeadCount)
    let v = heads("v_proj", nil, c.keyValueHeadCount)
    let window = c.layersWithoutWindow.contains(layer) ? Int.max : c.slidingWindow ?? Int.max
    return rows.indices.map { row in
      var out: [Double] = []
      for head in 0..<c.headCount {
        let shared = head / (c.headCount / c.keyValueHeadCount)
        let seen = (0...row).filter { row - $0 < window }
        let weights = seen.map { key in
          exp(zip(q[row][head], k[key][shared]).reduce(0) { $0 + $1.0 * $1.1 } / Double(c.headSize).squareRoot())
        }
        let total = weights.reduce(0, +)
        for i in 0..<c.headSize {
          out.append(zip(seen, weights).reduce(0) { $0 + $1.1 / total * v[$1.0][shared][i] })
        }
      }
      return linear(prefix + "o_proj", out)
    }
  }

  private func turned(_ x: [Double], _ position: Int) -> [Double] {
    let half = x.count / 2
    return x.indices.map { index in
      let i = index % half
      let angle = Double(position) * pow(configuration.rope?.base ?? 1, -2 * Double(i) / Double(x.count))
      let other = index < half ? -x[i + half] : x[i]
      return x[index] * cos(angle) + other * sin(angle)
    }
  }

  private func norm(_ name: String, _ x: [Double]) -> [Double] {
    let weight = vector(name + ".weight")
    guard configuration.norm == .layer else { return rms(x, weight) }
    let mean = x.reduce(0, +) / Double(x.count)
    return zip(rms(x.map { $0 - mean }, weight), vector(name + ".bias")).map(+)
  }

  private func rms(_ x: [Double], _ weight: [Double]) -> [Double] {
    let size = (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + Double(configuration.normEpsilon)).squareRoot()
    return zip(x, weight).map { $0 / size * $1 }
  }

  private func linear(_ name: String, _ x: [Double]) -> [Double] {
    let y = matrix(name, x.count).map { zip($0, x).reduce(0) { $0 + $1.0 * $1.1 } }
    return values[name + ".bias"] == nil ? y : zip(y, vector(name + ".bias")).map(+)
  }

  private func vector(_ name: String) -> [Double] { values[name] ?? [] }

  private func matrix(_ name: String, _ columns: Int) -> [[Double]] {
    let all = vector(name + ".weight")
    return stride(from: 0, to: all.count, by: columns).map { Array(all[$0..<$0 + columns]) }
  }
}
