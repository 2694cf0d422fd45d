import CDPO
import DPO
import DPOBase

// Section 1 of dpo.h: advantages and the loss of PPO.

extension dpo_ppo_options {
  func lossOptions() -> PPOLossOptions {
    var options = PPOLossOptions()
    options.clipRange = cliprange
    options.valueClipRange = cliprange_value
    options.valueCoefficient = vf_coef
    return options
  }
}

@_cdecl("dpo_gae") @implementation
public func dpo_gae(
  _ rewards: UnsafePointer<Double>?, _ values: UnsafePointer<Double>?, _ counts: UnsafePointer<Int>?,
  _ completions: Int, _ gamma: Double, _ lam: Double, _ advantages: UnsafeMutablePointer<Double>?,
  _ returns: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let counts = Array(try array(counts, completions, "counts"))
    var tokens = 0
    for count in counts {
      let (sum, overflow) = tokens.addingReportingOverflow(count)
      guard count >= 0, !overflow, sum <= maximumCount else {
        throw DPOError.argument("counts: \(UInt(bitPattern: count)) tokens, more than any completion has")
      }
      tokens = sum
    }
    let result = try generalizedAdvantages(
      rewards: Array(try array(rewards, tokens, "rewards")), values: Array(try array(values, tokens, "values")),
      counts: counts, gamma: gamma, lambda: lam)
    write(result.advantages, to: advantages)
    write(result.returns, to: returns)
  }
}

@_cdecl("dpo_ppo_options_init") @implementation
public func dpo_ppo_options_init(_ options: UnsafeMutablePointer<dpo_ppo_options>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_ppo_options.write(.defaults, to: options, size: struct_size) }
}

@_cdecl("dpo_ppo_loss") @implementation
public func dpo_ppo_loss(
  _ options: UnsafePointer<dpo_ppo_options>?, _ tokens: Int, _ logps: UnsafePointer<Float>?,
  _ old_logps: UnsafePointer<Float>?, _ advantages: UnsafePointer<Float>?, _ values: UnsafePointer<Float>?,
  _ old_values: UnsafePointer<Float>?, _ returns: UnsafePointer<Float>?, _ loss: UnsafeMutablePointer<Double>?,
  _ gradient_logps: UnsafeMutablePointer<Double>?, _ gradient_values: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let given = try dpo_ppo_options.read(options, defaults: .defaults)
    let output = try required(loss, "loss")
    let options = given.lossOptions()
    let hasValues = values != nil || old_values != nil || returns != nil
    func column(_ pointer: UnsafePointer<Float>?, _ name: String) throws -> [Float] {
      Array(try array(pointer, tokens, name))
    }
    let result = try ppoLoss(
      logProbs: column(logps, "logps"), values: hasValues ? column(values, "values") : [],
      rollout: RolloutTokens(
        logProbs: column(old_logps, "old_logps"), values: hasValues ? column(old_values, "old_values") : [],
        advantages: column(advantages, "advantages"), returns: hasValues ? column(returns, "returns") : []),
      options)
    guard result.loss.isFinite, (result.logProbGradients + result.valueGradients).allSatisfy(\.isFinite) else {
      throw DPOError(.nonFinite, "the loss or a gradient is not finite")
    }
    output.pointee = result.loss
    write(result.logProbGradients, to: gradient_logps)
    write(hasValues ? result.valueGradients : [Double](repeating: 0, count: tokens), to: gradient_values)
  }
}
