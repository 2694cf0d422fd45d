import DPOPlatform

/// The operations of the decoder in plain loops and double precision, forward beside backward: what the fast kernels are
/// tested against, and what is itself tested against finite differences. Matrices are row-major arrays.
package enum Reference {}

extension Reference {
  /// y[t, out] = x[t, in] · W[out, in]ᵀ + b
  package static func linear(_ x: [Double], _ w: [Double], _ b: [Double]? = nil, inputSize: Int) -> [Double] {
    let (rows, out) = (x.count / inputSize, w.count / inputSize)
    var y = [Double](repeating: 0, count: rows * out)
    for t in 0..<rows {
      for o in 0..<out {
        var sum = b?[o] ?? 0
        for i in 0..<inputSize { sum += x[t * inputSize + i] * w[o * inputSize + i] }
        y[t * out + o] = sum
      }
    }
    return y
  }

  /// dx = dy W, dW = dyᵀ x, db = Σ dy
  package static func linearBackward(
    _ dy: [Double], _ x: [Double], _ w: [Double], inputSize: Int
  ) -> (dx: [Double], dw: [Double], db: [Double]) {
    let (rows, out) = (x.count / inputSize, w.count / inputSize)
    var dx = [Double](repeating: 0, count: x.count)
    var dw = [Double](repeating: 0, count: w.count)
    var db = [Double](repeating: 0, count: out)
    for t in 0..<rows {
      for o in 0..<out {
        let g = dy[t * out + o]
        db[o] += g
        for i in 0..<inputSize {
          dx[t * inputSize + i] += g * w[o * inputSize + i]
          dw[o * inputSize + i] += g * x[t * inputSize + i]
        }
      }
    }
    return (dx, dw, db)
  }

  /// y = w · x / √(mean(x²) + ε)
  package static func rmsNorm(_ x: [Double], _ w: [Double], epsilon: Double) -> [Double] {
    eachRow(x, w.count) { row in
      let r = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(row.count) + epsilon).squareRoot()
      return zip(row, w).map { $0 * r * $1 }
    }
  }

  /// With x̂ = x r: dx = r (w dy − x̂ mean(w dy x̂)), dw = Σ dy x̂
  package static func rmsNormBackward(
    _ dy: [Double], _ x: [Double], _ w: [Double], epsilon: Double
  ) -> (dx: [Double], dw: [Double]) {
    let width = w.count
    var dx = [Double](repeating: 0, count: x.count)
    var dw = [Double](repeating: 0, count: width)
    for t in 0..<x.count / width {
      let range = t * width..<(t + 1) * width
      let r = 1 / (x[range].reduce(0) { $0 + $1 * $1 } / Double(width) + epsilon).squareRoot()
      var mean = 0.0
      for (j, i) in range.enumerated() { mean += w[j] * dy[i] * x[i] * r / Double(width) }
      for (j, i) in range.enumerated() {
        dx[i] = r * (w[j] * dy[i] - x[i] * r * mean)
        dw[j] += dy[i] * x[i] * r
      }
    }
    return (dx, dw)
  }

  /// y = w · (x − mean) / √(var + ε) + b
  package static func layerNorm(_ x: [Double], _ w: [Double], _ b: [Double], epsilon: Double) -> [Double] {
    eachRow(x, w.count) { row in
      let (mean, r) = moments(row, epsilon)
      return row.enumerated().map { w[$0] * ($1 - mean) * r + b[$0] }
    }
  }

  /// With x̂ = (x − m) r: dx = r (w dy − mean(w dy) − x̂ mean(w dy x̂)), dw = Σ dy x̂, db = Σ dy
  package static func layerNormBackward(
    _ dy: [Double], _ x: [Double], _ w: [Double], epsilon: Double
  ) -> (dx: [Double], dw: [Double], db: [Double]) {
    let width = w.count
    var dx = [Double](repeating: 0, count: x.count)
    var dw = [Double](repeating: 0, count: width)
    var db = [Double](repeating: 0, count: width)
    for t in 0..<x.count / width {
      let range = t * width..<(t + 1) * width
      let (mean, r) = moments(Array(x[range]), epsilon)
      var (total, dot) = (0.0, 0.0)
      for (j, i) in range.enumerated() {
        total += w[j] * dy[i] / Double(width)
        dot += w[j] * dy[i] * (x[i] - mean) * r / Double(width)
      }
      for (j, i) in range.enumerated() {
        dx[i] = r * (w[j] * dy[i] - total - (x[i] - mean) * r * dot)
        dw[j] += dy[i] * (x[i] - mean) * r
        db[j] += dy[i]
      }
    }
    return (dx, dw, db)
  }

  private static func moments(_ row: [Double], _ epsilon: Double) -> (mean: Double, rstd: Double) {
    let mean = row.reduce(0, +) / Double(row.count)
    let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
    return (mean, 1 / (variance + epsilon).squareRoot())
  }

  private static func eachRow(_ x: [Double], _ width: Int, _ body: ([Double]) -> [Double]) -> [Double] {
    stride(from: 0, to: x.count, by: width).flatMap { body(Array(x[$0..<$0 + width])) }
  }

  /// (a, b) → (a cos − b sin, b cos + a sin) over the halves of each head; `sign` −1 is the backward pass.
  package static func rope(
    _ x: [Double], headSize: Int, width: Int, positions: [Int], frequencies: [Double], sign: Double = 1
  ) -> [Double] {
    var y = x
    for (t, position) in positions.enumerated() {
      for head in stride(from: t * width, to: (t + 1) * width, by: headSize) {
        for i in 0..<headSize / 2 {
          let angle = Double(position) * frequencies[i] * sign
          let (a, b) = (x[head + i], x[head + i + headSize / 2])
          y[head + i] = a * cos(angle) - b * sin(angle)
          y[head + i + headSize / 2] = b * cos(angle) + a * sin(angle)
        }
      }
    }
    return y
  }

  /// f(x) and f'(x)
  package static func silu(_ x: Double) -> (value: Double, slope: Double) {
    let s = 1 / (1 + exp(-x))
    return (x * s, s * (1 + x * (1 - s)))
  }

  package static func geluTanh(_ x: Double) -> (value: Double, slope: Double) {
    let c = (2 / Double.pi).squareRoot()
    let t = tanh(c * (x + 0.044715 * x * x * x))
    return (0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x))
  }

  package static func gelu(_ x: Double) -> (value: Double, slope: Double) {
    let cdf = 0.5 * erfc(-x / 2.0.squareRoot())
    return (x * cdf, cdf + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
  }

  package static func sigmoid(_ x: Double) -> (value: Double, slope: Double) {
    let s = 1 / (1 + exp(-x))
    return (s, s * (1 - s))
  }

  package static func reluSquared(_ x: Double) -> (value: Double, slope: Double) {
    x > 0 ? (x * x, 2 * x) : (0, 0)
  }

  /// log softmax(z)[target]
  package static func logProb(_ z: [Double], _ target: Int) -> Double {
    let top = z.max() ?? 0
    return z[target] - top - log(z.reduce(0) { $0 + exp($1 - top) })
  }

  /// onehot(target) − softmax(z)
  package static func logProbBackward(_ z: [Double], _ target: Int) -> [Double] {
    let top = z.max() ?? 0
    let sum = z.reduce(0) { $0 + exp($1 - top) }
    return z.enumerated().map { ($0 == target ? 1 : 0) - exp($1 - top) / sum }
  }
}
