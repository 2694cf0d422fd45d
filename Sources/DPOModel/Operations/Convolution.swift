import CKernels
import DPOKernels

/// A causal convolution over the positions of each sequence, channel by channel: y[t, c] = Σ_j w[c, K−1−j] · u[t−j, c], and
/// nothing before a sequence's first token.
struct CausalConvolution {
  typealias Pointer = UnsafeMutablePointer<Float>

  let kernels: UnsafePointer<ck_engine>
  let kernel, channels: Int
  /// [kernel, channels]: the weights, turned so that channels are neighbours.
  let weights: Pointer
  /// The row before each row of the forest; −1: none.
  let previous: [Int32]

  /// - Parameter weight: [channels, kernel].
  init(
    _ weight: WeightVector, kernel: Int, channels: Int, in room: Pointer, previous: [Int32],
    with kernels: UnsafePointer<ck_engine>
  ) {
    (self.kernel, self.channels, self.previous, self.kernels) = (kernel, channels, previous, kernels)
    weights = room
    CausalConvolution.turn(weight, kernel: kernel, channels: channels, into: room)
  }

  /// [channels, kernel] to [kernel, channels].
  static func turn(_ weight: WeightVector, kernel: Int, channels: Int, into out: Pointer) {
    for channel in 0..<channels {
      for j in 0..<kernel { out[j * channels + channel] = weight.values[channel * kernel + j] }
    }
  }

  /// y of one row. `u(t)` are the channels of row t.
  func row(_ t: Int, into y: Pointer, _ u: (Int) -> UnsafePointer<Float>) {
    y.update(repeating: 0, count: channels)
    var row = t
    for j in 0..<kernel where row >= 0 {
      let (w, x) = (weights + (kernel - 1 - j) * channels, u(row))
      for channel in 0..<channels { y[channel] += w[channel] * x[channel] }
      row = Int(previous[row])
    }
  }

  /// du[t, channels] += and dw[channels, kernel] += for some channels, from dy[t, channels], row by row.
  func backward(
    _ channels: Range<Int>, rows: Int, dy: (Int) -> UnsafePointer<Float>, u: (Int) -> UnsafePointer<Float>,
    du: (Int) -> Pointer, dw: Pointer?
  ) {
    for t in 0..<rows {
      let dy = dy(t)
      var row = t
      for j in 0..<kernel where row >= 0 {
        let tap = kernel - 1 - j
        let (w, dx, x) = (weights + tap * self.channels, du(row), u(row))
        for channel in channels { dx[channel] += w[channel] * dy[channel] }
        if let dw { for channel in channels { dw[channel * kernel + tap] += dy[channel] * x[channel] } }
        row = Int(previous[row])
      }
    }
  }
}

/// LFM2's: mixed = C ∘ convolution(B ∘ x), from rows of B, C and x side by side.
extension ModelRun {
  private func convolution(_ branch: DecoderBranch, kernel: Int) -> CausalConvolution? {
    branch.vectors[.convolution].map {
      CausalConvolution(
        $0, kernel: kernel, channels: hidden, in: at(layout.recurrentWeights), previous: forest.previous, with: kernels)
    }
  }

  func convolutionForward(_ place: BranchPlace, kernel: Int) {
    guard let convolution = convolution(decoder.branch(place), kernel: kernel) else { return }
    let (inputs, u, mixed) = (
      at(layout.recurrentInputs, place.layer), at(layout.recurrentRows), at(layout.recurrentMixed)
    )
    team.rows("convolution", count, bytes: 16 * hidden) { rows, _ in
      for row in rows { multiply(inputs + row * 3 * hidden, inputs + (row * 3 + 2) * hidden, into: u + row * hidden) }
    }
    team.rows("convolution", count, bytes: 16 * hidden) { rows, _ in
      for row in rows {
        let y = mixed + row * hidden
        convolution.row(row, into: y) { UnsafePointer(u + $0 * hidden) }
        multiply(y, inputs + (row * 3 + 1) * hidden, into: y)
      }
    }
  }

  /// From d mixed, in place of which mixed itself is made again, to d of the inputs.
  func convolutionBackward(_ place: BranchPlace, kernel: Int, dmixed: Pointer, dinputs: Pointer) {
    let branch = decoder.branch(place)
    guard let convolution = convolution(branch, kernel: kernel) else { return }
    let (inputs, u, du) = (
      at(layout.recurrentInputs, place.layer), at(layout.recurrentRows), at(layout.gradientOfRecurrentRows)
    )
    let mixed = at(layout.recurrentMixed)
    team.rows("convolution", count, bytes: 16 * hidden) { rows, _ in
      for row in rows { multiply(inputs + row * 3 * hidden, inputs + (row * 3 + 2) * hidden, into: u + row * hidden) }
    }
    team.rows("convolution backward", count, bytes: 32 * hidden) { rows, _ in
      for row in rows {
        let (y, d, dx) = (mixed + row * hidden, dmixed + row * hidden, dinputs + row * 3 * hidden)
        let c = inputs + (row * 3 + 1) * hidden
        convolution.row(row, into: y) { UnsafePointer(u + $0 * hidden) }
        multiply(d, y, into: dx + hidden)
        multiply(y, c, into: y)
        multiply(d, c, into: d)
        (du + row * hidden).update(repeating: 0, count: hidden)
      }
    }
    let dw = trainsModel ? branch.vectors[.convolution]?.gradient : nil
    eachColumnBlock("convolution gradient", hidden) { from, to in
      convolution.backward(
        from..<to, rows: count, dy: { UnsafePointer(dmixed + $0 * hidden) }, u: { UnsafePointer(u + $0 * hidden) },
        du: { du + $0 * hidden }, dw: dw)
    }
    team.rows("convolution backward", count, bytes: 32 * hidden) { rows, _ in
      for row in rows {
        let (x, dx, d) = (inputs + row * 3 * hidden, dinputs + row * 3 * hidden, du + row * hidden)
        multiply(d, x + 2 * hidden, into: dx)
        multiply(d, x, into: dx + 2 * hidden)
      }
    }
  }

  private func multiply(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: Pointer) {
    for index in 0..<hidden { y[index] = a[index] * b[index] }
  }
}
