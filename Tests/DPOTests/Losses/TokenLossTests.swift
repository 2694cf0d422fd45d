import DPO
import DPOBase
import DPOPlatform
import Testing

/// Two pairs: chosen longer, then rejected longer. The gradient by each token is compared with central differences.
@Suite(.timeLimit(.minutes(10))) struct TokenLossTests {
  let counts = [5, 3, 2, 4]
  let values: [Float] = [-1.5, -0.25, -2, -0.5, -3, -1, -0.75, -2.5, -0.125, -4, -0.5, -1.25, -2.25, -1]
  let logSumSquares: [Float] = [-2, -0.5, -1, -1, -2, -0.25, -1, -1.5, -0.5, -3, -1, -1, -2, -0.5]
  let reference = [-6.0, -5.0, -3.5, -6.5]

  func policy(_ values: [Float]) throws -> TokenLogProbs {
    try TokenLogProbs(values: values, counts: counts, logSumSquares: logSumSquares)
  }

  @Test func ldAlphaCountsTheTailOfTheLongerCompletion() throws {
    let sums = try policy(values).pairSums(ldAlpha: 0.25)
    #expect(sums == [-1.5 - 0.25 - 2 + 0.25 * (-0.5 - 3), -4.25, -4.125, -1.75 + 0.25 * -3.25])
    #expect(try policy(values).pairSums() == [-7.25, -4.25, -4.125, -5])
    #expect(try policy(values).pairSums(ldAlpha: 1) == policy(values).pairSums())
  }

  @Test func wpoWeighsByTheMeanExcessOverTheExpectedLogProb() throws {
    let excesses: [Double] = [-1.5 + 2, -0.25 + 0.5, -2 + 1, -0.5 + 1, -3 + 2]
    #expect(near(try policy(values).wpoWeight(0), exp(excesses.reduce(0, +) / 5)))
  }

  @Test func everyTokensGradientIsThatOfACentralDifference() throws {
    var mixed = DPOLossOptions()
    try mixed.setLosses([.sigmoid, .sft], weights: [1, 0.5])
    for base in [DPOLossOptions(), mixed, Golden.options(.ipo), Golden.options(.sigmoidNorm), Golden.options(.apoDown)]
    {
      for ldAlpha in [nil, 0, 0.3] {
        var options = base
        options.ldAlpha = ldAlpha
        options.beta = 0.4
        let weights = [0.5, 2]
        let found = try dpoLoss(policy: policy(values), reference: reference, counts: counts, weights: weights, options)
        for index in values.indices {
          let expected = try centralDifference(Double(values[index]), step: 0x1p-12) {
            var moved = values
            moved[index] = Float($0)
            return try dpoLoss(policy: policy(moved), reference: reference, counts: counts, weights: weights, options)
              .pairs.loss
          }
          #expect(
            abs(Double(found.tokenGradients[index]) - expected) < 1e-5 * max(1, abs(expected)), "\(options) \(index)")
        }
      }
    }
  }

  @Test func wpoMultipliesEveryLossByTheProductOfBothWeights() throws {
    for type in LossType.allCases where !type.sortsBatch {
      var options = Golden.options(type)
      let plain = try dpoLoss(policy: policy(values), reference: reference, counts: counts, options)
      options.useWeighting = true
      let found = try dpoLoss(policy: policy(values), reference: reference, counts: counts, options)
      for pair in 0..<2 {
        let weight = try policy(values).wpoWeight(2 * pair) * policy(values).wpoWeight(2 * pair + 1)
        #expect(near(found.pairs.losses[pair], weight * plain.pairs.losses[pair]), "\(type)")
        #expect(near(found.pairs.chosenGradients[pair], weight * plain.pairs.chosenGradients[pair]), "\(type)")
      }
    }
  }

  @Test func aSequenceWithoutPromptCountsItsFirstTokenInIPOOnly() throws {
    let options = DPOLossOptions(.ipo)
    let more = try dpoLoss(policy: policy(values), reference: reference, counts: [6, 3, 2, 4], options)
    let e = (-7.25 + 6) / 6 - (-4.25 + 5) / 3
    #expect(near(more.pairs.losses[0], (e - 5) * (e - 5)))
  }

  @Test func countsThatDoNotAddUpAreRefused() {
    #expect(throws: DPOError.self) { try TokenLogProbs(values: [1, 2], counts: [1]) }
    #expect(throws: DPOError.self) { try TokenLogProbs(values: [1], counts: [2, -1]) }
    #expect(throws: DPOError.self) {
      try dpoLoss(policy: TokenLogProbs(values: [-1], counts: [1]), reference: nil, counts: [1], DPOLossOptions())
    }
  }

  @Test func sftIsTheTokenMeanAndDFTWeighsEachTokenByItsProbability() throws {
    let (loss, gradients) = try sftLoss(logProbs: [-1, -2, -0.5], normalizer: 6)
    #expect(near(loss, 3.5 / 6))
    #expect(gradients == [Float](repeating: Float(-1.0 / 6), count: 3))
    let dft = try sftLoss(logProbs: [-1, -2], normalizer: 2, kind: .dft)
    #expect(near(dft.loss, (exp(-1) + 2 * exp(-2)) / 2))
    #expect(near(Double(dft.tokenGradients[1]), -exp(-2) / 2, 1e-6))
    #expect(throws: DPOError.self) { try sftLoss(logProbs: [], normalizer: 0) }
    let weighted = try sftLoss(logProbs: [-1, -2, -.infinity], weights: [3, 0.5, 0], normalizer: 2)
    #expect(near(weighted.loss, 2) && weighted.tokenGradients == [-1.5, -0.25, 0])
    #expect(near(try sftLoss(logProbs: [-1], weights: [3], normalizer: 1, kind: .dft).loss, 3 * exp(-1)))
    #expect(throws: DPOError.self) { try sftLoss(logProbs: [-1], weights: [1, 1], normalizer: 1) }
  }
}
