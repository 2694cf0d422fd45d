import DPOBase
import DPOTensor
import TestSupport
import Testing

/// Bytes from hexadecimal digits.
private func bytes(_ text: String?) -> [UInt8] {
  let digits = Array((text ?? "").utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Those of make_dequantize.py.
private func randomBytes(_ count: Int) -> [UInt8] {
  (0..<count).map { index in
    var z = UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return UInt8(z >> 56)
  }
}

/// Σ (2 i + 1) · bits of value i, modulo 2^64
private func digest(_ values: [Float]) -> UInt64 {
  values.enumerated().reduce(0) { $0 &+ UInt64($1.element.bitPattern) &* UInt64(2 * $1.offset + 1) }
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

  /// All patterns of bits are legal, and 1,024 random blocks have every index of every grid.
  @Test(arguments: Engine.available, DType.allCases.filter { $0.blockElements > 1 })
  func randomBlocksDecodeToTheBitsOfGGUFPy(engine: Engine, dtype: DType) throws {
    let row = try #require(golden["many"]?[dtype.rawValue])
    let blocks = 1024
    var stored = randomBytes(blocks * dtype.blockBytes)
    for top in try #require(row["tops"]?.array).compactMap(\.int) {
      for block in 0..<blocks { stored[block * dtype.blockBytes + top] &= 0xBF }
    }
    let count = blocks * dtype.blockElements
    var (whole, inRows) = ([Float](repeating: .nan, count: count), [Float](repeating: .nan, count: count))
    engine.kernels.pointee.dequantize(dtype.encoding, stored, &whole, count)
    engine.kernels.pointee.dequantize_rows(
      dtype.encoding, stored, 128 * dtype.blockBytes, 8, &inRows, count / 8, count / 8)
    #expect(String(digest(whole), radix: 16) == row["digest"]?.string)
    #expect(String(digest(inRows), radix: 16) == row["digest"]?.string)
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

  /// Where the third block's scale has an exponent of all ones, or is too large for what it multiplies.
  @Test(arguments: [
    (DType.iq1_s, [1: 0x7C]), (.iq1_m, [53: 0xC0, 55: 0x70]), (.iq2_xxs, [1: 0xFC]), (.iq2_xs, [1: 0x7E]),
    (.iq2_s, [1: 0x7C]), (.iq3_xxs, [1: 0x7C]), (.iq3_s, [1: 0x7C]), (.tq1_0, [53: 0x7C]), (.tq2_0, [65: 0xFF]),
    (.mxfp4, [0: 253]),
  ])
  func aNonFiniteScaleIsFound(dtype: DType, bytes: [Int: UInt8]) throws {
    var blocks = [UInt8](repeating: 0, count: 4 * dtype.blockBytes)
    for (at, byte) in bytes { blocks[2 * dtype.blockBytes + at] = byte }
    #expect(try tensor(dtype, [4, dtype.blockElements], blocks).firstNonFinite == 2 * dtype.blockElements)
  }
}
