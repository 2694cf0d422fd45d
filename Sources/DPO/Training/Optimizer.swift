import DPOKernels
import DPOModel
import DPOPlatform

/// AdamW over a parameter store, its work divided over a thread team. Bits do not depend on the number of threads.
final class Optimizer {
  let firstMoments: FloatBuffer
  let secondMoments: FloatBuffer
  /// Steps applied.
  var step = 0
  private let parameters: ParameterStore
  private let options: AdamWOptions
  private let decayRanges: [Range<Int>]
  private let team: ThreadTeam
  /// Elements a task updates.
  private static let taskSize = 1 << 18

  init(_ parameters: ParameterStore, _ options: AdamWOptions, team: ThreadTeam) throws {
    try options.validate()
    self.parameters = parameters
    self.options = options
    self.team = team
    firstMoments = try FloatBuffer(count: parameters.count)
    secondMoments = try FloatBuffer(count: parameters.count)
    decayRanges = parameters.entries.filter(\.decays).map { $0.offset..<$0.offset + $0.count }
  }

  /// The global norm of the gradients.
  func gradientNorm() -> Double {
    let count = parameters.count
    var sums = [Double](repeating: 0, count: GradientNorm.blockCount(count))
    sums.withUnsafeMutableBufferPointer { sums in
      nonisolated(unsafe) let sums = sums
      team.run(sums.count) { block, _ in
        sums[block] = GradientNorm.sumOfSquares(parameters.gradients.pointer, count: count, block: block)
      }
    }
    return GradientNorm.norm(ofBlocks: sums)
  }

  /// Clips, updates every parameter, and zeroes the gradients.
  func apply(learningRate: Double, norm: Double, maxNorm: Double) {
    step += 1
    let update = AdamWStep(
      options, step: step, learningRate: learningRate,
      gradientScale: GradientNorm.clipFactor(norm: norm, maximum: maxNorm), decayRanges: decayRanges)
    let buffers = AdamWBuffers(
      values: parameters.values.pointer, gradients: parameters.gradients.pointer,
      firstMoments: firstMoments.pointer, secondMoments: secondMoments.pointer, count: parameters.count)
    let size = Optimizer.taskSize
    team.run((parameters.count + size - 1) / size) { task, _ in
      update.apply(to: buffers, range: task * size..<min(buffers.count, (task + 1) * size))
    }
  }

  func clearGradients() { memset(parameters.gradients.pointer, 0, parameters.count * MemoryLayout<Float>.stride) }
}

extension TrainingOptions {
  var adamW: AdamWOptions {
    var adam = AdamWOptions()
    adam.beta1 = optimization.adamBeta1
    adam.beta2 = optimization.adamBeta2
    adam.epsilon = optimization.adamEpsilon
    adam.weightDecay = optimization.weightDecay
    return adam
  }

  func schedule(totalSteps: Int, defaultRate: Double) throws -> Schedule {
    let schedule = Schedule(
      optimization.lrSchedulerType, learningRate: optimization.learningRate ?? defaultRate,
      warmupSteps: try Schedule.warmupSteps(optimization.warmupSteps, totalSteps: totalSteps), totalSteps: totalSteps)
    try schedule.validate()
    return schedule
  }
}
