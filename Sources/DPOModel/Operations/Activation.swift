import CKernels
import DPOKernels

/// What stands between the two products of an MLP: f(gate + b) · (up + b′), or f(up + b).
extension ModelRun {
  /// gateUp[t, gate and up side by side] takes its biases; out[t, inner], which goes to `prepared` besides.
  func activationForward(
    _ branch: DecoderBranch, _ gateUp: Pointer, _ count: Int, into out: Pointer, _ prepared: PreparedOperand?
  ) {
    let (width, inner) = (branch.inputWidth, branch.mixedWidth)
    team.rows("activation forward", count, bytes: 4 * (width + inner)) { rows, _ in
      let x = gateUp + rows.lowerBound * width
      let y = out + rows.lowerBound * inner
      if c.gatedMLP {
        addBiases(branch.inputs, x, rows.count)
        kernels.pointee.gated_forward(c.activation.kernel, x, x + inner, width, y, rows.count, inner)
      } else {
        kernels.pointee.activation_forward(c.activation.kernel, x, branch.inputs[0].bias?.values, y, rows.count, inner)
      }
      prepared?.packRows(y, inner, rows)
    }
  }

  /// From d out to d gate and d up, which take the place of gate and up and go to `prepared` besides; `out` is made again.
  func activationBackward(
    _ branch: DecoderBranch, _ gateUp: Pointer, _ count: Int, dout: Pointer, out: Pointer, _ prepared: PreparedOperand?
  ) {
    let (width, inner) = (branch.inputWidth, branch.mixedWidth)
    team.rows("activation backward", count, bytes: 4 * (2 * width + 2 * inner)) { rows, _ in
      let x = gateUp + rows.lowerBound * width
      let from = rows.lowerBound * inner
      if c.gatedMLP {
        kernels.pointee.gated_backward(
          c.activation.kernel, x, x + inner, width, dout + from, out + from, rows.count, inner)
      } else {
        kernels.pointee.activation_backward(c.activation.kernel, x, dout + from, out + from, rows.count, inner)
      }
      prepared?.packRows(x, width, rows)
    }
  }

  /// The biases alone, for a backward pass that computes gate and up again.
  func addBiases(_ branch: DecoderBranch, _ gateUp: Pointer) {
    guard branch.inputs.contains(where: { $0.bias != nil }) else { return }
    team.rows("gate, up biases", count, bytes: 8 * branch.inputWidth) { rows, _ in
      addBiases(branch.inputs, gateUp + rows.lowerBound * branch.inputWidth, rows.count)
    }
  }

  func addBiases(_ linears: [Linear], _ x: Pointer, _ rows: Int) {
    let width = linears.reduce(0) { $0 + $1.weight.rows }
    var column = 0
    for linear in linears {
      if let bias = linear.bias { kernels.pointee.add_bias(x + column, width, bias.values, rows, linear.weight.rows) }
      column += linear.weight.rows
    }
  }
}

extension Activation {
  var kernel: ck_activation {
    switch self {
    case .silu: CK_SILU
    case .geluTanh: CK_GELU_TANH
    case .gelu: CK_GELU
    case .reluSquared: CK_RELU_SQUARED
    case .clampedSwish: CK_CLAMPED_SWISH
    }
  }
}
