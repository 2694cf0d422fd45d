import DPOKernels
import Testing

/// The naive backward passes against finite differences of the naive forward passes.
@Suite(.timeLimit(.minutes(10))) struct ReferenceTests {
  @Test func linear() {
    var numbers = Numbers(1)
    let (x, w, b, g) = (numbers.next(3 * 5), numbers.next(4 * 5), numbers.next(4), numbers.next(3 * 4))
    let found = Reference.linearBackward(g, x, w, inputSize: 5)
    #expect(relativeError(found.dx, differences(x) { dot(g, Reference.linear($0, w, b, inputSize: 5)) }) < 1e-8)
    #expect(relativeError(found.dw, differences(w) { dot(g, Reference.linear(x, $0, b, inputSize: 5)) }) < 1e-8)
    #expect(relativeError(found.db, differences(b) { dot(g, Reference.linear(x, w, $0, inputSize: 5)) }) < 1e-8)
  }

  @Test func norms() {
    var numbers = Numbers(2)
    let (x, w, b, g) = (numbers.next(3 * 7), numbers.next(7), numbers.next(7), numbers.next(3 * 7))
    let rms = Reference.rmsNormBackward(g, x, w, epsilon: 1e-3)
    #expect(relativeError(rms.dx, differences(x) { dot(g, Reference.rmsNorm($0, w, epsilon: 1e-3)) }) < 1e-7)
    #expect(relativeError(rms.dw, differences(w) { dot(g, Reference.rmsNorm(x, $0, epsilon: 1e-3)) }) < 1e-7)
    let layer = Reference.layerNormBackward(g, x, w, epsilon: 1e-3)
    #expect(relativeError(layer.dx, differences(x) { dot(g, Reference.layerNorm($0, w, b, epsilon: 1e-3)) }) < 1e-7)
    #expect(relativeError(layer.dw, differences(w) { dot(g, Reference.layerNorm(x, $0, b, epsilon: 1e-3)) }) < 1e-7)
    #expect(relativeError(layer.db, differences(b) { dot(g, Reference.layerNorm(x, w, $0, epsilon: 1e-3)) }) < 1e-7)
  }

  @Test func rope() {
    var numbers = Numbers(3)
    let (x, g) = (numbers.next(2 * 12), numbers.next(2 * 12))
    func forward(_ x: [Double], sign: Double = 1) -> [Double] {
      Reference.rope(x, headSize: 4, width: 12, positions: [3, 11], frequencies: [1, 0.1], sign: sign)
    }
    #expect(relativeError(forward(g, sign: -1), differences(x) { dot(g, forward($0)) }) < 1e-8)
  }

  @Test func activations() {
    for f in [Reference.silu, Reference.geluTanh, Reference.gelu] {
      for x in stride(from: -6.0, through: 6, by: 0.37) {
        #expect(abs(f(x).slope - differences([x]) { f($0[0]).value }[0]) < 1e-8)
      }
    }
  }

  @Test func attention() {
    var numbers = Numbers(4)
    let shape = Reference.AttentionShape(heads: 4, keyValueHeads: 2, size: 3)
    let (q, k, v, g) = (numbers.next(5 * 12), numbers.next(5 * 6), numbers.next(5 * 6), numbers.next(5 * 12))
    let sees = [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4]]
    let found = Reference.attentionBackward(g, q, k, v, shape, sees: sees)
    #expect(relativeError(found.dq, differences(q) { dot(g, Reference.attention($0, k, v, shape, sees: sees)) }) < 1e-7)
    #expect(relativeError(found.dk, differences(k) { dot(g, Reference.attention(q, $0, v, shape, sees: sees)) }) < 1e-7)
    #expect(relativeError(found.dv, differences(v) { dot(g, Reference.attention(q, k, $0, shape, sees: sees)) }) < 1e-7)
  }

  @Test func theDeltaRule() {
    var numbers = Numbers(6)
    let x = numbers.deltaRows(keys: 3, values: 4, before: [-1, 0, 1, 1, 3])
    let (g, last) = (numbers.next(5 * 4), numbers.next(3 * 4))
    let found = Reference.deltaBackward(g, last: last, x)
    func slopes(_ part: WritableKeyPath<Reference.DeltaRows, [Double]>) -> [Double] {
      differences(x[keyPath: part]) { changed in
        var some = x
        some[keyPath: part] = changed
        let (outputs, states) = Reference.delta(some)
        return dot(g, outputs) + dot(last, states[4])
      }
    }
    for part in [\Reference.DeltaRows.q, \.k, \.v, \.decay, \.beta, \.state] {
      #expect(relativeError(found[keyPath: part], slopes(part)) < 1e-7)
    }
  }

  @Test func logProb() {
    var numbers = Numbers(5)
    let z = numbers.next(9, scale: 4)
    #expect(relativeError(Reference.logProbBackward(z, 6), differences(z) { Reference.logProb($0, 6) }) < 1e-8)
  }
}
