/// Arithmetic of matrix products; sums are f32 in both.
public enum Precision: String, Sendable, CaseIterable {
  /// Operands are f32.
  case fp32
  /// Both operands are rounded to bf16 on their way into the product.
  case bf16
}

/// Rows of k numbers that take part in a product: the rows of a matrix, or its columns.
package struct Operand {
  enum Storage {
    case floats(UnsafePointer<Float>, distance: Int)
    /// Encoded weights, which are decoded a block at a time on their way into the product.
    case stored(StoredTensor)
    /// Numbers from `k` on of what the team's packing memory holds.
    case prepared(PreparedOperand, k: Int)
  }

  let storage: Storage
  /// Its rows are the columns of the stored matrix.
  let isTransposed: Bool

  /// Row i, number p at x[i · distance + p].
  package static func rows(_ x: UnsafePointer<Float>, _ distance: Int) -> Operand {
    Operand(storage: .floats(x, distance: distance), isTransposed: false)
  }
  /// Row i, number p at x[p · distance + i].
  package static func columns(_ x: UnsafePointer<Float>, _ distance: Int) -> Operand {
    Operand(storage: .floats(x, distance: distance), isTransposed: true)
  }
  package static func rows(_ tensor: StoredTensor) -> Operand {
    Operand(storage: .stored(tensor), isTransposed: false)
  }
  package static func columns(_ tensor: StoredTensor) -> Operand {
    Operand(storage: .stored(tensor), isTransposed: true)
  }

  package static func prepared(_ operand: PreparedOperand, k: Int = 0) -> Operand {
    Operand(storage: .prepared(operand, k: k), isTransposed: false)
  }

  /// Rows that are decoded together at least.
  var granularity: Int {
    if isTransposed, case .stored(let tensor) = storage { return tensor.dtype.blockElements }
    return 1
  }
}

/// C[m, n] = Σ terms alpha · A Bᵀ, or added to what C holds, with A of m rows and B of n rows. C is row-major.
package struct Product {
  package struct Term {
    let a, b: Operand
    let k: Int
    let alpha: Float

    package init(_ a: Operand, _ b: Operand, k: Int, alpha: Float = 1) {
      self.a = a
      self.b = b
      self.k = k
      self.alpha = alpha
    }
  }

  let m, n, ldc: Int
  let c: UnsafeMutablePointer<Float>
  let accumulates: Bool
  /// The operand that all threads read; the other one is cut into tasks. It is never a stored tensor.
  let shared: Panels.Side
  var terms: [Term]

  package init(
    _ m: Int, _ n: Int, into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool = false,
    sharing shared: Panels.Side = .a, _ terms: [Term]
  ) {
    self.m = m
    self.n = n
    self.c = c
    self.ldc = ldc
    self.accumulates = accumulates
    self.shared = shared
    self.terms = terms
  }

  /// dW[out, in] += dy[t, out]ᵀ · x[t, in]
  package static func weightGradient(
    _ rows: Int, dy: UnsafePointer<Float>, _ ldy: Int, x: UnsafePointer<Float>, inputSize: Int, outputSize: Int,
    into dw: UnsafeMutablePointer<Float>
  ) -> Product {
    Product(
      outputSize, inputSize, into: dw, inputSize, accumulates: true, sharing: inputSize <= outputSize ? .b : .a,
      [Term(.columns(dy, ldy), .columns(x, inputSize), k: rows)])
  }

  var operations: Double { terms.reduce(0) { $0 + 2 * Double(m) * Double(n) * Double($1.k) } }
  var bytes: Double {
    terms.reduce(Double(m * n) * (accumulates ? 8 : 4)) { $0 + 4 * Double($1.k) * Double(m + n) }
  }
}
