import CKernels
import DPOBase

extension DType {
  package var encoding: ck_encoding {
    switch self {
    case .f32: CK_F32
    case .f16: CK_F16
    case .bf16: CK_BF16
    case .q4_0: CK_Q4_0
    case .q4_1: CK_Q4_1
    case .q5_0: CK_Q5_0
    case .q5_1: CK_Q5_1
    case .q8_0: CK_Q8_0
    case .q2_k: CK_Q2_K
    case .q3_k: CK_Q3_K
    case .q4_k: CK_Q4_K
    case .q5_k: CK_Q5_K
    case .q6_k: CK_Q6_K
    case .iq4_nl: CK_IQ4_NL
    case .iq4_xs: CK_IQ4_XS
    case .iq1_s: CK_IQ1_S
    case .iq1_m: CK_IQ1_M
    case .iq2_xxs: CK_IQ2_XXS
    case .iq2_xs: CK_IQ2_XS
    case .iq2_s: CK_IQ2_S
    case .iq3_xxs: CK_IQ3_XXS
    case .iq3_s: CK_IQ3_S
    case .tq1_0: CK_TQ1_0
    case .tq2_0: CK_TQ2_0
    case .mxfp4: CK_MXFP4
    case .nvfp4: CK_NVFP4
    }
  }
}

extension StoredTensor {
  /// Decodes rows to f32, `columns` numbers each, in the tensor's own (Hugging Face's) order of rows. The caller
  /// guarantees that `rows` are within the tensor and `out` holds rows.count × columns numbers.
  package func dequantize(rows: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    if shape.count == 1, rowOrder != .natural { return dequantizeReordered(into: out) }
    dequantize(rows: rows, columns: 0..<columns, into: out)
  }

  /// The bias of q or k: its elements are in the order of the rows.
  private func dequantizeReordered(into out: UnsafeMutablePointer<Float>) {
    guard let base = bytes.baseAddress else { return }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { stored in
      guard let stored = stored.baseAddress else { return }
      Engine.best.kernels.pointee.dequantize(dtype.encoding, base, stored, columns)
      for index in 0..<columns { out[index] = stored[storedRow(index)] }
    }
  }

  /// Decodes some columns of rows of a matrix, side by side; both bounds of `columns` are whole blocks.
  package func dequantize(
    rows: Range<Int>, columns part: Range<Int>, into out: UnsafeMutablePointer<Float>,
    with kernels: UnsafePointer<ck_engine> = Engine.best.kernels
  ) {
    guard let base = bytes.baseAddress else { return }
    let offset = part.lowerBound / dtype.blockElements * dtype.blockBytes
    eachRun(rows) { run, distance in
      kernels.pointee.dequantize_rows(
        dtype.encoding, base + storedRow(run.lowerBound) * rowBytes + offset, distance * rowBytes, run.count,
        out + (run.lowerBound - rows.lowerBound) * part.count, part.count, part.count)
    }
  }

  /// Rows that stand at equal distances in the file, which is given in rows.
  private func eachRun(_ rows: Range<Int>, _ body: (_ run: Range<Int>, _ distance: Int) -> Void) {
    let (length, distance): (Int, Int)
    switch rowOrder {
    case .natural: return body(rows, 1)
    case .interleavedHalves(let headSize): (length, distance) = (max(1, headSize / 2), 2)
    case .byHead(_, let headSize): (length, distance) = (headSize, 1)
    case .transposedHeads(let first, _, _, let headSize):
      if rows.lowerBound < first {
        body(rows.lowerBound..<min(first, rows.upperBound), 1)
      }
      var row = max(rows.lowerBound, first)
      while row < rows.upperBound {
        let end = min(rows.upperBound, first + ((row - first) / headSize + 1) * headSize)
        body(row..<end, 1)
        row = end
      }
      return
    }
    var row = rows.lowerBound
    while row < rows.upperBound {
      let end = min(rows.upperBound, (row / length + 1) * length)
      body(row..<end, distance)
      row = end
    }
  }

  /// The index of an element in the first block that holds a NaN or infinity, in file order; nil if all are finite.
  package var firstNonFinite: Int? {
    guard let base = bytes.baseAddress else { return nil }
    let blocks = bytes.count / dtype.blockBytes
    let found = Engine.best.kernels.pointee.first_nonfinite(dtype.encoding, base, blocks)
    return found == blocks ? nil : found * dtype.blockElements
  }
}

/// Encodes f32 numbers as F32, F16, BF16 (round to nearest, ties to even) or Q8_0 (ggml's reference rounding).
/// The count is a multiple of the block; `out` has exactly the room for the encoded bytes.
package func quantize(
  _ values: UnsafeBufferPointer<Float>, as dtype: DType, into out: UnsafeMutableRawBufferPointer
) throws {
  guard values.count % dtype.blockElements == 0, out.count == values.count / dtype.blockElements * dtype.blockBytes
  else {
    throw DPOError(.internal, "\(values.count) numbers do not fill \(out.count) bytes of \(dtype.rawValue)")
  }
  guard let source = values.baseAddress, let target = out.baseAddress else { return }
  guard Engine.best.kernels.pointee.quantize(dtype.encoding, source, target, values.count) == 0 else {
    throw DPOError.unsupported("writing tensors as \(dtype.rawValue) is not supported (known: F32, F16, BF16, Q8_0)")
  }
}
