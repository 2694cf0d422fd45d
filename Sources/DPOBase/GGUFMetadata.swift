/// A metadata value of a GGUF file.
public indirect enum MetadataValue: Sendable, Equatable {
  case int(Int)  // every signed and unsigned integer type that fits Int
  case double(Double)  // float32 and float64
  case bool(Bool)
  case string(String)
  case ints([Int])
  case doubles([Double])
  case bools([Bool])
  case strings([String])
}

/// Metadata of a GGUF file by key, in file order.
public struct Metadata: Sendable {
  public let file: String
  public private(set) var keys: [String] = []
  private var values: [String: MetadataValue] = [:]

  public init(file: String) { self.file = file }

  public subscript(key: String) -> MetadataValue? {
    get { values[key] }
    set {
      if values.updateValue(newValue ?? .bool(false), forKey: key) == nil { keys.append(key) }
    }
  }
}
