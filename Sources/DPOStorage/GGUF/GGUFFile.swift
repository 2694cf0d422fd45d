import DPOBase
import DPOTensor

/// A GGUF file, version 2 or 3, mapped: its metadata, and where its tensors lie.
package struct GGUFFile: Sendable {
  package static let magic: [UInt8] = Array("GGUF".utf8)
  package let metadata: GGUFMetadata
  package let tensors: [FileTensor]

  init(metadata: GGUFMetadata, tensors: [FileTensor]) {
    self.metadata = metadata
    self.tensors = tensors
  }

  package init(_ path: String) throws { try self.init(MappedFile(path)) }

  package init(_ mapped: MappedFile) throws {
    let file = mapped.path
    var cursor = ByteCursor(mapped.bytes, file: file)
    guard try cursor.slice(4, "the magic number").elementsEqual(GGUFFile.magic) else {
      throw DPOError.format(file, "not a GGUF file")
    }
    let version = try cursor.integer(UInt32.self, "the version")
    guard version == 2 || version == 3 else {
      let hint = version.byteSwapped == 2 || version.byteSwapped == 3 ? " (a big-endian file)" : ""
      throw DPOError(.unsupported, "\(file): GGUF version \(version)\(hint) is not supported, expected 2 or 3")
    }
    // A tensor takes at least 24 bytes of the header, a key 13.
    let tensorCount = try cursor.count(of: 24, "the number of tensors")
    let keyCount = try cursor.count(of: 13, "the number of metadata keys")
    metadata = try GGUFFile.readMetadata(&cursor, count: keyCount)
    let alignment = try GGUFFile.alignment(metadata)
    let headers = try GGUFFile.readHeaders(&cursor, count: tensorCount)
    let (rounded, overflow) = cursor.offset.addingReportingOverflow(alignment - 1)
    let start = overflow ? Int.max : rounded / alignment * alignment
    tensors = try headers.map { try GGUFFile.locate($0, dataStart: start, alignment: alignment, in: mapped) }
    try refuseOverlaps(tensors)
  }

  private static func alignment(_ metadata: GGUFMetadata) throws -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard case .int(let alignment) = value, (1...65_536).contains(alignment), alignment & (alignment - 1) == 0 else {
      throw DPOError.format(metadata.file, "general.alignment: expected a power of two up to 65536")
    }
    return alignment
  }

  private struct Header {
    let name: String
    let shape: [Int]
    let type: UInt32
    let offset: UInt64
  }

  private static func readHeaders(_ cursor: inout ByteCursor, count: Int) throws -> [Header] {
    var headers: [Header] = []
    headers.reserveCapacity(count)
    var names = Set<String>(minimumCapacity: count)
    for index in 0..<count {
      let name = try readName(&cursor, "the name of tensor \(index)")
      guard names.insert(name).inserted else {
        throw DPOError.format(cursor.file, "tensor \(DPOError.printable(name)) stands twice in the file")
      }
      func part(_ what: String) -> String { "the \(what) of tensor \(DPOError.printable(name))" }
      let dimensions = try cursor.integer(UInt32.self, part("number of dimensions"))
      guard (1...4).contains(dimensions) else {
        throw DPOError.format(
          cursor.file, "tensor \(DPOError.printable(name)): \(dimensions) dimensions, expected 1 to 4")
      }
      var shape: [Int] = []
      for _ in 0..<dimensions {
        let size = try cursor.integer(UInt64.self, part("shape"))
        guard size >= 1, size <= UInt64(Int32.max) else {
          throw DPOError.format(
            cursor.file, "tensor \(DPOError.printable(name)): a dimension of \(size), expected 1 to \(Int32.max)")
        }
        shape.append(Int(size))
      }
      headers.append(
        Header(
          name: name, shape: shape.reversed(), type: try cursor.integer(UInt32.self, part("type")),
          offset: try cursor.integer(UInt64.self, part("offset"))))
    }
    return headers
  }

  private static func locate(
    _ header: Header, dataStart: Int, alignment: Int, in mapped: MappedFile
  ) throws -> FileTensor {
    let file = mapped.path
    let name = DPOError.printable(header.name)
    let typeName = GGUFFile.typeNames[header.type] ?? "number \(header.type)"
    guard let dtype = DType(rawValue: typeName) else {
      // Refused where its numbers are asked for.
      return FileTensor(
        name: header.name, dtypeName: typeName, dtype: nil, shape: header.shape,
        bytes: UnsafeRawBufferPointer(start: nil, count: 0), owner: mapped, file: file)
    }
    guard let size = StoredTensor.byteCount(dtype: dtype, shape: header.shape) else {
      throw DPOError.format(file, "tensor \(name): shape \(header.shape) is not possible for \(typeName)")
    }
    guard header.offset % UInt64(alignment) == 0 else {
      throw DPOError.format(file, "tensor \(name): offset \(header.offset) is not a multiple of \(alignment)")
    }
    let room = max(0, mapped.bytes.count - dataStart)
    guard header.offset <= UInt64(room), size <= room - Int(header.offset) else {
      throw DPOError.format(
        file,
        "tensor \(name): \(size) bytes at offset \(header.offset) go beyond the end of the data (\(room) bytes); is the file cut off?"
      )
    }
    let start = dataStart + Int(header.offset)
    return FileTensor(
      name: header.name, dtypeName: typeName, dtype: dtype, shape: header.shape,
      bytes: UnsafeRawBufferPointer(rebasing: mapped.bytes[start..<start + size]), owner: mapped, file: file)
  }

  /// ggml's numbers of the tensor types.
  package static let typeNames: [UInt32: String] = [
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
  ]
}
