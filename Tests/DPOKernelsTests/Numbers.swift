import DPOBase
import DPOKernels
import DPOPlatform

/// Reproducible numbers in −1 … 1, exact in f32.
struct Numbers {
  var random: CounterRandom
  init(_ seed: UInt64) { random = CounterRandom(key: seed) }
  mutating func next(_ count: Int, scale: Double = 1) -> [Double] {
    (0..<count).map { _ in Double(Float((2 * random.uniform() - 1) * scale)) }
  }
}

extension Numbers {
  /// With keys and queries about as long as a model has them, and decays of which one in seven forgets nearly all.
  mutating func deltaRows(keys: Int, values: Int, before: [Int]) -> Reference.DeltaRows {
    let (rows, length) = (before.count, 1.7 / Double(keys).squareRoot())
    func exact(_ x: Double) -> Double { Double(Float(x)) }
    return Reference.DeltaRows(
      keys: keys, values: values, before: before, q: next(rows * keys, scale: length),
      k: next(rows * keys, scale: length), v: next(rows * values),
      decay: next(rows).enumerated().map {
        exact($0.offset % 7 == 5 ? exp(-40 * abs($0.element)) : exp(-0.1 * abs($0.element)))
      },
      beta: next(rows).map { exact(1 / (1 + exp(-2 * $0))) }, state: next(keys * values))
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
