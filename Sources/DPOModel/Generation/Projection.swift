import CKernels
import DPOBase
import DPOKernels

/// bf16 copies of the matrices that are f32 in memory: half the bytes to read for each token.
final class RoundedMatrices {
  private let memory: OwnedBytes
  private var offsets: [UnsafePointer<Float>: Int] = [:]

  init(_ matrices: [WeightMatrix], team: ThreadTeam) throws {
    var places: [(values: UnsafePointer<Float>, count: Int, offset: Int)] = []
    var total = 0
    for matrix in matrices {
      guard let values = matrix.values, offsets[values] == nil else { continue }
      offsets[values] = total
      places.append((values, matrix.rows * matrix.columns, total))
      total += (2 * matrix.rows * matrix.columns + 63) / 64 * 64
    }
    memory = try OwnedBytes(count: total)
    guard let base = memory.bytes.baseAddress else { return }
    team.run(places.count) { index, _ in
      let place = places[index]
      _ = team.kernels.pointee.quantize(CK_BF16, place.values, base + place.offset, place.count)
    }
  }

  func copy(of values: UnsafePointer<Float>) -> UnsafeRawPointer? {
    guard let offset = offsets[values] else { return nil }
    return memory.bytes.baseAddress.map { UnsafeRawPointer($0 + offset) }
  }
}

extension WeightMatrix {
  /// For products of few rows, which read weights as they are stored.
  func weights(_ rounded: RoundedMatrices?) -> ck_weights {
    if let values {
      if let copy = rounded?.copy(of: values) {
        return ck_weights(data: copy, row_bytes: 2 * columns, k: columns, half: 0, encoding: CK_BF16)
      }
      return ck_weights(data: values, row_bytes: 4 * columns, k: columns, half: 0, encoding: CK_F32)
    }
    guard let base = tensor.bytes.baseAddress else { return ck_weights() }
    return ck_weights(
      data: base, row_bytes: tensor.rowBytes, k: columns, half: interleavedHead / 2, encoding: tensor.dtype.encoding)
  }

  /// Rows of a head where they stand together in the file, but not in order.
  var headOfParts: Int? {
    if values == nil, case .byHead(_, let size) = tensor.rowOrder { return size }
    return nil
  }

  /// Rows of a head that are stored in llama.cpp's order; 0: rows are stored in order.
  var interleavedHead: Int {
    if values == nil, case .interleavedHalves(let size) = tensor.rowOrder { return size }
    return 0
  }
}

/// Linear layers that share their input, cut into pieces that threads take one after another. All that the pieces need
/// stands ready, so that a step of the decoder allocates nothing for them.
final class Projection {
  /// Stored rows `first` ..< `first` + `count` of one layer, whose outputs begin at `column`.
  struct Piece {
    let weights: ck_weights
    let first, count, column: Int
    /// The output of the first of these rows.
    let output: Int
    let adapter: Adapter?
  }

  /// y += scale · B(A x); A x stands at `hidden` of the step's memory.
  struct Adapter {
    let a, b: UnsafePointer<Float>
    let rank, inputSize, hidden: Int
    let scale: Float
  }

  let pieces: UnsafeMutableBufferPointer<Piece>
  /// So many pairs of pieces of gate and up stand first.
  let pairs: Int
  let adapters: UnsafeMutableBufferPointer<Adapter>
  private let kernels: UnsafePointer<ck_engine>
  /// Numbers of A x of all layers, a row.
  let hiddenWidth: Int
  let inputSize, width: Int
  /// Of the weights, as they are stored.
  let bytes: Int

  /// Few pieces a thread, because memory is fastest when read on and on, but enough for threads to end together.
  private static let piecesPerThread = 3
  private static let mostRows = 1024

