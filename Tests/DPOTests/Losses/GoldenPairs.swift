import DPO

/// Six pairs with a tie (5), a hinge beyond its corner (3), short and long completions.
enum Golden {
  static let chosen = [-12.50, -40.10, -3.20, -101.30, -22.75, -21.00]
  static let rejected = [-14.25, -35.60, -9.90, -120.80, -22.75, -18.00]
  static let referenceChosen = [-13.00, -38.70, -7.40, -99.90, -22.75, -15.00]
  static let referenceRejected = [-13.75, -36.90, -2.10, -121.40, -22.75, -23.50]
  static let chosenCounts = [5, 17, 2, 48, 9, 20]
  static let rejectedCounts = [6, 12, 4, 51, 9, 7]

  static var pairs: PairScores {
    PairScores(
      chosen: chosen, rejected: rejected, referenceChosen: referenceChosen, referenceRejected: referenceRejected,
      chosenCounts: chosenCounts, rejectedCounts: rejectedCounts)
  }

  static func options(_ type: LossType, _ divergence: FDivergence = .reverseKL) -> DPOLossOptions {
    var options = DPOLossOptions(type)
    options.labelSmoothing = smoothing(type)
    options.fDivergence = divergence
    return options
  }

  static func smoothing(_ type: LossType) -> Double {
    switch type {
    case .exoPair: 1e-3
    case .robust, .aot, .aotUnpaired, .conservative: 0.1
    default: 0
    }
  }
}

/// Agreement to ten digits, which is what golden numbers are written with.
func near(_ found: Double, _ expected: Double, _ tolerance: Double = 1e-9) -> Bool {
  abs(found - expected) <= tolerance * max(abs(expected), 1e-3)
}

/// (f(x + h) − f(x − h)) / 2h
func centralDifference(_ x: Double, step: Double = 1e-5, _ f: (Double) throws -> Double) rethrows -> Double {
  try (f(x + step) - f(x - step)) / (2 * step)
}
