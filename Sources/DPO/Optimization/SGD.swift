import CKernels
import DPOBase

/// Stochastic gradient descent with momentum, as torch.optim.SGD has it; weight decay is added to the gradient.
///
///     g ← g + decay · p
///     m ← μ m + (1 − dampening) g, in the first step g
///     p ← p − rate · m, with Nesterov's momentum p − rate · (g + μ m)
package struct SGD: ElementRule, Equatable {
  /// μ; 0: no momentum, and nothing to remember.
  package var momentum = 0.0
  package var dampening = 0.0
  package var nesterov = false
  package var weightDecay = 0.0

  package init() {}

  package var states: [ElementState] {
    momentum > 0 ? [ElementState(name: "momentum_buffer", isSigned: true)] : []
  }

  private func constants(_ step: UpdateStep, decays: Bool) -> ck_sgd_step {
    let isFirst = step.number == 1
    return ck_sgd_step(
      gradient_scale: Float(step.gradientScale), learning_rate: Float(step.learningRate),
      weight_decay: decays ? Float(weightDecay) : 0, momentum: isFirst ? 0 : Float(momentum),
      share: isFirst ? 1 : Float(1 - dampening), direct: nesterov ? 1 : 0, reach: nesterov ? Float(momentum) : 1)
  }

  package func update(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    withUnsafePointer(to: constants(step, decays: decays)) {
      Engine.best.kernels.pointee.sgd(
        numbers.values, numbers.gradients, momentum > 0 ? numbers.states.0 : nil, numbers.count, $0)
    }
  }

  package func updateReference(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool) {
    let c = constants(step, decays: decays)
    for i in 0..<numbers.count {
      let g = c.gradient_scale * numbers.gradients[i] + c.weight_decay * numbers.values[i]
      var update = g
      if momentum > 0, let m = numbers.states.0 {
        m[i] = c.momentum * m[i] + c.share * g
        update = c.direct * g + c.reach * m[i]
      }
      numbers.values[i] -= c.learning_rate * update
      numbers.gradients[i] = 0
    }
  }
}
