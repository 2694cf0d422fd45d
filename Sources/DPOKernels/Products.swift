import COpenBLAS

/// C[m, n] = Σ terms alpha · op(A) op(B), or added to what C holds. All matrices are row-major.
package struct Product {
  package struct Term {
    let a, b: UnsafePointer<Float>
    let lda, ldb, k: Int
    let transposesA, transposesB: Bool
    let alpha: Float

    /// op(A) is [m, k], op(B) is [k, n]. `lda`, `ldb` are distances of stored rows.
    package init(
      _ a: UnsafePointer<Float>, _ lda: Int, transposedA transposesA: Bool = false, _ b: UnsafePointer<Float>,
      _ ldb: Int,
      transposedB transposesB: Bool = false, k: Int, alpha: Float = 1
    ) {
      self.a = a
      self.b = b
      self.lda = lda
      self.ldb = ldb
      self.k = k
      self.transposesA = transposesA
      self.transposesB = transposesB
      self.alpha = alpha
    }
  }

  let m, n, ldc: Int
  let c: UnsafeMutablePointer<Float>
  let accumulates: Bool
  var terms: [Term]

  package init(
    _ m: Int, _ n: Int, into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool = false, _ terms: [Term]
  ) {
    self.m = m
    self.n = n
    self.c = c
    self.ldc = ldc
    self.accumulates = accumulates
    self.terms = terms
  }

  /// dW[out, in] += dy[t, out]ᵀ · x[t, in]
  package static func weightGradient(
    _ rows: Int, dy: UnsafePointer<Float>, _ ldy: Int, x: UnsafePointer<Float>, inputSize: Int, outputSize: Int,
    into dw: UnsafeMutablePointer<Float>
  ) -> Product {
    Product(
      outputSize, inputSize, into: dw, inputSize, accumulates: true,
      [Term(dy, ldy, transposedA: true, x, inputSize, k: rows)])
  }

  var operations: Double { terms.reduce(0) { $0 + 2 * Double(m) * Double(n) * Double($1.k) } }
  var bytes: Double {
    terms.reduce(Double(m * n) * (accumulates ? 8 : 4)) { $0 + 4 * Double($1.k) * Double(m + n) }
  }

  /// The part of C at rows m0 ..< m0 + mc, columns n0 ..< n0 + nc, on the calling thread.
  func compute(_ m0: Int, _ mc: Int, _ n0: Int, _ nc: Int) {
    var accumulates = accumulates
    for term in terms {
      gemm(
        term.transposesA, term.transposesB, mc, nc, term.k, term.alpha,
        term.a + (term.transposesA ? m0 : m0 * term.lda), term.lda,
        term.b + (term.transposesB ? n0 * term.ldb : n0), term.ldb, accumulates ? 1 : 0, c + m0 * ldc + n0, ldc)
      accumulates = true
    }
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

extension ThreadTeam {
  /// Largest tile: a fixed partition, so that the bits of a result do not depend on the number of threads.
  private static let tileRows = 256
  private static let tileColumns = 384

  /// Computes independent products together.
  package func multiply(_ name: StaticString, _ products: [Product]) {
    measured(
      name, operations: products.reduce(0) { $0 + $1.operations }, bytes: products.reduce(0) { $0 + $1.bytes },
      { multiplyTiles(products) })
  }

  private func multiplyTiles(_ products: [Product]) {
    struct Tile {
      let product, m0, mc, n0, nc: Int
    }
    var tiles: [Tile] = []
    for (index, product) in products.enumerated() where product.m > 0 && product.n > 0 {
      let rows = ThreadTeam.parts(product.m, most: ThreadTeam.tileRows)
      let columns = ThreadTeam.parts(product.n, most: ThreadTeam.tileColumns)
      for n0 in stride(from: 0, to: product.n, by: columns) {
        for m0 in stride(from: 0, to: product.m, by: rows) {
          tiles.append(
            Tile(product: index, m0: m0, mc: min(rows, product.m - m0), n0: n0, nc: min(columns, product.n - n0)))
        }
      }
    }
    tiles.withUnsafeBufferPointer { tiles in
      products.withUnsafeBufferPointer { products in
        run(tiles.count) { index, _ in
          let tile = tiles[index]
          products[tile.product].compute(tile.m0, tile.mc, tile.n0, tile.nc)
        }
      }
    }
  }

  /// Size of equal parts of `count`, a multiple of 16, none above `most`.
  private static func parts(_ count: Int, most: Int) -> Int {
    let pieces = (count + most - 1) / most
    return ((count + pieces - 1) / pieces + 15) / 16 * 16
  }
}
