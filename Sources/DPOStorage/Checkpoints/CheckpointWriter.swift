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
    try writer.dataset(
      path, shape: entry.fileShape, element: entry.element,
      source: .pieces { take in
        try filled?()
        try entry.give(take)
      })
  }
}

extension CheckpointSection.Entry {
  var fileShape: [Int] { transposed ? shape.reversed() : shape }

  var element: HDF5Element { if case .uint8 = numbers { .uint8 } else { .float32 } }

  /// Numbers that are converted at a time.
  private static let pieceSize = 1 << 16

  /// Hands on the numbers as a file has them, in pieces.
  fileprivate func give(_ take: (UnsafeRawBufferPointer) throws -> Void) throws {
    let count = shape.reduce(1, *)
    switch numbers {
    case .uint8(let codes): try take(UnsafeRawBufferPointer(start: codes, count: count))
    case .float32(let floats) where !transposed: try take(UnsafeRawBufferPointer(start: floats, count: 4 * count))
    case .float32(let floats): try give(floats, take) { $0 }
    case .bfloat16(let halves): try give(halves, take) { Float(bitPattern: UInt32($0) << 16) }
    }
  }

  /// A piece is some columns of a matrix whose transpose files hold, otherwise some numbers.
  private func give<Number>(
    _ numbers: UnsafePointer<Number>, _ take: (UnsafeRawBufferPointer) throws -> Void, _ convert: (Number) -> Float
  ) throws {
    let (rows, columns) = transposed ? (shape[0], shape[1]) : (1, shape.reduce(1, *))
    let width = min(columns, max(1, Self.pieceSize / rows))
    let piece = try FloatBuffer(count: width * rows)
    for first in stride(from: 0, to: columns, by: width) {
      let part = first..<min(columns, first + width)
      transpose(numbers, rows: rows, columns: columns, part: part, into: piece.pointer, convert)
      try take(UnsafeRawBufferPointer(start: piece.pointer, count: 4 * rows * part.count))
    }
  }

  /// Takes the numbers of a dataset that has been checked.
  func take(_ bytes: UnsafeRawBufferPointer) {
    let count = shape.reduce(1, *)
    guard let source = bytes.assumingMemoryBound(to: Float.self).baseAddress else { return }
    // Of the file's matrix, whose columns are our rows.
    let (rows, columns) = transposed ? (shape[1], shape[0]) : (1, count)
    switch numbers {
    case .uint8(let codes): UnsafeMutableRawBufferPointer(start: codes, count: count).copyMemory(from: bytes)
    case .float32(let floats) where !transposed:
      UnsafeMutableRawBufferPointer(start: floats, count: 4 * count).copyMemory(from: bytes)
    case .float32(let floats): transpose(source, rows: rows, columns: columns, into: floats) { $0 }
    case .bfloat16(let halves):
      transpose(source, rows: rows, columns: columns, into: halves) { UInt16($0.bitPattern >> 16) }
    }
  }
}

/// out[column, row] = matrix[row, column] for some columns, all by default, in tiles that fit the cache.
func transpose<From, To>(
  _ matrix: UnsafePointer<From>, rows: Int, columns: Int, part: Range<Int>? = nil, into out: UnsafeMutablePointer<To>,
  _ convert: (From) -> To
) {
  let tile = 64
  let part = part ?? 0..<columns
  for rowStart in stride(from: 0, to: rows, by: tile) {
    for columnStart in stride(from: part.lowerBound, to: part.upperBound, by: tile) {
      for row in rowStart..<min(rows, rowStart + tile) {
        for column in columnStart..<min(part.upperBound, columnStart + tile) {
          out[(column - part.lowerBound) * rows + row] = convert(matrix[row * columns + column])
        }
      }
    }
  }
}
