import DPOBase

/// A vector of numbers in a checkpoint that is no tensor of the model.
package struct CheckpointColumn: Sendable, Equatable {
  package let name: String
  private let values: Values

  private enum Values: Sendable, Equatable {
    case floats([Float])
    case doubles([Double])
    case integers([Int32])
  }

  package init(_ name: String, _ values: [Float]) { (self.name, self.values) = (name, .floats(values)) }
  package init(_ name: String, _ values: [Double]) { (self.name, self.values) = (name, .doubles(values)) }
  package init(_ name: String, _ values: [Int32]) { (self.name, self.values) = (name, .integers(values)) }

  /// nil if the numbers are others.
  package var floats: [Float]? { if case .floats(let values) = values { values } else { nil } }
  package var doubles: [Double]? { if case .doubles(let values) = values { values } else { nil } }
  package var integers: [Int32]? { if case .integers(let values) = values { values } else { nil } }

  func write(to writer: HDF5Writer, group: String) throws {
    func write<Element>(_ values: [Element], _ element: HDF5Element) throws {
      try writer.dataset(
        "\(group)/\(name)", shape: [values.count], element: element,
        source: .produced { buffer in values.withUnsafeBytes { buffer.copyMemory(from: $0) } })
    }
    switch values {
    case .floats(let values): try write(values, .float32)
    case .doubles(let values): try write(values, .float64)
    case .integers(let values): try write(values.map(Int64.init), .int64)
    }
  }

  init(_ dataset: HDF5Reader.Dataset, _ reader: HDF5Reader) throws {
    let bytes = reader.bytes(dataset)
    func read<Element: BitwiseCopyable>(_: Element.Type) -> [Element] {
      let size = MemoryLayout<Element>.size
      return (0..<bytes.count / size).map { bytes.loadUnaligned(fromByteOffset: $0 * size, as: Element.self) }
    }
    name = nameOf(dataset.path)
    switch dataset.element {
    case .float32: values = .floats(read(Float.self))
    case .float64: values = .doubles(read(Double.self))
    case .int64:
      let numbers = read(Int64.self).map(Int32.init(exactly:))
      guard numbers.allSatisfy({ $0 != nil }) else {
        throw DPOError.format(reader.path, "dataset \(dataset.path): expected integers of 32 bits")
      }
      values = .integers(numbers.compactMap(\.self))
    case .int32, .uint8: throw DPOError.format(reader.path, "dataset \(dataset.path): expected numbers")
    }
  }
}

extension CheckpointReader {
  /// The vectors directly in a group; none if it is not there.
  package func columns(_ group: String) throws -> [CheckpointColumn] {
    try file.datasets(in: group).map { try CheckpointColumn($0, file) }
  }
}
