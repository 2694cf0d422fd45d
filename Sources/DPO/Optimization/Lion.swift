import CKernels
import DPOBase

/// Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2): every number moves by the same amount.
///
///     p ← p (1 − rate·decay) − rate · sign(β1 m + (1−β1) g)
///     m ← β2 m + (1−β2) g
package struct Lion: ElementRule, Equatable {
  package var beta1 = 0.9
  package var beta2 = 0.999
  package var weightDecay = 0.0

  package init() {}

  package var states: [ElementState] { [ElementState(name: "exp_avg", isSigned: true)] }

  private func constants(_ step: UpdateStep, decays: Bool) -> ck_lion_step {
    ck_lion_step(
      gradient_scale: Float(step.gradientScale), beta1: Float(beta1), one_minus_beta1: Float(1 - beta1),
      beta2: Float(beta2), one_minus_beta2: Float(1 - beta2), learning_rate: Float(step.learningRate),
      decay: decays ? Float(1 - step.learningRate * weightDecay) : 1)
  }

  package func update(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    guard let momentum = numbers.states.0 else { return }
    withUnsafePointer(to: constants(step, decays: decays)) {
      Engine.best.kernels.pointee.lion(numbers.values, numbers.gradients, momentum, numbers.count, $0)
    }
  }

  package func updateReference(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    guard let momentum = numbers.states.0 else { return }
    let c = constants(step, decays: decays)
    for i in 0..<numbers.count {
      let g = c.gradient_scale * numbers.gradients[i]
      let direction = c.beta1 * momentum[i] + c.one_minus_beta1 * g
      momentum[i] = c.beta2 * momentum[i] + c.one_minus_beta2 * g
      let sign: Float = direction > 0 ? 1 : direction < 0 ? -1 : 0
      numbers.values[i] = c.decay * numbers.values[i] - c.learning_rate * sign
      numbers.gradients[i] = 0
    }
  }
}
