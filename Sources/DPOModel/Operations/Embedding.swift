import CKernels
import DPOKernels
import DPOPlatform

/// x = embeddingScale · E[token] + P[position]; P only where positions are learned.
extension Decoder {
  /// x[hidden] of one token. `room` takes as many numbers.
  func embed(
    _ token: Int32, position: Int, into x: UnsafeMutablePointer<Float>, room: UnsafeMutablePointer<Float>,
    with kernels: UnsafePointer<ck_engine>
  ) {
    embedding.copyRow(Int(token), into: x)
    let scale = Float(configuration.embeddingScale)
    if scale != 1 { kernels.pointee.scale(x, x, scale, configuration.hiddenSize) }
    guard let positions else { return }
    positions.copyRow(position, into: room)
    kernels.pointee.accumulate(x, room, configuration.hiddenSize)
  }
}

extension ModelRun {
  /// x[t, hidden] of the forest's tokens.
  func embedForward() {
    let (x, room) = (at(layout.streams[0], 0), at(layout.normed))
    team.rows("embedding", count) { rows, _ in
      for row in rows {
        decoder.embed(
          forest.tokens[row], position: Int(forest.positions[row]), into: x + row * hidden, room: room + row * hidden,
          with: kernels)
      }
    }
  }

  /// dE[token] += embeddingScale · dx, dP[position] += dx. Rows of the tables gather in the order of the forest's rows. dx is
  /// used up.
  func embedBackward(_ dx: Pointer) {
    let (embedding, table) = (decoder.embedding.gradient, decoder.positions?.gradient)
    let scale = Float(c.embeddingScale)
    eachColumnBlock("embedding gradient", hidden) { from, to in
      for row in 0..<count {
        let source = dx + row * hidden + from
        if let table {
          kernels.pointee.accumulate(table + Int(forest.positions[row]) * hidden + from, source, to - from)
        }
        if let embedding {
          if scale != 1 { kernels.pointee.scale(source, source, scale, to - from) }
          kernels.pointee.accumulate(embedding + Int(forest.tokens[row]) * hidden + from, source, to - from)
        }
      }
    }
  }
}

extension WeightMatrix {
  /// One row as f32.
  func copyRow(_ row: Int, into out: UnsafeMutablePointer<Float>) {
    if let values {
      memcpy(out, values + row * columns, columns * 4)
    } else {
      tensor.dequantize(rows: row..<row + 1, into: out)
    }
  }
}
