import DPO
import DPOBase
import Testing

/// loss_type, mean loss, ∂/∂C₁, ∂/∂R₁, ∂/∂C₆, ∂/∂R₆: computed in double precision and equal to TRL 1.16's own loss code.
private let goldenLosses: [(LossType, Double, Double, Double, Double, Double)] = [
  (.sigmoid, 0.7768796493, -0.007917013542, 0.007917013542, -0.01265851528, 0.01265851528),
  (.hinge, 1.086666667, -0.01666666667, 0.01666666667, -0.01666666667, 0.01666666667),
  (.ipo, 23.08215154, -0.3211111111, 0.2675925926, -0.1014285714, 0.2897959184),
  (.exoPair, 2.908173382, -0.02829069255, 0.02829069255, -0.02452665273, 0.02452665273),
  (.ncaPair, 1.427022091, -0.003854231755, 0.004062521696, -0.007808074322, 0.005284463258),
  (.robust, 0.7835463159, -0.01000034688, 0.01000034688, -0.01474184862, 0.01474184862),
  (.bcoPair, 1.443936804, -0.008125043392, 0.008125043392, -0.01076093844, 0.01056892652),
  (.sppoHard, 80.53333333, -1.5, 1.5, -3.666666667, 3.5),
  (.aot, 0.7166279173, -0.006250346875, 0.006250346875, -0.007166067529, 0.007166067529),
  (.aotUnpaired, 0.7162914202, -0.006999822336, 0.007041413747, -0.005918685127, 0.007207571773),
  (.apoZero, 1.01382824, -0.004164063585, 0.004164063585, -0.003813070674, 0.003866794054),
  (.apoDown, 0.9972287163, 7.796248137e-06, 0.004156267337, 0.0007688359412, 0.003044234733),
  (.discopop, 0.8486249926, -0.005111830724, 0.005111830724, -0.01265851523, 0.01265851523),
  (.sft, 1.988613861, -0.009900990099, 0, -0.009900990099, 0),
  (.sigmoidNorm, 0.6725016384, -0.001651389317, 0.001376157764, -0.0004392635215, 0.001255038633),
]

/// Mean loss under forward_kl, js_divergence, alpha_divergence with c = 0.5.
private let goldenDivergences: [(LossType, Double, Double, Double)] = [
  (.sigmoid, 7.243638372, 0.7158877584, 1.173569612),
  (.sigmoidNorm, 0.8215340491, 0.6797250352, 0.6103734997),
  (.hinge, 7.661192877, 1.004586838, 1.576034195),
  (.ipo, 61206.71562, 22.89428955, 92.56825642),
  (.exoPair, 3.17545612, 2.794368195, 3.089093329),
  (.robust, 3.012564602, 0.7164611131, 1.061073917),
  (.discopop, 7.307675145, 0.798580014, 1.238082075),
]

