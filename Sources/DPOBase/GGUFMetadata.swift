/// A metadata value of a GGUF file.
package indirect enum GGUFValue: Sendable, Equatable {
  case int(Int)  // every signed and unsigned integer type that fits Int
  case double(Double)  // float32 and float64
  case bool(Bool)
  case string(String)
  case ints([Int])
  case doubles([Double])
  case bools([Bool])
  case strings([String])
}

/// Metadata of a GGUF file by key, in file order. They stand here, beside JSON, because models and tokenizers are both
/// described by them and know nothing of each other.
package struct GGUFMetadata: Sendable {
  package let file: String
  package private(set) var keys: [String] = []
  private var values: [String: GGUFValue] = [:]

  package init(file: String) { self.file = file }

  package subscript(key: String) -> GGUFValue? { values[key] }

  package mutating func set(_ key: String, _ value: GGUFValue) {
    if values.updateValue(value, forKey: key) == nil { keys.append(key) }
  }
}

extension GGUFMetadata {
  /// Ids of special tokens that hold where the file has no key for them, by their names in tokenizer_config.json: llama.cpp's
  /// own, of its first models, LLaMA and Falcon.
  package var standardTokens: [String: Int] {
    switch self["tokenizer.ggml.model"] {
    case .string("llama"): return ["bos_token": 1, "eos_token": 2, "unk_token": 0]
    case .string("gpt2"):
      let isGLM = [.string("chatglm-bpe"), .string("glm4")].contains(self["tokenizer.ggml.pre"])
      return isGLM ? ["eos_token": 11] : ["bos_token": 11, "eos_token": 11]
    default: return [:]
    }
  }
}
