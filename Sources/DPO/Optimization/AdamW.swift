import CKernels
import DPOBase
import DPOPlatform

/// AdamW (Loshchilov and Hutter 2019) with torch's defaults and torch's order of operations.
package struct AdamWOptions: Sendable, Equatable {
  package var beta1 = 0.9
  package var beta2 = 0.999
  /// Outside the root, after the bias correction.
  package var epsilon = 1e-8
  package var weightDecay = 0.0

  package init() {}

  package func validate() throws {
    for (name, value) in [("adam_beta1", beta1), ("adam_beta2", beta2)] {
      guard value >= 0, value < 1 else { throw DPOError.argument("\(name) is \(value); expected a number in [0, 1)") }
    }
    guard epsilon > 0, epsilon.isFinite else {
      throw DPOError.argument("adam_epsilon is \(epsilon); expected a finite number > 0")
    }
    guard weightDecay >= 0, weightDecay.isFinite else {
      throw DPOError.argument("weight_decay is \(weightDecay); expected a finite number ≥ 0")
    }
  }
}

/// The flat memory of one optimiser: equally long, not overlapping.
package struct AdamWBuffers: @unchecked Sendable {
  package let values, gradients, firstMoments, secondMoments: UnsafeMutablePointer<Float>
  package let count: Int

  package init(
    values: UnsafeMutablePointer<Float>, gradients: UnsafeMutablePointer<Float>,
    firstMoments: UnsafeMutablePointer<Float>, secondMoments: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.values = values
    self.gradients = gradients
    self.firstMoments = firstMoments
    self.secondMoments = secondMoments
    self.count = count
  }
}

/// One step t = 1, 2, … of AdamW over flat memory:
///
///     g ← gradientScale · g
///     m ← β1 m + (1−β1) g;   v ← β2 v + (1−β2) g²
///     p ← p (1 − rate·decay) − rate/(1−β1^t) · m / (√v/√(1−β2^t) + ε)
///     g ← 0
///
/// Elements do not depend on each other: any cut of 0..<count into ranges, on any threads, gives the same bits.
package struct AdamWStep: Sendable {
  /// Sorted ranges of elements that decay; all others do not.
  let decayRanges: [Range<Int>]
  let decaying, plain: ck_adamw_step

  /// - Parameters:
  ///   - step: t, counted from 1.
  ///   - gradientScale: the factor of clipping, 1 without.
  ///   - decayRanges: sorted, not overlapping; weight decay goes to these elements only.
  package init(
    _ options: AdamWOptions, step: Int, learningRate: Double, gradientScale: Double, decayRanges: [Range<Int>]
  ) {
    let t = Double(step)
    func constants(decay: Double) -> ck_adamw_step {
      ck_adamw_step(
        gradient_scale: Float(gradientScale), beta1: Float(options.beta1), one_minus_beta1: Float(1 - options.beta1),
        beta2: Float(options.beta2), one_minus_beta2: Float(1 - options.beta2),
        step_size: Float(learningRate / (1 - pow(options.beta1, t))),
        inverse_root_correction: Float(1 / (1 - pow(options.beta2, t)).squareRoot()), epsilon: Float(options.epsilon),
        decay: Float(1 - learningRate * decay))
    }
    self.decayRanges = decayRanges
    decaying = constants(decay: options.weightDecay)
    plain = constants(decay: 0)
  }

  /// Updates the elements of `range`.
  package func apply(to buffers: AdamWBuffers, range: Range<Int>) {
    forEachPart(of: range.clamped(to: 0..<buffers.count)) { part, decays in
      withUnsafePointer(to: decays ? decaying : plain) { constants in
        Engine.best.kernels.pointee.adamw(
          buffers.values + part.lowerBound, buffers.gradients + part.lowerBound, buffers.firstMoments + part.lowerBound,
          buffers.secondMoments + part.lowerBound, part.count, constants)
      }
    }
  }

  /// `apply` in plain Swift, element by element: what the kernel is compared with.
  package func applyReference(to buffers: AdamWBuffers, range: Range<Int>) {
    forEachPart(of: range.clamped(to: 0..<buffers.count)) { part, decays in
      let c = decays ? decaying : plain
      for i in part {
        let g = c.gradient_scale * buffers.gradients[i]
        let m = c.beta1 * buffers.firstMoments[i] + c.one_minus_beta1 * g
        let v = c.beta2 * buffers.secondMoments[i] + c.one_minus_beta2 * g * g
        buffers.firstMoments[i] = m
        buffers.secondMoments[i] = v
        let denominator = v.squareRoot() * c.inverse_root_correction + c.epsilon
        buffers.values[i] = c.decay * buffers.values[i] - c.step_size * (m / denominator)
        buffers.gradients[i] = 0
      }
    }
  }

  /// Cuts a range where weight decay begins or ends.
  private func forEachPart(of range: Range<Int>, _ body: (Range<Int>, _ decays: Bool) -> Void) {
    var position = range.lowerBound
    for decay in decayRanges where decay.overlaps(range) {
      let part = decay.clamped(to: range)
      if position < part.lowerBound { body(position..<part.lowerBound, false) }
      body(part, true)
      position = part.upperBound
    }
    if position < range.upperBound { body(position..<range.upperBound, false) }
  }
}
