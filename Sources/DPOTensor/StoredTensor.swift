import DPOBase

/// Order of a stored matrix's rows.
package enum RowOrder: Sendable, Equatable {
  case natural
  /// llama.cpp's order of q and k rows: within each head of `headSize` rows, Hugging Face's row h·(headSize/2) + i
  /// (h = 0, 1: half) stands at 2·i + h.
  case interleavedHalves(headSize: Int)
  /// GPT-NeoX's order of q, k and v rows: those of one head of each of the `parts` stand together.
  case byHead(parts: Int, headSize: Int)
  /// From row `first` on heads of `headSize` rows, of which head a·inner + b stands where head b·outer + a would.
  case transposedHeads(first: Int, outer: Int, inner: Int, headSize: Int)

  /// Where a row stands among `rows`.
  package func place(of row: Int, among rows: Int) -> Int {
    switch self {
    case .natural: return row
    case .interleavedHalves(let size):
      let (head, within) = (row / size, row % size)
      return head * size + (within % (size / 2)) * 2 + within / (size / 2)
    case .byHead(let parts, let size):
      let width = max(1, rows / max(1, parts))
      let (part, within) = (row / width, row % width)
      return (within / size * parts + part) * size + within % size
    case .transposedHeads(let first, let outer, let inner, let size):
      guard row >= first else { return row }
      let (head, within) = ((row - first) / size, (row - first) % size)
      return first + (head % inner * outer + head / inner) * size + within
    }
  }
}

/// A frozen tensor as it lies in a file or in memory, in row-major order: `shape` is [rows, columns] for matrices (a
/// linear layer's [out, in]) and [count] for vectors.
package struct StoredTensor: Sendable {
  package let name: String
  package let dtype: DType
  package let shape: [Int]
  package let rowOrder: RowOrder
  /// The encoded elements; `owner` keeps them alive.
  package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
  package let owner: any AnyObject & Sendable

  /// Checks that `bytes` are exactly what `dtype` and `shape` need. `file` names the source in errors.
  package init(
    name: String, dtype: DType, shape: [Int], bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable,
    rowOrder: RowOrder = .natural, file: String
  ) throws {
    guard let size = StoredTensor.byteCount(dtype: dtype, shape: shape) else {
      throw DPOError.format(file, "tensor \(name): shape \(shape) is not possible for \(dtype.rawValue)")
    }
    guard size == bytes.count else {
      throw DPOError.format(
        file, "tensor \(name): \(bytes.count) bytes, expected \(size) for \(dtype.rawValue) \(shape)")
    }
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.rowOrder = rowOrder
    self.bytes = bytes
    self.owner = owner
  }

  /// The same in memory of its own.
  package func copied(file: String) throws -> StoredTensor {
    let copy = try OwnedBytes(count: bytes.count)
    copy.bytes.copyMemory(from: bytes)
    return try StoredTensor(
      name: name, dtype: dtype, shape: shape, bytes: UnsafeRawBufferPointer(copy.bytes), owner: copy,
      rowOrder: rowOrder,
      file: file)
  }

  /// Bytes that a tensor takes, or nil if the shape is negative, overflows, or does not fill whole blocks a row.
  package static func byteCount(dtype: DType, shape: [Int]) -> Int? {
    var elements = 1
    for size in shape {
      guard size >= 0 else { return nil }
      let (product, overflow) = elements.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      elements = product
    }
    guard (shape.last ?? 1) % dtype.blockElements == 0 else { return nil }
    let (size, overflow) = (elements / dtype.blockElements).multipliedReportingOverflow(by: dtype.blockBytes)
    return overflow ? nil : size
  }

  package var rows: Int { shape.count > 1 ? shape[0] : 1 }
  package var columns: Int { shape.count > 1 ? shape[1...].reduce(1, *) : (shape.first ?? 1) }
  package var count: Int { rows * columns }
  package var rowBytes: Int { columns / dtype.blockElements * dtype.blockBytes }

  /// Row of the file that holds row `row` of the tensor.
  package func storedRow(_ row: Int) -> Int { rowOrder.place(of: row, among: shape.first ?? 0) }
}
