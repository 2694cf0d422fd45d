import DPO
import DPOBase
import DPOPlatform
import Testing

@Suite(.timeLimit(.minutes(10))) struct KTOLossTests {
  let labels = [true, true, false, false, true, false]
  let kl = [0.9, -0.4, 1.3, 0.2, -0.1, 0.5]
  var logRatios: [Double] {
    (0..<6).map {
      labels[$0] ? Golden.chosen[$0] - Golden.referenceChosen[$0] : Golden.rejected[$0] - Golden.referenceRejected[$0]
    }
  }

  @Test func valuesAndGradientsAreTRLs() throws {
    let golden: [(KTOLossOptions.Kind, Double, Double, [Double])] = [
      (
        .kto, 0.5458435902, 0.4,
        [-0.004166562502, -0.004133098084, 0.004245444884, 0.004999500033, -0.004165000444, 0.004688466879]
      ),
      (
        .apoZeroUnpaired, 0.5464311205, 0,
        [-0.004164063585, -0.00414631651, 0.004310457906, 0.004995502699, -0.004166666667, 0.004640152864]
      ),
    ]
    for (kind, loss, baseline, gradients) in golden {
      var options = KTOLossOptions()
      options.kind = kind
      options.undesirableWeight = 1.2
      let result = try ktoLoss(logRatios: logRatios, labels: labels, klLogRatios: kl, options)
      #expect(near(result.loss, loss))
      #expect(near(result.baseline, baseline))
      for (found, expected) in zip(result.gradients, gradients) { #expect(near(found, expected, 1e-8)) }
    }
  }

  @Test func theKLEstimateIsClampedAfterTheMeanAndRowsAreWeighted() throws {
    let result = try ktoLoss(
      logRatios: [1, -1], labels: [true, false], klLogRatios: [-3, 1], weights: [2, 0], KTOLossOptions())
    #expect(result.baseline == 0)
    #expect(near(result.losses[0], 2 * (1 - sigmoid(0.1))))
    #expect(result.losses[1] == 0 && result.gradients[1] == 0)
    #expect(throws: DPOError.self) { try ktoLoss(logRatios: [1], labels: [true], klLogRatios: [], KTOLossOptions()) }
  }

  @Test func bcoComparesWithTheRunningMeanOfAllRewards() throws {
    var baseline = BCOBaseline(mean: 1, rows: 2)
    let result = try bcoLoss(logRatios: [10, -20], labels: [true, false], beta: 0.1, baseline: &baseline)
    #expect(near(baseline.mean, (2 + 1 - 2) / 4) && baseline.rows == 4)
    #expect(near(result.loss, (-logSigmoid(1 - 0.25) - logSigmoid(0.25 + 2)) / 2))
    #expect(near(result.gradients[0], -0.1 * sigmoid(-0.75) / 2))
    #expect(near(result.gradients[1], 0.1 * sigmoid(-2.25) / 2))
    // An evaluation compares with what training has seen.
    let seen = baseline
    let evaluated = try bcoLoss(
      logRatios: [30], labels: [false], beta: 0.1, baseline: &baseline, isTraining: false)
    #expect(baseline == seen && near(evaluated.loss, -logSigmoid(0.25 - 3)))
  }
}

@Suite(.timeLimit(.minutes(10))) struct ReferenceFreeLossTests {
  func cpo(_ options: CPOLossOptions, chosen: [Double] = Golden.chosen, rejected: [Double] = Golden.rejected) throws
    -> PairLossResult
  {
    try cpoLoss(
      chosen: chosen, rejected: rejected, chosenCounts: Golden.chosenCounts, rejectedCounts: Golden.rejectedCounts,
      options)
  }

  func simpo(beta: Double, gamma: Double, alpha: Double = 0) -> CPOLossOptions {
    var options = CPOLossOptions()
    options.kind = .simpo
    options.beta = beta
    options.simpoGamma = gamma
    options.alpha = alpha
    options.cpoAlpha = 0
    return options
  }

  @Test func valuesAreTRLs() throws {
    let golden: [(CPOLossOptions.Kind, Double)] = [
      (.sigmoid, 2.596361094), (.hinge, 2.806113861), (.ipo, 22.34816654), (.simpo, 2.930839979),
    ]
    for (kind, expected) in golden {
      var options = CPOLossOptions()
      options.kind = kind
      #expect(near(try cpo(options).loss, expected), "\(kind)")
    }
    #expect(near(try cpo(simpo(beta: 2, gamma: 1)).loss, 0.8131618834))
    #expect(near(try cpo(simpo(beta: 0.1, gamma: 0.5, alpha: 0.25)).loss, 0.9212862013))
    #expect(near(try orpo(Golden.chosen, Golden.rejected).loss, 2.036740456))
  }

  func orpo(_ chosen: [Double], _ rejected: [Double], full: [Double] = Golden.chosen) throws -> PairLossResult {
    try orpoLoss(
      chosen: chosen, rejected: rejected, chosenCounts: Golden.chosenCounts, rejectedCounts: Golden.rejectedCounts,
      full: full, fullCounts: Golden.chosenCounts)
  }

  @Test func gradientsAreThoseOfCentralDifferences() throws {
    var cases = CPOLossOptions.Kind.allCases.flatMap { kind in
      [0, 0.25, -0.1].map { alpha in
        var options = CPOLossOptions()
        options.kind = kind
        options.alpha = kind == .simpo || kind == .ipo ? alpha : alpha / 50
        options.labelSmoothing = 0.1
        return options
      }
    }
    cases.append(simpo(beta: 2, gamma: 1))
    let losses: [([Double], [Double]) throws -> PairLossResult] =
      cases.map { options in { try cpo(options, chosen: $0, rejected: $1) } } + [{ try orpo($0, $1, full: $0) }]
    for (number, loss) in losses.enumerated() {
      let found = try loss(Golden.chosen, Golden.rejected)
      for i in 0..<6 {
        let dC = try centralDifference(Golden.chosen[i]) {
          var moved = Golden.chosen
          moved[i] = $0
          return try loss(moved, Golden.rejected).loss
        }
        let dR = try centralDifference(Golden.rejected[i]) {
          var moved = Golden.rejected
          moved[i] = $0
          return try loss(Golden.chosen, moved).loss
        }
        let total = found.chosenGradients[i] + found.likelihoodGradients[i]
        #expect(abs(total - dC) <= 1e-6 * max(1, abs(dC)), "\(number) \(i)")
        #expect(abs(found.rejectedGradients[i] - dR) <= 1e-6 * max(1, abs(dR)), "\(number) \(i)")
      }
    }
  }

  @Test func unlikelihoodRaisesOneSideAndLowersTheOther() throws {
    let result = try unlikelihoodLoss(chosen: [-3, -4], rejected: [-5, -1], weights: [1, 2], alpha: 0.25)
    #expect(near(result.loss, ((3 - 0.25 * 5) + 2 * (4 - 0.25)) / 2))
    #expect(result.chosenGradients == [-0.5, -1] && result.rejectedGradients == [0.125, 0.25])
    #expect(throws: DPOError.self) { try unlikelihoodLoss(chosen: [-1], rejected: [-1], alpha: 1.5) }
  }

  @Test func orpoStaysFiniteAtCertainty() throws {
    let certain = try orpoLoss(
      chosen: [0], rejected: [-1e4], chosenCounts: [3], rejectedCounts: [2], full: [0], fullCounts: [3])
    #expect(certain.firstNonFinitePair == nil)
  }

  @Test func rewardLossIsBradleyTerryWithMarginAndCentring() throws {
    let chosen = [1.5, -0.2, 0.7]
    let rejected = [0.3, 0.4, 0.7]
    #expect(near(try rewardLoss(chosen: chosen, rejected: rejected).loss, 0.6646391995))
    #expect(near(try rewardLoss(chosen: chosen, rejected: rejected, margins: [0.5, 0, 1]).loss, 0.9179785623))
    let centred = try rewardLoss(chosen: chosen, rejected: rejected, centerCoefficient: 0.01)
    #expect(near(centred.loss, 0.6821058661))
    for i in 0..<3 {
      let expected = try centralDifference(chosen[i]) {
        var moved = chosen
        moved[i] = $0
        return try rewardLoss(chosen: moved, rejected: rejected, centerCoefficient: 0.01).loss
      }
      #expect(abs(centred.chosenGradients[i] - expected) < 1e-8)
    }
    #expect(throws: DPOError.self) { try rewardLoss(chosen: [1], rejected: []) }
  }
}
