import CKernels

/// Products on the calling thread, for work that is cut into tasks by other things than a product's size.
package struct LocalProducts {
  /// One side of a product: panels in scratch memory, or, where products go through OpenBLAS, the operand as it lies.
  package struct Side {
    fileprivate let x: UnsafePointer<Float>
    fileprivate let distance: Int
    fileprivate let isTransposed: Bool
    let rows, k: Int
  }

  let precision: Precision
  private let isPacked: Bool

  package init(_ precision: Precision) {
    self.precision = precision
    isPacked = ThreadTeam.packs(precision)
  }

  /// Numbers of scratch memory that a left side takes at most, in any precision.
  package static func leftCount(rows: Int, k: Int) -> Int { ck_gemm_packed(CK_GEMM_F32, rows, k, Int(CK_GEMM_M)) }
  package static func rightCount(rows: Int, k: Int) -> Int { ck_gemm_packed(CK_GEMM_F32, rows, k, Int(CK_GEMM_N)) }

  /// A of C = A Bᵀ: row i, number p at x[i · distance + p], or at x[p · distance + i] if transposed.
  package func left(
    _ x: UnsafePointer<Float>, _ distance: Int, transposed: Bool = false, rows: Int, k: Int,
    in scratch: UnsafeMutablePointer<Float>
  ) -> Side { side(x, distance, transposed, rows, k, Int(CK_GEMM_M), scratch) }

  /// B of C = A Bᵀ.
  package func right(
    _ x: UnsafePointer<Float>, _ distance: Int, transposed: Bool = false, rows: Int, k: Int,
    in scratch: UnsafeMutablePointer<Float>
  ) -> Side { side(x, distance, transposed, rows, k, Int(CK_GEMM_N), scratch) }

  private func side(
    _ x: UnsafePointer<Float>, _ distance: Int, _ transposed: Bool, _ rows: Int, _ k: Int, _ width: Int,
    _ scratch: UnsafeMutablePointer<Float>
  ) -> Side {
    guard isPacked else { return Side(x: x, distance: distance, isTransposed: transposed, rows: rows, k: k) }
    ck_gemm_pack(precision.packed, x, distance, transposed ? 1 : 0, 1, rows, 0, k, k, width, scratch)
    return Side(x: UnsafePointer(scratch), distance: 0, isTransposed: false, rows: rows, k: k)
  }

  /// C[a.rows, b.rows] = A Bᵀ, or added to C. Both sides have the same k.
  package func multiply(
    _ a: Side, _ b: Side, into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool = false
  ) {
    if isPacked {
      let slots = ck_gemm_slots(precision.packed, a.k)
      ck_gemm_multiply(precision.packed, a.x, slots, b.x, slots, a.rows, b.rows, a.k, c, ldc, accumulates ? 1 : 0)
    } else {
      gemm(
        a.isTransposed, !b.isTransposed, a.rows, b.rows, a.k, 1, a.x, a.distance, b.x, b.distance, accumulates ? 1 : 0,
        c, ldc)
    }
  }
}
