import CKernels
import DPOKernels

/// How the head's logits are cut: into tiles of `rows` × `columns`, of which a thread holds one.
struct HeadShape {
  let rows, columns: Int

  /// Widths from which on the packing memory has no room for a tile's smallest panels.
  static let mostWidth = 1 << 15

  /// `rows` of the run in equal blocks, each of which fits the packing memory together with a tile of weights, whatever the
  /// engine's panels.
  init(rows total: Int, width: Int) {
    let most = max(32, min(1024, PackingMemory.sharedCount * 2 / 5 / (width + 32) - 32))
    let blocks = max(1, (total + most - 1) / most)
    rows = max(1, (total + blocks - 1) / blocks)
    // Tiles as wide as the packing memory has room for, in whole panels where it has.
    columns = [128, 64, 32, 16].first { (1024 + width) * $0 <= PackingMemory.blockCount * 3 / 4 } ?? 16
  }

  /// Numbers of one tile.
  var tileCount: Int { (rows * columns + 15) / 16 * 16 }
}

/// The bias of a head's logits, times what its rows are scaled by.
struct HeadBias {
  let vector: WeightVector
  let scale: Float

  func add(to z: UnsafeMutablePointer<Float>, _ first: Int, _ columns: Int, rows: Int) {
    for row in 0..<rows {
      for column in 0..<columns { z[row * columns + column] += scale * vector.values[first + column] }
    }
  }

  /// Σ dz over the rows.
  func accumulate(_ dz: UnsafePointer<Float>, _ first: Int, _ columns: Int, rows: Int) {
    guard let gradient = vector.gradient else { return }
    for row in 0..<rows {
      for column in 0..<columns { gradient[first + column] += scale * dz[row * columns + column] }
    }
  }
}

/// The products of a block of the head's rows h with one tile W of its weights: z = h Wᵀ + b, or c·tanh of it, dh = dz W and
/// dW = dzᵀ h.
struct HeadProduct {
  let team: ThreadTeam
  let weight: WeightMatrix
  /// [rows, width]
  let hidden: UnsafePointer<Float>
  let rows: Int
  let bias: HeadBias?
  let cap: Float?
  private let panels: Panels

  init(
    team: ThreadTeam, precision: Precision, weight: WeightMatrix, hidden: UnsafePointer<Float>, rows: Int,
    bias: HeadBias?, cap: Float?
  ) {
    self.team = team
    self.weight = weight
    self.hidden = hidden
    self.rows = rows
    self.bias = bias
    self.cap = cap
    panels = Panels(team.engine, precision)
  }

  private var width: Int { weight.columns }

  /// Behind h, as the left side of z.
  private var hiddenColumns: UnsafeMutablePointer<Float> {
    team.packing.shared + panels.count(.a, rows: rows, k: width)
  }

  /// Prepares h for all threads: as the left side of z, and as the right side of dW.
  func packHidden(transposedToo: Bool) {
    let step = panels.rows(.a, atLeast: 14)
    team.run((rows + step - 1) / step) { index, _ in
      let first = index * step
      panels.pack(
        .a, hidden + first * width, width, transposed: false, rows: min(step, rows - first), part: 0..<width, of: width,
        into: team.packing.shared + panels.count(.a, rows: first, k: width))
    }
    guard transposedToo else { return }
    let some = 64
    team.run((rows + some - 1) / some) { index, _ in
      let from = index * some
      panels.pack(
        .b, hidden + from * width, width, transposed: true, rows: width, part: from..<min(rows, from + some), of: rows,
        into: hiddenColumns)
    }
  }

  /// The tile's weights as f32.
  private func weights(_ first: Int, _ columns: Int, _ member: Int) -> UnsafePointer<Float> {
    weight.rows(first..<first + columns, in: team.packing.decoded(member), with: team.kernels)
  }

  /// z[rows, columns] for the tile's weights `first` ..< `first` + `columns`.
  func logits(_ first: Int, _ columns: Int, into z: UnsafeMutablePointer<Float>, _ member: Int) {
    let (w, block) = (weights(first, columns, member), team.packing.block(member))
    panels.pack(.b, w, width, transposed: false, rows: columns, part: 0..<width, of: width, into: block)
    multiply(team.packing.shared, block, rows, columns, width, into: z, columns, accumulates: false)
    bias?.add(to: z, first, columns, rows: rows)
    if let cap { team.kernels.pointee.soft_cap(z, rows * columns, cap) }
  }

  /// dh[rows, width] = dz W or added to it; after `logits` of the same tile.
  func hiddenGradient(
    _ dz: UnsafePointer<Float>, _ first: Int, _ columns: Int, into dh: UnsafeMutablePointer<Float>, accumulates: Bool,
    _ member: Int
  ) {
    let w = weight.values.map { $0 + first * width } ?? UnsafePointer(team.packing.decoded(member))
    let a = team.packing.block(member)
    let b = a + panels.count(.a, rows: rows, k: columns)
    panels.pack(.a, dz, columns, transposed: false, rows: rows, part: 0..<columns, of: columns, into: a)
    panels.pack(.b, w, width, transposed: true, rows: width, part: 0..<columns, of: columns, into: b)
    multiply(a, b, rows, width, columns, into: dh, width, accumulates: accumulates)
  }

  /// dW[columns, width] += dzᵀ h
  func weightGradient(
    _ dz: UnsafePointer<Float>, _ columns: Int, into dw: UnsafeMutablePointer<Float>, _ member: Int
  ) {
    let a = team.packing.block(member)
    panels.pack(.a, dz, columns, transposed: true, rows: columns, part: 0..<rows, of: rows, into: a)
    multiply(a, hiddenColumns, columns, width, rows, into: dw, width, accumulates: true)
  }

  private func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ m: Int, _ n: Int, _ k: Int,
    into c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulates: Bool
  ) {
    panels.multiply((a, k), (b, k), m, n, k, into: c, ldc, accumulates: accumulates)
  }
}
