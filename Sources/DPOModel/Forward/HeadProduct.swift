import CKernels
import DPOKernels

/// How the head's logits are cut: into tiles of `rows` × `columns`, of which a thread holds one.
struct HeadShape {
  let rows, columns: Int

  /// `rows` of the pass in equal blocks, each of which fits the packing memory together with a tile of weights.
  init(rows total: Int, width: Int) {
    let columns = HeadShape.columns(width: width)
    let most = max(32, min(1024, PackingMemory.sharedCount / 2 / (width + 32) - 32))
    let blocks = max(1, (total + most - 1) / most)
    self.columns = columns
    rows = max(1, (total + blocks - 1) / blocks)
  }

  /// Tiles as wide as the packing memory has room for, in whole panels where it has.
  static func columns(width: Int) -> Int {
    [128, 64].first { (1024 + width) * $0 <= PackingMemory.blockCount * 3 / 4 }
      ?? max(1, min(32, PackingMemory.blockCount / width))
  }

  /// Numbers of one tile.
  var tileCount: Int { (rows * columns + 15) / 16 * 16 }
}

/// The products of a block of the head's rows h with one tile W of its weights: z = h Wᵀ, dh = dz W and dW = dzᵀ h.
struct HeadProduct {
  let team: ThreadTeam
  let precision: Precision
  let weight: WeightMatrix
  /// [rows, width]
  let hidden: UnsafePointer<Float>
  let rows: Int

  private var width: Int { weight.columns }
  private var packed: ck_gemm_precision { precision.packed }

  /// Panels hold a tile; a model too wide for that goes through OpenBLAS, in fp32.
  private var isPacked: Bool {
    let columns = HeadShape.columns(width: width)
    let tile =
      ck_gemm_packed(packed, rows, columns, Int(CK_GEMM_M)) + ck_gemm_packed(packed, width, columns, Int(CK_GEMM_N))
    let shared =
      ck_gemm_packed(packed, rows, width, Int(CK_GEMM_M)) + ck_gemm_packed(packed, width, rows, Int(CK_GEMM_N))
    return ThreadTeam.packs(precision) && tile <= PackingMemory.blockCount && shared <= PackingMemory.sharedCount
  }

  /// Behind h, as the left side of z.
  private var hiddenColumns: UnsafeMutablePointer<Float> {
    team.packing.shared + ck_gemm_packed(packed, rows, width, Int(CK_GEMM_M))
  }

  /// Prepares h for all threads: as the left side of z, and as the right side of dW.
  func packHidden(transposedToo: Bool) {
    guard isPacked else { return }
    let panel = Int(CK_GEMM_M)
    let count = (rows + panel - 1) / panel
    team.run(count) { index, _ in
      let first = index * panel
      ck_gemm_pack(
        packed, hidden + first * width, width, 0, 1, min(panel, rows - first), 0, width, width, panel,
        team.packing.shared + ck_gemm_packed(packed, first, width, panel))
    }
    guard transposedToo else { return }
    let step = 64
    team.run((rows + step - 1) / step) { index, _ in
      let from = index * step
      ck_gemm_pack(
        packed, hidden + from * width, width, 1, 1, width, from, min(rows, from + step), rows, Int(CK_GEMM_N),
        hiddenColumns)
    }
  }

  /// The tile's weights as f32.
  private func weights(_ first: Int, _ columns: Int, _ member: Int) -> UnsafePointer<Float> {
    switch weight.storage {
    case .floats(let values): return values + first * width
    case .stored(let tensor):
      let decoded = team.packing.decoded(member)
      tensor.dequantize(rows: first..<first + columns, into: decoded)
      return UnsafePointer(decoded)
    }
  }

  /// z[rows, columns] = h Wᵀ, for the tile's weights `first` ..< `first` + `columns`.
  func logits(_ first: Int, _ columns: Int, into z: UnsafeMutablePointer<Float>, _ member: Int) {
    let w = weights(first, columns, member)
    guard isPacked else {
      return gemm(false, true, rows, columns, width, 1, hidden, width, w, width, 0, z, columns)
    }
    let block = team.packing.block(member)
    ck_gemm_pack(packed, w, width, 0, 1, columns, 0, width, width, Int(CK_GEMM_N), block)
    multiply(team.packing.shared, block, rows, columns, width, into: z, columns, accumulates: false)
  }

  /// dh[rows, width] = dz W or added to it; after `logits` of the same tile.
  func hiddenGradient(
    _ dz: UnsafePointer<Float>, _ first: Int, _ columns: Int, into dh: UnsafeMutablePointer<Float>, accumulates: Bool,
    _ member: Int
  ) {
    let w = weight.values.map { $0 + first * width } ?? UnsafePointer(team.packing.decoded(member))
    guard isPacked else {
      return gemm(false, false, rows, width, columns, 1, dz, columns, w, width, accumulates ? 1 : 0, dh, width)
    }
    let a = team.packing.block(member)
    let b = a + ck_gemm_packed(packed, rows, columns, Int(CK_GEMM_M))
    ck_gemm_pack(packed, dz, columns, 0, 1, rows, 0, columns, columns, Int(CK_GEMM_M), a)
    ck_gemm_pack(packed, w, width, 1, 1, width, 0, columns, columns, Int(CK_GEMM_N), b)
    multiply(a, b, rows, width, columns, into: dh, width, accumulates: accumulates)
  }

  /// dW[columns, width] += dzᵀ h
  func weightGradient(
    _ dz: UnsafePointer<Float>, _ columns: Int, into dw: UnsafeMutablePointer<Float>, _ member: Int
  ) {
    guard isPacked else {
      return gemm(true, false, columns, width, rows, 1, dz, columns, hidden, width, 1, dw, width)
    }
    let a = team.packing.block(member)
    ck_gemm_pack(packed, dz, columns, 1, 1, columns, 0, rows, rows, Int(CK_GEMM_M), a)
    multiply(a, hiddenColumns, columns, width, rows, into: dw, width, accumulates: true)
  }

  private func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ m: Int, _ n: Int, _ k: Int,
    into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool
  ) {
    let slots = ck_gemm_slots(packed, k)
    ck_gemm_multiply(packed, a, slots, b, slots, m, n, k, c, ldc, accumulates ? 1 : 0)
  }
}
