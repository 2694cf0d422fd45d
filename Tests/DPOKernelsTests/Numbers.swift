import DPOBase

/// Reproducible numbers in −1 … 1, exact in f32.
struct Numbers {
  var random: CounterRandom
  init(_ seed: UInt64) { random = CounterRandom(key: seed) }
  mutating func next(_ count: Int, scale: Double = 1) -> [Double] {
    (0..<count).map { _ in Double(Float((2 * random.uniform() - 1) * scale)) }
  }
}

func floats(_ values: [Double]) -> [Float] { values.map { Float($0) } }

/// Largest |a − b| divided by the largest |b|.
func relativeError(_ a: [Float], _ b: [Double]) -> Double { relativeError(a.map { Double($0) }, b) }

func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  var (error, scale) = (0.0, 1e-30)
  for (x, y) in zip(a, b) {
    error = (x - y).isNaN ? .infinity : max(error, abs(x - y))
    scale = max(scale, abs(y))
  }
  return error / scale
}

/// d f / d x by central differences.
func differences(_ x: [Double], step: Double = 1e-5, _ f: ([Double]) -> Double) -> [Double] {
  x.indices.map { index in
    var moved = x
    moved[index] = x[index] + step
    let up = f(moved)
    moved[index] = x[index] - step
    return (up - f(moved)) / (2 * step)
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
