import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import TestSupport
import Testing

/// Every family against transformers and PEFT, from Hugging Face's files and from GGUF files that llama.cpp computes the same
/// from (make_families.py).
@Suite(.timeLimit(.minutes(10))) struct FamilyGoldenTests {
  @Test func allFamiliesHaveGoldens() throws {
    let made = Set(try GoldenFamily.known.compactMap { try GoldenFamily($0).modelType })
    let older: Set = ["llama", "mistral", "qwen2", "qwen3", "gpt2"]  // GoldenModelTests
    let ggufOnly: Set = ["internlm2", "minicpm"]
    #expect(Set(Family.all.map(\.name)).subtracting(made) == older.subtracting(made).union(ggufOnly))
    #expect(GoldenFamily.known.count > 40)
  }

  private func opened(_ name: String) throws -> (family: GoldenFamily, file: ModelFile, directory: TemporaryDirectory) {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    try family.writeModel(directory.path)
    return (family, try ModelFile.open(directory.path), directory)
  }

  private func runner(
    _ file: ModelFile, trainable: Bool, _ engine: Engine = .best, _ precision: Precision = .fp32
  ) throws -> ModelRunner {
    ModelRunner(
      decoder: try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: trainable),
      team: try ThreadTeam(threads: 2, engine: engine), precision: precision)
  }

  private func expectScores(
    _ family: GoldenFamily, _ runner: ModelRunner, _ adapter: LoRAAdapter? = nil, _ which: String = "adapter",
    logps: JSON? = nil
  ) throws {
    let golden = adapter == nil ? family.golden : family.golden[which] ?? .null
    let found = try runner.score(family.forest.forest, adapter: adapter, extras: .entropy)
    #expect(difference(found.logProbs, family.numbers(logps ?? golden["logps"])).error < 2e-4)
    if adapter == nil, logps == nil {
      #expect(difference(found.entropy ?? [], family.numbers(golden["entropies"])).error < 2e-4)
    }
  }

  @Test(arguments: GoldenFamily.huggingFace) func scoresFromHuggingFacesFilesEqualTransformers(name: String) throws {
    let (family, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    for engine in Engine.available {
      try expectScores(family, runner(file, trainable: engine.name == "portable", engine))
    }
  }

  @Test(arguments: GoldenFamily.huggingFace) func configurationsInTransformers4sFormMeanTheSame(name: String) throws {
    let (family, file, directory) = try opened(name)
    guard let older = family.golden["version4"], !older.isNull else { return }
    try writeFile("\(directory.path)/config.json", older.pretty)
    let again = try ModelFile.open(directory.path)
    #expect(again.configuration == file.configuration)
    try expectScores(family, runner(again, trainable: false))
  }

  /// But for a file of Phi 3 with a window, which llama.cpp leaves out.
  @Test(arguments: GoldenFamily.withGGUF.filter { $0 != "phi3-switch" && $0 != "llama-dynamic-beyond" })
  func scoresFromGGUFFilesEqualTransformers(name: String) throws {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    try family.writeGGUF(path)
    // llama.cpp computes another model from some, as transformers does with other settings.
    try expectScores(family, runner(ModelFile.open(path), trainable: false), logps: family.golden["gguf"]?["logps"])
  }

  @Test(arguments: GoldenFamily.huggingFace) func gradientsEqualTransformers(name: String) throws {
    let (family, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    for recomputes in [false, true] {
      let runner = try runner(file, trainable: true)
      runner.recomputesBlocks = recomputes
      let (forest, coefficients) = family.forest
      _ = try runner.forward(forest)
      let store = try #require(runner.decoder.parameters)
      let complete = LayerGradients(store)
      try runner.backward(logProbGradients: coefficients, layerDone: complete.note)
      #expect(complete.layers == (0..<file.configuration.layerCount).reversed())
      #expect(complete.changedSince == [])
      try expectSketches(store, family.golden["gradients"], file.configuration)
    }
  }

  /// A recurrence over chunks of rows gives what it gives in segments of one row each, over branches as well. These random
  /// models make some hundred times more of a rounding than it was.
  @Test(arguments: GoldenFamily.huggingFace.filter { $0.hasPrefix("qwen3_5") }, Engine.available)
  func chunksGiveWhatSingleRowsDo(name: String, engine: Engine) throws {
    let (_, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    func ids(_ count: Int, _ factor: Int) -> [Int32] { (0..<count).map { Int32(($0 * factor + $0 * $0) % 89 + 3) } }
    let (prompt, completions) = (ids(66, 7), [ids(62, 11), ids(9, 13)])
    var (chunked, single) = (TokenForest(), TokenForest())
    let root = chunked.addPrompt(prompt)
    for completion in completions { chunked.addCompletion(completion, parent: root) }
    var rows: Int?
    for id in prompt { rows = single.addPrompt([id], parent: rows) }
    for completion in completions {
      var before = rows
      for id in completion {
        single.addCompletion([id], parent: before)
        before = single.addPrompt([id], parent: before)
      }
    }
    #expect(chunked.targets.map(\.token) == single.targets.map(\.token))
    let weights = chunked.targets.indices.map { Float(($0 * 7) % 5 - 2) / 4 }
    func run(_ forest: TokenForest) throws -> (scores: [Float], gradients: [Float]) {
      let runner = try runner(file, trainable: true, engine)
      let scores = try runner.forward(forest).logProbs
      try runner.backward(logProbGradients: weights)
      return (scores, Array(try #require(runner.decoder.parameters).gradients.buffer))
    }
    let (found, expected) = (try run(chunked), try run(single))
    #expect(difference(found.scores, expected.scores).error < 1e-4)
    let gradients = difference(found.gradients, expected.gradients)
    #expect(gradients.error < 3e-4 * gradients.scale)
  }

  @Test(arguments: GoldenFamily.adapters) func adaptersOfAllLinearLayersEqualPEFT(name: String, which: String) throws {
    let (family, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    try family.writeAdapter(directory.path, which)
    let adapterFile = try AdapterFile.open(directory.path, for: file)
    for recomputes in [false, true] {
      let adapter = try LoRAAdapter(
        adapterFile.configuration, model: file.configuration, tensors: adapterFile.tensors)
      let runner = try runner(file, trainable: false)
      runner.recomputesBlocks = recomputes
      try expectScores(family, runner, adapter, which)
      let (forest, coefficients) = family.forest
      _ = try runner.forward(forest, adapter: adapter)
      let complete = LayerGradients(adapter.parameters)
      try runner.backward(logProbGradients: coefficients, layerDone: complete.note)
      #expect(complete.changedSince == [])
      try expectSketches(adapter.parameters, family.golden[which]?["gradients"], file.configuration)
    }
  }

  /// Tensors of every quantisation, against transformers and PEFT on the numbers that gguf-py decodes
  /// (make_quantised.py).
  @Test(arguments: Engine.available) func quantisedTensorsComputeWhatTheirNumbersDo(engine: Engine) throws {
    let family = GoldenFamily(name: "quantised", golden: try Fixtures.json("golden/quantised.json"))
    let path = Fixtures.path("gguf/llama-iq.gguf")
    let file = try ModelFile.open(path)
    let model = try runner(file, trainable: false, engine)
    try expectScores(family, model)
    try expectGreedy(family, file, engine)

    let directory = try TemporaryDirectory()
    try family.writeAdapter(directory.path)
    let adapterFile = try AdapterFile.open(directory.path, for: file)
    let adapter = try LoRAAdapter(
      adapterFile.configuration, model: file.configuration, tensors: adapterFile.tensors)
    try expectScores(family, model, adapter)
    let (forest, coefficients) = family.forest
    _ = try model.forward(forest, adapter: adapter)
    try model.backward(logProbGradients: coefficients)
    try expectSketches(adapter.parameters, family.golden["adapter"]?["gradients"], file.configuration)

    let plain = "\(directory.path)/plain.gguf"
    try ModelFile.export(input: path, to: .gguf, dtype: .f32, output: plain)
    let again = try ModelFile.open(plain)
    #expect(again.tensors.values.allSatisfy { $0.dtype == .f32 })
    try expectScores(family, runner(again, trainable: false, engine))
  }

  /// Gradients go by our names and in our order of rows; the golden ones by the files'.
  private func expectSketches(_ store: ParameterStore, _ golden: JSON?, _ configuration: DecoderConfiguration) throws {
    var expected: [String: [Double]] = [:]
    for (name, numbers) in golden?.object?.members ?? [] {
      expected[plain(name)] = (numbers.array ?? []).compactMap(\.double)
    }
    let inFiles = Dictionary((golden?.object?.members ?? []).map { (plain($0.0), $0.0) }) { first, _ in first }
    let constants = Set(configuration.family.parameters(configuration).filter(\.part.isConstant).map(\.name))
    #expect(
      store.entries.allSatisfy { !constants.contains($0.name) || !$0.decays && store.gradients.slice($0)[0] == 0 })
    let gradients = inFilesForm(store, configuration).filter { !constants.contains($0.key) }
    #expect(expected.count == gradients.count)
    for (name, gradient) in gradients {
      let numbers = try #require(expected[name], "\(name)")
      let found = GoldenFamily.sketch(gradient, inFiles[name] ?? "")
      for (a, b) in zip(found, numbers) {
        // A direction's numbers have a deviation of 0.58.
        #expect(abs(a - b) <= 5e-4 * numbers[0] + 2e-5, "\(name): \(found), expected \(numbers)")
      }
    }
  }

  /// Gradients by the names of Hugging Face's tensors, some of which hold those of all experts.
  private func inFilesForm(_ store: ParameterStore, _ configuration: DecoderConfiguration) -> [String: [Float]] {
    var out: [String: [Float]] = [:]
    let parameters = Dictionary(
      configuration.family.parameters(configuration).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for entry in store.entries {
      let gradient = inFileOrder(Array(store.gradients.slice(entry)), entry, configuration)
      // Matrices of layers that are one to PEFT: these share A, and B has their rows.
      let matrix = [".lora_A", ".lora_B"].first { entry.name.hasSuffix($0 + ".weight") }
      let name = matrix.map {
        String(entry.name.dropFirst("base_model.model.".count).dropLast($0.count + 7)) + ".weight"
      }
      guard let share = parameters[name ?? entry.name]?.shareInFile, matrix == nil || share.expert == nil else {
        out[entry.name] = gradient
        continue
      }
      let tensor = matrix.map { "base_model.model." + share.tensor.dropLast(7) + $0 + ".weight" } ?? share.tensor
      guard matrix != ".lora_A" else {
        out[tensor] = out[tensor].map { zip($0, gradient).map(+) } ?? gradient
        continue
      }
      let (rows, columns) = (entry.shape[0], entry.shape.dropFirst().reduce(1, *))
      let all = share.parts * rows
      var whole =
        out[tensor] ?? [Float](repeating: .nan, count: (share.expert == nil ? 1 : share.experts) * all * columns)
      for row in 0..<rows {
        for column in 0..<columns {
          let place = share.first + row * share.step
          let inExpert = share.isTransposed ? column * all + place : place * columns + column
          whole[(share.expert ?? 0) * all * columns + inExpert] = gradient[row * columns + column]
        }
      }
      out[tensor] = whole
    }
    return out
  }

  private func numbers(_ tensor: FileTensor) throws -> [Float] {
    let floats = try tensor.stored(as: tensor.name).floats()
    return withExtendedLifetime(floats) { Array(floats.buffer) }
  }

  private func plain(_ name: String) -> String {
    for (nested, plain) in [
      ("model.language_model.", "model."), ("language_model.model.", "model."), ("language_model.lm_head", "lm_head"),
    ] {
      if let place = name.firstRange(of: nested) {
        return String(name[..<place.lowerBound]) + plain + String(name[place.upperBound...])
      }
    }
    return name
  }

  private func inFileOrder(
    _ values: [Float], _ entry: ParameterStore.Entry, _ configuration: DecoderConfiguration
  ) -> [Float] {
    let module = entry.name.split(separator: ".").dropLast().joined(separator: ".")
    let parameter = configuration.family.parameters(configuration).first { parameter in
      parameter.name == entry.name
        || "base_model.model.\(parameter.module).lora_B" == module && !parameter.isBias
    }
    guard let order = parameter?.rowOrderInFile, order != .natural else { return values }
    let columns = entry.shape.dropFirst().reduce(1, *)
    var out = values
    for row in 0..<entry.shape[0] {
      let place = order.place(of: row, among: entry.shape[0])
      for column in 0..<columns { out[place * columns + column] = values[row * columns + column] }
    }
    return out
  }

  @Test(arguments: GoldenFamily.huggingFace.filter { !GoldenFamily.switching.contains($0) })
  func greedyGenerationEqualsTransformers(name: String) throws {
    let (family, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    for engine in Engine.available { try expectGreedy(family, file, engine) }
  }

  private func expectGreedy(_ family: GoldenFamily, _ file: ModelFile, _ engine: Engine) throws {
    let greedy = family.golden["greedy"] ?? .null
    var options = GenerationOptions()
    options.temperature = 0
    options.maxNewTokens = greedy.ids("tokens").count
    let decoder = try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: false)
    let found = try Generator(decoder: decoder, adapter: nil, team: ThreadTeam(threads: 2, engine: engine)).generate(
      prompts: [greedy.ids("prompt")], options: options)
    #expect(found[0][0].tokens == greedy.ids("tokens"), "\(engine.name)")
    #expect(difference(found[0][0].logProbs, greedy.numbers("logps").map { Float($0) }).error < 3e-4)
  }

  @Test(arguments: GoldenFamily.withGGUF.filter { $0 != "llama-dynamic-beyond" }) func whatIsWrittenReadsAsTheSameModel(
    name: String
  ) throws {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    let gguf = "\(directory.path)/model.gguf"
    try family.writeGGUF(gguf)
    let forest = family.forest.forest
    let scores = try runner(ModelFile.open(gguf), trainable: false).score(forest).logProbs
    for (format, place) in [
      (ExportFormat.safetensors, "hf"), (.hdf5, "model.h5"), (.gguf, "again.gguf"),
    ] {
      let path = "\(directory.path)/\(place)"
      try ModelFile.export(input: gguf, to: format, output: path)
      let again = try runner(ModelFile.open(path), trainable: false).score(forest).logProbs
      // One format holds the logarithm, or one less, of what the other holds.
      #expect(difference(again, scores).error < 3e-5, "\(format)")
    }
    guard GoldenFamily.huggingFace.contains(name) else { return }
    let source = "\(directory.path)/source"
    try makeDirectories(source)
    try family.writeModel(source)
    try ModelFile.export(input: source, to: .safetensors, output: "\(directory.path)/copy")
    let before = try SafetensorsFile("\(source)/model.safetensors").tensors
    let after = try SafetensorsFile("\(directory.path)/copy/model.safetensors").tensors
    for tensor in after {
      let original = try #require(before.first { plain($0.name) == tensor.name }, "\(tensor.name)")
      // 1 + w is w again but for what the sum rounds away.
      let error = difference(try numbers(tensor), try numbers(original)).error
      #expect(error <= (family.normsAddOne && tensor.name.contains("norm.weight") ? 0x1p-23 : 0), "\(tensor.name)")
    }
  }

  /// What we write for llama.cpp are the tensors and keys that it was asked about.
  @Test(arguments: GoldenFamily.huggingFace.filter(GoldenFamily.gguf.contains)) func ggufFilesAreThoseOfLlamaCpp(
    name: String
  ) throws {
    let (family, file, directory) = try opened(name)
    let path = "\(directory.path)/written.gguf"
    try ModelFile.export(input: directory.path, to: .gguf, output: path)
    let written = try GGUFFile(path)
    // Without the block that predicts more than one token, and keys and values of blocks that read another's.
    let configuration = file.configuration
    let expected = family.ggufTensors.filter { tensor in
      let parts = tensor.name.split(separator: ".")
      guard parts[0] == "blk", let layer = Int(parts[1]) else { return true }
      let isKey = ["attn_k", "attn_v", "attn_k_norm"].contains(parts[2])
      return layer < configuration.layerCount && !(isKey && configuration.keySource(layer) != nil)
    }
    #expect(Set(written.tensors.map(\.name)) == Set(expected.map(\.name)))
    for tensor in expected {
      let found = try #require(written.tensors.first { $0.name == tensor.name }, "\(tensor.name)")
      #expect(found.shape == tensor.shape)
      #expect(difference(try numbers(found), tensor.values).error < 1e-6, "\(tensor.name)")
    }
    let again = try runner(ModelFile.open(path), trainable: false)
    try expectScores(family, again)
    withExtendedLifetime(file) {}
  }

  @Test(arguments: GoldenFamily.adapters) func adaptersComeBackFromEveryFormat(name: String, which: String) throws {
    let (family, file, directory) = try opened(name)
    try family.writeAdapter(directory.path, which)
    for (format, place) in [(ExportFormat.peft, "peft"), (.ggufLoRA, "lora.gguf"), (.hdf5, "adapter.h5")] {
      let adapters = "\(directory.path)/adapters"
      try makeDirectories(adapters)
      try family.writeAdapter(adapters, which)
      let path = "\(directory.path)/\(place)"
      let told = try ModelFile.export(
        input: directory.path, adapter: adapters, to: format, output: path, overwrite: true)
      // llama.cpp leaves the adapter of the layer outside of the blocks out.
      #expect(told.isEmpty == (format != .ggufLoRA || file.configuration.perLayerInputSize == 0))
      let found = try AdapterFile.open(path, for: file)
      let adapter = try LoRAAdapter(found.configuration, model: file.configuration, tensors: found.tensors)
      try expectScores(family, runner(file, trainable: false), adapter, which)
      try expectSameWhenGenerating(file, file.configuration, adapter)
      guard format == .peft else { continue }
      let names = try SafetensorsFile("\(path)/adapter_model.safetensors").tensors.map(\.name)
      let expected = GoldenFamily.tensors(family.golden[which]?["tensors"]).map(\.name)
      #expect(Set(names) == Set(expected))
    }
  }

  @Test(arguments: GoldenFamily.huggingFace, [Precision.bf16, .fp32]) func answersAreScoredAsTheyWereGenerated(
    name: String, precision: Precision
  ) throws {
    let (_, file, directory) = try opened(name)
    defer { withExtendedLifetime(directory) {} }
    var configuration = file.configuration
    // A rounding to bf16 may choose other experts.
    if precision == .bf16, let count = configuration.experts?.count { configuration.experts?.active = count }
    try expectSameWhenGenerating(file, configuration, nil, precision)
  }

  /// Log-probs of an answer as it was generated and as it is scored.
  private func expectSameWhenGenerating(
    _ file: ModelFile, _ configuration: DecoderConfiguration, _ adapter: LoRAAdapter?, _ precision: Precision = .fp32
  ) throws {
    var options = GenerationOptions()
    (options.seed, options.maxNewTokens, options.completionsPerPrompt) = (1, 12, 3)
    options.precision = precision
    let runner = ModelRunner(
      decoder: try Decoder(configuration: configuration, tensors: file.tensors, trainable: false),
      team: try ThreadTeam(threads: 2), precision: precision)
    let prompt: [Int32] = [5, 7, 60, 3]
    let generator = Generator(decoder: runner.decoder, adapter: adapter, team: runner.team)
    for completion in try generator.generate(prompts: [prompt], options: options)[0] {
      var forest = TokenForest()
      forest.addCompletion(completion.tokens, parent: forest.addPrompt(prompt))
      let scored = try runner.score(forest, adapter: adapter).logProbs
      // A sum in another order may be rounded to the next number of bf16.
      // The experts' sums make more of it.
      let rounding: Float = configuration.experts == nil ? 0.1 : 0.25
      #expect(difference(completion.logProbs, scored).error < (precision == .fp32 ? 3e-4 : rounding))
    }
  }

  @Test(arguments: GoldenFamily.unknown.sorted()) func aFamilyThatIsNotKnownIsNamed(name: String) throws {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    try family.writeModel(directory.path)
    let error = #expect(throws: DPOError.self) { try ModelFile.open(directory.path) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("\"\(family.modelType ?? "")\"") == true)
  }
}

/// What the gradients of each layer's parameters were when the backward pass said that they are complete.
private final class LayerGradients {
  private let store: ParameterStore
  private(set) var layers: [Int] = []
  private var noted: [(entry: ParameterStore.Entry, gradients: [Float])] = []

  init(_ store: ParameterStore) { self.store = store }

  func note(_ layer: Int) {
    layers.append(layer)
    for entry in store.entries where entry.layer == layer { noted.append((entry, gradients(entry))) }
  }

  private func gradients(_ entry: ParameterStore.Entry) -> [Float] {
    Array(UnsafeBufferPointer(start: store.gradients.pointer + entry.offset, count: entry.count))
  }

  /// Names of parameters whose gradients went on changing.
  var changedSince: [String] {
    noted.filter { firstDifference(gradients($0.entry), $0.gradients) != nil }.map(\.entry.name)
  }
}
