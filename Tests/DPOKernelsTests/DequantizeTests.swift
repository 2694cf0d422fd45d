import DPOBase
import DPOTensor
import TestSupport
import Testing

/// Bytes from hexadecimal digits.
private func bytes(_ text: String?) -> [UInt8] {
  let digits = Array((text ?? "").utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

private final class Holder: @unchecked Sendable {
  let memory: UnsafeMutableRawBufferPointer
  init(_ bytes: [UInt8]) {
    memory = .allocate(byteCount: bytes.count, alignment: 1)
    memory.copyBytes(from: bytes)
  }
  deinit { memory.deallocate() }
}

private func tensor(_ dtype: DType, _ shape: [Int], _ bytes: [UInt8], rowOrder: RowOrder = .natural) throws
  -> StoredTensor
{
  let holder = Holder(bytes)
  return try StoredTensor(
    name: "t", dtype: dtype, shape: shape, bytes: UnsafeRawBufferPointer(holder.memory), owner: holder,
    rowOrder: rowOrder,
    file: "test")
}

private func decode(_ tensor: StoredTensor, _ rows: Range<Int>) -> [Float] {
  var out = [Float](repeating: .nan, count: rows.count * tensor.columns)
  out.withUnsafeMutableBufferPointer { tensor.dequantize(rows: rows, into: $0.baseAddress!) }
  return out
}

@Suite(.timeLimit(.minutes(10))) struct DequantizeTests {
  let golden: JSON

  init() throws {
    golden = try Fixtures.json("golden/dequantize.json")
  }

  @Test(arguments: DType.allCases.filter { $0 != .f32 })
  func everyEncodingDecodesToTheBitsOfGGUFPy(dtype: DType) throws {
    let row = try #require(golden["decode"]?[dtype.rawValue])
    let expected = bytes(row["values"]?.string)
    let stored = try tensor(dtype, [expected.count / 4], bytes(row["bytes"]?.string))
    let values = decode(stored, 0..<1)
    #expect(values.withUnsafeBytes { Array($0) } == expected)
    #expect(stored.firstNonFinite == nil)
  }

  @Test(arguments: [DType.f16, .bf16, .q8_0])
  func encodingRoundsAsGGUFPyDoes(dtype: DType) throws {
    let row = try #require(golden["encode"]?[dtype.rawValue])
    let expected = bytes(row["bytes"]?.string)
    let raw = bytes(row["values"]?.string)
    let values = raw.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    var out = [UInt8](repeating: 0, count: expected.count)
    try values.withUnsafeBufferPointer { source in
      try out.withUnsafeMutableBytes { try quantize(source, as: dtype, into: $0) }
    }
    #expect(out == expected)
  }

  @Test func interleavedRowsComeOutInHuggingFaceOrder() throws {
    // Two heads of four rows, one column: the file holds rows 0 2 1 3 | 4 6 5 7 of Hugging Face.
    let inFile: [Float] = [0, 2, 1, 3, 4, 6, 5, 7]
    let stored = try tensor(
      .f32, [8, 1], inFile.withUnsafeBytes { Array($0) }, rowOrder: .interleavedHalves(headSize: 4))
    #expect(decode(stored, 0..<8) == [0, 1, 2, 3, 4, 5, 6, 7])
    for from in 0..<8 {
      for to in from..<8 { #expect(decode(stored, from..<to) == (from..<to).map(Float.init)) }
    }
  }

  @Test func aNonFiniteElementOrScaleIsFound() throws {
    var floats = [Float](repeating: 1, count: 10_000)
    floats[9_000] = .infinity
    #expect(try tensor(.f32, [100, 100], floats.withUnsafeBytes { Array($0) }).firstNonFinite == 9_000)
    var blocks = [UInt8](repeating: 0, count: 3 * 144)
    blocks[2 * 144 + 3] = 0x7E  // dmin of the third block
    #expect(try tensor(.q4_k, [3, 256], blocks).firstNonFinite == 512)
  }
}
