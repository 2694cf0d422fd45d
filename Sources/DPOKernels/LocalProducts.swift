/// Products on the calling thread, for work that is cut into tasks by other things than a product's size.
package struct LocalProducts {
  /// One side of a product: panels in scratch memory.
  package struct Side {
    fileprivate let x: UnsafePointer<Float>
    let rows, k: Int
  }

  private let panels: Panels

  package init(_ engine: Engine, _ precision: Precision) { panels = Panels(engine, precision) }

  /// Numbers of scratch memory that a left side takes at most, with any engine and in any precision.
  package static func leftCount(rows: Int, k: Int) -> Int { (rows * 4 / 3 + 16) * k }
  package static func rightCount(rows: Int, k: Int) -> Int { (rows + 32) * k }

  /// A of C = A Bᵀ: row i, number p at x[i · distance + p], or at x[p · distance + i] if transposed.
  package func left(
    _ x: UnsafePointer<Float>, _ distance: Int, transposed: Bool = false, rows: Int, k: Int,
    in scratch: UnsafeMutablePointer<Float>
  ) -> Side {
    panels.pack(.a, x, distance, transposed: transposed, rows: rows, part: 0..<k, of: k, into: scratch)
    return Side(x: UnsafePointer(scratch), rows: rows, k: k)
  }

  /// B of C = A Bᵀ.
  package func right(
    _ x: UnsafePointer<Float>, _ distance: Int, transposed: Bool = false, rows: Int, k: Int,
    in scratch: UnsafeMutablePointer<Float>
  ) -> Side {
    panels.pack(.b, x, distance, transposed: transposed, rows: rows, part: 0..<k, of: k, into: scratch)
    return Side(x: UnsafePointer(scratch), rows: rows, k: k)
  }

  /// C[a.rows, b.rows] = A Bᵀ, or added to C. Both sides have the same k.
  package func multiply(
    _ a: Side, _ b: Side, into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool = false
  ) {
    panels.multiply((a.x, a.k), (b.x, b.k), a.rows, b.rows, a.k, into: c, ldc, accumulates: accumulates)
  }
}
