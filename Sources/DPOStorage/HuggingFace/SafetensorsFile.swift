import DPOBase
import DPOTensor

/// A safetensors file, mapped: 8 bytes length, a JSON header, the data.
package struct SafetensorsFile: Sendable {
  package let path: String
  package let tensors: [FileTensor]

  /// The format's own limit.
  private static let maximumHeader = 100_000_000

  /// Element sizes of the types that a header may name.
  private static let sizes: [String: Int] = [
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4,
    "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
  ]

  package init(_ path: String) throws {
    let mapped = try MappedFile(path)
    defer { withExtendedLifetime(mapped) {} }
    let bytes = mapped.bytes
    guard bytes.count >= 8 else {
      throw DPOError.format(path, "\(bytes.count) bytes, too short for a safetensors file")
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(min(bytes.count - 8, SafetensorsFile.maximumHeader)) else {
      throw DPOError.format(
        path, "a safetensors header of \(length) bytes in a file of \(bytes.count); is the file cut off?")
    }
    let header = try JSON.parse(UnsafeRawBufferPointer(rebasing: bytes[8..<8 + Int(length)]), file: path)
    guard let entries = header.object else {
      throw DPOError.format(path, "the safetensors header: expected an object, found \(header.kind)")
    }
    self.path = path
    let data = UnsafeRawBufferPointer(rebasing: bytes[(8 + Int(length))...])
    tensors = try entries.members.filter { $0.key != "__metadata__" }.map { name, entry in
      try SafetensorsFile.read(entry, name: name, data: data, owner: mapped)
    }
    try refuseOverlaps(tensors)
  }

  private static func read(
    _ entry: JSON, name: String, data: UnsafeRawBufferPointer, owner: MappedFile
  ) throws -> FileTensor {
    let file = owner.path
    let shown = DPOError.printable(name)
    func wrong(_ key: String, _ expected: String) -> DPOError {
      let found = entry[key].map { DPOError.printable($0.description, limit: 60) } ?? "nothing"
      return DPOError.format(file, "tensor \(shown): \(key): expected \(expected), found \(found)")
    }
    guard entry.object != nil else {
      throw DPOError.format(
        file, "tensor \(shown): expected an object with dtype, shape and data_offsets, found \(entry.kind)")
    }
    guard let type = entry["dtype"]?.string, let size = sizes[type] else {
      throw wrong("dtype", "one of \(sizes.keys.sorted().joined(separator: ", "))")
    }
    guard let items = entry["shape"]?.array, items.count <= 8 else { throw wrong("shape", "up to 8 sizes") }
    var count = size
    let shape = try items.map { item in
      guard let length = item.int, length >= 0 else { throw wrong("shape", "sizes that are not negative") }
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      guard !overflow else { throw wrong("shape", "a size that memory can hold") }
      count = product
      return length
    }
    guard let offsets = entry["data_offsets"]?.array, offsets.count == 2, let start = offsets[0].int,
      let end = offsets[1].int, start >= 0, start <= end
    else { throw wrong("data_offsets", "two offsets in ascending order") }
    guard end <= data.count else {
      throw DPOError.format(
        file,
        "tensor \(shown): data_offsets [\(start), \(end)] go beyond the \(data.count) bytes of data; is the file cut off?"
      )
    }
    guard end - start == count else {
      throw DPOError.format(
        file,
        "tensor \(shown): data_offsets [\(start), \(end)] hold \(end - start) bytes, but \(type) \(shape) needs \(count)"
      )
    }
    return FileTensor(
      name: name, dtypeName: type, dtype: DType(rawValue: type), shape: shape,
      bytes: UnsafeRawBufferPointer(rebasing: data[start..<end]), owner: owner, file: file)
  }
}
