import DPOBase
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
import Testing

/// All numbers of a tensor in Hugging Face's order.
private func numbers(_ tensor: StoredTensor) -> [Float] {
  var out = [Float](repeating: .nan, count: tensor.count)
  out.withUnsafeMutableBufferPointer { tensor.dequantize(rows: 0..<tensor.rows, into: $0.baseAddress!) }
  return out
}

private func open(_ name: String) throws -> ModelFile { try ModelFile.open(Fixtures.path(name)) }

@Suite(.timeLimit(.minutes(10))) struct ModelFileTests {
  @Test(arguments: ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"])
  func aHuggingFaceDirectoryHoldsEveryParameterInOurLayout(name: String) throws {
    let model = try open("models/\(name)")
    let parameters = model.configuration.family.parameters(model.configuration)
    #expect(Set(model.tensors.keys) == Set(parameters.map(\.name)))
    for parameter in parameters { #expect(model.tensors[parameter.name]?.shape == parameter.shape) }
  }

  @Test(arguments: ["llama-tied", "llama-untied", "qwen2", "qwen3", "gpt2", "llama-biased"])
  func aGGUFFileHoldsTheSameModelAsTheDirectoryItWasMadeFrom(name: String) throws {
    let (directory, file) = (try open("models/\(name)"), try open("gguf/\(name).gguf"))
    var expected = directory.configuration
    expected.initializerRange = file.configuration.initializerRange
    expected.bosToken = file.configuration.bosToken
    expected.eosTokens = file.configuration.eosTokens
    #expect(file.configuration == expected)
    for (key, tensor) in directory.tensors {
      #expect(numbers(try #require(file.tensors[key])) == numbers(tensor), "\(key)")
    }
  }

  @Test(arguments: ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"])
  func aConfigurationWrittenAsJSONReadsBackEqual(name: String) throws {
    let configuration = try open("models/\(name)").configuration
    let json = configuration.family.huggingFaceJSON(configuration)
    #expect(try Family.configuration(huggingFace: JSON.parse(json.pretty, file: "x"), file: "x") == configuration)
  }

  @Test func theFingerprintDependsOnTheWeightsOnly() throws {
    let (first, second) = (try open("models/llama-tied"), try open("gguf/llama-untied.gguf"))
    #expect(try open("models/llama-tied").fingerprint() == first.fingerprint())
    #expect(first.fingerprint() != second.fingerprint())
  }

  @Test func biasesOfInterleavedRowsAreInTheirOrder() throws {
    let bytes = try OwnedBytes(count: 16 * 4)
    for index in 0..<16 { bytes.bytes.storeBytes(of: Float(index), toByteOffset: index * 4, as: Float.self) }
    let shapes = [[16], [16, 1]]
    let found = try shapes.map { shape in
      try numbers(
        StoredTensor(
          name: "q", dtype: .f32, shape: shape, bytes: UnsafeRawBufferPointer(bytes.bytes), owner: bytes,
          rowOrder: .interleavedHalves(headSize: 8), file: "x"))
    }
    #expect(found[0] == [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15])
    #expect(found[0] == found[1])
  }
}
