import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import DPOPlatform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct GoldenModelTests {
  @Test(arguments: GoldenModel.names, [false, true])
  func logProbsOfPairsEqualTransformers(name: String, trainable: Bool) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let runner = ModelRunner(
        decoder: try model.decoder(trainable: trainable), team: try ThreadTeam(threads: 2, engine: engine))
      try check(model, try #require(model.golden["pairs"]?.array), runner, nil)
    }
  }

  @Test(arguments: GoldenModel.names) func logProbsUnderAnAdapterEqualPEFT(name: String) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let runner = ModelRunner(
        decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2, engine: engine))
      try check(model, try #require(model.golden["adapter"]?["pairs"]?.array), runner, try model.adapter())
    }
  }

  private func check(_ model: GoldenModel, _ pairs: [JSON], _ runner: ModelRunner, _ adapter: LoRAAdapter?) throws {
    let scores = try runner.score(model.forest(pairs), adapter: adapter)
    for (index, pair) in pairs.enumerated() {
      for (side, key) in ["chosen", "rejected"].enumerated() {
        let expected = try #require(pair[key]?.double)
        #expect(abs(scores.sums[2 * index + side] - expected) <= 1e-5 * max(1, abs(expected)), "pair \(index) \(key)")
        #expect(scores.counts[2 * index + side] == pair.numbers("\(key)_logps").count)
      }
    }
    let expected = pairs.flatMap { $0.numbers("chosen_logps") + $0.numbers("rejected_logps") }.map { Float($0) }
    #expect(difference(scores.logProbs, expected).error < 2e-4)
  }

  @Test(arguments: GoldenModel.names) func entropiesAndMeanLogitsEqualTransformers(name: String) throws {
    let model = try GoldenModel(name)
    let runner = ModelRunner(decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2))
    for text in try #require(model.golden["texts"]?.array) {
      var forest = TokenForest()
      forest.addCompletion(text.ids("ids"), parent: nil)
      let scores = try runner.score(forest, extras: [.entropy, .meanLogit])
      #expect(difference(scores.logProbs, text.numbers("logps").map { Float($0) }).error < 5e-5)
      #expect(difference(try #require(scores.entropy), text.numbers("entropies").map { Float($0) }).error < 5e-5)
      #expect(difference(try #require(scores.meanLogit), text.numbers("mean_logits").map { Float($0) }).error < 5e-5)
    }
  }

  @Test(arguments: GoldenModel.names, [false, true])
  func gradientsOfADPOLossEqualTransformers(name: String, recomputes: Bool) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let decoder = try model.decoder(trainable: true)
      let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: 2, engine: engine))
      runner.recomputesBlocks = recomputes
      try checkStep(model, model.golden, runner, nil)
      try checkGradients(model, try #require(decoder.parameters), prefix: "")
    }
  }

  @Test(arguments: GoldenModel.names, [false, true])
  func gradientsOfAnAdapterEqualPEFT(name: String, recomputes: Bool) throws {
    let model = try GoldenModel(name)
    for engine in Engine.available {
      let adapter = try model.adapter()
      let runner = ModelRunner(
        decoder: try model.decoder(trainable: false), team: try ThreadTeam(threads: 2, engine: engine))
      runner.recomputesBlocks = recomputes
      try checkStep(model, try #require(model.golden["adapter"]), runner, adapter)
      try checkGradients(model, adapter.parameters, prefix: "adapter.")
    }
  }

  /// loss = mean −log σ(β(…)) against given reference sums, forward and backward.
  private func checkStep(_ model: GoldenModel, _ golden: JSON, _ runner: ModelRunner, _ adapter: LoRAAdapter?) throws {
    let step = try #require(golden["step"])
    let pairs = try #require(golden["pairs"]?.array)
    let rows = try #require(step["rows"]?.array).compactMap(\.int)
    let beta = try #require(step["beta"]?.double)
    let references = try #require(step["reference"]?.array).map { ($0.array ?? []).compactMap(\.double) }
    let forest = model.forest(rows.map { pairs[$0] })
    let scores = try runner.forward(forest, adapter: adapter)
    var loss = 0.0
    var slopes = [Double](repeating: 0, count: forest.sequenceCount)
    for index in rows.indices {
      let u = beta * (scores.sums[2 * index] - references[index][0] - scores.sums[2 * index + 1] + references[index][1])
      loss += log1p(exp(-u)) / Double(rows.count)
      slopes[2 * index] = -beta / (1 + exp(u)) / Double(rows.count)
      slopes[2 * index + 1] = -slopes[2 * index]
    }
    let expected = try #require(step["loss"]?.double)
    #expect(abs(loss - expected) <= 1e-5 * expected)
    try runner.backward(logProbGradients: forest.targets.map { Float(slopes[Int($0.sequence)]) })
  }

  private func checkGradients(_ model: GoldenModel, _ parameters: ParameterStore, prefix: String) throws {
    for entry in parameters.entries {
      let stored = try #require(model.gradients[prefix + entry.name], "\(entry.name)")
      let floats = try stored.floats()
      var expected = withExtendedLifetime(floats) { Array(floats.buffer) }
      if model.transposed.contains(entry.name) {
        expected = transpose(expected, rows: stored.shape[0])
      }
      let found = difference(parameters.gradients.slice(entry), expected)
      #expect(found.error <= 2e-4 * found.scale + 1e-7, "\(entry.name): \(found)")
    }
  }

  private func transpose(_ values: [Float], rows: Int) -> [Float] {
    let columns = values.count / rows
    return (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
  }
}

extension GoldenModel {
  /// Parameters that Hugging Face stores transposed.
  var transposed: Set<String> {
    Set(file.configuration.family.parameters(file.configuration).filter(\.transposedInFile).map(\.name))
  }
}
