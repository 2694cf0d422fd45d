import DPOBase
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
import Testing

/// All numbers of a tensor in Hugging Face's order.
private func numbers(_ tensor: StoredTensor?) throws -> [Float] {
  let tensor = try #require(tensor)
  let out = try FloatBuffer(count: tensor.count)
  tensor.dequantize(rows: 0..<tensor.rows, into: out.pointer)
  return (0..<tensor.count).map { out.pointer[$0] }
}

@Suite(.timeLimit(.minutes(10))) struct ExportTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  private func expectSameWeights(_ first: ModelFile, _ second: ModelFile) throws {
    #expect(first.tensors.keys.sorted() == second.tensors.keys.sorted())
    for (name, tensor) in first.tensors {
      #expect(try numbers(tensor) == numbers(second.tensors[name]), "\(name)")
    }
  }

  @Test(
    arguments: ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"],
    [ExportFormat.safetensors, .hdf5, .gguf])
  func aModelInAnotherFormatHasTheSameWeights(name: String, format: ExportFormat) throws {
    let source = Fixtures.path("models/\(name)")
    try ModelFile.export(input: source, to: format, output: path("out"))
    let (before, after) = (try ModelFile.open(source), try ModelFile.open(path("out")))
    try expectSameWeights(before, after)
    var expected = before.configuration
    if format == .gguf {
      expected.initializerRange = after.configuration.initializerRange
      expected.bosToken = after.configuration.bosToken
      expected.eosTokens = after.configuration.eosTokens
    }
    #expect(after.configuration == expected)
    #expect(try directoryNames(directory.path) == ["out"])
  }

  @Test(arguments: [DType.f16, .bf16, .q8_0])
  func aModelInALowerPrecisionIsItsRounding(dtype: DType) throws {
    let source = Fixtures.path("models/llama-tied")
    try ModelFile.export(input: source, to: .gguf, dtype: dtype, output: path("out.gguf"))
    let (before, after) = (try ModelFile.open(source), try ModelFile.open(path("out.gguf")))
    for (name, tensor) in before.tensors {
      let (exact, rounded) = (try numbers(tensor), try numbers(after.tensors[name]))
      if tensor.shape.count == 1 {
        #expect(exact == rounded)
        continue
      }
      // Half a unit in the last place; of Q8_0, half of a 127th of the block's largest number, whose scale is rounded too.
      let good = exact.indices.allSatisfy { index in
        let block = exact[index / 32 * 32..<index / 32 * 32 + 32].lazy.map(abs).max() ?? 0
        let bound =
          switch dtype {
          case .f16: abs(exact[index]) * 0x1p-11 + 0x1p-25
          case .bf16: abs(exact[index]) * 0x1p-8
          default: block * (1 / 254 + 0x1p-11)
          }
        return abs(exact[index] - rounded[index]) <= bound
      }
      #expect(good, "\(name)")
    }
    #expect(after.tensors["model.norm.weight"]?.dtype == .f32)
    #expect(after.tensors["model.layers.0.mlp.up_proj.weight"]?.dtype == dtype)
  }

  @Test(arguments: ["llama-tied", "llama-untied-q4_1", "gpt2", "qwen3"])
  func aGGUFFileKeepsItsMetadata(name: String) throws {
    let source = Fixtures.path("gguf/\(name).gguf")
    try ModelFile.export(input: source, to: .gguf, output: path("out.gguf"))
    let (before, after) = (try ModelFile.open(source), try ModelFile.open(path("out.gguf")))
    try expectSameWeights(before, after)
    let changed = ["general.file_type", "general.quantization_version"]
    for key in before.metadata?.keys ?? [] where !changed.contains(key) {
      #expect(before.metadata?[key] == after.metadata?[key], "\(key)")
    }
  }

  @Test(arguments: ["qwen2", "qwen3"])
  func aGGUFFileNamesRowsOfTheEmbeddingThatTheTokenizerLacks(name: String) throws {
    try ModelFile.export(input: Fixtures.path("models/\(name)"), to: .gguf, output: path("out.gguf"))
    let model = try ModelFile.open(path("out.gguf"))
    guard case .strings(let tokens) = model.metadata?["tokenizer.ggml.tokens"] else {
      Issue.record("no tokens")
      return
    }
    #expect(tokens.count == model.configuration.vocabularySize)
    #expect(tokens.last == "[PAD\(model.configuration.vocabularySize - 1)]")
  }

  @Test func aGGUFFileKeepsBothTokensThatEndAnAnswer() throws {
    let source = Fixtures.path("models/llama-tied")
    try ModelFile.export(input: source, to: .gguf, output: path("out.gguf"))
    let ends = (try ModelFile.open(source)).configuration.eosTokens
    #expect(ends.count == 2)
    #expect((try ModelFile.open(path("out.gguf"))).configuration.eosTokens.sorted() == ends.sorted())
  }

  @Test(arguments: ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"])
  func anAdapterSurvivesEveryFormat(name: String) throws {
    let model = Fixtures.path("models/\(name)")
    let source = Fixtures.path("adapters/\(name)-random")
    try ModelFile.export(input: model, adapter: source, to: .hdf5, output: path("a.h5"))
    try ModelFile.export(input: path("a.h5"), to: .peft, output: path("peft"))
    try ModelFile.export(input: path("a.h5"), to: .ggufLoRA, output: path("a.gguf"))
    let configuration = try ModelFile.open(model).configuration
    let before = try AdapterFile.open(source, for: configuration)
    for copy in ["a.h5", "peft", "a.gguf"] {
      let after = try AdapterFile.open(path(copy), for: configuration)
      #expect(after.tensors.keys.sorted() == before.tensors.keys.sorted())
      let (old, new) = (try before.configuration.resolve(configuration), try after.configuration.resolve(configuration))
      for (a, b) in zip(old, new) {
        // GGUF has one alpha for all; B takes what differs.
        let factor = a.scale / b.scale
        for which in ["A", "B"] {
          let key = LoRAAdapter.name(a.module, which)
          let (x, y) = (try numbers(before.tensors[key]), try numbers(after.tensors[key]))
          let scaled = which == "A" ? x : x.map { $0 * factor }
          #expect(zip(scaled, y).allSatisfy { abs($0 - $1) <= 1e-6 * abs($0) }, "\(copy) \(key)")
          if copy != "a.gguf" { #expect(x == y) }
        }
      }
    }
  }

  @Test(arguments: ["llama-tied", "gpt2"])
  func mergingAddsTheScaledProductToTheWeights(name: String) throws {
    let model = try ModelFile.open(Fixtures.path("models/\(name)"))
    let adapter = try AdapterFile.open(Fixtures.path("adapters/\(name)-random"), for: model.configuration)
    try ModelFile.export(input: model.path, adapter: adapter.path, to: .safetensors, merge: true, output: path("out"))
    let merged = try ModelFile.open(path("out"))
    var changed = 0
    for place in try adapter.configuration.resolve(model.configuration) {
      let key = place.module.path + ".weight"
      let a = try numbers(adapter.tensors[LoRAAdapter.name(place.module, "A")])
      let b = try numbers(adapter.tensors[LoRAAdapter.name(place.module, "B")])
      let (before, after) = (try numbers(model.tensors[key]), try numbers(merged.tensors[key]))
      for row in 0..<place.module.outputSize {
        for column in 0..<place.module.inputSize {
          let product = (0..<place.rank).reduce(0.0) {
            $0 + Double(b[row * place.rank + $1]) * Double(a[$1 * place.module.inputSize + column])
          }
          let index = row * place.module.inputSize + column
          let expected = Double(before[index]) + Double(place.scale) * product
          #expect(abs(Double(after[index]) - expected) <= 1e-6)
          if after[index] != before[index] { changed += 1 }
        }
      }
    }
    #expect(changed > 0)
  }

  @Test func outputsThatExistAreLeftAloneUnlessTold() throws {
    let model = Fixtures.path("models/llama-tied")
    for (format, name) in [(ExportFormat.gguf, "m.gguf"), (.hdf5, "m.h5"), (.safetensors, "m")] {
      try ModelFile.export(input: model, to: format, output: path(name))
      #expect(throws: DPOError.self) { try ModelFile.export(input: model, to: format, output: path(name)) }
      try ModelFile.export(input: model, to: format, output: path(name), overwrite: true)
    }
    #expect(throws: DPOError.self) { try ModelFile.export(input: model, to: .gguf, output: path("m"), overwrite: true) }
    #expect(throws: DPOError.self) {
      try ModelFile.export(input: model, to: .safetensors, output: path("m.h5"), overwrite: true)
    }
    #expect(try directoryNames(directory.path) == ["m", "m.gguf", "m.h5"])
  }

  @Test func combinationsWithoutMeaningAreRefused() throws {
    let model = Fixtures.path("models/llama-tied")
    let adapter = Fixtures.path("adapters/llama-tied-random")
    let attempts: [() throws -> Void] = [
      { try ModelFile.export(input: model, to: .peft, output: path("x")) },
      { try ModelFile.export(input: model, to: .gguf, merge: true, output: path("x")) },
      { try ModelFile.export(input: model, adapter: adapter, to: .gguf, output: path("x")) },
      { try ModelFile.export(input: model, adapter: adapter, to: .peft, merge: true, output: path("x")) },
      { try ModelFile.export(input: model, to: .safetensors, dtype: .q8_0, output: path("x")) },
      { try ModelFile.export(input: model, to: .hdf5, dtype: .f16, output: path("x")) },
      { try ModelFile.export(input: model, to: .gguf, dtype: .q4_k, output: path("x")) },
      { try ModelFile.export(input: Fixtures.path("models/gpt2"), adapter: adapter, to: .hdf5, output: path("x")) },
    ]
    for attempt in attempts { #expect(throws: DPOError.self, performing: attempt) }
    #expect(try directoryNames(directory.path).isEmpty)
  }
}
