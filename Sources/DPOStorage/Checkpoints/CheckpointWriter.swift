import DPOBase
import DPOModel

/// Tensors that go into one group of a file.
package struct CheckpointSection {
  /// Float32 numbers in our layout ([out, in]), valid while the file is written.
  package struct Entry {
    package var name: String
    package var shape: [Int]
    package var pointer: UnsafePointer<Float>
    /// Files hold the transpose (GPT-2's linear layers).
    package var transposed: Bool

    package init(name: String, shape: [Int], pointer: UnsafePointer<Float>, transposed: Bool = false) {
      self.name = name
      self.shape = shape
      self.pointer = pointer
      self.transposed = transposed
    }
  }

  /// "/model", "/adapter", "/optimizer/exp_avg", …
  package var group: String
  package var entries: [Entry]

  package init(group: String, entries: [Entry]) {
    self.group = group
    self.entries = entries
  }

  /// The numbers at `values` (the store's own by default; an optimiser's moments), laid out as the store's.
  package init(
    group: String, store: ParameterStore, values: UnsafePointer<Float>? = nil, model: DecoderConfiguration
  ) {
    let base = values ?? UnsafePointer(store.values.pointer)
    let transposed = transposedNames(model)
    self.init(
      group: group,
      entries: store.entries.map {
        Entry(name: $0.name, shape: $0.shape, pointer: base + $0.offset, transposed: transposed.contains($0.name))
      })
  }
}

/// Parameters whose transpose Hugging Face's files hold.
func transposedNames(_ model: DecoderConfiguration) -> Set<String> {
  Set(model.family.parameters(model).lazy.filter(\.transposedInFile).map(\.name))
}

package enum CheckpointWriter {
  /// Writes a model, adapter or checkpoint as an HDF5 file. The file appears whole and flushed to the disk, replacing one of
  /// that name, or not at all.
  /// - Throws: `.io` if it cannot be written (disk full, read-only directory).
  package static func write(
    path: String, header: CheckpointHeader, sections: [CheckpointSection],
    columns: (group: String, columns: [CheckpointColumn])? = nil
  ) throws {
    let writer = try HDF5Writer(path)
    try header.write(to: writer)
    for section in sections {
      for entry in section.entries { try write(entry, to: "\(section.group)/\(entry.name)", writer) }
    }
    for column in columns?.columns ?? [] { try column.write(to: writer, group: columns?.group ?? "/") }
    try writer.commit()
  }

  private static func write(_ entry: CheckpointSection.Entry, to path: String, _ writer: HDF5Writer) throws {
    guard entry.transposed, entry.shape.count == 2 else {
      return try writer.dataset(path, shape: entry.shape, floats: entry.pointer)
    }
    let (rows, columns) = (entry.shape[0], entry.shape[1])
    try writer.dataset(
      path, shape: [columns, rows], element: .float32,
      source: .produced { buffer in
        transpose(entry.pointer, rows: rows, columns: columns, into: buffer.assumingMemoryBound(to: Float.self))
      })
  }
}

/// out[column, row] = matrix[row, column], in tiles that fit the cache.
func transpose(
  _ matrix: UnsafePointer<Float>, rows: Int, columns: Int, into out: UnsafeMutableBufferPointer<Float>
) {
  guard let out = out.baseAddress else { return }
  let tile = 64
  for rowStart in stride(from: 0, to: rows, by: tile) {
    for columnStart in stride(from: 0, to: columns, by: tile) {
      for row in rowStart..<min(rows, rowStart + tile) {
        for column in columnStart..<min(columns, columnStart + tile) {
          out[column * rows + row] = matrix[row * columns + column]
        }
      }
    }
  }
}