@Suite(.timeLimit(.minutes(10))) struct DPOLossTests {
  @Test func everyLossHasTRLsValueAndGradient() throws {
    for (type, loss, c1, r1, c6, r6) in goldenLosses {
      let result = try dpoLoss(Golden.pairs, Golden.options(type))
      #expect(near(result.loss, loss), "\(type)")
      let found = [0, 5].flatMap {
        [result.chosenGradients[$0] + result.likelihoodGradients[$0], result.rejectedGradients[$0]]
      }
      for (value, expected) in zip(found, [c1, r1, c6, r6]) { #expect(near(value, expected, 1e-8), "\(type)") }
    }
  }

  @Test func everyDivergenceHasTRLsValue() throws {
    for (type, forward, js, alpha) in goldenDivergences {
      for (kind, expected) in [(FDivergence.forwardKL, forward), (.jensenShannon, js), (.alpha, alpha)] {
        let found = try dpoLoss(Golden.pairs, Golden.options(type, kind)).loss
        #expect(near(found, expected), "\(type) \(kind): \(found)")
      }
    }
  }

  @Test func gradientsAreThoseOfCentralDifferences() throws {
    for type in LossType.allCases {
      for kind in FDivergence.allCases where kind == .reverseKL || type.takesDivergence {
        let options = Golden.options(type, kind)
        var pairs = Golden.pairs
        for i in 0..<pairs.count { pairs.chosen[i] += 0.037 * Double(i) + 0.011 }  // off the hinge's corner and ties
        let result = try dpoLoss(pairs, options)
        for i in 0..<pairs.count {
          let chosen = try centralDifference(pairs.chosen[i]) {
            var moved = pairs
            moved.chosen[i] = $0
            return try dpoLoss(moved, options).loss
          }
          let rejected = try centralDifference(pairs.rejected[i]) {
            var moved = pairs
            moved.rejected[i] = $0
            return try dpoLoss(moved, options).loss
          }
          let found = result.chosenGradients[i] + result.likelihoodGradients[i]
          #expect(abs(found - chosen) <= 1e-6 * max(1, abs(chosen)), "\(type) \(kind) chosen \(i): \(found) \(chosen)")
          #expect(
            abs(result.rejectedGradients[i] - rejected) <= 1e-6 * max(1, abs(rejected)), "\(type) \(kind) rejected \(i)"
          )
        }
      }
    }
  }

  @Test func rewardsAreRawLogRatiosTimesBeta() throws {
    let result = try dpoLoss(Golden.pairs, Golden.options(.hinge, .forwardKL))
    let chosen = result.chosenRewards.reduce(0, +) / 6
    let rejected = result.rejectedRewards.reduce(0, +) / 6
    #expect(near(chosen, -0.06833333333))
    #expect(near(rejected, -0.015))
    #expect(zip(result.chosenRewards, result.rejectedRewards).filter { $0 > $1 }.count == 2)
  }

  @Test func severalLossesAddUpWithTheirWeights() throws {
    var options = DPOLossOptions()
    try options.setLosses([.sigmoid, .bcoPair, .sft], weights: [0.8, 0.2, 1])
    let result = try dpoLoss(Golden.pairs, options)
    #expect(near(result.loss, 2.898904942))
    let parts = try [LossType.sigmoid, .bcoPair].map { try dpoLoss(Golden.pairs, DPOLossOptions($0)) }
    for i in 0..<6 {
      let expected = 0.8 * parts[0].chosenGradients[i] + 0.2 * parts[1].chosenGradients[i]
      #expect(near(result.chosenGradients[i], expected))
      #expect(near(result.likelihoodGradients[i], -1.0 / 101))
    }
  }

  @Test func conservativeIsTheSmoothedSigmoidAndRobustItsRescaling() throws {
    var options = Golden.options(.conservative)
    let conservative = try dpoLoss(Golden.pairs, options)
    options.labelSmoothing = 0
    #expect(try dpoLoss(Golden.pairs, options).losses == dpoLoss(Golden.pairs, DPOLossOptions(.sigmoid)).losses)
    // With labels flipped with probability ε, cDPO is the expected sigmoid loss.
    var flipped = Golden.pairs
    (flipped.chosen, flipped.rejected) = (flipped.rejected, flipped.chosen)
    (flipped.referenceChosen, flipped.referenceRejected) = (flipped.referenceRejected, flipped.referenceChosen)
    let straight = try dpoLoss(Golden.pairs, DPOLossOptions(.sigmoid))
    let reverse = try dpoLoss(flipped, DPOLossOptions(.sigmoid))
    for i in 0..<6 { #expect(near(conservative.losses[i], 0.9 * straight.losses[i] + 0.1 * reverse.losses[i])) }
  }

  @Test func referenceFreeSeesAReferenceOfZero() throws {
    var options = DPOLossOptions(.sigmoid)
    options.referenceFree = true
    let result = try dpoLoss(Golden.pairs, options)
    for i in 0..<6 {
      let u = 0.1 * (Golden.chosen[i] - Golden.rejected[i])
      #expect(near(result.losses[i], -logSigmoid(u)))
    }
    // As in the original implementation the rewards still compare with a reference that is given.
    #expect(result.chosenRewards[0] == 0.1 * (-12.5 + 13.0))
    var alone = Golden.pairs
    alone.referenceChosen = nil
    alone.referenceRejected = nil
    #expect(try dpoLoss(alone, options).losses == result.losses)
    options.referenceFree = false
    #expect(throws: DPOError.self) { try dpoLoss(alone, options) }
  }

  @Test func aPairsWeightScalesItsLossBeforeTheMean() throws {
    var pairs = Golden.pairs
    pairs.weights = [1, 0, 2, 1, 0.5, 1]
    for type in LossType.allCases where !type.sortsBatch && type != .sft {
      let plain = try dpoLoss(Golden.pairs, Golden.options(type))
      let weighted = try dpoLoss(pairs, Golden.options(type))
      #expect(near(weighted.loss, zip(plain.losses, pairs.weights ?? []).map(*).reduce(0, +) / 6))
      #expect(weighted.chosenGradients[2] == 2 * plain.chosenGradients[2])
    }
    let sft = try dpoLoss(pairs, DPOLossOptions(.sft))
    #expect(sft.likelihoodGradients[1] == 0)
    #expect(near(sft.likelihoodGradients[2], -2.0 / 101))
    #expect(throws: DPOError.self) { try dpoLoss(pairs, Golden.options(.aot)) }
    pairs.weights = [1, 1, 1, 1, 1, -1]
    #expect(throws: DPOError.self) { try dpoLoss(pairs, DPOLossOptions()) }
  }

  @Test func extremeLogRatiosStayFinite() throws {
    let extremes = [-1e4, -800.0, -95, 0, 95, 800, 1e4]
    for type in LossType.allCases {
      for kind in FDivergence.allCases where kind == .reverseKL || type.takesDivergence {
        for a in extremes {
          for b in extremes {
            let pairs = PairScores(
              chosen: [a], rejected: [b], referenceChosen: [0], referenceRejected: [0], chosenCounts: [3],
              rejectedCounts: [3])
            var options = Golden.options(type, kind)
            options.beta = 0.5
            let result = try dpoLoss(pairs, options)
            let overflows = kind == .forwardKL && type == .ipo && min(a, b) < -300  // a square of e^−t
            #expect(result.firstNonFinitePair == nil || overflows, "\(type) \(kind) \(a) \(b): \(result.losses)")
          }
        }
      }
    }
  }

  @Test func discopopHasItsLimitWhereTheNaiveFormOverflows() throws {
    let pairs = PairScores(
      chosen: [-1900], rejected: [0], referenceChosen: [0], referenceRejected: [0], chosenCounts: [1],
      rejectedCounts: [1])
    let result = try dpoLoss(pairs, DPOLossOptions(.discopop, beta: 0.05))  // u = −95, μ e^95 = e^−1805 = 0
    #expect(result.losses == [95])
  }

  @Test func optionsOutOfRangeAreRefused() {
    func refused(_ change: (inout DPOLossOptions) throws -> Void) -> Bool {
      var options = DPOLossOptions()
      do {
        try change(&options)
        try options.validate()
        return false
      } catch { return true }
    }
    #expect(!refused { _ in })
    #expect(refused { try $0.setLosses([.sigmoid], weights: [1, 2]) })
    #expect(refused { $0.losses = [] })
    #expect(refused { $0.losses[0].weight = .nan })
    #expect(refused { _ in _ = try LossType(named: "kto_pair") })
    #expect(refused { _ in _ = try FDivergence(named: "kl") })
    #expect(refused { $0 = Golden.options(.ncaPair, .jensenShannon) })
    #expect(!refused { $0 = Golden.options(.sft, .jensenShannon) })
    #expect(refused { $0 = DPOLossOptions(.exoPair) })
    #expect(
      refused {
        $0 = DPOLossOptions(.robust)
        $0.labelSmoothing = 0.5
      })
    for type in [LossType.aot, .aotUnpaired] {
      #expect(
        refused {
          $0 = DPOLossOptions(type)
          $0.useWeighting = true
        })
    }
    for beta in [0, -1, .nan, Double.infinity] { #expect(refused { $0.beta = beta }) }
    for alpha in [-0.1, 1.1, .nan] { #expect(refused { $0.ldAlpha = alpha }) }
    #expect(refused { $0.labelSmoothing = -0.1 })
    #expect(refused { $0.discopopTau = 0 })
  }

  @Test func arraysOfDifferentLengthsAreRefused() {
    var pairs = Golden.pairs
    pairs.rejected.removeLast()
    #expect(throws: DPOError.self) { try dpoLoss(pairs, DPOLossOptions()) }
    pairs = Golden.pairs
    pairs.chosenCounts[0] = -1
    #expect(throws: DPOError.self) { try dpoLoss(pairs, DPOLossOptions()) }
  }
}
