import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import TestSupport

/// The tiny models and what transformers and PEFT make of them.
struct GoldenModel {
  static let names = ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"]

  let name: String
  let file: ModelFile
  let golden: JSON
  let gradients: [String: StoredTensor]

  init(_ name: String) throws {
    self.name = name
    file = try ModelFile.open(Fixtures.path("models/\(name)"))
    golden = try Fixtures.json("golden/models/\(name).json")
    gradients = try tensors("golden/gradients/\(name).safetensors")
  }

  func decoder(trainable: Bool) throws -> Decoder {
    try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: trainable)
  }

  func adapter() throws -> LoRAAdapter {
    let path = "adapters/\(name)-random"
    let json = try Fixtures.json("\(path)/adapter_config.json")
    var configuration = LoRAConfiguration()
    configuration.rank = json["r"]?.int ?? 0
    configuration.alpha = json["lora_alpha"]?.double ?? 0
    configuration.useRSLoRA = json["use_rslora"]?.bool ?? false
    if let names = json["target_modules"]?.array {
      configuration.targetModules = .names(names.compactMap(\.string))
    } else {
      configuration.targetModules = .regex(json["target_modules"]?.string ?? "")
    }
    for (pattern, value) in json["rank_pattern"]?.object?.members ?? [] {
      configuration.rankPattern.append(.init(pattern: pattern, value: value.int ?? 0))
    }
    for (pattern, value) in json["alpha_pattern"]?.object?.members ?? [] {
      configuration.alphaPattern.append(.init(pattern: pattern, value: value.double ?? 0))
    }
    return try LoRAAdapter(
      configuration, model: file.configuration, tensors: tensors("\(path)/adapter_model.safetensors"))
  }

  /// The pairs' sequences, chosen before rejected; sequence 2 i is pair i's chosen one.
  func forest(_ pairs: [JSON], shared: Bool = true) -> TokenForest {
    var forest = TokenForest()
    for pair in pairs {
      let prompt = pair.ids("prompt_ids")
      var parent = forest.addPrompt(prompt)
      forest.addCompletion(pair.ids("chosen_ids"), parent: parent)
      if !shared { parent = forest.addPrompt(prompt) }
      forest.addCompletion(pair.ids("rejected_ids"), parent: parent)
    }
    return forest
  }
}

func tensors(_ path: String) throws -> [String: StoredTensor] {
  let file = try SafetensorsFile(Fixtures.path(path))
  return Dictionary(uniqueKeysWithValues: try file.tensors.map { ($0.name, try $0.stored(as: $0.name)) })
}

extension JSON {
  func ids(_ key: String) -> [Int32] { (self[key]?.array ?? []).map { Int32($0.int ?? -1) } }
  func numbers(_ key: String) -> [Double] { (self[key]?.array ?? []).map { $0.double ?? .nan } }
}

/// Largest |a − b| and largest |b|.
func difference(_ a: some Collection<Float>, _ b: some Collection<Float>) -> (error: Float, scale: Float) {
  guard a.count == b.count else { return (.infinity, 0) }
  var result: (error: Float, scale: Float) = (0, 0)
  for (x, y) in zip(a, b) {
    result.error = max(result.error, abs(x - y).isNaN ? .infinity : abs(x - y))
    result.scale = max(result.scale, abs(y))
  }
  return result
}

extension FloatBuffer {
  func slice(_ entry: ParameterStore.Entry) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(rebasing: buffer[entry.offset..<entry.offset + entry.count])
  }
}
