import CKernels
import DPOKernels
import DPOPlatform

/// Cosines and sines of one kind of rotary positions, made as transformers does: frequencies and angles rounded to f32.
final class RotationTable {
  let rope: Rope
  /// q as well grows with its position.
  private let growth: QueryGrowth?
  private let headSize: Int
  private(set) var cosines: FloatBuffer?
  private(set) var sines: FloatBuffer?

  init(_ rope: Rope, growth: QueryGrowth?, headSize: Int) {
    self.rope = rope
    self.growth = growth
    self.headSize = headSize
  }

  /// `rows` positions within the original context and, with `switches`, as many behind them that are beyond it.
  func fill(_ rows: Int, switches: Bool) throws {
    let half = rope.size / 2
    let variants = switches ? [false, true] : [false]
    let (cosines, sines) = (
      try FloatBuffer(count: variants.count * rows * half), try FloatBuffer(count: variants.count * rows * half)
    )
    for (variant, beyond) in variants.enumerated() {
      let frequencies = rope.frequencies(beyond: beyond).map { Float($0) }
      for position in 0..<rows {
        let factor = Float(rope.scaling.attentionFactor * (growth?.factor(at: position) ?? 1))
        let row = (variant * rows + position) * half
        for index in 0..<half {
          let angle = Double(Float(position) * frequencies[index])
          cosines.pointer[row + index] = Float(cos(angle)) * factor
          sines.pointer[row + index] = Float(sin(angle)) * factor
        }
      }
    }
    self.cosines = cosines
    self.sines = sines
  }

  /// Heads of q or k at their places in the table, in place: x[rows, heads · d], `width` numbers from row to row. `sign` −1
  /// turns back.
  func turn(
    _ x: UnsafeMutablePointer<Float>, _ width: Int, rows: Int, heads: Int, places: UnsafePointer<Int32>, sign: Float,
    with kernels: UnsafePointer<ck_engine>
  ) {
    guard let cosines, let sines else { return }
    kernels.pointee.rope(
      x, width, cosines.pointer, sines.pointer, places, rows, heads,
      ck_rotation(size: headSize, turned: rope.size, interleaved: rope.interleaved ? 1 : 0), sign)
  }
}

/// The rotations of a model's blocks.
final class Rotations {
  /// Of a block's q and of its k.
  typealias Pair = (query: RotationTable, key: RotationTable)

  private let tables: [RotationTable]
  private let ofLayer: [Pair?]
  /// Sequences of more positions have other angles.
  private let switchesBeyond: Int?
  private var rows = 0

  init(_ c: DecoderConfiguration) {
    var tables: [RotationTable] = []
    func table(_ rope: Rope, _ growth: QueryGrowth?, _ headSize: Int) -> RotationTable {
      let table = RotationTable(rope, growth: growth, headSize: headSize)
      tables.append(table)
      return table
    }
    var pairs: [(rope: Rope, headSize: Int, pair: Pair)] = []
    ofLayer = (0..<c.layerCount).map { layer in
      guard let rope = c.rope(layer) else { return nil }
      let size = c.attention(layer).headSize
      if let known = pairs.first(where: { $0.rope == rope && $0.headSize == size }) { return known.pair }
      let key = table(rope, nil, size)
      let pair = (c.queryGrowth.map { table(rope, $0, size) } ?? key, key)
      pairs.append((rope, size, pair))
      return pair
    }
    self.tables = tables
    switchesBeyond = pairs.lazy.compactMap(\.rope.scaling.switchesBeyond).first
  }

  subscript(layer: Int) -> Pair? { ofLayer[layer] }

  /// Makes room for sequences of so many positions.
  func extend(to positions: Int) throws {
    guard !tables.isEmpty, rows < positions else { return }
    var more = 64
    while more < positions { more *= 2 }
    for table in tables { try table.fill(more, switches: switchesBeyond != nil) }
    rows = more
  }

  /// Where the tables have the angles of a position of a sequence that grows to `length` positions.
  func place(_ position: Int32, ofSequence length: Int) -> Int32 {
    isFar(length) ? Int32(rows) + position : position
  }

  /// Whether a sequence that grows to `length` positions has the other angles.
  func isFar(_ length: Int) -> Bool { switchesBeyond.map { length > $0 } == true }
}

extension DecoderConfiguration {
  /// Positions that a sequence of `length` has at most when `room` more may follow.
  func grown(_ length: Int, by room: Int) -> Int { max(length, min(length + room, contextLength)) }
}

extension Decoder {
  /// Heads of q, k or v between their product and attention, in place: x ← rotation(norm(x + bias)), or with the norm behind
  /// the rotation; [rows, heads · d], `width` numbers from row to row. A norm leaves its input and each head's 1/σ at `kept`.
  func prepareHeads(
    _ x: UnsafeMutablePointer<Float>, _ width: Int, rows: Int, heads: Int, size: Int, bias: UnsafePointer<Float>?,
    norm: WeightVector?,
    keeping kept: (x: UnsafeMutablePointer<Float>, width: Int, statistics: UnsafeMutablePointer<Float>),
    places: UnsafePointer<Int32>, _ rotation: RotationTable?, with kernels: UnsafePointer<ck_engine>
  ) {
    if let bias { kernels.pointee.add_bias(x, width, bias, rows, heads * size) }
    func turn() { rotation?.turn(x, width, rows: rows, heads: heads, places: places, sign: 1, with: kernels) }
    guard let norm, let kind = configuration.queryKeyNorm else { return turn() }
    if kind == .turnedHeads { turn() }
    let (count, length) = kind == .whole ? (1, heads * size) : (heads, size)
    for row in 0..<rows { memcpy(kept.x + row * kept.width, x + row * width, heads * size * 4) }
    kernels.pointee.head_norm_forward(
      kept.x, kept.width, norm.values, x, width, kept.statistics, rows, count, length, configuration.normEpsilon)
    if kind != .turnedHeads { turn() }
  }
}

