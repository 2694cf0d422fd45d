import DPOBase

/// Writes metadata and tensors as one GGUF file (version 3), crash-safely. `check` opens it before it takes its place.
func writeGGUF(
  _ path: String, metadata: [(key: String, value: GGUFValue)], tensors: [OutputTensor],
  check: (_ path: String) throws -> Void
) throws {
  let alignment = 32
  func padding(_ size: Int) -> Int { (alignment - size % alignment) % alignment }

  var header = GGUFBytes()
  header.append(text: "GGUF")
  header.append(UInt32(3))
  header.append(UInt64(tensors.count))
  header.append(UInt64(metadata.count))
  for (key, value) in metadata {
    header.append(string: key)
    header.append(value)
  }
  var offset = 0
  for tensor in tensors {
    guard let type = GGUFFile.typeNames.first(where: { $0.value == tensor.dtype.rawValue })?.key else {
      throw DPOError(.internal, "GGUF has no number for \(tensor.dtype.rawValue)")
    }
    header.append(string: tensor.name)
    header.append(UInt32(tensor.shape.count))
    for size in tensor.shape.reversed() { header.append(UInt64(size)) }
    header.append(type)
    header.append(UInt64(offset))
    offset += tensor.byteCount + padding(tensor.byteCount)
  }

  let file = try AtomicFile(path)
  try header.bytes.withUnsafeBytes { try file.write($0) }
  try file.write(zeros: padding(header.bytes.count))
  for tensor in tensors {
    try tensor.withEncoded { try file.write($0) }
    try file.write(zeros: padding(tensor.byteCount))
  }
  try file.commit(check: check)
}

/// Little-endian numbers, strings and metadata values as GGUF writes them.
private struct GGUFBytes {
  var bytes: [UInt8] = []

  mutating func append<Number: FixedWidthInteger>(_ number: Number) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(text: String) { bytes.append(contentsOf: text.utf8) }

  mutating func append(string: String) {
    append(UInt64(string.utf8.count))
    append(text: string)
  }

  /// In the types that llama.cpp asks for: numbers of 32 bits where they suffice, arrays of int32 and float32.
  mutating func append(_ value: GGUFValue) {
    switch value {
    case .int(let number):
      if let small = UInt32(exactly: number) {
        append(UInt32(4))
        append(small)
      } else if let small = Int32(exactly: number) {
        append(UInt32(5))
        append(small)
      } else {
        append(UInt32(11))
        append(Int64(number))
      }
    case .double(let number):
      append(UInt32(6))
      append(Float(number).bitPattern)
    case .bool(let flag):
      append(UInt32(7))
      append(UInt8(flag ? 1 : 0))
    case .string(let text):
      append(UInt32(8))
      append(string: text)
    case .ints(let numbers):
      let small = numbers.allSatisfy { Int32(exactly: $0) != nil }
      appendArray(type: small ? 5 : 11, count: numbers.count)
      for number in numbers {
        if small { append(Int32(truncatingIfNeeded: number)) } else { append(Int64(number)) }
      }
    case .doubles(let numbers):
      appendArray(type: 6, count: numbers.count)
      for number in numbers { append(Float(number).bitPattern) }
    case .bools(let flags):
      appendArray(type: 7, count: flags.count)
      for flag in flags { append(UInt8(flag ? 1 : 0)) }
    case .strings(let texts):
      appendArray(type: 8, count: texts.count)
      for text in texts { append(string: text) }
    }
  }

  private mutating func appendArray(type: UInt32, count: Int) {
    append(UInt32(9))
    append(type)
    append(UInt64(count))
  }
}
