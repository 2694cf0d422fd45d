import DPOBase
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct CheckpointTests {
  let directory: TemporaryDirectory
  var path: String { "\(directory.path)/checkpoint-1.h5" }

  init() throws { directory = try TemporaryDirectory() }

  /// The store of a trainable copy of a fixture model, and moments of the same layout.
  private func store(_ model: ModelFile) throws -> (ParameterStore, FloatBuffer) {
    let decoder = try Decoder(configuration: model.configuration, tensors: model.tensors, trainable: true)
    let store = try #require(decoder.parameters)
    let moments = try FloatBuffer(count: store.count)
    for index in 0..<store.count { moments.pointer[index] = Float(index) * 1e-3 }
    return (store, moments)
  }

  private func header(_ model: ModelFile, _ kind: CheckpointHeader.Kind) -> CheckpointHeader {
    CheckpointHeader(
      kind: kind, configuration: model.huggingFaceConfiguration, generationConfiguration: ["eos_token_id": [1, 2]],
      tokenizerJSON: ["model": ["vocab": ["Ġé\u{1F600}\\": 0]]], provenance: model.provenance,
      trainer: kind == .checkpoint
        ? ["step": 7, "rng": .int(.min), "loss": .real(-.infinity), "options": ["beta": 0.1], "name": "7", "on": true]
        : nil)
  }

  @Test(arguments: ["llama-tied", "qwen2", "gpt2"])
  func aCheckpointGivesBackModelOptimiserAndTrainerToTheBit(name: String) throws {
    let model = try ModelFile.open(Fixtures.path("models/\(name)"))
    let (store, moments) = try store(model)
    let header = header(model, .checkpoint)
    try CheckpointWriter.write(
      path: path, header: header,
      sections: [
        CheckpointSection(group: "/model", store: store, model: model.configuration),
        CheckpointSection(
          group: "/optimizer/exp_avg", store: store, values: moments.pointer,
          model: model.configuration),
      ])

    let reader = try CheckpointReader(path)
    #expect(reader.header.trainer.map { Set($0.keys) } == header.trainer.map { Set($0.keys) })
    for (key, value) in header.trainer?.members ?? [] { #expect(reader.header.trainer?[key] == value) }
    var (expected, found) = (header, reader.header)
    (expected.trainer, found.trainer) = (nil, nil)
    #expect(found == expected)

    let loaded = try FloatBuffer(count: store.count)
    try reader.load("/optimizer/exp_avg", into: store, values: loaded.pointer, model: model.configuration)
    #expect((0..<store.count).allSatisfy { loaded.pointer[$0] == moments.pointer[$0] })
    try reader.load("/model", into: store, values: loaded.pointer, model: model.configuration)
    #expect((0..<store.count).allSatisfy { loaded.pointer[$0] == store.values.pointer[$0] })
    for parameter in model.configuration.family.parameters(model.configuration) {
      #expect(try reader.tensors("/model")[parameter.name]?.shape == parameter.fileShape)
    }

    let reopened = try ModelFile.open(path)
    var configuration = model.configuration
    configuration.eosTokens = [1, 2]
    #expect(reopened.configuration == configuration)
    let again = try self.store(reopened).0
    #expect((0..<store.count).allSatisfy { again.values.pointer[$0] == store.values.pointer[$0] })
  }

  @Test func aCheckpointOfAnotherModelIsRefused() throws {
    let model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    let (store, _) = try store(model)
    var section = CheckpointSection(group: "/model", store: store, model: model.configuration)
    let last = section.entries.removeLast()
    try CheckpointWriter.write(path: path, header: header(model, .model), sections: [section])
    for attempt in [
      { _ = try ModelFile.open(path) },
      { try CheckpointReader(path).load("/model", into: store, model: model.configuration) },
    ] {
      let error = #expect(throws: DPOError.self, performing: attempt)
      #expect(error?.message.contains(last.name) == true)
    }
  }
}
