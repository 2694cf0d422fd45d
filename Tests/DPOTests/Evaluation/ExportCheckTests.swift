import DPO
import TestSupport
import Testing

/// What rounding does to what was learnt: an ordinary adapter survives every format, a change too small for Q8_0 does not.
@Suite(.timeLimit(.minutes(10))) struct ExportCheckTests {
  let directory: TemporaryDirectory
  static let base = Fixtures.path("models/llama-tied")
  static let random = Fixtures.path("adapters/llama-tied-random")
  static let pairs = Fixtures.path("data/pairs.jsonl")

  init() throws { directory = try TemporaryDirectory() }

  private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  /// The random adapter with its scale multiplied.
  private func adapter(times factor: Double) throws -> String {
    let output = path("adapter")
    try ModelFile.export(input: Self.base, adapter: Self.random, to: .peft, output: output, overwrite: true)
    let file = "\(output)/adapter_config.json"
    var settings = try #require(JSON.parse(readFile(file, limit: 1 << 20), file: file).object)
    settings["lora_alpha"] = .real(factor * (try #require(settings["lora_alpha"]?.double)))
    try writeFile(file, JSON.object(settings).description)
    return output
  }

  private func check(
    _ base: String, _ adapter: String, _ format: ExportFormat, merge: Bool, _ dtype: DType
  ) throws -> ExportCheck.Result {
    let check = try ExportCheck(input: base, adapter: adapter, data: Self.pairs)
    try ModelFile.export(
      input: base, adapter: adapter, to: format, dtype: dtype, merge: merge, output: path("out"), overwrite: true)
    return try check.measure(path("out"))
  }

  @Test(arguments: [
    (ExportFormat.hdf5, false, DType.f32), (.hdf5, true, .f32), (.safetensors, true, .f32), (.safetensors, true, .f16),
    (.safetensors, true, .bf16), (.gguf, true, .f32), (.gguf, true, .bf16), (.gguf, true, .q8_0), (.peft, false, .f32),
    (.peft, false, .f16), (.peft, false, .bf16), (.ggufLoRA, false, .f32), (.ggufLoRA, false, .f16),
    (.ggufLoRA, false, .bf16),
  ])
  func anOrdinaryAdapterSurvives(format: ExportFormat, merge: Bool, dtype: DType) throws {
    let found = try check(Self.base, Self.random, format, merge: merge, dtype)
    let (lost, kl, change) = (
      try #require(found.lost), try #require(found.divergence), try #require(found.logProbChange)
    )
    #expect(found.survives && found.warning == nil && found.pairs == 12)
    #expect(lost < (dtype == .f32 ? 1e-4 : dtype == .f16 ? 0.02 : 0.2), "\(lost)")
    #expect(dtype == .f32 ? kl < 1e-8 && change < 1e-4 : kl > 0 && change > 0, "\(kl) \(change)")
    #expect(abs(found.exported.margin - found.trained.margin) <= 0.2 * abs(found.trained.margin))
  }

  /// The trained side is what scoring by hand gives.
  @Test func theTrainedSideIsWhatTheModelsSay() throws {
    let found = try check(Self.base, Self.random, .peft, merge: false, .f16)
    let (reference, policy) = (
      try LanguageModel(path: Self.base), try LanguageModel(path: Self.base, adapter: Self.random)
    )
    let data = try policy.file.dataset(.file(Self.pairs), options: DatasetOptions(.preference))
    let forest = try data.forest(rows: Array(0..<data.count))
    let ratios = zip(try policy.score(forest).sums, try reference.score(forest).sums).map { $0 - $1 }
    let margins = (0..<data.count).map { ratios[2 * $0] - ratios[2 * $0 + 1] }
    #expect(abs(found.trained.margin - 0.1 * margins.reduce(0, +) / 12) < 1e-5)
    #expect(found.trained.accuracy == Double(margins.count { $0 > 0 }) / 12)
  }

  @Test func aChangeTooSmallForQ8IsWarnedOf() throws {
    let tiny = try adapter(times: 1e-4)
    let rounded = try check(Self.base, tiny, .gguf, merge: true, .q8_0)
    #expect(!rounded.survives && (rounded.lost ?? 0) > 0.5, "\(rounded)")
    #expect(rounded.warning?.contains("rounding has eaten") == true)
    #expect(rounded.json["survives"] == .bool(false) && rounded.json["limit"] == .real(0.25))
    let exact = try check(Self.base, tiny, .gguf, merge: true, .f32)
    #expect(exact.survives && exact.warning == nil, "\(exact)")
    #expect(try check(Self.base, tiny, .ggufLoRA, merge: false, .f16).survives)
  }

  /// Weights that are Q8_0 already are rounded to what they were: what is lost is what was learnt.
  @Test func overQuantisedWeightsAllOfItIsLost() throws {
    let base = path("base.gguf")
    try ModelFile.export(input: Self.base, to: .gguf, dtype: .q8_0, output: base)
    let found = try check(base, adapter(times: 1e-4), .gguf, merge: true, .q8_0)
    let lost = try #require(found.lost)
    #expect(abs(lost - 1) < 0.2 && !found.survives, "\(found)")
  }

  @Test func anUntrainedAdapterHasNothingToLose() throws {
    let found = try check(Self.base, adapter(times: 0), .gguf, merge: true, .q8_0)
    #expect(found.lost == nil && found.survives && found.json["lost"] == .null)
  }

  @Test func aWholeModelKnowsWhatItWasTrainedFrom() throws {
    var options = TrainingOptions()
    options.optimization.learningRate = 1e-3
    options.batches.maxSteps = 2
    let model = try ModelFile.open(Self.base)
    let data = try model.dataset(.file(Self.pairs), options: options.dataset())
    try Trainer(model: model, data: data, options: options).run(outputDirectory: path("run"))
    let final = path("run/final.h5")
    try ModelFile.export(input: final, to: .safetensors, dtype: .bf16, output: path("out"))
    let found = try ExportCheck(input: final, data: Self.pairs).measure(path("out"))
    #expect(found.trained.margin > 0 && found.survives, "\(found)")
    #expect(try ExportCheck(input: final, referenceModel: Self.base, data: Self.pairs).measure(path("out")) == found)
    // A model that does not say.
    let error = #expect(throws: DPOError.self) { try ExportCheck(input: Self.base, data: Self.pairs) }
    #expect(error?.message.contains("give a reference model") == true)
    #expect(throws: DPOError.self) {
      try ExportCheck(input: final, data: Fixtures.path("data/unpaired.jsonl"))
    }
  }

  @Test func rewardModelsAreComparedByTheirScores() throws {
    let golden = try Fixtures.json("golden/trl/llama-tied-lora-reward-chat.json")
    let adapter = Fixtures.path(try #require(golden["final_adapter"]?.string))
    let data = Fixtures.path(try #require(golden["data"]?.string))
    let check = try ExportCheck(input: Self.base, adapter: adapter, data: data)
    try ModelFile.export(
      input: Self.base, adapter: adapter, to: .safetensors, dtype: .bf16, merge: true, output: path("out"))
    let found = try check.measure(path("out"))
    #expect(found.divergence == nil && found.json["trained"]?["margin"] == .real(found.trained.margin))
    #expect(found.trained.margin != found.exported.margin && found.survives, "\(found)")
  }
}