/// The heads of q, of k or of v in a row of attention's inputs.
private struct HeadGroup {
  let column, heads: Int
  let bias: UnsafePointer<Float>?
  let norm: WeightVector?
  let rotation: RotationTable?
  /// First column of what its norm kept, and numbers of the statistics before its own, each a row.
  var keptColumn = 0, statisticsColumn = 0
}

extension ModelRun {
  /// Heads that a norm of q or k sees as one.
  private func normed(_ heads: Int, _ shape: AttentionShape) -> (count: Int, size: Int) {
    c.queryKeyNorm == .whole ? (1, heads * shape.headSize) : (heads, shape.headSize)
  }

  /// q, and where the block has its own k and v.
  private func headGroups(_ place: BranchPlace, _ shape: AttentionShape) -> [HeadGroup] {
    let (branch, rotations) = (decoder.branch(place), rotations[place.layer])
    func group(_ column: Int, _ heads: Int, _ norm: WeightVector?, _ rotation: RotationTable?) -> HeadGroup {
      HeadGroup(column: column, heads: heads, bias: branch.inputBias(at: column), norm: norm, rotation: rotation)
    }
    var groups = [group(0, shape.headCount, branch.queryNorm, rotations?.query)]
    if shape.keySource == nil {
      groups.append(group(shape.keyColumn, shape.keyValueHeadCount, branch.keyNorm, rotations?.key))
      groups.append(group(shape.valueColumn, shape.keyValueHeadCount, branch.valueNorm, nil))
    }
    var (kept, statistics) = (0, 0)
    for index in groups.indices {
      (groups[index].keptColumn, groups[index].statisticsColumn) = (kept, statistics)
      kept += groups[index].heads * shape.headSize
      statistics += normed(groups[index].heads, shape).count
    }
    return groups
  }

  /// Biases, norms of heads and rotation, in place: qkv[t, q, k and v side by side].
  func rotationForward(_ place: BranchPlace, _ shape: AttentionShape) {
    let (qkv, width, keptWidth) = (at(layout.queryKeyValue, place.layer), shape.width, shape.normedWidth)
    let (kept, statistics) = (at(layout.rawHeads, place.layer), at(layout.headNormStatistics, place.layer))
    let groups = headGroups(place, shape)
    team.rows("rotation", count, bytes: 8 * width) { rows, _ in
      let (x, from) = (qkv + rows.lowerBound * width, rows.lowerBound)
      if shape.keySource == nil, shape.valuesAreKeys {
        for row in 0..<rows.count {
          let keys = x + row * width + shape.keyColumn
          (keys + shape.keyValueWidth).update(from: keys, count: shape.keyValueWidth)
        }
      }
      for group in groups {
        decoder.prepareHeads(
          x + group.column, width, rows: rows.count, heads: group.heads, size: shape.headSize, bias: group.bias,
          norm: group.norm,
          keeping: (
            kept + from * keptWidth + group.keptColumn, keptWidth,
            statistics + count * group.statisticsColumn + from * normed(group.heads, shape).count
          ), places: rotationPlaces + from, group.rotation, with: kernels)
      }
    }
  }

  /// Through the rotation and the heads' norms, in place: dqkv[t, dq, dk and dv side by side], which goes to `prepared`
  /// besides; and the norms' own gradients.
  func rotationBackward(_ place: BranchPlace, _ shape: AttentionShape, _ dqkv: Pointer, _ prepared: PreparedOperand?) {
    let (width, groups) = (shape.width, headGroups(place, shape))
    if c.queryKeyNorm == .turnedHeads { headNormsBackward(place, shape, groups, dqkv) }
    team.rows("rotation", count, bytes: 8 * width) { rows, _ in
      let (x, places) = (dqkv + rows.lowerBound * width, rotationPlaces + rows.lowerBound)
      for group in groups {
        group.rotation?.turn(
          x + group.column, width, rows: rows.count, heads: group.heads, places: places, sign: -1, with: kernels)
      }
      prepared?.packRows(x, width, rows)
    }
    if c.queryKeyNorm != .turnedHeads { headNormsBackward(place, shape, groups, dqkv) }
    guard shape.keySource == nil, shape.valuesAreKeys else { return }
    team.rows("keys that are values", count, bytes: 12 * shape.keyValueWidth) { rows, _ in
      for row in rows {
        let dkeys = dqkv + row * width + shape.keyColumn
        kernels.pointee.accumulate(dkeys, dkeys + shape.keyValueWidth, shape.keyValueWidth)
      }
    }
  }

  private func headNormsBackward(
    _ place: BranchPlace, _ shape: AttentionShape, _ groups: [HeadGroup], _ dqkv: Pointer
  ) {
    let (width, keptWidth) = (shape.width, shape.normedWidth)
    let (kept, statistics) = (at(layout.rawHeads, place.layer), at(layout.headNormStatistics, place.layer))
    // The norms' weights gather from all rows and heads: each norm is one task.
    team.measured("head norm backward") {
      team.run(groups.count) { index, _ in
        let group = groups[index]
        guard let norm = group.norm else { return }
        let heads = normed(group.heads, shape)
        kernels.pointee.head_norm_backward(
          dqkv + group.column, width, kept + group.keptColumn, keptWidth, statistics + count * group.statisticsColumn,
          norm.values, trainsModel ? norm.gradient : nil, count, heads.count, heads.size)
      }
    }
  }
}
