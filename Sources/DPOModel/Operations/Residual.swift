import CKernels
import DPOKernels

/// x + y + b where no norm follows that would take it along.
extension ModelRun {
  /// sum[t, hidden] = x + add + bias; `sum` may be x.
  func addForward(_ x: Pointer, _ add: Pointer, bias: WeightVector?, into sum: Pointer) {
    team.rows("residual", count, bytes: 12 * hidden) { rows, _ in
      let (from, size) = (rows.lowerBound * hidden, rows.count * hidden)
      kernels.pointee.add(sum + from, x + from, add + from, size)
      if let bias { kernels.pointee.add_bias(sum + from, hidden, bias.values, rows.count, hidden) }
    }
  }

  /// y[t, hidden] = factor · σ(gate of the row) · (x + bias), which goes to `prepared` besides; y may be x.
  func scaleRows(
    _ x: Pointer, bias: WeightVector? = nil, _ factor: Float, gates: RowGates? = nil, into y: Pointer,
    _ prepared: PreparedOperand? = nil
  ) {
    team.rows("residual scale", count, bytes: 8 * hidden) { rows, _ in
      let (from, size) = (rows.lowerBound * hidden, rows.count * hidden)
      if let bias { kernels.pointee.add_bias(x + from, hidden, bias.values, rows.count, hidden) }
      if let gates {
        for row in rows {
          kernels.pointee.scale(y + row * hidden, x + row * hidden, factor * gates.factor(row), hidden)
        }
      } else {
        kernels.pointee.scale(y + from, x + from, factor, size)
      }
      prepared?.packRows(y + from, hidden, rows)
    }
  }

  /// dx[t, hidden] += dy, which goes to `prepared` besides.
  func addBackward(_ dy: Pointer, into dx: Pointer, _ prepared: PreparedOperand?) {
    team.rows("residual", count, bytes: 12 * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      kernels.pointee.accumulate(dx + from, dy + from, rows.count * hidden)
      prepared?.packRows(dx + from, hidden, rows)
    }
  }
}
