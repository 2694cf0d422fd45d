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

  /// That the file holds exactly the sections' entries, in the groups that they name.
  package func check(_ sections: [CheckpointSection]) throws {
    for section in sections {
      var found = Dictionary(file.datasets(in: section.group).map { (nameOf($0.path), $0) }) { first, _ in first }
      for entry in section.entries {
        guard let dataset = found.removeValue(forKey: entry.name) else {
          throw DPOError.mismatch("\(path): dataset \(section.group)/\(entry.name) is missing")
        }
        guard dataset.shape == entry.fileShape, dataset.element == entry.element else {
          throw DPOError.mismatch(
            "\(path): dataset \(dataset.path) has shape \(dataset.shape) of \(dataset.element.rawValue), expected "
              + "\(entry.fileShape) of \(entry.element.rawValue)")
        }
      }
      if let extra = found.keys.min() {
        throw DPOError.mismatch("\(path): dataset \(section.group)/\(extra) has no place in the run")
      }
    }
  }

  /// Copies the sections' numbers out of a file that has been checked to have them.
  package func load(_ sections: [CheckpointSection]) throws {
    for section in sections {
      let found = Dictionary(file.datasets(in: section.group).map { (nameOf($0.path), $0) }) { first, _ in first }
      for entry in section.entries {
        if let dataset = found[entry.name] { entry.take(file.bytes(dataset)) }
      }
      section.passage?.take()
    }
  }

  /// Copies a group into memory laid out as `store`: its values, or `values` (an optimiser's moments). The group must hold
  /// exactly the store's entries.
  package func load(
    _ group: String, into store: ParameterStore, values: UnsafeMutablePointer<Float>? = nil,
    model: DecoderConfiguration
  ) throws {
    let section = CheckpointSection(group: group, store: store, values: values, model: model)
    try check([section])
    try load([section])
  }
}
