import CKernels
import DPOKernels
import DPOPlatform

/// Cosines and sines of the rotary positions, made as transformers does: frequencies and angles rounded to f32.
final class RotationTable {
  private let half: Int
  private let frequencies: [Float]
  private(set) var cosines: FloatBuffer?
  private(set) var sines: FloatBuffer?

  init(_ configuration: DecoderConfiguration) {
    half = configuration.headSize / 2
    frequencies =
      configuration.ropeBase.map { base in
        configuration.ropeScaling.frequencies(base: base, headSize: configuration.headSize).map { Float($0) }
      } ?? []
  }

  func extend(to positions: Int) throws {
    guard !frequencies.isEmpty, (cosines?.count ?? 0) < positions * half else { return }
    var rows = 64
    while rows < positions { rows *= 2 }
    let (cosines, sines) = (try FloatBuffer(count: rows * half), try FloatBuffer(count: rows * half))
    for position in 0..<rows {
      for index in 0..<half {
        let angle = Double(Float(position) * frequencies[index])
        cosines.pointer[position * half + index] = Float(cos(angle))
        sines.pointer[position * half + index] = Float(sin(angle))
      }
    }
    self.cosines = cosines
    self.sines = sines
  }

  /// Heads of q or k at their positions, in place: x[rows, heads · d], `width` numbers from row to row. `sign` −1 turns back.
  func turn(
    _ x: UnsafeMutablePointer<Float>, _ width: Int, rows: Int, heads: Int, positions: UnsafePointer<Int32>, sign: Float,
    with kernels: UnsafePointer<ck_engine>
  ) {
    guard let cosines, let sines else { return }
    kernels.pointee.rope(
      x, width, cosines.pointer, sines.pointer, positions, rows, heads, 2 * half, sign)
  }
}

extension Decoder {
  /// Heads of q or k between their product and attention, in place: x ← rotation(norm(x + bias)), [rows, heads · d], `width`
  /// numbers from row to row. A norm leaves its input and each head's 1/σ at `kept`.
  func prepareHeads(
    _ x: UnsafeMutablePointer<Float>, _ width: Int, rows: Int, heads: Int, bias: UnsafePointer<Float>?,
    norm: WeightVector?,
    keeping kept: (x: UnsafeMutablePointer<Float>, width: Int, statistics: UnsafeMutablePointer<Float>),
    positions: UnsafePointer<Int32>, _ rotation: RotationTable, with kernels: UnsafePointer<ck_engine>
  ) {
    let size = configuration.headSize
    if let bias { kernels.pointee.add_bias(x, width, bias, rows, heads * size) }
    if let norm {
      for row in 0..<rows { memcpy(kept.x + row * kept.width, x + row * width, heads * size * 4) }
      kernels.pointee.head_norm_forward(
        kept.x, kept.width, norm.values, x, width, kept.statistics, rows, heads, size, configuration.normEpsilon)
    }
    rotation.turn(x, width, rows: rows, heads: heads, positions: positions, sign: 1, with: kernels)
  }
}

extension ModelRun {
  /// Biases, norms of heads and rotation, in place: qkv[t, q, k and v side by side].
  func rotationForward(_ place: BranchPlace) {
    let branch = decoder.branch(place)
    let (qkv, width, keyWidth) = (
      at(layout.queryKeyValue, place.layer), branch.inputWidth, c.queryWidth + c.keyValueWidth
    )
    let (raw, statistics) = (at(layout.rawQueryKey, place.layer), at(layout.queryKeyStatistics, place.layer))
    let biases = [0, c.queryWidth, keyWidth].map(branch.inputBias)
    team.rows("rotation", count, bytes: 8 * keyWidth) { rows, _ in
      let (x, from, positions) = (qkv + rows.lowerBound * width, rows.lowerBound, positions + rows.lowerBound)
      decoder.prepareHeads(
        x, width, rows: rows.count, heads: c.headCount, bias: biases[0], norm: branch.queryNorm,
        keeping: (raw + from * keyWidth, keyWidth, statistics + from * c.headCount), positions: positions, rotation,
        with: kernels)
      decoder.prepareHeads(
        x + c.queryWidth, width, rows: rows.count, heads: c.keyValueHeadCount, bias: biases[1], norm: branch.keyNorm,
        keeping: (
          raw + from * keyWidth + c.queryWidth, keyWidth,
          statistics + count * c.headCount + from * c.keyValueHeadCount
        ), positions: positions, rotation, with: kernels)
      if let bias = biases[2] {
        kernels.pointee.add_bias(x + keyWidth, width, bias, rows.count, c.keyValueWidth)
      }
    }
  }

  /// Through the rotation and the heads' norms, in place: dqkv[t, q, k and v side by side], which goes to `prepared` besides;
  /// and the norms' own gradients, [d].
  func rotationBackward(_ place: BranchPlace, _ dqkv: Pointer, _ prepared: PreparedOperand?) {
    let branch = decoder.branch(place)
    let width = branch.inputWidth
    team.rows("rotation", count, bytes: 8 * (c.queryWidth + c.keyValueWidth)) { rows, _ in
      let x = dqkv + rows.lowerBound * width
      rotation.turn(
        x, width, rows: rows.count, heads: c.headCount + c.keyValueHeadCount, positions: positions + rows.lowerBound,
        sign: -1, with: kernels)
      prepared?.packRows(x, width, rows)
    }
    guard let queryNorm = branch.queryNorm, let keyNorm = branch.keyNorm else { return }
    let keyWidth = c.queryWidth + c.keyValueWidth
    let (raw, statistics) = (at(layout.rawQueryKey, place.layer), at(layout.queryKeyStatistics, place.layer))
    // The norms' weights, headSize numbers each, gather from all rows and heads: query and key are one task each.
    team.measured("head norm backward") {
      team.run(2) { index, _ in
        if index == 0 {
          kernels.pointee.head_norm_backward(
            dqkv, width, raw, keyWidth, statistics, queryNorm.values, trainsModel ? queryNorm.gradient : nil, count,
            c.headCount, c.headSize)
        } else {
          kernels.pointee.head_norm_backward(
            dqkv + c.queryWidth, width, raw + c.queryWidth, keyWidth, statistics + count * c.headCount, keyNorm.values,
            trainsModel ? keyNorm.gradient : nil, count, c.keyValueHeadCount, c.headSize)
        }
      }
    }
  }
}
