import CKernels
import DPOKernels
import DPOPlatform

extension Pass {
  /// Adds d loss / d weight to the gradients, given d loss / d log-prob of each target and d loss / d value of each
  /// number of the scalar head (none: 0).
  func backward(_ logProbGradients: [Float], _ valueGradients: [Float]) {
    guard count > 0, !forest.headRows.isEmpty else { return }
    let rows = forest.headRows.count
    let dx = at(layout.gradient)
    let dhead = at(layout.headGradient)
    if let head {
      head.backward(logProbGradients, into: dhead)
      scaleHeadRows(dhead, 1 / temperature)
      scaleHeadRows(at(layout.headNormed), temperature)
    } else {
      memset(dhead, 0, rows * hidden * 4)
    }
    if let scalarHead, !valueGradients.isEmpty {
      var perRow = [Float](repeating: 0, count: rows)
      for (place, gradient) in zip(forest.headRowOfValue, valueGradients) { perRow[Int(place)] += gradient }
      scalarHead.backward(perRow, at(layout.headNormed), into: dhead)
    }
    // d of the rows before the last norm, in place of the normed ones, which nobody needs any more.
    let dinput = at(layout.headNormed)
    memset(dinput, 0, rows * hidden * 4)
    normBackward(decoder.finalNorm, dy: dhead, sum: at(layout.headInput), statistics: headRows, dx: dinput, rows)
    memset(dx, 0, count * hidden * 4)
    for (index, row) in forest.headRows.enumerated() {
      memcpy(dx + Int(row) * hidden, dinput + index * hidden, hidden * 4)
    }
    var prepared: PreparedOperand?
    for layer in (0..<c.layerCount).reversed() {
      if recomputes {
        forward(layer, continues: false, again: true)
        prepared = nil
      } else if layer >= layout.keptGateUps, layer < c.layerCount - 1 {
        gateUpAgain(layer)  // the last block's are still there
        prepared = nil
      }
      prepared = backward(layer, dx, prepared)
    }
    if trainsModel { embeddingBackward(dx) }
  }

  /// dx, the gradient of the next block's input, becomes that of this one's. `prepared` is dx as it was packed; the result
  /// is the same for the block before.
  private func backward(_ layer: Int, _ dx: Pointer, _ prepared: PreparedOperand?) -> PreparedOperand? {
    let block = decoder.blocks[layer]
    let (normed, dnormed) = (at(layout.normed), at(layout.gradientOfNormed))

    let (gateUp, activated, inner) = (at(layout.gateUp, layer), at(layout.activated), c.intermediateSize)
    inputGradient(layer, [block.down], dy: dx, prepared, hidden, inputSize: inner, into: at(layout.gradientOfActivated))
    let dgateUp = prepareGradient(block.gateUp)
    activateBackward(gateUp, activated, dgateUp)
    weightGradients(layer, [block.down], dy: dx, hidden, x: activated, inputSize: inner, keeping: dgateUp)
    let (middle, mlpStatistics) = (at(layout.middle, layer), at(layout.mlpStatistics, layer))
    inputGradient(layer, block.gateUp, dy: gateUp, dgateUp, gateUpWidth, inputSize: hidden, into: dnormed)
    let mlpInput = prepareInputColumns(inputSize: hidden)
    normAgain(block.mlpNorm, middle, statistics: mlpStatistics, into: normed, mlpInput)
    weightGradients(layer, block.gateUp, dy: gateUp, gateUpWidth, x: normed, mlpInput, inputSize: hidden)
    let dmiddle = prepareGradient([block.output])
    normBackward(block.mlpNorm, dy: dnormed, sum: middle, statistics: mlpStatistics, dx: dx, count, dmiddle)

    let (attended, dattended) = (at(layout.attended, layer), at(layout.gradientOfAttended))
    let dqkv = at(layout.gradientOfQueryKeyValue)
    inputGradient(layer, [block.output], dy: dx, dmiddle, hidden, inputSize: c.queryWidth, into: dattended)
    weightGradients(layer, [block.output], dy: dx, hidden, x: attended, inputSize: c.queryWidth)
    attention.backward(
      at(layout.queryKeyValue, layer), out: attended, lse: at(layout.attentionLSE, layer), dout: dattended,
      delta: at(layout.delta), dqkv: dqkv)
    let drotated = c.queryKeyNorm ? nil : prepareGradient(block.queryKeyValue)
    rotateBackward(layer, block, dqkv, drotated)
    let (x, statistics) = (at(layout.input, layer), at(layout.attentionStatistics, layer))
    let needsInput = trainsModel || layer > 0
    inputGradient(
      layer, block.queryKeyValue, dy: dqkv, drotated, queryKeyValueWidth, inputSize: hidden,
      into: needsInput ? dnormed : nil)
    let attentionInput = prepareInputColumns(inputSize: hidden)
    normAgain(block.attentionNorm, x, statistics: statistics, into: normed, attentionInput)
    weightGradients(
      layer, block.queryKeyValue, dy: dqkv, queryKeyValueWidth, x: normed, attentionInput, inputSize: hidden)
    guard needsInput else { return nil }
    let dinput = layer > 0 ? prepareGradient([decoder.blocks[layer - 1].down]) : nil
    normBackward(block.attentionNorm, dy: dnormed, sum: x, statistics: statistics, dx: dx, count, dinput)
    return dinput
  }