  /// - Parameters:
  ///   - width: of a row of outputs.
  ///   - paired: pieces of the first two layers, or of the two halves of one, alternate and have the same rows (gate and up).
  init(
    _ linears: [(weight: WeightMatrix, matrices: LoRAAdapter.Matrices?)], width: Int, rounded: RoundedMatrices?,
    team: ThreadTeam, paired: Bool = false
  ) {
    kernels = team.kernels
    self.width = width
    inputSize = linears.first?.weight.columns ?? 0
    var pieces: [[Piece]] = []
    var adapters: [Adapter] = []
    var (column, hidden, bytes) = (0, 0, 0)
    for (weight, matrices) in linears {
      let adapter = matrices.map {
        Adapter(a: $0.a, b: $0.b, rank: $0.rank, inputSize: $0.inputSize, hidden: hidden, scale: $0.scale)
      }
      if let adapter {
        adapters.append(adapter)
        hidden += adapter.rank
      }
      let weights = weight.weights(rounded)
      bytes += weights.row_bytes * weight.rows
      // With an adapter, the outputs of a piece have to be neighbours: whole heads where rows are stored in another order.
      let unit = adapter == nil ? 8 : max(8, weight.interleavedHead)
      let parts =
        paired && linears.count == 1
        ? [0..<weight.rows / 2, weight.rows / 2..<weight.rows] : [0..<weight.rows]
      if let size = weight.headOfParts {
        // Outputs of a head are neighbours, and its stored rows.
        pieces.append(
          stride(from: 0, to: weight.rows, by: size).map { output in
            Piece(
              weights: weights, first: weight.tensor.storedRow(output), count: size, column: column, output: output,
              adapter: adapter)
          })
        column += weight.rows
        continue
      }
      for part in parts {
        let wanted = min(
          Projection.mostRows, max(unit, (paired ? part.count : width) / (Projection.piecesPerThread * team.threads)))
        let count = max(1, (part.count + wanted / 2) / wanted)
        let rows = ((part.count + count - 1) / count + unit - 1) / unit * unit
        pieces.append(
          stride(from: part.lowerBound, to: part.upperBound, by: rows).map { first in
            Piece(
              weights: weights, first: first, count: min(rows, part.upperBound - first), column: column,
              output: first, adapter: adapter)
          })
      }
      column += weight.rows
    }
    self.bytes = bytes
    hiddenWidth = hidden
    pairs = paired ? pieces[0].count : 0
    let ordered =
      (paired ? zip(pieces[0], pieces[1]).flatMap { [$0, $1] } : []) + pieces.dropFirst(paired ? 2 : 0).joined()
    self.pieces = .allocate(capacity: ordered.count)
    _ = self.pieces.initialize(from: ordered)
    self.adapters = .allocate(capacity: adapters.count)
    _ = self.adapters.initialize(from: adapters)
  }

  deinit {
    pieces.deallocate()
    adapters.deallocate()
  }

  /// A x of each row and adapter, scaled: hidden[row, hiddenWidth].
  func adapt(_ team: ThreadTeam, _ x: ck_activations, into hidden: UnsafeMutablePointer<Float>) {
    team.run(adapters.count) { index, _ in
      let adapter = adapters[index]
      let u = hidden + adapter.hidden
      kernels.pointee.few_rows_product(
        x.x, x.ld, x.rows, adapter.a, inputSize, adapter.rank, inputSize, u, hiddenWidth, 0)
      for row in 0..<x.rows {
        kernels.pointee.scale(u + row * hiddenWidth, u + row * hiddenWidth, adapter.scale, adapter.rank)
      }
    }
  }

  /// One piece of y, rows of `width` numbers.
  func compute(
    _ index: Int, _ x: ck_activations, hidden: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let piece = pieces[index]
    var (weights, x) = (piece.weights, x)
    kernels.pointee.weights_product(
      &weights, piece.first, piece.count, &x, y + (piece.column + piece.output - piece.first), width, scratch)
    if let adapter = piece.adapter {
      kernels.pointee.few_rows_product(
        hidden + adapter.hidden, hiddenWidth, x.rows, adapter.b + piece.output * adapter.rank, adapter.rank,
        piece.count,
        adapter.rank, y + piece.column + piece.output, width, 1)
    }
  }
}
