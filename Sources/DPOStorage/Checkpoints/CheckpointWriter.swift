import DPOBase
import DPOModel
import DPOTensor

/// Tensors that go into one group of a file.
package struct CheckpointSection {
  /// A tensor's numbers, in memory that is valid while the file is written or read.
  package enum Numbers {
    case float32(UnsafeMutablePointer<Float>)
    /// Files hold f32.
    case bfloat16(UnsafeMutablePointer<UInt16>)
    /// Codes of 8 bits.
    case uint8(UnsafeMutablePointer<UInt8>)
  }

  /// Numbers in our layout ([out, in]).
  package struct Entry {
    package var name: String
    package var shape: [Int]
    package var numbers: Numbers
    /// Files hold the transpose (GPT-2's linear layers).
    package var transposed: Bool

    package init(name: String, shape: [Int], numbers: Numbers, transposed: Bool = false) {
      self.name = name
      self.shape = shape
      self.numbers = numbers
      self.transposed = transposed && shape.count == 2
    }
  }

  /// "/model", "/adapter", "/optimizer/exp_avg", …
  package var group: String
  package var entries: [Entry]
  /// Of numbers that stand in their memory only while they are written or read.
  package var passage: Passage?

  package struct Passage {
    /// Brings the section's numbers there, unless they are.
    let fill: () throws -> Void
    /// Takes from there what was read.
    let take: () -> Void

    package init(fill: @escaping () throws -> Void, take: @escaping () -> Void) {
      (self.fill, self.take) = (fill, take)
    }
  }

  package init(group: String, entries: [Entry]) {
    self.group = group
    self.entries = entries
  }

  /// The numbers at `values` (the store's own by default; an optimiser's moments), laid out as the store's.
  package init(
    group: String, store: ParameterStore, values: UnsafeMutablePointer<Float>? = nil, model: DecoderConfiguration
  ) {
    let base = values ?? store.values.pointer
    let transposed = transposedNames(model)
    self.init(
      group: group,
      entries: store.entries.map {
        Entry(
          name: $0.name, shape: $0.shape, numbers: .float32(base + $0.offset), transposed: transposed.contains($0.name))
      })
  }
}

extension CheckpointSection {
  /// Adds a parameter's numbers, or as many of another kind in the same layout.
  package mutating func add(_ entry: ParameterStore.Entry, _ numbers: Numbers, transposed: Bool) {
    entries.append(Entry(name: entry.name, shape: entry.shape, numbers: numbers, transposed: transposed))
  }
}

/// Parameters whose transpose Hugging Face's files hold.
package func transposedNames(_ model: DecoderConfiguration) -> Set<String> {
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
      for entry in section.entries {
        try write(entry, to: "\(section.group)/\(entry.name)", filled: section.passage?.fill, writer)
      }
    }
    for column in columns?.columns ?? [] { try column.write(to: writer, group: columns?.group ?? "/") }
    try writer.commit()
  }

  private static func write(
    _ entry: CheckpointSection.Entry, to path: String, filled: (() throws -> Void)?, _ writer: HDF5Writer
  ) throws {
    let count = entry.shape.reduce(1, *)
    switch entry.numbers {
    case .float32(let numbers) where !entry.transposed && filled == nil:
      try writer.dataset(path, shape: entry.shape, floats: numbers)
    case .uint8(let codes):
      try writer.dataset(
        path, shape: entry.shape, element: .uint8, source: .memory(UnsafeRawBufferPointer(start: codes, count: count)))
    case .float32, .bfloat16:
      try writer.dataset(
        path, shape: entry.fileShape, element: .float32,
        source: .produced { buffer in
          try filled?()
          try entry.copy(into: buffer.assumingMemoryBound(to: Float.self))
        })
    }
  }
}

extension CheckpointSection.Entry {
  var fileShape: [Int] { transposed ? shape.reversed() : shape }

  var element: HDF5Element { if case .uint8 = numbers { .uint8 } else { .float32 } }

  /// The numbers as a file has them.
  fileprivate func copy(into out: UnsafeMutableBufferPointer<Float>) throws {
    switch numbers {
    case .float32(let floats) where transposed: transpose(floats, rows: shape[0], columns: shape[1], into: out)
    case .bfloat16(let halves):
      guard transposed else {
        for index in out.indices { out[index] = Float(bitPattern: UInt32(halves[index]) << 16) }
        return
      }
      let floats = try FloatBuffer(count: out.count)
      for index in out.indices { floats.pointer[index] = Float(bitPattern: UInt32(halves[index]) << 16) }
      transpose(floats.pointer, rows: shape[0], columns: shape[1], into: out)
    case .float32(let floats): out.baseAddress?.update(from: floats, count: out.count)
    case .uint8: throw DPOError(.internal, "\(name): nothing to convert")
    }
  }

  /// Takes the numbers of a dataset that has been checked.
  func take(_ bytes: UnsafeRawBufferPointer) throws {
    let count = shape.reduce(1, *)
    switch numbers {
    case .uint8(let codes): UnsafeMutableRawBufferPointer(start: codes, count: count).copyMemory(from: bytes)
    case .float32(let floats) where !transposed:
      UnsafeMutableRawBufferPointer(start: floats, count: 4 * count).copyMemory(from: bytes)
    case .float32(let floats):
      turn(bytes, into: UnsafeMutableBufferPointer(start: floats, count: count))
    case .bfloat16(let halves):
      let scratch = try FloatBuffer(count: transposed ? count : 0)
      if transposed { turn(bytes, into: scratch.buffer) }
      let source = transposed ? UnsafePointer(scratch.pointer) : bytes.assumingMemoryBound(to: Float.self).baseAddress
      for index in 0..<count { halves[index] = UInt16((source?[index] ?? 0).bitPattern >> 16) }
    }
  }

  private func turn(_ bytes: UnsafeRawBufferPointer, into out: UnsafeMutableBufferPointer<Float>) {
    guard let source = bytes.assumingMemoryBound(to: Float.self).baseAddress else { return }
    transpose(source, rows: shape[1], columns: shape[0], into: out)
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