  /// The pre-activations become their gradients; the activations are made again.
  private func activateBackward(_ gateUp: Pointer, _ activated: Pointer, _ prepared: PreparedOperand?) {
    let (width, inner, dactivated) = (gateUpWidth, c.intermediateSize, at(layout.gradientOfActivated))
    team.rows("activation backward", count, bytes: 4 * (2 * width + 2 * inner)) { rows, _ in
      let x = gateUp + rows.lowerBound * width
      let from = rows.lowerBound * inner
      if c.gatedMLP {
        kernels.pointee.gated_backward(
          c.activation.kernel, x, x + inner, width, dactivated + from, activated + from, rows.count, inner)
      } else {
        kernels.pointee.activation_backward(
          c.activation.kernel, x, dactivated + from, activated + from, rows.count, inner)
      }
      prepared?.packRows(x, width, rows)
    }
  }

  /// Through the rotation and the heads' norms, in place.
  private func rotateBackward(_ layer: Int, _ block: DecoderBlock, _ dqkv: Pointer, _ prepared: PreparedOperand?) {
    let width = queryKeyValueWidth
    team.rows("rotation", count, bytes: 8 * (c.queryWidth + c.keyValueWidth)) { rows, _ in
      rope(dqkv + rows.lowerBound * width, rows, sign: -1)
      prepared?.packRows(dqkv + rows.lowerBound * width, width, rows)
    }
    guard let queryNorm = block.queryNorm, let keyNorm = block.keyNorm else { return }
    let keyWidth = c.queryWidth + c.keyValueWidth
    let (raw, statistics) = (at(layout.rawQueryKey, layer), at(layout.queryKeyStatistics, layer))
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

  /// The norm's output again, from its input and saved statistics.
  private func normAgain(
    _ norm: NormWeights, _ sum: Pointer, statistics: Pointer, into y: Pointer, _ prepared: PreparedOperand?
  ) {
    team.rows("norm again", count, bytes: 8 * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let rstd = statistics + rows.lowerBound
      if let b = norm.bias {
        kernels.pointee.layer_norm_again(
          sum + from, rstd + count, rstd, norm.weight.values, b.values, y + from, rows.count, hidden)
      } else {
        kernels.pointee.rms_again(sum + from, rstd, norm.weight.values, y + from, rows.count, hidden)
      }
      prepared?.packColumns(y + from, hidden, rows)
    }
  }

  /// dx += d loss / d sum, and the norm's own gradients.
  private func normBackward(
    _ norm: NormWeights, dy: Pointer, sum: Pointer, statistics: Pointer, dx: Pointer, _ total: Int,
    _ prepared: PreparedOperand? = nil
  ) {
    let w = norm.weight.values
    team.rows("norm backward", total, bytes: 16 * hidden) { rows, _ in
      let from = rows.lowerBound * hidden
      let rstd = statistics + rows.lowerBound
      if norm.bias != nil {
        kernels.pointee.layer_norm_backward(dy + from, sum + from, rstd + total, rstd, w, dx + from, rows.count, hidden)
      } else {
        kernels.pointee.rms_backward(dy + from, sum + from, rstd, w, dx + from, rows.count, hidden)
      }
      prepared?.packRows(dx + from, hidden, rows)
    }
    guard trainsModel, let dw = norm.weight.gradient else { return }
    eachColumnBlock("norm weight gradient", hidden) { from, to in
      if let db = norm.bias?.gradient {
        kernels.pointee.layer_norm_weight_gradient(
          dy, sum, statistics + total, statistics, dw, db, total, hidden, from, to)
      } else {
        kernels.pointee.rms_weight_gradient(dy, sum, statistics, dw, total, hidden, from, to)
      }
    }
  }

  /// Rows of the tables gather in the order of the forest's rows.
  private func embeddingBackward(_ dx: Pointer) {
    let (embedding, table) = (decoder.embedding.gradient, decoder.positions?.gradient)
    eachColumnBlock("embedding gradient", hidden) { from, to in
      for row in 0..<count {
        let source = dx + row * hidden + from
        if let embedding {
          kernels.pointee.accumulate(embedding + Int(forest.tokens[row]) * hidden + from, source, to - from)
        }
        if let table {
          kernels.pointee.accumulate(table + Int(forest.positions[row]) * hidden + from, source, to - from)
        }
      }
    }
  }
}
