import CKernels
import DPOKernels
import DPOPlatform
import Testing

/// The C kernels against the naive ones.
@Suite(.timeLimit(.minutes(10))) struct RowKernelTests {
  @Test(arguments: Engine.available) func expIsAccurateEverywhere(engine: Engine) {
    let kernels = engine.kernels
    var x: [Float] = [0, -0.0, 1, -1, 88.7, 88.8, -87.3, -87.4, .infinity, -.infinity, .nan, 1e-30, 127.9, -200]
    for i in 0..<20_000 { x.append(Float(i) * 0.0088 - 87.2) }
    var y = [Float](repeating: 0, count: x.count)
    _ = kernels.pointee.shifted_exp_sum(x, &y, x.count, 0, 1)
    for (a, b) in zip(x, y) {
      let exact = exp(Double(a))
      if a.isNaN {
        #expect(b.isNaN)
      } else if exact > Double(Float.greatestFiniteMagnitude) {
        #expect(b == .infinity)
      } else if exact < 1.2e-38 {
        #expect(b < 1.3e-38)
      } else {
        #expect(abs(Double(b) - exact) <= 1.5e-7 * exact, "exp(\(a))")
      }
    }
  }

  @Test(arguments: Engine.available, [7, 64, 100]) func rmsNorm(engine: Engine, width: Int) {
    let kernels = engine.kernels
    var numbers = Numbers(1)
    let rows = 5
    let (x, add, bias) = (numbers.next(rows * width), numbers.next(rows * width), numbers.next(width))
    let (w, g, before) = (numbers.next(width), numbers.next(rows * width), numbers.next(rows * width))
    let sum = x.indices.map { x[$0] + add[$0] + bias[$0 % width] }
    var (s, y, again) = (floats(x), floats(x), floats(x))
    var rstd = [Float](repeating: 0, count: rows)
    kernels.pointee.rms_forward(floats(x), floats(add), floats(bias), &s, floats(w), &y, &rstd, rows, width, 1e-5)
    #expect(relativeError(s, sum) < 1e-6)
    #expect(relativeError(y, Reference.rmsNorm(sum, w, epsilon: 1e-5)) < 1e-6)
    kernels.pointee.rms_again(s, rstd, floats(w), &again, rows, width)
    #expect(again == y)
    let expected = Reference.rmsNormBackward(g, sum, w, epsilon: 1e-5)
    var dx = floats(before)
    kernels.pointee.rms_backward(floats(g), s, rstd, floats(w), &dx, rows, width)
    #expect(relativeError(dx, zip(before, expected.dx).map { $0 + $1 }) < 2e-6)
    var dw = [Float](repeating: 0, count: width)
    kernels.pointee.rms_weight_gradient(floats(g), s, rstd, &dw, rows, width, 0, 3)
    kernels.pointee.rms_weight_gradient(floats(g), s, rstd, &dw, rows, width, 3, width)
    #expect(relativeError(dw, expected.dw) < 2e-6)
  }

  @Test(arguments: Engine.available, [7, 64, 100]) func layerNorm(engine: Engine, width: Int) {
    let kernels = engine.kernels
    var numbers = Numbers(2)
    let rows = 4
    let x = numbers.next(rows * width).map { $0 + 3 }
    let (w, b, g) = (numbers.next(width), numbers.next(width), numbers.next(rows * width))
    var (s, y, again) = (floats(x), floats(x), floats(x))
    var (mean, rstd) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
    kernels.pointee.layer_norm_forward(
      floats(x), nil, nil, &s, floats(w), floats(b), &y, &mean, &rstd, rows, width, 1e-5)
    #expect(relativeError(y, Reference.layerNorm(x, w, b, epsilon: 1e-5)) < 3e-6)
    kernels.pointee.layer_norm_again(floats(x), mean, rstd, floats(w), floats(b), &again, rows, width)
    #expect(again == y)
    let expected = Reference.layerNormBackward(g, x, w, epsilon: 1e-5)
    var dx = [Float](repeating: 0, count: rows * width)
    kernels.pointee.layer_norm_backward(floats(g), floats(x), mean, rstd, floats(w), &dx, rows, width)
    #expect(relativeError(dx, expected.dx) < 5e-6)
    var (dw, db) = ([Float](repeating: 0, count: width), [Float](repeating: 0, count: width))
    kernels.pointee.layer_norm_weight_gradient(floats(g), floats(x), mean, rstd, &dw, &db, rows, width, 0, width)
    #expect(relativeError(dw, expected.dw) < 5e-6)
    #expect(relativeError(db, expected.db) < 2e-6)
  }

  @Test(arguments: Engine.available) func headNorm(engine: Engine) {
    let kernels = engine.kernels
    var numbers = Numbers(3)
    let (rows, heads, size, ld) = (3, 2, 6, 15)
    let (x, w, g) = (numbers.next(rows * ld), numbers.next(size), numbers.next(rows * ld))
    func compact(_ x: [Double]) -> [Double] { (0..<rows).flatMap { x[$0 * ld..<$0 * ld + heads * size] } }
    var y = floats(x)
    var rstd = [Float](repeating: 0, count: rows * heads)
    kernels.pointee.head_norm_forward(floats(x), ld, floats(w), &y, ld, &rstd, rows, heads, size, 1e-5)
    #expect(relativeError(compact(y.map { Double($0) }), Reference.rmsNorm(compact(x), w, epsilon: 1e-5)) < 1e-6)
    let expected = Reference.rmsNormBackward(compact(g), compact(x), w, epsilon: 1e-5)
    var (dy, dw) = (floats(g), [Float](repeating: 0, count: size))
    kernels.pointee.head_norm_backward(&dy, ld, floats(x), ld, rstd, floats(w), &dw, rows, heads, size)
    #expect(relativeError(compact(dy.map { Double($0) }), expected.dx) < 2e-6)
    #expect(relativeError(dw, expected.dw) < 2e-6)
  }

  @Test(arguments: Engine.available, [false, true]) func rope(engine: Engine, interleaved: Bool) {
    let kernels = engine.kernels
    var numbers = Numbers(4)
    // Of ten numbers of a head eight are turned.
    let (rows, headCount, size, turned) = (3, 2, 10, 8)
    let kind = ck_rotation(size: size, turned: turned, interleaved: interleaved ? 1 : 0)
    let frequencies = [1, 0.3, 0.1, 0.03]
    let positions: [Int32] = [0, 5, 9]
    var (cosines, sines) = ([Float](), [Float]())
    for position in 0..<10 {
      for f in frequencies {
        cosines.append(Float(cos(Double(position) * f)))
        sines.append(Float(sin(Double(position) * f)))
      }
    }
    let x = numbers.next(rows * headCount * size)
    var y = floats(x)
    kernels.pointee.rope(&y, headCount * size, cosines, sines, positions, rows, headCount, kind, 1)
    // What the reference turns are halves of whole heads.
    var expected = x
    let places = (0..<turned).map { interleaved ? $0 % 2 * (turned / 2) + $0 / 2 : $0 }
    for row in 0..<rows * headCount {
      var halves = [Double](repeating: 0, count: turned)
      for (index, place) in places.enumerated() { halves[place] = x[row * size + index] }
      let result = Reference.rope(
        halves, headSize: turned, width: turned, positions: [Int(positions[row / headCount])],
        frequencies: frequencies)
      for (index, place) in places.enumerated() { expected[row * size + index] = result[place] }
    }
    #expect(relativeError(y, expected) < 1e-6)
    kernels.pointee.rope(&y, headCount * size, cosines, sines, positions, rows, headCount, kind, -1)
    #expect(relativeError(y, x) < 1e-6)
  }

  @Test(arguments: Engine.available) func clampedSwishGates(engine: Engine) {
    let kernels = engine.kernels
    var numbers = Numbers(9)
    let count = 37
    let (gate, up, d) = (numbers.next(count, scale: 16), numbers.next(count, scale: 16), numbers.next(count))
    func f(_ gate: Double, _ up: Double) -> Double {
      let (g, u) = (min(gate, 7), max(-7, min(up, 7)))
      return (1 + u) * g / (1 + exp(-1.702 * g))
    }
    let expected = zip(gate, up).map(f)
    var (x, y, act) = (floats(gate), floats(up), [Float](repeating: 0, count: count))
    kernels.pointee.gated_forward(CK_CLAMPED_SWISH, x, y, count, &act, 1, count)
    #expect(relativeError(act, expected) < 1e-6)
    kernels.pointee.gated_backward(CK_CLAMPED_SWISH, &x, &y, count, floats(d), &act, 1, count)
    #expect(relativeError(act, expected) < 1e-6)
    let step = 1e-5
    let dgate = gate.indices.map { i in
      d[i] * (f(gate[i] + step, up[i]) - f(gate[i] - step, up[i])) / (2 * step)
    }
    let dup = gate.indices.map { i in d[i] * (f(gate[i], up[i] + step) - f(gate[i], up[i] - step)) / (2 * step) }
    #expect(relativeError(x, dgate) < 1e-5)
    #expect(relativeError(y, dup) < 1e-5)
    #expect(gate.contains { $0 > 7 } && up.contains { $0 > 7 } && up.contains { $0 < -7 })
  }

  private typealias Function = (Double) -> (value: Double, slope: Double)

  @Test(arguments: Engine.available, [CK_SILU, CK_GELU_TANH, CK_GELU, CK_RELU_SQUARED, CK_SIGMOID].map(\.rawValue))
  func activations(
    engine: Engine, kind: UInt32
  ) {
    let kernels = engine.kernels
    let kind = ck_activation(rawValue: kind)
    let f: Function =
      switch kind {
      case CK_SILU: Reference.silu
      case CK_GELU_TANH: Reference.geluTanh
      case CK_RELU_SQUARED: Reference.reluSquared
      case CK_SIGMOID: Reference.sigmoid
      default: Reference.gelu
      }
    var numbers = Numbers(5)
    let (rows, width) = (6, 37)
    let (x, bias) = (numbers.next(rows * width, scale: 8), numbers.next(width))
    let (up, d) = (numbers.next(rows * width), numbers.next(rows * width))
    let shifted = x.indices.map { Double(Float(x[$0]) + Float(bias[$0 % width])) }
    var (pre, act) = (floats(x), [Float](repeating: 0, count: rows * width))
    kernels.pointee.activation_forward(kind, &pre, floats(bias), &act, rows, width)
    #expect(relativeError(act, shifted.map { f($0).value }) < 1e-6)
    kernels.pointee.activation_backward(kind, &pre, floats(d), &act, rows, width)
    #expect(relativeError(pre, zip(shifted, d).map { f($0).slope * $1 }) < 2e-6)
    #expect(relativeError(act, shifted.map { f($0).value }) < 1e-6)

    // gate and up side by side
    var both = [Float](repeating: 0, count: rows * 2 * width)
    for row in 0..<rows {
      for j in 0..<width {
        both[row * 2 * width + j] = Float(x[row * width + j])
        both[row * 2 * width + width + j] = Float(up[row * width + j])
      }
    }
    both.withUnsafeMutableBufferPointer { both in
      guard let gate = both.baseAddress else { return }
      kernels.pointee.gated_forward(kind, gate, gate + width, 2 * width, &act, rows, width)
      #expect(relativeError(act, zip(x, up).map { f($0).value * $1 }) < 1e-6)
      kernels.pointee.gated_backward(kind, gate, gate + width, 2 * width, floats(d), &act, rows, width)
    }
    #expect(relativeError(act, zip(x, up).map { f($0).value * $1 }) < 1e-6)
    for row in 0..<rows {
      let range = row * width..<(row + 1) * width
      let gate = Array(both[row * 2 * width..<row * 2 * width + width])
      let dup = Array(both[row * 2 * width + width..<(row + 1) * 2 * width])
      #expect(relativeError(gate, range.map { d[$0] * up[$0] * f(x[$0]).slope }) < 2e-6)
      #expect(relativeError(dup, range.map { d[$0] * f(x[$0]).value }) < 2e-6)
    }
  }

  @Test(arguments: Engine.available) func dropoutKeepsTheMeanAndItsMaskReturns(engine: Engine) {
    let kernels = engine.kernels
    let count = 100_000
    let x = [Float](repeating: 1, count: count)
    var (y, z) = (x, [Float](repeating: 0, count: count))
    kernels.pointee.dropout(x, &y, count, 7, 0, 0.3)
    let kept = y.count { $0 != 0 }
    #expect(abs(Double(kept) / Double(count) - 0.7) < 0.01)
    #expect(y.allSatisfy { $0 == 0 || abs($0 - 1 / 0.7) < 1e-6 })
    // in two pieces, added
    kernels.pointee.dropout_accumulate(x, &z, 1000, 7, 0, 0.3)
    z.withUnsafeMutableBufferPointer { z in
      if let base = z.baseAddress { kernels.pointee.dropout_accumulate(x, base + 1000, count - 1000, 7, 1000, 0.3) }
    }
    #expect(y == z)
  }

  @Test(arguments: Engine.available, [0, 3.0]) func softmaxSeesTheDiagonalAndTheWindow(engine: Engine, cap: Double) {
    let kernels = engine.kernels
    var numbers = Numbers(6)
    let (rows, columns, scale) = (4, 7, 0.5)
    let kind = ck_scores(scale: Float(scale), cap: Float(cap))
    func capped(_ z: Double) -> Double { cap == 0 ? z * scale : cap * tanh(z * scale / cap) }
    for (diagonal, window) in [(3, 100), (2, 3), (0, 1)] {
      let (z, g) = (numbers.next(rows * columns, scale: 5), numbers.next(rows * columns))
      func sees(_ i: Int) -> [Int] { (0..<columns).filter { $0 <= i + diagonal && $0 > i + diagonal - window } }
      func softmax(_ z: [Double]) -> [Double] {
        (0..<rows).flatMap { i -> [Double] in
          let seen = sees(i)
          let sum = seen.reduce(0) { $0 + exp(capped(z[i * columns + $1])) }
          return (0..<columns).map { seen.contains($0) ? exp(capped(z[i * columns + $0])) / sum : 0 }
        }
      }
      let p = softmax(z)
      var (scores, lse) = (floats(z), [Float](repeating: 0, count: rows))
      var inverse = [Float](repeating: 0, count: rows)
      kernels.pointee.softmax_forward(
        &scores, columns, rows, columns, diagonal, window, kind, &lse, 1, &inverse)
      for i in scores.indices { scores[i] *= inverse[i / columns] }
      #expect(relativeError(scores, p) < 1e-6)
      let delta = (0..<rows).map { i -> Float in
        let row = i * columns..<(i + 1) * columns
        return Float(zip(p[row], g[row]).reduce(0.0) { $0 + $1.0 * $1.1 })
      }
      var (again, dp) = (floats(z), floats(g))
      kernels.pointee.softmax_backward(
        &again, &dp, columns, rows, columns, diagonal, window, kind, lse, delta, 1)
      #expect(relativeError(again, p) < 1e-6)
      #expect(relativeError(dp, differences(z) { dot(softmax($0), g) }) < 1e-5)
    }
  }

  @Test(arguments: Engine.available) func logitStatisticsEqualTheNaiveOnes(engine: Engine) {
    let kernels = engine.kernels
    var numbers = Numbers(7)
    let (rows, columns) = (3, 133)
    let z = numbers.next(rows * columns, scale: 30)
    var found = [ck_logit_statistics](repeating: ck_logit_statistics(), count: rows)
    kernels.pointee.logits_statistics(floats(z), columns, rows, columns, 1000, &found, 1)
    for row in 0..<rows {
      let logits = Array(z[row * columns..<(row + 1) * columns])
      let top = logits.max() ?? 0
      let e = logits.map { exp($0 - top) }
      #expect(Double(found[row].max) == top)
      #expect(Int(found[row].argmax) == 1000 + (logits.firstIndex(of: top) ?? -1))
      #expect(relativeError([found[row].sum], [e.reduce(0, +)]) < 1e-6)
      #expect(relativeError([found[row].squares], [e.reduce(0) { $0 + $1 * $1 }]) < 1e-6)
      #expect(relativeError([found[row].weighted], [zip(e, logits).reduce(0) { $0 + $1.0 * ($1.1 - top) }]) < 2e-6)
      #expect(abs(Double(found[row].total) - logits.reduce(0, +)) < 1e-3)
    }
    var tie: [Float] = [1, 5, 5, 2]
    kernels.pointee.logits_statistics(tie, 4, 1, 4, 0, &found, 1)
    #expect(found[0].argmax == 1)
    tie[3] = .nan
    kernels.pointee.logits_statistics(tie, 4, 1, 4, 0, &found, 1)
    #expect(found[0].sum.isNaN)
  }

  @Test(arguments: Engine.available) func logitGradient(engine: Engine) {
    let kernels = engine.kernels
    var numbers = Numbers(8)
    let z = numbers.next(21, scale: 6)
    let lse = z[3] - Reference.logProb(z, 3)
    var found = floats(z)
    kernels.pointee.logits_backward(&found, 21, 1, 21, [Float(lse)], [0.7], 0)
    var expected = Reference.logProbBackward(z, 3).map { 0.7 * $0 }
    expected[3] -= 0.7
    #expect(relativeError(found, expected) < 2e-6)

    var capped = floats(z.map { $0 / 4 })
    kernels.pointee.soft_cap(&capped, 21, 4)
    let top = z.map { 4 * tanh($0 / 4) }
    #expect(relativeError(capped, top) < 1e-6)
    let sum = log(top.reduce(0) { $0 + exp($1) })
    kernels.pointee.logits_backward(&capped, 21, 1, 21, [Float(sum)], [0.7], 4)
    #expect(relativeError(capped, top.map { -0.7 * exp($0 - sum) * 4 * (1 - ($0 / 4) * ($0 / 4)) }) < 3e-6)
  }

  /// Row by row and in chunks against the equations in double precision: a root of so many rows and two branches.
  @Test(arguments: Engine.available, [1, 63, 64, 65, 224]) func theDeltaRule(engine: Engine, count: Int) throws {
    let kernels = engine.kernels
    let (keys, values, chunk) = (12, 21, 64)
    let (ld, size) = (2 * keys + values, keys * values)
    var before: [Int] = []
    var chunks: [(rows: Range<Int>, before: Int)] = []
    for (rows, parent) in [(count, -1), (5, count - 1), (70, count - 1)] {
      for start in stride(from: before.count, to: before.count + rows, by: chunk) {
        let row = start == before.count ? parent : start - 1
        let end = min(start + chunk, before.count + rows)
        chunks.append((start..<end, chunks.firstIndex { $0.rows.last == row } ?? -1))
      }
      before.append(parent)
      for _ in 0..<rows - 1 { before.append(before.count - 1) }
    }
    var numbers = Numbers(9)
    let x = numbers.deltaRows(keys: keys, values: values, before: before)
    let (dout, last) = (numbers.next(before.count * values), numbers.next(size))
    let (outputs, states) = Reference.delta(x)
    let expected = Reference.deltaBackward(dout, last: last, x)

    func buffer(_ numbers: [Double]) throws -> FloatBuffer {
      let buffer = try FloatBuffer(count: numbers.count)
      for (index, number) in numbers.enumerated() { buffer.pointer[index] = Float(number) }
      return buffer
    }
    var rows: [Double] = []
    for t in before.indices {
      rows += x.q[t * keys..<(t + 1) * keys]
      rows += x.k[t * keys..<(t + 1) * keys]
      rows += x.v[t * values..<(t + 1) * values]
    }
    let side = try buffer(rows)
    let (decay, beta, d) = (try buffer(x.decay), try buffer(x.beta), try buffer(dout))
    let scratch = try buffer([Double](repeating: .nan, count: ck_delta_scratch(chunk, keys, values)))
    func rule(_ row: Int) -> ck_delta {
      let own = side.pointer + row * ld
      return ck_delta(
        q: own, k: own + keys, v: own + 2 * keys, ld: ld, decay: decay.pointer + row, beta: beta.pointer + row, ldc: 1,
        keys: keys, values: values)
    }
    // A tree has no order of rows that a recurrence could go through, but its root has.
    let (state, out) = (try buffer(x.state), try FloatBuffer(count: before.count * values))
    var whole = rule(0)
    kernels.pointee.delta_forward(&whole, count, state.pointer, out.pointer, values, scratch.pointer)
    #expect(relativeError(Array(out.buffer.prefix(count * values)), Array(outputs.prefix(count * values))) < 2e-6)
    #expect(relativeError(Array(state.buffer), states[count - 1]) < 2e-6)

    // States before the chunks and behind them, with outputs and without.
    let first = try buffer(x.state)
    let behind = try chunks.map { _ in try FloatBuffer(count: size) }
    func start(_ index: Int) -> FloatBuffer { chunks[index].before < 0 ? first : behind[chunks[index].before] }
    for makesOutputs in [false, true] {
      for (index, part) in chunks.enumerated() {
        behind[index].pointer.update(from: start(index).pointer, count: size)
        var own = rule(part.rows.lowerBound)
        kernels.pointee.delta_chunk_forward(
          &own, part.rows.count, behind[index].pointer,
          makesOutputs ? out.pointer + part.rows.lowerBound * values : nil, values, scratch.pointer)
        #expect(relativeError(Array(behind[index].buffer), states[part.rows.upperBound - 1]) < 2e-6)
      }
    }
    #expect(relativeError(Array(out.buffer), outputs) < 2e-6)

    let zeros = [Double](repeating: 0, count: size)
    let dstates = try chunks.indices.map { try buffer($0 == chunks.count - 1 ? last : zeros) }
    let dfirst = try buffer(zeros)
    let dside = try buffer([Double](repeating: 0, count: before.count * ld))
    let (dlog, dbeta) = (try FloatBuffer(count: before.count), try FloatBuffer(count: before.count))
    for (index, part) in chunks.enumerated().reversed() {
      let row = part.rows.lowerBound
      let g = dside.pointer + row * ld
      var gradient = ck_delta_gradient(
        q: g, k: g + keys, v: g + 2 * keys, ld: ld, log_decay: dlog.pointer + row, beta: dbeta.pointer + row,
        ldc: 1)
      var own = rule(row)
      kernels.pointee.delta_chunk_backward(
        &own, part.rows.count, start(index).pointer, d.pointer + row * values, values, dstates[index].pointer,
        &gradient, scratch.pointer)
      let sum = part.before < 0 ? dfirst : dstates[part.before]
      kernels.pointee.accumulate(sum.pointer, dstates[index].pointer, size)
    }
    func columns(_ range: Range<Int>) -> [Float] {
      before.indices.flatMap { t in range.map { dside.pointer[t * ld + $0] } }
    }
    #expect(relativeError(columns(0..<keys), expected.q) < 3e-6)
    #expect(relativeError(columns(keys..<2 * keys), expected.k) < 3e-6)
    #expect(relativeError(columns(2 * keys..<ld), expected.v) < 3e-6)
    #expect(relativeError(Array(dlog.buffer), zip(expected.decay, x.decay).map { $0 * $1 }) < 3e-6)
    // Of rows that forget nearly all there is little left to be summed.
    for t in before.indices where x.decay[t] < 1e-5 {
      #expect(relativeError([dlog.pointer[t]], [expected.decay[t] * x.decay[t]]) < 1e-3)
    }
    #expect(relativeError(Array(dbeta.buffer), expected.beta) < 3e-6)
    #expect(relativeError(Array(dfirst.buffer), expected.state) < 3e-6)
  }
}
