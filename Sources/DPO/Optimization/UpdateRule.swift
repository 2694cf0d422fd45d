import DPOKernels
import DPOModel
import DPOStorage

/// What every rule is told of a step.
package struct UpdateStep: Sendable {
  /// t = 1, 2, …
  package let number: Int
  package let learningRate: Double
  /// The factor of clipping, 1 without.
  package let gradientScale: Double

  package init(number: Int, learningRate: Double, gradientScale: Double) {
    (self.number, self.learningRate, self.gradientScale) = (number, learningRate, gradientScale)
  }
}

/// How gradients change weights, with everything that it remembers from step to step. The bits of a step do not depend on the
/// number of threads.
package protocol UpdateRule: AnyObject {
  /// What it remembers of each parameter, a section for each kind: /optimizer of a checkpoint.
  func sections(model: DecoderConfiguration) -> [CheckpointSection]
  /// Updates the parameters in a range of the store, and zeroes their gradients. The range holds whole parameters.
  func apply(_ step: UpdateStep, to range: Range<Int>, team: ThreadTeam)
}
