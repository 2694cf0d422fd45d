import CDPO
import DPO
import DPOBase

// Section 1 of dpo.h: the closed form.

private func closedForm(_ options: UnsafePointer<dpo_loss_options>?) throws -> ClosedForm {
  let options = try dpo_loss_options.read(options, defaults: .defaults).lossOptions()
  return try ClosedForm(
    beta: options.beta, fDivergence: options.fDivergence, alphaCoefficient: options.alphaCoefficient)
}

@_cdecl("dpo_policy_optimum") @implementation
public func dpo_policy_optimum(
  _ options: UnsafePointer<dpo_loss_options>?, _ count: Int, _ reference_logps: UnsafePointer<Double>?,
  _ rewards: UnsafePointer<Double>?, _ policy_logps: UnsafeMutablePointer<Double>?,
  _ normalizer: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let optimum = try closedForm(options).optimum(
      reference: Array(try array(reference_logps, count, "reference_logps")),
      rewards: Array(try array(rewards, count, "rewards")))
    write(optimum.logProbs, to: policy_logps)
    normalizer?.pointee = optimum.normalizer
  }
}

@_cdecl("dpo_policy_rewards") @implementation
public func dpo_policy_rewards(
  _ options: UnsafePointer<dpo_loss_options>?, _ count: Int, _ policy_logps: UnsafePointer<Double>?,
  _ reference_logps: UnsafePointer<Double>?, _ rewards: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let rewards = try required(rewards, "rewards")
    write(
      try closedForm(options).rewards(
        policy: Array(try array(policy_logps, count, "policy_logps")),
        reference: Array(try array(reference_logps, count, "reference_logps"))),
      to: rewards)
  }
}

@_cdecl("dpo_policy_divergence") @implementation
public func dpo_policy_divergence(
  _ options: UnsafePointer<dpo_loss_options>?, _ count: Int, _ policy_logps: UnsafePointer<Double>?,
  _ reference_logps: UnsafePointer<Double>?, _ divergence: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let divergence = try required(divergence, "divergence")
    divergence.pointee = try closedForm(options).divergence(
      policy: Array(try array(policy_logps, count, "policy_logps")),
      reference: Array(try array(reference_logps, count, "reference_logps")))
  }
}

@_cdecl("dpo_bradley_terry") @implementation
public func dpo_bradley_terry(
  _ count: Int, _ first_rewards: UnsafePointer<Double>?, _ second_rewards: UnsafePointer<Double>?,
  _ probabilities: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let probabilities = try required(probabilities, "probabilities")
    let pairs = zip(
      try array(first_rewards, count, "first_rewards"), try array(second_rewards, count, "second_rewards"))
    write(pairs.map { ClosedForm.bradleyTerry($0, over: $1) }, to: probabilities)
  }
}
