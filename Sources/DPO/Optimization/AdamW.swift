import CKernels
import DPOBase
import DPOPlatform

/// AdamW (Loshchilov and Hutter 2019) with torch's defaults and torch's order of operations:
///
///     g ← gradientScale · g
///     m ← β1 m + (1−β1) g;   v ← β2 v + (1−β2) g²
///     p ← p (1 − rate·decay) − rate/(1−β1^t) · m / (√v/√(1−β2^t) + ε)
///
/// Elements do not depend on each other: any cut into ranges, on any threads, gives the same bits.
package struct AdamW: ElementRule, Equatable {
  package var beta1 = 0.9
  package var beta2 = 0.999
  /// Outside the root, after the bias correction.
  package var epsilon = 1e-8
  package var weightDecay = 0.0

  package init() {}

  package var states: [ElementState] {
    [ElementState(name: "exp_avg", isSigned: true), ElementState(name: "exp_avg_sq", isSigned: false)]
  }

  private func constants(_ step: UpdateStep, decays: Bool) -> ck_adamw_step {
    let t = Double(step.number)
    return ck_adamw_step(
      gradient_scale: Float(step.gradientScale), beta1: Float(beta1), one_minus_beta1: Float(1 - beta1),
      beta2: Float(beta2), one_minus_beta2: Float(1 - beta2), step_size: Float(step.learningRate / (1 - pow(beta1, t))),
      inverse_root_correction: Float(1 / (1 - pow(beta2, t)).squareRoot()), epsilon: Float(epsilon),
      decay: decays ? Float(1 - step.learningRate * weightDecay) : 1)
  }

  package func update(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    guard let first = numbers.states.0, let second = numbers.states.1 else { return }
    withUnsafePointer(to: constants(step, decays: decays)) {
      Engine.best.kernels.pointee.adamw(numbers.values, numbers.gradients, first, second, numbers.count, $0)
    }
  }

  package func updateReference(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    guard let first = numbers.states.0, let second = numbers.states.1 else { return }
    let c = constants(step, decays: decays)
    for i in 0..<numbers.count {
      let g = c.gradient_scale * numbers.gradients[i]
      let m = c.beta1 * first[i] + c.one_minus_beta1 * g
      let v = c.beta2 * second[i] + c.one_minus_beta2 * g * g
      first[i] = m
      second[i] = v
      let denominator = v.squareRoot() * c.inverse_root_correction + c.epsilon
      numbers.values[i] = c.decay * numbers.values[i] - c.step_size * (m / denominator)
      numbers.gradients[i] = 0
    }
  }
}
