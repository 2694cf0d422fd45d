import CKernels
import DPOKernels
import DPOPlatform

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
        addBiases(branch.inputs, x, width, rows.count)
        kernels.pointee.gated_forward(c.activation.kernel, x, x + inner, width, y, rows.count, inner)
      } else {
        kernels.pointee.activation_forward(c.activation.kernel, x, branch.inputs[0].bias?.values, y, rows.count, inner)
      }
      prepared?.packRows(y, inner, rows)
    }
  }

  /// From d out to d gate and d up, which take the place of gate and up and go to `prepared` besides; `out` is made again. With
  /// gates of rows d out is that of gated rows, d a = σ(s) Dᵀ dy, and they get d s = (1 − σ(s)) ⟨d a, a⟩.
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
        if branch.rowGate != nil {
          let gates = RowGates(x, width: width)
          for row in 0..<rows.count {
            let place = from + row * inner
            var dot: Float = 0
            kernels.pointee.head_dots(dout + place, inner, out + place, inner, &dot, 1, 1, inner)
            gates[row] = (1 - gates.factor(row)) * dot
          }
        }
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
      addBiases(
        branch.inputs, gateUp + rows.lowerBound * branch.inputWidth, branch.inputWidth, rows.count)
    }
  }

  /// x[t, width] begins with what the layers have made.
  func addBiases(_ linears: [Linear], _ x: Pointer, _ width: Int, _ rows: Int) {
    var column = 0
    for linear in linears {
      if let bias = linear.bias { kernels.pointee.add_bias(x + column, width, bias.values, rows, linear.weight.rows) }
      column += linear.weight.rows
    }
  }
}

/// s of each row, the last of its numbers.
struct RowGates {
  private let first: UnsafeMutablePointer<Float>
  private let width: Int

  /// Of x[t, width].
  init(_ x: UnsafeMutablePointer<Float>, width: Int) { (first, self.width) = (x + width - 1, width) }

  subscript(row: Int) -> Float {
    get { first[row * width] }
    nonmutating set { first[row * width] = newValue }
  }

  /// σ(s)
  func factor(_ row: Int) -> Float { 1 / (1 + exp(-self[row])) }
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
