import DPO
import DPOPlatform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct PretrainTests {
  private static func model() throws -> ModelFile { try ModelFile.open(Fixtures.path("models/llama-untied")) }

  private static func options(_ method: String, _ change: (inout TrainingOptions) -> Void = { _ in }) -> TrainingOptions
  {
    var options = TrainingOptions()
    options.method.name = method
    options.rows.maxLength = 64
    options.batches.perDeviceTrainBatchSize = 2
    options.optimization.learningRate = 3e-3
    options.batches.maxSteps = 4
    change(&options)
    return options
  }

  private static let documents = Fixtures.path("data/documents.jsonl")

  /// The mean loss and the perplexity are those of every predicted token, scored alone.
  @Test func evaluationIsThePerplexityOfEveryToken() throws {
    let model = try PretrainTests.model()
    for (batch, length) in [(1, 64), (3, 64), (3, 32)] {
      let options = PretrainTests.options("pretrain") {
        $0.batches.perDeviceEvalBatchSize = batch
        $0.rows.maxLength = length
      }
      let data = try model.dataset(.files([PretrainTests.documents]), options: options.dataset())
      let record = try Trainer.evaluate(model: model, data: data, options: options)
      let language = try LanguageModel(path: model.path)
      let scores = try language.score(
        prompts: (0..<data.count).map { Array(data.sequence($0).completion.prefix(1)) },
        completions: (0..<data.count).map { ($0, Array(data.sequence($0).completion.dropFirst())) })
      let tokens = scores.flatMap(\.tokenLogProbs)
      let loss = -tokens.reduce(0) { $0 + Double($1) } / Double(tokens.count)
      #expect(abs((record["loss"] ?? 0) - loss) < 1e-6)
      #expect(abs((record["perplexity"] ?? 0) - exp(loss)) < 1e-5 * exp(loss))
    }
  }

  /// Documents in a pack see nothing of each other: a step over packs is the step over their rows as TRL's SFT takes it.
  @Test func packingChangesNoNumberOfARow() throws {
    let model = try PretrainTests.model()
    func steps(_ options: TrainingOptions) throws -> [StepRecord] {
      let data = try model.dataset(.file(PretrainTests.documents), options: options.dataset())
      let trainer = try Trainer(model: model, data: data, options: options)
      return try (0..<3).map { _ in try trainer.takeStep() }
    }
    let packed = try steps(
      PretrainTests.options("sft") {
        $0.method.packing = true
        $0.rows.maxLength = 128
        $0.batches.perDeviceTrainBatchSize = 1000
      })
    let plain = try steps(
      PretrainTests.options("sft") {
        $0.rows.maxLength = 128
        $0.batches.perDeviceTrainBatchSize = 1000
      })
    for (a, b) in zip(packed, plain) {
      for name in [Metrics.Name.loss, .gradNorm, .entropy, .numTokens] {
        #expect(abs((a[name] ?? 0) - (b[name] ?? 1)) < 1e-5 * max(1, b[name] ?? 0), "\(name) in step \(a.step)")
      }
    }
  }

  @Test func trainingFromFreshWeightsLearns() throws {
    let tokenizer = try Tokenizer.open(Fixtures.path("models/llama-untied"))
    var shape = ModelShape()
    shape.hiddenSize = 32
    shape.layerCount = 2
    shape.headCount = 2
    shape.contextLength = 64
    let model = try ModelFile.make(shape, tokenizer: tokenizer)
    let options = PretrainTests.options("pretrain") {
      $0.batches.maxSteps = 60
      $0.batches.perDeviceTrainBatchSize = 8
      $0.optimization.learningRate = 1e-2
    }
    let data = try model.dataset(.files([PretrainTests.documents]), options: options.dataset())
    let trainer = try Trainer(model: model, data: data, evaluation: data, options: options)
    let first = try trainer.takeStep()
    // Nothing is known at first: the loss is the logarithm of the vocabulary.
    #expect(abs((first["loss"] ?? 0) - log(Double(tokenizer.vocabularySize))) < 0.05)
    for _ in 1..<60 { try trainer.takeStep() }
    let perplexity = try #require(try trainer.evaluate()["eval_perplexity"])
    #expect(perplexity < 0.5 * unigramPerplexity(data))
  }

  /// The best that a model without any context can do.
  private func unigramPerplexity(_ data: TokenizedDataset) -> Double {
    var counts: [Int32: Double] = [:]
    for row in 0..<data.count { for id in data.sequence(row).completion.dropFirst() { counts[id, default: 0] += 1 } }
    let total = counts.values.reduce(0, +)
    return exp(-counts.values.reduce(0) { $0 + $1 / total * log($1 / total) })
  }

  @Test func settingsThatMakeNoSenseAreErrors() throws {
    let model = try PretrainTests.model()
    let pretrain = PretrainTests.options("pretrain")
    #expect(throws: DPOError.self) {
      try model.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: pretrain.dataset())
    }
    #expect(throws: DPOError.self) { try PretrainTests.options("pretrain") { $0.rows.maxLength = nil }.dataset() }
    #expect(throws: DPOError.self) { try PretrainTests.options("sft") { $0.method.lossType = ["ipo"] }.dataset() }
    #expect(throws: DPOError.self) {
      try PretrainTests.options("sft") {
        $0.method.packing = true
        $0.rows.maxLength = nil
      }.dataset()
    }
    let two = try model.dataset(
      .files([PretrainTests.documents, PretrainTests.documents]), options: pretrain.dataset())
    let one = try model.dataset(.file(PretrainTests.documents), options: pretrain.dataset())
    #expect(two.count == 2 * one.count)
  }
}
