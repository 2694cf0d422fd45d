import CKernels
import DPOKernels
import DPOPlatform
import TestSupport
import Testing

/// Random blocks of an encoding. Scales are halves (or elements) of modest size, so that all numbers are finite.
private struct Blocks {
  let dtype: DType
  let rows, k: Int
  let bytes: [UInt8]

  var rowBytes: Int { k / dtype.blockElements * dtype.blockBytes }

  init(_ dtype: DType, rows: Int, k: Int, _ numbers: inout Numbers) {
    self.dtype = dtype
    self.rows = rows
    self.k = k
    let count = rows * k / dtype.blockElements
    if dtype == .f32 {
      bytes = floats(numbers.next(count)).withUnsafeBytes { Array($0) }
      return
    }
    var bytes = numbers.next(count * dtype.blockBytes).map { UInt8(($0 + 1) * 127.5) }
    let halves: [Int] =
      switch dtype {
      case .q2_k: [80, 82]
      case .q3_k: [108]
      case .q6_k: [208]
      case .iq1_m: [54]
      case .tq1_0: [52]
      case .tq2_0: [64]
      case .mxfp4, .nvfp4: []
      case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
      default: [0]
      }
    for block in 0..<count {
      if dtype == .mxfp4 { bytes[block * dtype.blockBytes] = bytes[block * dtype.blockBytes] & 7 | 120 }
      for at in halves {
        let high = block * dtype.blockBytes + at + 1
        // The exponent: 2⁻⁷ … 2⁻⁴ of a half, about as much of a bf16.
        bytes[high] = dtype == .bf16 ? bytes[high] & 0x81 | 0x3C : bytes[high] & 0x8F | 0x20
      }
    }
    self.bytes = bytes
  }

  /// [rows, k], as the portable engine has them.
  var values: [Float] {
    var out = [Float](repeating: 0, count: rows * k)
    (try? Engine(named: "portable"))?.kernels.pointee.dequantize(dtype.encoding, bytes, &out, rows * k)
    return out
  }

  func product(
    _ kernels: UnsafePointer<ck_engine>, _ x: [Float], _ rounded: [UInt16]?, _ ld: Int, _ count: Int, half: Int = 0
  ) -> [Float] {
    var y = [Float](repeating: .nan, count: count * rows)
    var scratch = [Float](repeating: .nan, count: ck_weights_scratch(k))
    bytes.withUnsafeBytes { bytes in
      x.withUnsafeBufferPointer { x in
        (rounded ?? []).withUnsafeBufferPointer { values in
          var w = ck_weights(
            data: bytes.baseAddress, row_bytes: rowBytes, k: k, half: half, encoding: dtype.encoding)
          var a = ck_activations(
            x: x.baseAddress, rounded: rounded == nil ? nil : values.baseAddress, ld: ld, rows: count)
          // In two pieces, the second of no round size.
          kernels.pointee.weights_product(&w, 0, 8, &a, &y, rows, &scratch)
          kernels.pointee.weights_product(&w, 8, rows - 8, &a, &y, rows, &scratch)
        }
      }
    }
    return y
  }
}

