import DPOBase
import DPOModel
import DPOTensor

/// A model, adapter or checkpoint that libdpo wrote as an HDF5 file. Everything is verified when it is opened.
package final class CheckpointReader: Sendable {
  package let path: String
  package let header: CheckpointHeader
  let file: HDF5Reader

  /// - Throws: `.io`, or `.format` that names the damaged part.
  package init(_ path: String) throws {
    self.path = path
    file = try HDF5Reader(path)
    header = try CheckpointHeader(file)
  }

  /// Paths of all datasets with their shapes, in the order they were written.
  package var datasets: [(path: String, shape: [Int])] { file.datasets.map { ($0.path, $0.shape) } }

  package var hasModel: Bool { has(CheckpointFormat.model) }
  package var hasAdapter: Bool { has(CheckpointFormat.adapter) }

  /// Whether a group such as "/reference" holds tensors.
  package func has(_ group: String) -> Bool { !file.datasets(in: group).isEmpty }

  /// Tensors directly in a group, by name, with the shapes of the file; they read from the mapped file.
  package func tensors(_ group: String) throws -> [String: StoredTensor] {
    var out: [String: StoredTensor] = [:]
    for dataset in file.datasets(in: group) {
      let tensor = try file.tensor(dataset)
      out[tensor.name] = tensor
    }
    return out
  }

  /// Copies a group into memory laid out as `store`: its values, or `values` (an optimiser's moments). The group must hold
  /// exactly the store's entries.
  package func load(
    _ group: String, into store: ParameterStore, values: UnsafeMutablePointer<Float>? = nil,
    model: DecoderConfiguration
  ) throws {
    let base = values ?? store.values.pointer
    let transposed = transposedNames(model)
    var tensors = try tensors(group)
    for entry in store.entries {
      guard let tensor = tensors.removeValue(forKey: entry.name) else {
        throw DPOError.mismatch("\(path): dataset \(group)/\(entry.name) is missing")
      }
      let turned = transposed.contains(entry.name) && entry.shape.count == 2
      let expected = turned ? entry.shape.reversed() : entry.shape
      guard tensor.shape == expected else {
        throw DPOError.mismatch(
          "\(path): dataset \(group)/\(entry.name) has shape \(tensor.shape), expected \(expected)")
      }
      let out = UnsafeMutableBufferPointer(start: base + entry.offset, count: entry.count)
      if turned {
        let floats = tensor.bytes.assumingMemoryBound(to: Float.self)
        guard let source = floats.baseAddress else { continue }
        transpose(source, rows: tensor.shape[0], columns: tensor.shape[1], into: out)
      } else {
        UnsafeMutableRawBufferPointer(out).copyMemory(from: tensor.bytes)
      }
    }
    if let extra = tensors.keys.min() {
      throw DPOError.mismatch("\(path): dataset \(group)/\(extra) has no place in the run")
    }
  }
}
