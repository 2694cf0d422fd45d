import CKernels
import DPOKernels

/// y = norm(x) over rows of the hidden size.
extension NormWeights {
  typealias Pointer = UnsafeMutablePointer<Float>

  /// sum[rows, width] = x + add + bias; y[rows, width] = norm(sum); 1/σ and, of a layer norm, the mean of each row. Without
  /// `add` the sum is x itself, and `sum` is not written.
  func forward(
    _ x: Pointer, add: Pointer?, bias: WeightVector?, sum: Pointer, into y: Pointer, mean: Pointer, rstd: Pointer,
    rows: Int, width: Int, epsilon: Float, with kernels: UnsafePointer<ck_engine>
  ) {
    if kind == .layer, let b = self.bias {
      kernels.pointee.layer_norm_forward(
        x, add, bias?.values, sum, weight.values, b.values, y, mean, rstd, rows, width, epsilon)
    } else {
      kernels.pointee.rms_forward(x, add, bias?.values, sum, weight.values, y, rstd, rows, width, epsilon)
    }
  }
}

extension ModelRun {
  /// The same of all rows, [t, hidden]; y goes to `prepared` besides. `statistics` takes 1/σ of each row, and behind those
  /// the means of a layer norm.
  func normForward(
    _ norm: NormWeights, _ x: Pointer, add: Pointer?, bias: WeightVector?, sum: Pointer, into y: Pointer,
    statistics: Pointer, _ total: Int, _ prepared: PreparedOperand? = nil
  ) {
    team.rows("norm forward", total, bytes: (add == nil ? 8 : 16) * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let rstd = statistics + rows.lowerBound
      norm.forward(
        x + from, add: add.map { $0 + from }, bias: bias, sum: sum + from, into: y + from, mean: rstd + total,
        rstd: rstd, rows: rows.count, width: hidden, epsilon: c.normEpsilon, with: kernels)
      prepared?.packRows(y + from, hidden, rows)
    }
  }

  /// y[t, hidden] again, from `sum` and the saved statistics.
  func normAgain(
    _ norm: NormWeights, _ sum: Pointer, statistics: Pointer, into y: Pointer, _ prepared: PreparedOperand?
  ) {
    team.rows("norm again", count, bytes: 8 * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let rstd = statistics + rows.lowerBound
      if norm.kind == .layer, let b = norm.bias {
        kernels.pointee.layer_norm_again(
          sum + from, rstd + count, rstd, norm.weight.values, b.values, y + from, rows.count, hidden)
      } else {
        kernels.pointee.rms_again(sum + from, rstd, norm.weight.values, y + from, rows.count, hidden)
      }
      prepared?.packColumns(y + from, hidden, rows)
    }
  }

  /// dx[t, hidden] += d loss / d sum, or = with `overwrites`; and the norm's own gradients, [hidden].
  func normBackward(
    _ norm: NormWeights, dy: Pointer, sum: Pointer, statistics: Pointer, dx: Pointer, _ total: Int,
    _ prepared: PreparedOperand? = nil, overwrites: Bool = false
  ) {
    let w = norm.weight.values
    team.rows("norm backward", total, bytes: 16 * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let rstd = statistics + rows.lowerBound
      if overwrites { (dx + from).update(repeating: 0, count: rows.count * hidden) }
      if norm.kind == .layer {
        kernels.pointee.layer_norm_backward(dy + from, sum + from, rstd + total, rstd, w, dx + from, rows.count, hidden)
      } else {
        kernels.pointee.rms_backward(dy + from, sum + from, rstd, w, dx + from, rows.count, hidden)
      }
      prepared?.packRows(dx + from, hidden, rows)
    }
    guard trainsModel, let dw = norm.weight.gradient else { return }
    eachColumnBlock("norm weight gradient", hidden) { from, to in
      if norm.kind == .layer {
        kernels.pointee.layer_norm_weight_gradient(
          dy, sum, statistics + total, statistics, dw, norm.bias?.gradient, total, hidden, from, to)
      } else {
        kernels.pointee.rms_weight_gradient(dy, sum, statistics, dw, total, hidden, from, to)
      }
    }
  }
}
