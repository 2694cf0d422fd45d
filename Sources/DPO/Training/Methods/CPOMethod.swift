import DPOBase

extension TrainingMethod {
  static func cpo(_ options: TrainingOptions) throws -> TrainingMethod { .cpo(try options.cpoLoss()) }

  /// CPO, SimPO and AlphaPO on pairs: no reference model, log-probs of SimPO and of ipo are means per token.
  static func cpo(_ options: CPOLossOptions) -> TrainingMethod {
    TrainingMethod(
      name: "cpo", purpose: .preference, usesReference: false,
      extras: [.entropy, .meanLogit, .top1],
      loss: { batch in
        let pairs = PairColumns(batch)
        let result = try DPO.cpoLoss(
          chosen: pairs.chosen, rejected: pairs.rejected, chosenCounts: pairs.chosenCounts,
          rejectedCounts: pairs.rejectedCounts, weights: pairs.weights, options)
        return MethodLoss(result, of: batch, logps: pairs.logps(perToken: options.kind.isPerToken))
      })
  }
}

extension TrainingOptions {
  /// The options of CPO's losses, checked. `alphapo` is TRL's name of simpo without the likelihood term.
  func cpoLoss() throws -> CPOLossOptions {
    var loss = CPOLossOptions()
    let name = try singleLossType(of: CPOLossOptions.names)
    loss.kind = CPOLossOptions.Kind(rawValue: name) ?? .simpo
    loss.beta = method.beta
    loss.labelSmoothing = method.labelSmoothing
    loss.simpoGamma = method.simpoGamma
    loss.alpha = method.alpha
    loss.cpoAlpha = name == "alphapo" ? 0 : method.cpoAlpha
    try loss.validate()
    return loss
  }

  /// The one loss of a method whose losses are not summed.
  func singleLossType(of names: [String]) throws -> String {
    guard method.lossType.count == 1, let name = method.lossType.first, names.contains(name) else {
      throw DPOError.argument(
        "loss_type \(method.lossType.joined(separator: ",")) is none of method \(method.name): \(names.joined(separator: ", "))"
      )
    }
    return name
  }
}

extension CPOLossOptions {
  /// What `loss_type` may be for the method cpo.
  static let names = CPOLossName.allCases.map(\.rawValue)
}

/// What `loss_type` may be for the method cpo.
public enum CPOLossName: String, CaseIterable, Sendable {
  /// CPO on summed log-probs (Xu et al. 2024).
  case sigmoid
  /// SLiC's hinge on summed log-probs (Zhao et al. 2023).
  case hinge
  /// IPO on means per token (Azar et al. 2023).
  case ipo
  /// SimPO on means per token, with the margin `simpo_gamma` (Meng et al. 2024); as published `cpo_alpha` is 0.
  case simpo
  /// simpo without the likelihood term (`cpo_alpha` 0) and with AlphaPO's reward shape.
  case alphapo
}