@Suite(.timeLimit(.minutes(10))) struct GenerationKernelTests {
  @Test(arguments: Engine.available, DType.allCases)
  func rowsAreDecodedToTheBitsOfTheReference(engine: Engine, dtype: DType) {
    let kernels = engine.kernels
    var numbers = Numbers(7)
    let unit = dtype.blockElements
    // More blocks than are prepared at a time, and numbers of rows that are no multiple of those decoded together.
    for (rows, k, part) in [
      (1, unit, 0..<unit), (7, 70 * unit, 0..<70 * unit), (4, 3 * unit, unit..<2 * unit),
      (9, 5 * unit, unit..<4 * unit),
    ] {
      let blocks = Blocks(dtype, rows: rows, k: k, &numbers)
      let (values, count, ldo) = (blocks.values, part.count, part.count + 3)
      var out = [Float](repeating: -1, count: rows * ldo)
      blocks.bytes.withUnsafeBytes { bytes in
        kernels.pointee.dequantize_rows(
          dtype.encoding, bytes.baseAddress.map { $0 + part.lowerBound / unit * dtype.blockBytes }, blocks.rowBytes,
          rows,
          &out, ldo, count)
      }
      for row in 0..<rows {
        let (found, expected) = (
          out[row * ldo..<row * ldo + count], values[row * k + part.lowerBound..<row * k + part.upperBound]
        )
        #expect(firstDifference(found, expected) == nil)
        #expect(out[row * ldo + count..<(row + 1) * ldo].allSatisfy { $0 == -1 })
      }
    }
  }

  @Test(arguments: Engine.available, DType.allCases)
  func productsWithStoredWeightsEqualThoseOfTheirNumbers(engine: Engine, dtype: DType) {
    for rounds in [false, true] { productsWithStoredWeights(engine.kernels, dtype, rounds: rounds) }
  }

  private func productsWithStoredWeights(_ kernels: UnsafePointer<ck_engine>, _ dtype: DType, rounds: Bool) {
    var numbers = Numbers(6)
    // No multiple of a vector where the encoding allows it.
    for k in dtype.blockElements == 1 ? [7, 45, 576] : [dtype.blockElements, 3 * dtype.blockElements] {
      let blocks = Blocks(dtype, rows: 13, k: k, &numbers)
      var weights = blocks.values
      if rounds { kernels.pointee.round_to_bf16(&weights, nil, weights.count) }
      for rows in [1, 2, 3, 4, 5, 9] {
        let ld = k + 3
        var x = floats(numbers.next(rows * ld))
        var rounded = [UInt16](repeating: 0, count: x.count)
        if rounds { kernels.pointee.round_to_bf16(&x, &rounded, x.count) }
        let y = blocks.product(kernels, x, rounds ? rounded : nil, ld, rows)
        var expected = [Double](), sizes = [Double]()
        for row in 0..<rows {
          for output in 0..<blocks.rows {
            let terms = (0..<k).map { Double(x[row * ld + $0]) * Double(weights[output * k + $0]) }
            expected.append(terms.reduce(0, +))
            sizes.append(terms.reduce(0) { $0 + abs($1) })
          }
        }
        for (index, value) in y.enumerated() {
          #expect(abs(Double(value) - expected[index]) <= 3e-7 * sizes[index], "k \(k), \(rows) rows, \(index)")
        }
        // The last row alone: the same bits.
        let last = (rows - 1) * ld
        let alone = blocks.product(kernels, Array(x[last...]), rounds ? Array(rounded[last...]) : nil, ld, 1)
        #expect(firstDifference(alone, y[((rows - 1) * blocks.rows)...]) == nil)
      }
    }
  }

  @Test(arguments: Engine.available) func outputsOfInterleavedRowsComeInOrder(engine: Engine) {
    let kernels = engine.kernels
    var numbers = Numbers(7)
    let k = 32
    let blocks = Blocks(.q4_0, rows: 24, k: k, &numbers)
    let x = floats(numbers.next(6 * k))
    for rows in [1, 6] {
      let plain = blocks.product(kernels, x, nil, k, rows)
      let ordered = blocks.product(kernels, x, nil, k, rows, half: 4)
      for row in 0..<rows {
        for stored in 0..<24 {
          let output = stored / 8 * 8 + stored % 2 * 4 + stored % 8 / 2
          #expect(ordered[row * 24 + output] == plain[row * 24 + stored])
        }
      }
    }
  }

  @Test(arguments: Engine.available) func roundingToBF16IsToTheNearestEven(engine: Engine) {
    let kernels = engine.kernels
    let cases: [(Float, UInt32)] = [
      (1, 0x3F80), (Float(bitPattern: 0x3F80_8000), 0x3F80), (Float(bitPattern: 0x3F81_8000), 0x3F82),
      (Float(bitPattern: 0x3F80_8001), 0x3F81), (-0.0, 0x8000), (.infinity, 0x7F80),
    ]
    var x = cases.map(\.0) + [.nan]
    var rounded = [UInt16](repeating: 0, count: x.count)
    kernels.pointee.round_to_bf16(&x, &rounded, x.count)
    for (index, row) in cases.enumerated() {
      #expect(rounded[index] == UInt16(row.1))
      #expect(x[index].bitPattern == row.1 << 16)
    }
    #expect(x[cases.count].isNaN)
  }

  @Test(arguments: Engine.available, [1, 3, 4, 6]) func attentionOverCachedPartsEqualsTheNaiveOne(
    engine: Engine, heads: Int
  ) {
    for size in [8, 64, 81] { attentionOverCachedParts(engine.kernels, heads, size) }
  }

  private func attentionOverCachedParts(_ kernels: UnsafePointer<ck_engine>, _ heads: Int, _ size: Int) {
    var numbers = Numbers(3)
    let (keyHeads, total) = (2, 45)
    let width = keyHeads * size
    let (q, k, v) = (numbers.next(heads * size), numbers.next(total * width), numbers.next(total * width))
    let sinks = numbers.next(heads, scale: 3)
    let shape = Reference.AttentionShape(heads: heads, keyValueHeads: 1, size: size)
    for (prompt, skip) in [(0, 0), (16, 0), (19, 7), (19, 30), (44, 44)] {
      // Rows 0 … of a part start a block of sixteen.
      let own = (prompt + 15) / 16 * 16
      var keys = [Float](repeating: 0, count: (own + total + 16) * width)
      var values = keys
      for position in 0..<total {
        let row = position < prompt ? position : own + position - prompt
        let range = position * width..<(position + 1) * width
        kernels.pointee.cache_store(
          Array(floats(k)[range]), Array(floats(v)[range]), keyHeads, size, width, row, &keys, &values)
      }
      for head in 0..<keyHeads {
        func compact(_ x: [Double]) -> [Double] {
          var rows: [Double] = []
          for position in 0..<total {
            let first = position * width + head * size
            rows += x[first..<first + size]
          }
          return rows
        }
        let kind = ck_scores(scale: 1 / Float(size).squareRoot(), cap: 0)
        let plain = Reference.attention(q, compact(k), compact(v), shape, sees: [Array(skip..<total)])
        var out = [Float](repeating: .nan, count: heads * size)
        var scores = [Float](repeating: .nan, count: ck_cached_attention_scratch(total, 2))
        keys.withUnsafeBufferPointer { keys in
          values.withUnsafeBufferPointer { values in
            guard let keys = keys.baseAddress, let values = values.baseAddress else { return }
            let (k, v) = (keys + head * size * 16, values + head * size * 16)
            let parts = [
              ck_cache_part(keys: k, values: v, count: prompt),
              ck_cache_part(keys: k + own * width, values: v + own * width, count: total - prompt),
            ]
            kernels.pointee.cached_attention(
              floats(q), heads, size, parts, 2, width, skip, kind, nil, &scores, &out)
            #expect(relativeError(out, plain) < 1e-6)
            kernels.pointee.cached_attention(
              floats(q), heads, size, parts, 2, width, skip, kind, floats(sinks), &scores, &out)
          }
        }
        // A sink takes its share of what all scores have.
        let sums = (0..<heads).map { query in
          (skip..<total).reduce(0.0) { sum, position in
            let from = position * width + head * size
            let dot = (0..<size).reduce(0.0) { $0 + q[query * size + $1] * k[from + $1] }
            return sum + exp(dot / Double(size).squareRoot())
          }
        }
        let expected = plain.indices.map { index in
          let (query, sum) = (index / size, sums[index / size])
          return plain[index] * sum / (sum + exp(sinks[query]))
        }
        #expect(relativeError(out, expected) < 1e-6)
      }
    }
  }

  @Test(arguments: Engine.available, [1, 15, 16, 37, 1000]) func samplingKernelsEqualPlainLoops(
    engine: Engine, count: Int
  ) {
    let kernels = engine.kernels
    var numbers = Numbers(8)
    // Few different numbers: the first of equals counts.
    let x = floats(numbers.next(count, scale: 4)).map { $0.rounded() }
    let largest = kernels.pointee.find_largest(x, count)
    #expect(largest.value == x.max())
    #expect(Int(largest.index) == x.firstIndex(of: largest.value))
    var y = [Float](repeating: 0, count: count)
    let sum = kernels.pointee.shifted_exp_sum(x, &y, count, largest.value, 0.7)
    let exact = x.map { exp(Double(($0 - largest.value) * 0.7)) }
    #expect(relativeError(y, exact) < 1e-6)
    #expect(abs(sum / exact.reduce(0, +) - 1) < 1e-6)
    for least: Float in [0, 0.1, 0.5, 1] {
      let from = y.filter { $0 >= least }
      #expect(
        abs(kernels.pointee.sum_from(y, count, least) - from.reduce(0) { $0 + Double($1) }) < 1e-9 * Double(count))
      var found = [Int32](repeating: -1, count: count)
      let n = kernels.pointee.collect(y, count, least, &found)
      #expect(found[..<n].elementsEqual(y.indices.filter { y[$0] >= least && y[$0] > 0 }.map { Int32($0) }))
    }
    var running = 0.0
    for index in 0..<count {
      // In the middle of each number's share.
      #expect(kernels.pointee.pick(y, count, running + Double(y[index]) / 2) == index)
      running += Double(y[index])
    }
    #expect(kernels.pointee.pick(y, count, 2 * running) == count - 1)
  }

  @Test(arguments: Engine.available) func allMinusInfinityHasNoLargest(engine: Engine) {
    let kernels = engine.kernels
    #expect(kernels.pointee.find_largest([Float](repeating: -.infinity, count: 40), 40).index == 0)
  }
}
