import CDPO
import DPO
import DPOBase

// Section 1 of dpo.h: losses.

extension dpo_loss_options {
  func lossOptions() throws -> DPOLossOptions {
    var options = DPOLossOptions()
    options.beta = beta
    options.labelSmoothing = label_smoothing
    options.discopopTau = discopop_tau
    options.alphaCoefficient = f_alpha_divergence_coef
    options.fDivergence = try divergence(f_divergence)
    options.referenceFree = reference_free != 0
    guard loss_types != nil else {
      guard loss_count == 0, loss_weights == nil else {
        throw DPOError.argument("loss_types is NULL; expected \(loss_count) types")
      }
      return options
    }
    guard loss_count > 0, loss_count <= 64 else {
      throw DPOError.argument("loss_count is \(UInt(bitPattern: loss_count)); expected 1 to 64")
    }
    let types = try array(loss_types, loss_count, "loss_types").map(lossType)
    try options.setLosses(types, weights: optionalArray(loss_weights, loss_count).map(Array.init))
    return options
  }
}

private func lossType(_ number: Int32) throws -> LossType {
  guard let type = LossType(number: number) else {
    throw DPOError.argument("loss type \(number) is unknown; expected one of dpo_loss_type")
  }
  return type
}

private func divergence(_ number: Int32) throws -> FDivergence {
  guard let divergence = FDivergence(number: number) else {
    throw DPOError.argument("f_divergence \(number) is unknown; expected 0 to 3")
  }
  return divergence
}

@_cdecl("dpo_loss_options_init") @implementation
public func dpo_loss_options_init(_ options: UnsafeMutablePointer<dpo_loss_options>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_loss_options.write(.defaults, to: options, size: struct_size) }
}

@_cdecl("dpo_loss_compute") @implementation
public func dpo_loss_compute(
  _ options: UnsafePointer<dpo_loss_options>?, _ pairs: Int,
  _ policy_chosen: UnsafePointer<Double>?, _ policy_rejected: UnsafePointer<Double>?,
  _ reference_chosen: UnsafePointer<Double>?, _ reference_rejected: UnsafePointer<Double>?,
  _ chosen_tokens: UnsafePointer<Int32>?, _ rejected_tokens: UnsafePointer<Int32>?, _ weights: UnsafePointer<Double>?,
  _ loss: UnsafeMutablePointer<Double>?, _ losses: UnsafeMutablePointer<Double>?,
  _ gradient_chosen: UnsafeMutablePointer<Double>?, _ gradient_rejected: UnsafeMutablePointer<Double>?,
  _ reward_chosen: UnsafeMutablePointer<Double>?, _ reward_rejected: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    let options = try dpo_loss_options.read(options, defaults: .defaults).lossOptions()
    guard pairs > 0, pairs <= Int32.max else {
      throw DPOError.argument("pairs is \(UInt(bitPattern: pairs)); expected 1 to \(Int32.max)")
    }
    let needsCounts = options.losses.contains { $0.type.takesTokenCounts }
    func counts(_ pointer: UnsafePointer<Int32>?, _ name: String) throws -> [Int] {
      guard let pointer else {
        guard !needsCounts else {
          throw DPOError.argument("\(name) is NULL; ipo, sigmoid_norm and sft need token counts")
        }
        return [Int](repeating: 1, count: pairs)
      }
      return UnsafeBufferPointer(start: pointer, count: pairs).map { Int($0) }
    }
    var scores = PairScores(
      chosen: Array(try array(policy_chosen, pairs, "policy_chosen")),
      rejected: Array(try array(policy_rejected, pairs, "policy_rejected")),
      referenceChosen: optionalArray(reference_chosen, pairs).map(Array.init),
      referenceRejected: optionalArray(reference_rejected, pairs).map(Array.init),
      chosenCounts: try counts(chosen_tokens, "chosen_tokens"),
      rejectedCounts: try counts(rejected_tokens, "rejected_tokens"))
    scores.weights = optionalArray(weights, pairs).map(Array.init)
    let loss = try required(loss, "loss")

    let result = try dpoLoss(scores, options)
    if let pair = result.firstNonFinitePair {
      throw DPOError(.nonFinite, "the loss or gradient of pair \(pair) is not finite")
    }
    loss.pointee = result.loss
    write(result.losses, to: losses)
    write(zip(result.chosenGradients, result.likelihoodGradients).map { $0 + $1 }, to: gradient_chosen)
    write(result.rejectedGradients, to: gradient_rejected)
    write(result.chosenRewards, to: reward_chosen)
    write(result.rejectedRewards, to: reward_rejected)
  }
}

@_cdecl("dpo_loss_compute_ranked") @implementation
public func dpo_loss_compute_ranked(
  _ beta: Double, _ rows: Int, _ counts: UnsafePointer<Int>?, _ ranks: UnsafePointer<Double>?,
  _ policy: UnsafePointer<Double>?, _ reference: UnsafePointer<Double>?, _ weights: UnsafePointer<Double>?,
  _ loss: UnsafeMutablePointer<Double>?, _ losses: UnsafeMutablePointer<Double>?,
  _ gradients: UnsafeMutablePointer<Double>?, _ rewards: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus {
    guard rows > 0, rows <= Int32.max else {
      throw DPOError.argument("rows is \(UInt(bitPattern: rows)); expected 1 to \(Int32.max)")
    }
    let counts = Array(try array(counts, rows, "counts"))
    if let bad = counts.first(where: { $0 < 2 || $0 > Int32.max }) {
      throw DPOError.argument("a row has \(UInt(bitPattern: bad)) completions; expected 2 to \(Int32.max)")
    }
    let total = counts.reduce(0, +)
    let loss = try required(loss, "loss")
    let result = try rankedLoss(
      policy: Array(try array(policy, total, "policy")), reference: optionalArray(reference, total).map(Array.init),
      counts: counts, ranks: Array(try array(ranks, total, "ranks")),
      weights: optionalArray(weights, rows).map(Array.init), beta: beta)
    if let row = result.losses.firstIndex(where: { !$0.isFinite }) {
      throw DPOError(.nonFinite, "the loss of row \(row) is not finite")
    }
    guard result.gradients.allSatisfy(\.isFinite) else { throw DPOError(.nonFinite, "a gradient is not finite") }
    loss.pointee = result.loss
    write(result.losses, to: losses)
    write(result.gradients, to: gradients)
    write(result.rewards, to: rewards)
  }
}
