import CKernels
import DPOKernels

/// What the blocks get of each token beside x, P numbers each: e = (√P · A[token] + norm(W x₀ / √D)) / √2, with x₀ the embedding
/// of D numbers. A and W are [tokens, blocks · P] and [blocks · P, D]; the norm is over the P numbers of a block.
struct PerLayerInputs {
  /// A
  let table: WeightMatrix
  /// W
  let projection: Linear
  let norm: WeightVector
  let layerCount, size: Int
  /// ε of the norm, which reads W x₀ instead of W x₀ / √D: the factor goes into ε.
  let epsilon: Float

  /// Of all blocks.
  var width: Int { layerCount * size }

  /// e[width] of one token from W x₀. 1/σ of each block goes to `statistics`; `room` takes as many numbers as e.
  func make(
    _ token: Int32, _ projected: UnsafePointer<Float>, into e: UnsafeMutablePointer<Float>,
    room: UnsafeMutablePointer<Float>, statistics: UnsafeMutablePointer<Float>, with kernels: UnsafePointer<ck_engine>
  ) {
    table.copyRow(Int(token), into: e)
    kernels.pointee.scale(e, e, tableScale, width)
    kernels.pointee.head_norm_forward(
      projected, width, norm.values, room, width, statistics, 1, layerCount, size, epsilon)
    kernels.pointee.scale(room, room, scale, width)
    kernels.pointee.accumulate(e, room, width)
  }

  /// 1/√2
  let scale = Float(0.5).squareRoot()
  /// √P / √2
  var tableScale: Float { scale * Float(size).squareRoot() }
}

extension ModelRun {
  /// e[t, blocks · P] of the forest's tokens, behind `embedForward`.
  func perLayerForward() {
    guard let inputs = decoder.perLayerInputs else { return }
    let (width, layers) = (inputs.width, inputs.layerCount)
    let (projected, e) = (at(layout.perLayerProjected), at(layout.perLayerInputs))
    project(
      nil, [inputs.projection], Rows(x: at(layout.streams[0], 0), prepared: nil), inputSize: hidden, into: projected,
      width)
    let (room, statistics) = (at(layout.perLayerRoom), at(layout.perLayerStatistics))
    team.rows("per-layer inputs", count, bytes: 16 * width) { rows, member in
      for row in rows {
        inputs.make(
          forest.tokens[row], projected + row * width, into: e + row * width, room: room + member * width,
          statistics: statistics + row * layers, with: kernels)
      }
    }
  }

  /// From de, which has taken the place of e and is used up: dA, dW and the norm's gradient, and dx₀ += Wᵀ d(W x₀).
  func perLayerBackward(_ dx: Pointer) {
    guard let inputs = decoder.perLayerInputs else { return }
    guard trainsModel || adapter?.matrices(layer: nil, inputs.projection) != nil else { return }
    let (width, de, dembedding) = (inputs.width, at(layout.perLayerInputs), at(layout.gradientOfNormed))
    if trainsModel, let table = inputs.table.gradient {
      let scale = inputs.tableScale
      eachColumnBlock("per-layer table gradient", width) { from, to in
        for row in 0..<count {
          let (source, target) = (de + row * width, table + Int(forest.tokens[row]) * width)
          for column in from..<to { target[column] += scale * source[column] }
        }
      }
    }
    team.rows("per-layer inputs backward", count, bytes: 8 * width) { rows, _ in
      kernels.pointee.scale(
        de + rows.lowerBound * width, de + rows.lowerBound * width, inputs.scale, rows.count * width)
    }
    // The norm's weights gather from all rows and blocks.
    team.measured("per-layer norm backward") {
      team.run(1) { _, _ in
        kernels.pointee.head_norm_backward(
          de, width, at(layout.perLayerProjected), width, at(layout.perLayerStatistics), inputs.norm.values,
          trainsModel ? inputs.norm.gradient : nil, count, inputs.layerCount, inputs.size)
      }
    }
    inputGradient(
      nil, [inputs.projection], dy: Rows(x: de, prepared: nil), width, inputSize: hidden,
      into: trainsModel ? dembedding : nil)
    weightGradients(
      nil, [inputs.projection], dy: de, width, x: Rows(x: at(layout.streams[0], 0), prepared: nil), inputSize: hidden)
    if trainsModel { addBackward(dembedding, into: dx, nil) }
  }

  /// f(gate) · e of a block: out[t, P].
  func perLayerGateForward(_ layer: Int, _ gate: Pointer, into out: Pointer) {
    let (width, size) = (c.perLayerInputSize * c.layerCount, c.perLayerInputSize)
    let e = at(layout.perLayerInputs) + layer * size
    team.rows("per-layer gate", count, bytes: 12 * size) { rows, _ in
      for row in rows {
        kernels.pointee.gated_forward(
          c.activation.kernel, gate + row * size, e + row * width, 0, out + row * size, 1, size)
      }
    }
  }

  /// From d out to d gate and de, which take the places of gate and e; out is made again.
  func perLayerGateBackward(_ layer: Int, _ gate: Pointer, dout: Pointer, out: Pointer) {
    let (width, size) = (c.perLayerInputSize * c.layerCount, c.perLayerInputSize)
    let e = at(layout.perLayerInputs) + layer * size
    team.rows("per-layer gate backward", count, bytes: 24 * size) { rows, _ in
      for row in rows {
        kernels.pointee.gated_backward(
          c.activation.kernel, gate + row * size, e + row * width, 0, dout + row * size, out + row * size, 1, size)
      }
    }
  }
}
