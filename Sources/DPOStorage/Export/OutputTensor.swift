import DPOBase
import DPOTensor

/// A tensor to be written: what the file says of it, and how its numbers are made.
struct OutputTensor {
  let name: String
  let dtype: DType
  let shape: [Int]
  /// Fills as many f32 numbers as the shape has, in the file's order.
  let fill: (UnsafeMutablePointer<Float>) throws -> Void

  init(name: String, dtype: DType, shape: [Int], fill: @escaping (UnsafeMutablePointer<Float>) throws -> Void) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.fill = fill
  }

  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { count / dtype.blockElements * dtype.blockBytes }

  /// Calls `body` with the encoded tensor.
  func withEncoded(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let values = try FloatBuffer(count: count)
    try fill(values.pointer)
    if dtype == .f32 { return try body(UnsafeRawBufferPointer(start: values.pointer, count: byteCount)) }
    try checkRange(UnsafeBufferPointer(start: values.pointer, count: count))
    let bytes = try OwnedBytes(count: byteCount)
    try quantize(UnsafeBufferPointer(start: values.pointer, count: count), as: dtype, into: bytes.bytes)
    try body(UnsafeRawBufferPointer(bytes.bytes))
  }

  /// Throws for a number that the format would make infinite: readers refuse such files, ours too.
  private func checkRange(_ values: UnsafeBufferPointer<Float>) throws {
    // What rounds to infinity: half a step beyond the largest number; q8_0 keeps a 127th of a block's largest as f16.
    let bounds: [DType: Float] = [.f16: 65520, .bf16: 0x1.FFp127, .q8_0: 127 * 65520]
    guard let bound = bounds[dtype], let place = values.firstIndex(where: { !(abs($0) < bound) }) else { return }
    throw DPOError.unsupported(
      "\(name): number \(place) is \(values[place]), which \(dtype.rawValue.lowercased()) cannot hold; write f32\(dtype == .bf16 ? "" : " or bf16")"
    )
  }
}

extension AtomicFile {
  func write(zeros count: Int) throws {
    try [UInt8](repeating: 0, count: count).withUnsafeBytes { try write($0) }
  }
}
