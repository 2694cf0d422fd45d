import DPOKernels
@_exported import DPOTensor

/// Trainable numbers and their gradients, each one flat block, so that optimiser, clipping, collective and checkpoint see
/// plain memory.
public final class ParameterStore: Sendable {
  public struct Entry: Sendable, Equatable {
    /// Hugging Face's name, or PEFT's ("base_model.model.….lora_A.weight").
    public let name: String
    public let shape: [Int]
    public let offset: Int
    public let count: Int
    /// Whether AdamW's weight decay applies.
    public let decays: Bool
  }

  public let entries: [Entry]
  public let values: FloatBuffer
  public let gradients: FloatBuffer
  public var count: Int { values.count }
  private let indices: [String: Int]

  /// Zeroed values and gradients. Throws `.memory`.
  package init(_ parameters: [(name: String, shape: [Int], decays: Bool)]) throws {
    var entries: [Entry] = []
    var offset = 0
    for parameter in parameters {
      let count = parameter.shape.reduce(1, *)
      entries.append(
        Entry(name: parameter.name, shape: parameter.shape, offset: offset, count: count, decays: parameter.decays))
      offset += count
    }
    self.entries = entries
    values = try FloatBuffer(count: offset)
    gradients = try FloatBuffer(count: offset)
    indices = Dictionary(entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }
}
