import DPOKernels
@_exported import DPOTensor

/// Trainable numbers and their gradients, each one flat block, so that optimiser, clipping, collective and checkpoint see
/// plain memory.
public final class ParameterStore: Sendable {
  /// Where one parameter stands in both blocks.
  public struct Entry: Sendable, Equatable {
    /// Hugging Face's name, or PEFT's ("base_model.model.….lora_A.weight").
    public let name: String
    /// [out, in] of matrices, whatever the model's file has; [count] of vectors.
    public let shape: [Int]
    /// Its first number in `values` and in `gradients`.
    public let offset: Int
    /// Its numbers, in row-major order.
    public let count: Int
    /// Whether AdamW's weight decay applies.
    public let decays: Bool
    /// The layer that it belongs to, by Hugging Face's and PEFT's names: "model.layers.3.…".
    package var layer: Int? { name.split(separator: ".").lazy.compactMap { Int($0) }.first }
  }

  /// All parameters, in the order of the blocks.
  public let entries: [Entry]
  /// Weights, [count].
  public let values: FloatBuffer
  /// d loss / d value, [count]: sums over what has been computed since they were last zeroed.
  public let gradients: FloatBuffer
  /// Numbers of all parameters together.
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

  /// The parameter of that name.
  public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }
}
