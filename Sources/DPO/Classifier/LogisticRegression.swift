import DPOPlatform

/// Rows of sparse features.
struct SparseRows {
  private(set) var starts = [0]
  private(set) var features: [Int32] = []
  private(set) var values: [Float] = []

  var count: Int { starts.count - 1 }

  mutating func append(_ row: [(feature: Int32, value: Float)]) {
    features.append(contentsOf: row.map(\.feature))
    values.append(contentsOf: row.map(\.value))
    starts.append(features.count)
  }
}

/// L2-regularised logistic regression: minimises ½‖w‖² + C Σ_i log(1 + e^(−y_i (w·x_i + b))) with y = ±1, b free.
struct LogisticRegression {
  let rows: SparseRows
  let labels: [Bool]
  /// C: weight of the data against the regulariser.
  let cost: Double

  /// The minimum by L-BFGS (Nocedal 1980) with ten corrections and Armijo's rule; weights, then b. The problem is
  /// strictly convex in w: the result does not depend on where it starts, and is the same in each run.
  func minimum(features: Int, tolerance: Double = 1e-4, maximumIterations: Int = 500) -> [Double] {
    var x = [Double](repeating: 0, count: features + 1)
    var (value, gradient) = evaluate(x)
    let limit = tolerance * max(1, norm(gradient))
    var steps: [(s: [Double], y: [Double], rho: Double)] = []
    for _ in 0..<maximumIterations where norm(gradient) > limit {
      let direction = descent(gradient, steps)
      let slope = dot(direction, gradient)
      var length = steps.isEmpty ? 1 / max(1, norm(gradient)) : 1
      var next = moved(x, direction, length)
      var (nextValue, nextGradient) = evaluate(next)
      while nextValue > value + 1e-4 * length * slope, length > 1e-12 {
        length /= 2
        next = moved(x, direction, length)
        (nextValue, nextGradient) = evaluate(next)
      }
      guard nextValue < value else { break }  // as low as rounding allows
      let s = zip(next, x).map { $0 - $1 }
      let y = zip(nextGradient, gradient).map { $0 - $1 }
      let curvature = dot(s, y)
      if curvature > 0 {
        if steps.count == 10 { steps.removeFirst() }
        steps.append((s, y, 1 / curvature))
      }
      (x, value, gradient) = (next, nextValue, nextGradient)
    }
    return x
  }

  /// −H g with the inverse Hessian of the last steps (two-loop recursion).
  private func descent(_ gradient: [Double], _ steps: [(s: [Double], y: [Double], rho: Double)]) -> [Double] {
    var q = gradient.map { -$0 }
    var alphas: [Double] = []
    for step in steps.reversed() {
      let alpha = step.rho * dot(step.s, q)
      alphas.append(alpha)
      q = moved(q, step.y, -alpha)
    }
    if let last = steps.last {
      let scale = 1 / (last.rho * dot(last.y, last.y))
      q = q.map { $0 * scale }
    }
    for (step, alpha) in zip(steps, alphas.reversed()) {
      q = moved(q, step.s, alpha - step.rho * dot(step.y, q))
    }
    return q
  }

  /// The objective and its gradient.
  private func evaluate(_ x: [Double]) -> (value: Double, gradient: [Double]) {
    var gradient = x
    let bias = x.count - 1
    gradient[bias] = 0
    var value = 0.5 * x.dropLast().reduce(0) { $0 + $1 * $1 }
    x.withUnsafeBufferPointer { x in
      gradient.withUnsafeMutableBufferPointer { gradient in
        rows.features.withUnsafeBufferPointer { features in
          rows.values.withUnsafeBufferPointer { values in
            for row in 0..<rows.count {
              var score = x[bias]
              for entry in rows.starts[row]..<rows.starts[row + 1] {
                score += x[Int(features[entry])] * Double(values[entry])
              }
              let sign: Double = labels[row] ? 1 : -1
              value -= cost * logSigmoid(sign * score)
              let slope = -cost * sign * sigmoid(-sign * score)
              gradient[bias] += slope
              for entry in rows.starts[row]..<rows.starts[row + 1] {
                gradient[Int(features[entry])] += slope * Double(values[entry])
              }
            }
          }
        }
      }
    }
    return (value, gradient)
  }

  private func norm(_ x: [Double]) -> Double { dot(x, x).squareRoot() }

  private func dot(_ x: [Double], _ y: [Double]) -> Double {
    var sum = 0.0
    for i in 0..<min(x.count, y.count) { sum += x[i] * y[i] }
    return sum
  }

  private func moved(_ x: [Double], _ direction: [Double], _ length: Double) -> [Double] {
    var result = x
    for i in 0..<min(x.count, direction.count) { result[i] += length * direction[i] }
    return result
  }
}
