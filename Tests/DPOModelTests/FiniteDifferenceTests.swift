import DPOKernels
import DPOModel
import Testing

/// The gradient of every parameter of whole models against central differences of the scores themselves.
@Suite(.timeLimit(.minutes(10))) struct FiniteDifferenceTests {
  @Test(arguments: GoldenModel.names, [false, true]) func gradientsAreTheSlopesOfTheScores(
    name: String, adapted: Bool
  ) throws {
    let model = try GoldenModel(name)
    let decoder = try model.decoder(trainable: !adapted)
    let adapter = adapted ? try model.adapter() : nil
    let parameters = try #require(adapter?.parameters ?? decoder.parameters)
    let runner = ModelRunner(decoder: decoder, team: try ThreadTeam(threads: 2))
    runner.temperature = adapted ? 1 : 0.7
    try expectSlopes(
      runner, parameters, adapter, model.forest(Array(try #require(model.golden["pairs"]?.array).prefix(2))))
  }
}

/// Compares each parameter's gradient with the scores a step along it and against it.
func expectSlopes(
  _ runner: ModelRunner, _ parameters: ParameterStore, _ adapter: LoRAAdapter?, _ forest: TokenForest
) throws {
  let weights = forest.targets.indices.map { Float(($0 * 7) % 5 - 2) / 4 }
  /// Σ weight · log-prob
  func score() throws -> Double {
    zip(weights, try runner.score(forest, adapter: adapter).logProbs).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  _ = try runner.forward(forest, adapter: adapter)
  try runner.backward(logProbGradients: weights)
  for entry in parameters.entries {
    let gradient = parameters.gradients.slice(entry).map { Double($0) }
    let values = parameters.values.slice(entry).map { $0 }
    // Along the gradient, where the slope is its norm.
    let slope = norm(gradient)
    guard slope > 1e-4 else { continue }  // GPT-2's key bias, say, has none
    let step = min(0.02 / slope, 0.02 * max(norm(values.map { Double($0) }), 0.1))
    func move(_ sign: Double) {
      for index in values.indices {
        parameters.values.pointer[entry.offset + index] = values[index] + Float(sign * step * gradient[index] / slope)
      }
    }
    move(1)
    let up = try score()
    move(-1)
    let down = try score()
    move(0)
    let found = (up - down) / (2 * step)
    // f32 scores are good to about 1e-5.
    #expect(abs(found - slope) <= 0.01 * slope + 1e-5 / step, "\(entry.name): \(found) against \(slope)")
  }
}

private func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
