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
    func table(_ rope: Rope, _ growth: QueryGrowth?) -> RotationTable {
      let table = RotationTable(rope, growth: growth, headSize: c.headSize)
      tables.append(table)
      return table
    }
    var pairs: [(rope: Rope, pair: Pair)] = []
    ofLayer = (0..<c.layerCount).map { layer in
      guard let rope = c.rope(layer) else { return nil }
      if let known = pairs.first(where: { $0.rope == rope }) { return known.pair }
      let key = table(rope, nil)
      let pair = (c.queryGrowth.map { table(rope, $0) } ?? key, key)
      pairs.append((rope, pair))
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
    switchesBeyond.map { length > $0 } == true ? Int32(rows) + position : position
  }
}

extension DecoderConfiguration {
  /// Positions that a sequence of `length` has at most when `room` more may follow.
  func grown(_ length: Int, by room: Int) -> Int { max(length, min(length + room, contextLength)) }
}

extension Decoder {
  /// Heads of q or k between their product and attention, in place: x ← rotation(norm(x + bias)), or with the norm behind the
  /// rotation; [rows, heads · d], `width` numbers from row to row. A norm leaves its input and each head's 1/σ at `kept`.
  func prepareHeads(
    _ x: UnsafeMutablePointer<Float>, _ width: Int, rows: Int, heads: Int, bias: UnsafePointer<Float>?,
    norm: WeightVector?,
    keeping kept: (x: UnsafeMutablePointer<Float>, width: Int, statistics: UnsafeMutablePointer<Float>),
    places: UnsafePointer<Int32>, _ rotation: RotationTable?, with kernels: UnsafePointer<ck_engine>
  ) {
    let size = configuration.headSize
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

extension ModelRun {
  /// Heads that a norm of q or k sees as one.
  private func normed(_ heads: Int) -> (count: Int, size: Int) {
    c.queryKeyNorm == .whole ? (1, heads * c.headSize) : (heads, c.headSize)
  }

  /// Biases, norms of heads and rotation, in place: qkv[t, q, k and v side by side].
  func rotationForward(_ place: BranchPlace) {
    let branch = decoder.branch(place)
    let (qkv, width, keyWidth) = (
      at(layout.queryKeyValue, place.layer), branch.inputWidth, c.queryWidth + c.keyValueWidth
    )
    let (raw, statistics) = (at(layout.rawQueryKey, place.layer), at(layout.queryKeyStatistics, place.layer))
    let biases = [0, c.keyColumn, c.valueColumn].map(branch.inputBias)
    let pair = rotations[place.layer]
    let (queries, keys) = (normed(c.headCount).count, normed(c.keyValueHeadCount).count)
    team.rows("rotation", count, bytes: 8 * keyWidth) { rows, _ in
      let (x, from, places) = (qkv + rows.lowerBound * width, rows.lowerBound, rotationPlaces + rows.lowerBound)
      decoder.prepareHeads(
        x, width, rows: rows.count, heads: c.headCount, bias: biases[0], norm: branch.queryNorm,
        keeping: (raw + from * keyWidth, keyWidth, statistics + from * queries), places: places, pair?.query,
        with: kernels)
      decoder.prepareHeads(
        x + c.keyColumn, width, rows: rows.count, heads: c.keyValueHeadCount, bias: biases[1], norm: branch.keyNorm,
        keeping: (raw + from * keyWidth + c.queryWidth, keyWidth, statistics + count * queries + from * keys),
        places: places, pair?.key, with: kernels)
      if let bias = biases[2] {
        kernels.pointee.add_bias(x + c.valueColumn, width, bias, rows.count, c.keyValueWidth)
      }
    }
  }

  /// Through the rotation and the heads' norms, in place: dqkv[t, dq, dk and dv side by side], which goes to `prepared`
  /// besides; and the norms' own gradients.
  func rotationBackward(_ place: BranchPlace, _ dqkv: Pointer, _ prepared: PreparedOperand?) {
    let branch = decoder.branch(place)
    let (width, pair) = (branch.inputWidth, rotations[place.layer])
    if c.queryKeyNorm == .turnedHeads { headNormsBackward(place, dqkv) }
    team.rows("rotation", count, bytes: 8 * (c.queryWidth + c.keyValueWidth)) { rows, _ in
      let (x, places) = (dqkv + rows.lowerBound * width, rotationPlaces + rows.lowerBound)
      pair?.query.turn(x, width, rows: rows.count, heads: c.headCount, places: places, sign: -1, with: kernels)
      pair?.key.turn(
        x + c.keyColumn, width, rows: rows.count, heads: c.keyValueHeadCount, places: places, sign: -1, with: kernels)
      prepared?.packRows(x, width, rows)
    }
    if c.queryKeyNorm != .turnedHeads { headNormsBackward(place, dqkv) }
  }

  private func headNormsBackward(_ place: BranchPlace, _ dqkv: Pointer) {
    let branch = decoder.branch(place)
    guard let queryNorm = branch.queryNorm, let keyNorm = branch.keyNorm else { return }
    let (width, keyWidth) = (branch.inputWidth, c.queryWidth + c.keyValueWidth)
    let (raw, statistics) = (at(layout.rawQueryKey, place.layer), at(layout.queryKeyStatistics, place.layer))
    let (queries, keys) = (normed(c.headCount), normed(c.keyValueHeadCount))
    // The norms' weights gather from all rows and heads: query and key are one task each.
    team.measured("head norm backward") {
      team.run(2) { index, _ in
        if index == 0 {
          kernels.pointee.head_norm_backward(
            dqkv, width, raw, keyWidth, statistics, queryNorm.values, trainsModel ? queryNorm.gradient : nil, count,
            queries.count, queries.size)
        } else {
          kernels.pointee.head_norm_backward(
            dqkv + c.keyColumn, width, raw + c.queryWidth, keyWidth, statistics + count * queries.count,
            keyNorm.values, trainsModel ? keyNorm.gradient : nil, count, keys.count, keys.size)
        }
      }
    }
  }
}
