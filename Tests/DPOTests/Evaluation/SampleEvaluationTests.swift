import DPO
import DPOPlatform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct SampleEvaluationTests {
  static let base = Fixtures.path("models/llama-tied")
  let policy, reference: LanguageModel
  let rows: [ChosenAnswers]

  init() throws {
    policy = try LanguageModel(path: Self.base, adapter: Fixtures.path("adapters/llama-tied-random"))
    reference = try LanguageModel(path: Self.base)
    rows = try ChosenAnswers.read(Fixtures.path("data/pairs.jsonl"))
  }

  private func options(_ samples: Int, tokens: Int) -> GenerationOptions {
    var options = GenerationOptions()
    options.completionsPerPrompt = samples
    options.maxNewTokens = tokens
    options.seed = 7
    return options
  }

  /// Of the first token every probability can be had by scoring each token of the vocabulary.
  @Test func divergencesOfPredictionsAreThoseOfWholeDistributions() throws {
    let prompt = try policy.tokens(of: PromptRow(rows[0].prompt))
    let all = (0..<policy.configuration.vocabularySize).map { (prompt: 0, tokens: [Int32($0)]) }
    let (p, q) = (
      try policy.score(prompts: [prompt], completions: all).map(\.logProb),
      try reference.score(prompts: [prompt], completions: all).map(\.logProb)
    )
    let exact = try ClosedForm.klDivergence(p, q)
    let compared = try policy.compare(prompts: [prompt], completions: [all[3], all[9]], with: reference)
    #expect(exact > 1e-3)
    for found in compared { #expect(abs(found.divergence - exact) < 1e-4 * exact, "\(found.divergence) \(exact)") }
    #expect(abs(compared[1].logProb - p[9]) < 1e-5 && abs(compared[1].otherLogProb - q[9]) < 1e-5)
    let backwards = try reference.compare(prompts: [prompt], completions: [all[3]], with: policy)[0].divergence
    #expect(abs(backwards - (try ClosedForm.klDivergence(q, p))) < 1e-4 * exact)
    let twin = try LanguageModel(path: Self.base)
    #expect(try reference.compare(prompts: [prompt], completions: [all[3]], with: twin)[0].divergence < 1e-9)
  }

  @Test func bothEstimatesOfKLAgreeAndWholePredictionsErrLess() throws {
    let found = try policy.evaluateSamples(rows, reference: reference, options: options(32, tokens: 6))
    let (kl, predictions) = (try #require(found.kl), try #require(found.predictionKL))
    #expect(found.prompts == 12 && found.samplesPerPrompt == 32 && found.wins == nil)
    #expect(predictions.value > 0 && kl.low < predictions.value && predictions.value < kl.high, "\(kl) \(predictions)")
    #expect(predictions.standardError < kl.standardError)
    #expect(found.length.value > 1 && found.length.value <= 6 && found.finished.value < 1)
    #expect(try policy.evaluateSamples(rows, reference: nil, options: options(1, tokens: 2)).kl == nil)
    var warm = options(1, tokens: 2)
    warm.temperature = 0.7
    #expect(try policy.evaluateSamples(rows, reference: reference, options: warm).kl == nil)
  }

  @Test func winRatesAreFairToEveryJudge() throws {
    func wins(_ scores: @escaping @Sendable (Content, [Content]) -> [Double]) throws -> SampleEvaluation.Wins {
      let judge = Judge(identity: "test") { scores($0, $1) }
      return try #require(
        policy.evaluateSamples(rows, reference: nil, options: options(8, tokens: 3), judge: judge).wins)
    }
    let tied = try wins { _, answers in answers.map { _ in 4 } }
    #expect(tied.rate.value == 0.5 && tied.ties == 1 && tied.score.value == 4)
    // A judge that takes the first answer, whatever it is, is met by the order.
    let first = try wins { _, _ in [1, 0] }
    #expect(first.ties == 0 && abs(first.rate.value - 0.5) < 0.2, "\(first.rate.value)")
    let chosen = rows.flatMap(\.answers)
    let harsh = try wins { _, answers in answers.map { chosen.contains($0) ? 1 : 0 } }
    #expect(harsh.rate.value == 0 && harsh.chosenScore.value == 1 && harsh.score.value == 0)
    #expect(throws: DPOError.self) { try wins { _, _ in [1] } }
    #expect(throws: DPOError.self) { try wins { _, _ in [1, .nan] } }
  }

  @Test func promptsAreReadOnceWithAllTheirAnswers() throws {
    let folder = try TemporaryDirectory()
    try writeFile(
      "\(folder.path)/text.jsonl",
      """
      {"prompt": "a", "chosen": " b", "rejected": " c"}
      {"prompt": "d", "chosen": " e", "rejected": " f"}
      {"prompt": "a", "chosen": " g", "rejected": " b"}
      {"prompt": "a", "chosen": " b", "rejected": " h"}
      """)
    let text = try ChosenAnswers.read("\(folder.path)/text.jsonl")
    #expect(text.map(\.prompt) == ["a", "d"] && text[0].answers == [" b", " g"])
    let implicit = try ChosenAnswers.read(Fixtures.path("data/chat_implicit.jsonl"))
    #expect(
      !implicit.isEmpty && implicit.allSatisfy { $0.prompt.json.array != nil && $0.answers[0].json.array?.count == 1 })
    #expect(throws: DPOError.self) { try ChosenAnswers.read(Fixtures.path("data/unpaired.jsonl")) }
  }

  @Test func standardErrorsAreThoseOfRows() throws {
    let data = try policy.file.dataset(.file(Fixtures.path("data/pairs.jsonl")), options: TrainingOptions().dataset())
    let found = try policy.evaluate([Fixtures.path("data/pairs.jsonl")], options: TrainingOptions())
    let forest = try data.forest(rows: Array(0..<data.count))
    let ratios = zip(try policy.score(forest).sums, try reference.score(forest).sums).map { 0.1 * ($0 - $1) }
    let margins = (0..<data.count).map { ratios[2 * $0] - ratios[2 * $0 + 1] }
    let mean = margins.reduce(0, +) / 12
    let error = (margins.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 11 / 12).squareRoot()
    let told = try #require(found.record.standardErrors[.rewardsMargins])
    #expect(abs(told - error) < 1e-4 * error, "\(told) \(error)")
    #expect(found.json["standard_errors"]?["loss"]?.double != nil && found.json["samples"] == nil)
  }

  private func squares(_ values: [Double]) -> Double {
    let mean: Double = values.reduce(0, +) / Double(values.count)
    return values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +)
  }

  /// Each row evaluated alone says its number; those of all rows give s/√n.
  @Test(arguments: ["ranked", "cpo", "orpo", "unlikelihood", "kto", "bco"])
  func everyMethodTellsStandardErrorsOfItsRows(method: String) throws {
    let folder = try TemporaryDirectory()
    let file = ["ranked": "ranked", "kto": "unpaired", "bco": "unpaired"][method] ?? "pairs"
    var options = TrainingOptions()
    options.method.name = method
    if method == "cpo" { options.method.cpoAlpha = 0 }
    if method == "kto" { options.method.lossType = ["apo_zero_unpaired"] }
    let path = Fixtures.path("data/\(file).jsonl")
    let found = try policy.evaluate([path], options: options).record
    let lines = try String(decoding: readFile(path, limit: 1 << 20), as: UTF8.self).split(separator: "\n")
    let alone = try lines.enumerated().map { index, line in
      try writeFile("\(folder.path)/\(index).jsonl", String(line))
      return try policy.evaluate(["\(folder.path)/\(index).jsonl"], options: options).record
    }
    func error(_ name: Metrics.Name) -> Double {
      let values = alone.compactMap { $0[name] }
      return (squares(values) / Double(values.count - 1) / Double(values.count)).squareRoot()
    }
    // ORPO's loss is a ratio of sums over rows, BCO's compares with the other rows.
    var names: [Metrics.Name] = [.rewardsChosen, .rewardsRejected, .logpsChosen, .logpsRejected]
    if !["orpo", "bco"].contains(method) { names.append(.loss) }
    if file != "unpaired" { names += [.rewardsAccuracies, .rewardsMargins] }
    if method == "orpo" { names += [.logOddsRatio, .logOddsChosen] }
    func told(_ name: Metrics.Name) throws -> Double { try #require(found.standardErrors[name], "\(name)") }
    for name in names {
      let (told, expected) = (try told(name), error(name))
      #expect(abs(told - expected) < 1e-3 * expected + 1e-7, "\(name): \(told), expected \(expected)")
    }
    if file == "unpaired" {
      let expected = hypot(error(.rewardsChosen), error(.rewardsRejected))
      #expect(abs(try told(.rewardsMargins) - expected) < 1e-3 * expected)
    }
    #expect(try told(.loss) > 0)
  }

  /// The likelihood term is a ratio of sums: its error agrees with the jackknife's, whatever the batch size.
  @Test(arguments: ["cpo", "orpo", "dpo", "wpo"], [1, 3, 12])
  func standardErrorsOfRatiosAgreeWithTheJackknife(method: String, batchSize: Int) throws {
    let folder = try TemporaryDirectory()
    var options = TrainingOptions()
    options.method.name = method == "wpo" ? "dpo" : method
    options.method.useWeighting = method == "wpo"
    if options.method.name == "dpo" { options.method.lossType = ["sft", "sigmoid"] }
    options.batches.perDeviceEvalBatchSize = batchSize
    let path = Fixtures.path("data/pairs.jsonl")
    let lines = try String(decoding: readFile(path, limit: 1 << 20), as: UTF8.self).split(separator: "\n")
    let found = try policy.evaluate([path], options: options).record
    let without = try lines.indices.map { index in
      var rest = lines
      rest.remove(at: index)
      try writeFile("\(folder.path)/rest.jsonl", rest.joined(separator: "\n"))
      return try policy.evaluate(["\(folder.path)/rest.jsonl"], options: options).record
    }
    for name in options.method.name == "dpo" ? [Metrics.Name.loss] : [.loss, .nllLoss] {
      let values = without.compactMap { $0[name] }
      let jackknife = (squares(values) * 11 / 12).squareRoot()
      let told = try #require(found.standardErrors[name])
      #expect(jackknife > 0 && abs(told - jackknife) < 0.15 * jackknife, "\(name): \(told), jackknife \(jackknife)")
    }
  }

  /// A demonstration's weight multiplies its sum; the tokens of all rows stay the divisor.
  @Test func weightsOfDemonstrationsScaleTheirLoss() throws {
    let folder = try TemporaryDirectory()
    var options = TrainingOptions()
    options.method.name = "sft"
    func loss(_ rows: [(text: String, weight: Double?)]) throws -> Double {
      let lines = rows.map { row in
        let weight = row.weight.map { ", \"weight\": \($0)" } ?? ""
        return "{\"prompt\": \"The film was\", \"completion\": \"\(row.text)\"\(weight)}"
      }
      try writeFile("\(folder.path)/rows.jsonl", lines.joined(separator: "\n"))
      return try #require(try policy.evaluate(["\(folder.path)/rows.jsonl"], options: options).record["loss"])
    }
    let (a, b) = (" worth seeing twice.", " dull, loud and false.")
    let both = try loss([(a, nil), (b, nil)])
    let (first, second) = (try loss([(a, nil), (b, 0)]), try loss([(a, 0), (b, 1)]))
    #expect(first > 0 && second > 0 && abs(first + second - both) < 1e-6 * both)
    #expect(abs(try loss([(a, 2), (b, 0.5)]) - 2 * first - 0.5 * second) < 1e-6 * both)
  }
}
