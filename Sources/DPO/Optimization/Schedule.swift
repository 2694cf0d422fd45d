import DPOBase
import DPOPlatform

/// How the learning rate changes over a run; names and formulas are those of transformers' `lr_scheduler_type`.
public enum ScheduleKind: String, CaseIterable, Sendable {
  /// From the peak down to 0 in a straight line.
  case linear
  /// From the peak down to 0 along half a cosine.
  case cosine
  /// The peak throughout; `warmup_steps` is not looked at.
  case constant
  /// The peak throughout, after the warm-up.
  case constantWithWarmup = "constant_with_warmup"
  /// Half a cosine down to 0, once: transformers' default of one cycle.
  case cosineWithRestarts = "cosine_with_restarts"
  /// From the peak down to 1e-7 with power 1, transformers' defaults.
  case polynomial
  /// Falls as 1/√step after the warm-up; without one, as 1/√(1 + step/10000).
  case inverseSquareRoot = "inverse_sqrt"

  /// The schedule of this name; the error lists the names there are.
  public init(named name: String) throws {
    guard let kind = ScheduleKind(rawValue: name) else {
      let known = ScheduleKind.allCases.map(\.rawValue).joined(separator: ", ")
      throw DPOError.argument("lr_scheduler_type \"\(DPOError.printable(name))\" is unknown; expected one of \(known)")
    }
    self = kind
  }
}

/// The learning rate of every optimiser step k = 0, 1, … of a run.
package struct Schedule: Sendable, Equatable {
  package var kind: ScheduleKind
  /// The peak rate.
  package var learningRate: Double
  /// W. With warmup the first step has rate 0 and step W the peak.
  package var warmupSteps: Int
  /// S.
  package var totalSteps: Int
  /// `num_cycles` of cosine_with_restarts.
  package var cycles = 1
  /// `lr_end` and `power` of polynomial.
  package var finalLearningRate = 1e-7
  package var power = 1.0
  /// Of inverse_sqrt; nil means W, or 10000 without warmup.
  package var timescale: Int?

  package init(_ kind: ScheduleKind, learningRate: Double, warmupSteps: Int = 0, totalSteps: Int) {
    self.kind = kind
    self.learningRate = learningRate
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
  }

  /// W from the option `warmup_steps`: a count when ≥ 1, below 1 the fraction of S, rounded up.
  package static func warmupSteps(_ option: Double, totalSteps: Int) throws -> Int {
    guard option >= 0, option <= 1e15 else {
      throw DPOError.argument("warmup_steps is \(option); expected a count, or a fraction of all steps below 1")
    }
    return option >= 1 ? Int(option) : Int((Double(totalSteps) * option).rounded(.up))
  }

  package func validate() throws {
    guard learningRate.isFinite, learningRate >= 0 else {
      throw DPOError.argument("learning_rate is \(learningRate); expected a finite number ≥ 0")
    }
    guard warmupSteps >= 0, totalSteps >= 0, cycles >= 1, timescale ?? 1 >= 1 else {
      throw DPOError.argument("expected warmup_steps ≥ 0, at least one cycle and a timescale ≥ 1")
    }
    guard kind != .polynomial || (finalLearningRate >= 0 && finalLearningRate < learningRate && power.isFinite) else {
      throw DPOError.argument(
        "lr_end is \(finalLearningRate); expected a number from 0 to below the learning rate \(learningRate)")
    }
  }

  /// The rate that step k uses.
  package func rate(step: Int) -> Double { learningRate * factor(step: step) }

  /// rate(k) / learningRate.
  package func factor(step: Int) -> Double {
    let k = Double(step)
    let warmup = Double(warmupSteps)
    if kind == .constant { return 1 }
    if step < warmupSteps { return k / max(1, warmup) }
    let total = Double(totalSteps)
    let x = (k - warmup) / max(1, total - warmup)
    switch kind {
    case .constant, .constantWithWarmup: return 1
    case .linear: return max(0, (total - k) / max(1, total - warmup))
    case .cosine: return max(0, 0.5 * (1 + cos(.pi * x)))
    case .cosineWithRestarts:
      return x >= 1 ? 0 : max(0, 0.5 * (1 + cos(.pi * (Double(cycles) * x).truncatingRemainder(dividingBy: 1))))
    case .polynomial:
      if step > totalSteps { return finalLearningRate / learningRate }
      return ((learningRate - finalLearningRate) * pow(1 - x, power) + finalLearningRate) / learningRate
    case .inverseSquareRoot:
      let scale = Double(timescale ?? (warmupSteps > 0 ? warmupSteps : 10_000))
      return 1 / ((k + scale - warmup) / scale).squareRoot()
    }
  }
}
