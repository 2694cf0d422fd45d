import CKernels
import COpenBLAS
import Glibc

/// Arithmetic of matrix products; sums are f32 in both.
public enum Precision: String, Sendable, CaseIterable {
  case fp32
  /// Both operands are rounded to bf16 on their way into the product.
  case bf16

  package var packed: ck_gemm_precision { self == .bf16 ? Precision.packedBF16 : CK_GEMM_F32 }
  private static let packedBF16 = ck_gemm_bf16()
  /// Whether bf16 products take less time than those of fp32, rather than as much.
  package static var bf16IsFaster: Bool { packedBF16 == CK_GEMM_BF16 }
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

  /// The operand that all threads read; the other one is cut into tasks. It is never a stored tensor.
  package enum Shared { case a, b }

  let m, n, ldc: Int
  let c: UnsafeMutablePointer<Float>
  let accumulates: Bool
  let shared: Shared
  var terms: [Term]

  package init(
    _ m: Int, _ n: Int, into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool = false,
    sharing shared: Shared = .a, _ terms: [Term]
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

/// C = alpha · op(A) op(B) + beta · C on the calling thread.
package func gemm(
  _ transposesA: Bool, _ transposesB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float, _ a: UnsafePointer<Float>,
  _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
) {
  guard m > 0, n > 0 else { return }
  cblas_sgemm(
    CblasRowMajor, transposesA ? CblasTrans : CblasNoTrans, transposesB ? CblasTrans : CblasNoTrans, Int32(m), Int32(n),
    Int32(k), alpha, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
}
