import DPOBase
import DPOModel
import DPOPlatform
import DPOTensor

/// A tensor as a file lists it, before anything is known of the model it belongs to.
package struct FileTensor: Sendable {
  package let name: String
  /// The file's name of the encoding, also of those that cannot be read.
  package let dtypeName: String
  package let dtype: DType?
  /// Slowest dimension first.
  package let shape: [Int]
  package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
  package let owner: any AnyObject & Sendable
  /// The file that holds it, for errors.
  package let file: String
  package let rowOrder: RowOrder

  package init(
    name: String, dtypeName: String, dtype: DType?, shape: [Int], bytes: UnsafeRawBufferPointer,
    owner: any AnyObject & Sendable, file: String, rowOrder: RowOrder = .natural
  ) {
    self.name = name
    self.dtypeName = dtypeName
    self.dtype = dtype
    self.shape = shape
    self.bytes = bytes
    self.owner = owner
    self.file = file
    self.rowOrder = rowOrder
  }

  func renamed(_ name: String) -> FileTensor {
    FileTensor(
      name: name, dtypeName: dtypeName, dtype: dtype, shape: shape, bytes: bytes, owner: owner, file: file,
      rowOrder: rowOrder)
  }

  /// The same tensor, its rows taken to be in another order.
  func ordered(_ rowOrder: RowOrder) -> FileTensor {
    FileTensor(
      name: name, dtypeName: dtypeName, dtype: dtype, shape: shape, bytes: bytes, owner: owner, file: file,
      rowOrder: rowOrder)
  }

  /// The same numbers as F32 in memory of their own, with columns in their natural order, which are in another one here.
  func withColumns(in order: RowOrder) throws -> FileTensor {
    guard order != .natural, shape.count == 2 else { return self }
    let floats = try stored(as: name).floats()
    let memory = try OwnedBytes(count: 4 * shape[0] * shape[1])
    for row in 0..<shape[0] {
      for column in 0..<shape[1] {
        memory.bytes.storeBytes(
          of: floats.pointer[row * shape[1] + order.place(of: column, among: shape[1])],
          toByteOffset: 4 * (row * shape[1] + column), as: Float.self)
      }
    }
    return FileTensor(
      name: name, dtypeName: "F32", dtype: .f32, shape: shape, bytes: UnsafeRawBufferPointer(memory.bytes),
      owner: memory,
      file: file)
  }

  /// The same numbers in another shape of as many.
  func reshaped(_ shape: [Int]) -> FileTensor {
    FileTensor(
      name: name, dtypeName: dtypeName, dtype: dtype, shape: shape, bytes: bytes, owner: owner, file: file,
      rowOrder: rowOrder)
  }

  /// What one parameter has of a tensor with others, `share`, as a tensor of its own: where it lies, or in memory of its own
  /// where its numbers are not neighbours.
  func part(_ share: TensorShare, shape: [Int]) throws -> FileTensor {
    let dtype = try readable()
    let (rows, columns) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
    guard self.shape == share.shape(holding: shape), share.expert.map((0..<share.experts).contains) ?? true,
      let size = StoredTensor.byteCount(dtype: dtype, shape: self.shape), size == bytes.count,
      let rowBytes = StoredTensor.byteCount(dtype: dtype, shape: [columns])
    else { throw DPOError.format(file, "tensor \(name): cannot take \(shape) from \(dtypeName) \(self.shape)") }
    if share.isTransposed {
      return try elements(shape) { row, column in share.place(row: row, column: column, in: shape) }
    }
    func made(_ bytes: UnsafeRawBufferPointer, _ owner: any AnyObject & Sendable) -> FileTensor {
      FileTensor(
        name: name, dtypeName: dtypeName, dtype: dtype, shape: shape, bytes: bytes, owner: owner, file: file)
    }
    func start(_ row: Int) -> Int { share.place(row: row, column: 0, in: shape) / max(1, columns) * rowBytes }
    if share.step == 1 {
      return made(UnsafeRawBufferPointer(rebasing: bytes[start(0)..<start(0) + rows * rowBytes]), owner)
    }
    let copy = try OwnedBytes(count: rows * rowBytes)
    guard let source = bytes.baseAddress, let target = copy.bytes.baseAddress else { return made(bytes, owner) }
    for row in 0..<rows { memcpy(target + row * rowBytes, source + start(row), rowBytes) }
    return made(UnsafeRawBufferPointer(copy.bytes), copy)
  }

  /// A matrix of its elements, which stand at these places, in memory of its own.
  func elements(_ shape: [Int], at place: (_ row: Int, _ column: Int) -> Int) throws -> FileTensor {
    let dtype = try readable()
    guard dtype.blockElements == 1, shape.count == 2 else {
      throw DPOError.format(file, "tensor \(name): cannot rearrange \(dtypeName) \(self.shape)")
    }
    let (rows, columns, size) = (shape[0], shape[1], dtype.blockBytes)
    let copy = try OwnedBytes(count: rows * columns * size)
    if let source = bytes.baseAddress, let target = copy.bytes.baseAddress {
      for row in 0..<rows {
        for column in 0..<columns {
          memcpy(target + (row * columns + column) * size, source + place(row, column) * size, size)
        }
      }
    }
    return FileTensor(
      name: name, dtypeName: dtypeName, dtype: dtype, shape: shape, bytes: UnsafeRawBufferPointer(copy.bytes),
      owner: copy, file: file)
  }

  /// Same encoding, shape and bytes.
  func holdsSame(as other: FileTensor) -> Bool {
    guard dtypeName == other.dtypeName, shape == other.shape, bytes.count == other.bytes.count,
      let mine = bytes.baseAddress, let theirs = other.bytes.baseAddress
    else { return false }
    return mine == theirs || memcmp(mine, theirs, bytes.count) == 0
  }

  /// The tensor under the name `parameter`, with numbers where a load instruction can take them: in the file if they are
  /// aligned there, else in memory of its own.
  package func stored(as parameter: String) throws -> StoredTensor {
    let stored = try StoredTensor(
      name: parameter, dtype: try readable(), shape: shape, bytes: bytes, owner: owner, rowOrder: rowOrder, file: file)
    let alignment = dtype == .f32 ? 4 : dtype == .f16 || dtype == .bf16 ? 2 : 1
    return Int(bitPattern: bytes.baseAddress) % alignment == 0 ? stored : try stored.copied(file: file)
  }

  /// A matrix of F32, F16 or BF16 with rows and columns exchanged, in memory of its own.
  package func transposed(as parameter: String) throws -> StoredTensor {
    let dtype = try readable()
    guard dtype.blockElements == 1, shape.count == 2 else {
      throw DPOError.format(file, "tensor \(name): cannot transpose \(dtypeName) \(shape)")
    }
    let (rows, columns) = (shape[0], shape[1])
    let copy = try OwnedBytes(count: bytes.count)
    if dtype == .f32 {
      transpose(UInt32.self, rows: rows, columns: columns, into: copy.bytes)
    } else {
      transpose(UInt16.self, rows: rows, columns: columns, into: copy.bytes)
    }
    return try StoredTensor(
      name: parameter, dtype: dtype, shape: [columns, rows], bytes: UnsafeRawBufferPointer(copy.bytes), owner: copy,
      file: file)
  }

  private func transpose<Element: FixedWidthInteger>(
    _: Element.Type, rows: Int, columns: Int, into out: UnsafeMutableRawBufferPointer
  ) {
    guard let source = bytes.baseAddress, let target = out.baseAddress else { return }
    let size = MemoryLayout<Element>.size
    let tile = 64
    for rowStart in stride(from: 0, to: rows, by: tile) {
      for columnStart in stride(from: 0, to: columns, by: tile) {
        for row in rowStart..<min(rows, rowStart + tile) {
          for column in columnStart..<min(columns, columnStart + tile) {
            let element = source.loadUnaligned(fromByteOffset: (row * columns + column) * size, as: Element.self)
            target.storeBytes(of: element, toByteOffset: (column * rows + row) * size, as: Element.self)
          }
        }
      }
    }
  }

  private func readable() throws -> DType {
    guard let dtype else {
      let known = DType.allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError(
        .unsupported,
        "\(file): tensor \(DPOError.printable(name)): type \(DPOError.printable(dtypeName)) is not supported (known: \(known))"
      )
    }
    return dtype
  }
}

/// Throws if two tensors of one file share bytes.
func refuseOverlaps(_ tensors: [FileTensor]) throws {
  let ordered = tensors.filter { !$0.bytes.isEmpty }.sorted { address($0) < address($1) }
  for (first, second) in zip(ordered, ordered.dropFirst()) where address(first) + first.bytes.count > address(second) {
    throw DPOError.format(
      first.file,
      "tensors \(DPOError.printable(first.name)) and \(DPOError.printable(second.name)) overlap in the file")
  }
}

private func address(_ tensor: FileTensor) -> Int { Int(bitPattern: tensor.bytes.baseAddress) }
