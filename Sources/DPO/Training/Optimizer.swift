import DPOKernels
import DPOModel
import DPOPlatform

/// An update rule over a parameter store, its work divided over a thread team. Bits do not depend on the number of threads.
final class Optimizer {
  let rule: any UpdateRule
  /// Steps applied.
  var step = 0
  private let parameters: ParameterStore
  private let blocks: StoreBlocks
  private let team: ThreadTeam

  /// - Parameters:
  ///   - owned: the parts of the store that are updated here, of an elementwise rule: see `ElementwiseUpdate`. nil: all.
  ///   - offload: directory of files that hold the states; nil: memory does.
  init(
    _ parameters: ParameterStore, _ choice: OptimizerChoice, owned: [Range<Int>]? = nil, offload: String? = nil,
    team: ThreadTeam
  ) throws {
    self.parameters = parameters
    self.team = team
    blocks = StoreBlocks(parameters.entries.map(\.count), size: GradientNorm.blockSize)
    rule = try choice.make(parameters, owned: owned, offload: offload)
  }

  /// The global norm of the gradients.
  func gradientNorm() -> Double { GradientNorm.norm(ofBlocks: sumsOfSquares(ofBlocks: blocks.ranges)) }

  /// Of some blocks of the gradients.
  func sumsOfSquares(ofBlocks blocks: [Range<Int>]) -> [Double] {
    nonisolated(unsafe) let gradients = parameters.gradients.pointer
    var sums = [Double](repeating: 0, count: blocks.count)
    sums.withUnsafeMutableBufferPointer { sums in
      nonisolated(unsafe) let sums = sums
      team.run(sums.count) { index, _ in sums[index] = GradientNorm.sumOfSquares(gradients, blocks[index]) }
    }
    return sums
  }

  /// Clips, updates every parameter, and zeroes the gradients.
  func apply(learningRate: Double, norm: Double, maxNorm: Double) {
    step += 1
    apply(
      learningRate: learningRate, gradientScale: GradientNorm.clipFactor(norm: norm, maximum: maxNorm),
      to: 0..<parameters.count)
  }

  /// Part of step number `step`: updates the parameters of a range and zeroes their gradients.
  func apply(learningRate: Double, gradientScale: Double, to range: Range<Int>) {
    rule.apply(
      UpdateStep(number: step, learningRate: learningRate, gradientScale: gradientScale), to: range, team: team)
  }

  /// Σ g² of a range, whatever the number of threads.
  func sumOfSquares(_ range: Range<Int>) -> Double {
    sumsOfSquares(ofBlocks: GradientNorm.blocks(range)).reduce(0, +)
  }

  func clearGradients() { parameters.gradients.release(0..<parameters.count) }
}

extension TrainingOptions {
  func schedule(totalSteps: Int, defaultRate: Double) throws -> Schedule {
    let schedule = Schedule(
      optimization.lrSchedulerType, learningRate: optimization.learningRate ?? defaultRate,
      warmupSteps: try Schedule.warmupSteps(optimization.warmupSteps, totalSteps: totalSteps), totalSteps: totalSteps)
    try schedule.validate()
    return schedule
  }
}
