import CKernels

/// The format in which an engine multiplies: both sides of C = A Bᵀ in panels of consecutive rows.
package struct Panels {
  /// A side of a product.
  package enum Side { case a, b }

  let kernels: UnsafePointer<ck_engine>
  private let precision: ck_gemm_precision

  package init(_ engine: Engine, _ precision: Precision) {
    kernels = engine.kernels
    self.precision = precision == .bf16 ? engine.kernels.pointee.bf16 : CK_GEMM_F32
  }

  /// Rows of a panel.
  package func width(_ side: Side) -> Int { side == .a ? kernels.pointee.m : kernels.pointee.n }

  /// Numbers of 4 bytes that a slot of a panel takes for `width` rows.
  func slot(_ side: Side) -> Int { side == .a ? kernels.pointee.a_slot : kernels.pointee.b_slot }

  /// Numbers of 4 bytes that a side takes; also where row `rows` begins, if a panel begins with it.
  package func count(_ side: Side, rows: Int, k: Int) -> Int {
    ck_gemm_packed(kernels, precision, side == .a ? 1 : 0, rows, k)
  }

  /// How far number `k` of a panel's rows stands behind the first.
  func offset(_ side: Side, k: Int) -> Int { slot(side) * ck_gemm_slots(precision, k) }

  /// Packs numbers `part` of each of `rows` rows that have `k` numbers. `x` points at the first of them: row i, number p at
  /// x[i · distance + p], or at x[p · distance + i] if transposed.
  package func pack(
    _ side: Side, _ x: UnsafePointer<Float>, _ distance: Int, transposed: Bool, alpha: Float = 1, rows: Int,
    part: Range<Int>, of k: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    kernels.pointee.pack(
      precision, side == .a ? 1 : 0, x, distance, transposed ? 1 : 0, alpha, rows, part.lowerBound, part.upperBound, k,
      packed)
  }

  /// A packed side from some panel on; its panels have `k` numbers a row.
  package typealias Packed = (x: UnsafePointer<Float>, k: Int)

  /// C[m, n] = A Bᵀ over `k` numbers, or added to C.
  package func multiply(
    _ a: Packed, _ b: Packed, _ m: Int, _ n: Int, _ k: Int, into c: UnsafeMutablePointer<Float>, _ ldc: Int,
    accumulates: Bool
  ) {
    kernels.pointee.multiply(
      precision, a.x, ck_gemm_slots(precision, a.k), b.x, ck_gemm_slots(precision, b.k), m, n, k, c, ldc,
      accumulates ? 1 : 0)
  }
}
