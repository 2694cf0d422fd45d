import DPO
import DPOBase
import DPOPlatform
import TestSupport
import Testing

/// β·log Z and so on by NumPy, from the definitions in Wang et al. 2023 (Tests/Fixtures/scripts/make_closed_form.py).
@Suite(.timeLimit(.minutes(10))) struct ClosedFormTests {
  struct Case {
    let form: ClosedForm
    let reference, rewards, policy, other: [Double]
    let normalizer, divergence: Double

    init(_ json: JSON) throws {
      func numbers(_ key: String) -> [Double] { json[key]?.array?.compactMap(\.double) ?? [] }
      form = try ClosedForm(
        beta: #require(json["beta"]?.double),
        fDivergence: FDivergence(named: #require(json["f_divergence_type"]?.string)),
        alphaCoefficient: #require(json["f_alpha_divergence_coef"]?.double))
      (reference, rewards) = (numbers("reference").map { log($0) }, numbers("rewards"))
      (policy, other) = (numbers("policy"), numbers("other").map { log($0) })
      normalizer = try #require(json["normalizer"]?.double)
      divergence = try #require(json["divergence"]?.double)
    }
  }

  func cases() throws -> [Case] {
    let cases = try #require(Fixtures.json("golden/closed_form.json")["cases"]?.array).map(Case.init)
    #expect(cases.count == 32)
    return cases
  }

  @Test func optimaAndDivergencesAreNumPys() throws {
    for test in try cases() {
      let name = Comment("\(test.form)")
      let found = try test.form.optimum(reference: test.reference, rewards: test.rewards)
      for (logProb, expected) in zip(found.logProbs, test.policy) {
        #expect(abs(exp(logProb) - expected) < 1e-12, name)
      }
      #expect(near(found.normalizer, test.normalizer, 1e-11), name)
      #expect(near(found.logPartition, test.normalizer / test.form.beta, 1e-11), name)
      let divergence = try test.form.divergence(policy: test.other, reference: test.reference)
      #expect(near(divergence, test.divergence, 1e-11), name)
    }
  }

  @Test func reverseKLIsThePapersEquation4() throws {
    let reference = [0.2, 0.5, 0.3].map { log($0) }
    let rewards = [1.0, -0.5, 2.0]
    let found = try ClosedForm(beta: 0.5).optimum(reference: reference, rewards: rewards)
    let weights = zip(reference, rewards).map { exp($0 + $1 / 0.5) }
    let z = weights.reduce(0, +)
    #expect(near(found.logPartition, log(z), 1e-14) && near(found.normalizer, 0.5 * log(z), 1e-14))
    for (logProb, weight) in zip(found.logProbs, weights) { #expect(near(exp(logProb), weight / z, 1e-14)) }
    #expect(
      near(
        try ClosedForm.klDivergence([log(0.5), log(0.5)], [log(0.25), log(0.75)]), 0.5 * log(2) + 0.5 * log(2.0 / 3)))
    #expect(near(ClosedForm.bradleyTerry(1.5, over: 0.5), 1 / (1 + exp(-1)), 1e-15))
  }

  /// r = β·f'(π_r/π_ref) + λ: the reward comes back from its policy.
  @Test func rewardsComeBackFromTheirPolicy() throws {
    for test in try cases() where !test.policy.contains(0) {
      let optimum = try test.form.optimum(reference: test.reference, rewards: test.rewards)
      let found = try test.form.rewards(policy: optimum.logProbs, reference: test.reference)
      for (value, reward) in zip(found, test.rewards) {
        #expect(abs(value + optimum.normalizer - reward) < 1e-8, "\(test.form)")
      }
    }
  }

  /// No other policy has a higher E_π[r] − β·D_f(π‖π_ref).
  @Test func nothingIsBetterThanTheOptimum() throws {
    var random = CounterRandom(key: 3)
    for test in try cases() {
      func objective(_ policy: [Double]) throws -> Double {
        let expected = zip(policy, test.rewards).reduce(0) { $0 + exp($1.0) * $1.1 }
        return expected - test.form.beta * (try test.form.divergence(policy: policy, reference: test.reference))
      }
      let optimum = try test.form.optimum(reference: test.reference, rewards: test.rewards).logProbs
      let best = try objective(optimum)
      for size in [0.01, 0.1, 1] {
        let moved = optimum.map { max($0, -30) + size * (Double(random.next() % 1000) / 500 - 1) }
        let total = log(moved.reduce(0) { $0 + exp($1) })
        #expect(try objective(moved.map { $0 - total }) <= best + 1e-12, "\(test.form)")
      }
    }
  }

  @Test func extremesAreMet() throws {
    let reference = [log(0.5), log(0.5), -.infinity]
    for kind in FDivergence.allCases {
      for c in [-2.0, 0.5, 3] {
        let form = try ClosedForm(beta: 1e-3, fDivergence: kind, alphaCoefficient: c)
        // A gap of 1e6 β: all is on the better of the two possible answers, the impossible one stays so.
        let found = try form.optimum(reference: reference, rewards: [1000, 0, 2000])
        #expect(found.logProbs[2] == -.infinity && abs(found.logProbs[0]) < 1e-2, "\(kind)")
        #expect(found.normalizer.isFinite, "\(kind)")
        #expect(try form.optimum(reference: reference, rewards: [1e308, -1e308, 0]).logProbs[0] > -1e-100, "\(kind)")
        // No reward, no change.
        let same = try form.optimum(reference: reference, rewards: [7, 7, 7])
        #expect(abs(same.logProbs[0] - log(0.5)) < 1e-14 && near(same.normalizer, 7), "\(kind)")
        #expect(try form.optimum(reference: [0], rewards: [3]).logProbs == [0])
        #expect(try form.divergence(policy: reference, reference: reference) == 0)
      }
    }
    // alpha_divergence with c > 1 gives up bad answers: f'(0) is finite.
    let chi = try ClosedForm(beta: 0.1, fDivergence: .alpha, alphaCoefficient: 2)
    #expect(try chi.optimum(reference: [log(0.5), log(0.5)], rewards: [1, 0]).logProbs == [0, -.infinity])
    #expect(try ClosedForm.klDivergence([log(0.5), log(0.5)], [0, -.infinity]) == .infinity)
    #expect(try ClosedForm.klDivergence([0, -.infinity], [log(0.5), log(0.5)]) == log(2))
  }

  @Test func whatIsNoDistributionIsRefused() throws {
    let form = try ClosedForm()
    let half = [log(0.5), log(0.5)]
    for (reference, rewards) in [
      ([], []), (half, [1]), (half, [1, .nan]), ([log(0.5), log(0.4)], [1, 2]), ([.nan, 0], [1, 2]),
      ([.infinity, 0], [1, 2]), ([-.infinity, -.infinity], [1, 2]),
    ] as [([Double], [Double])] {
      #expect(throws: DPOError.self) { try form.optimum(reference: reference, rewards: rewards) }
    }
    #expect(throws: DPOError.self) { try form.rewards(policy: [0, -.infinity], reference: half) }
    #expect(throws: DPOError.self) { try form.divergence(policy: half, reference: [0]) }
    #expect(throws: DPOError.self) { try ClosedForm(beta: 0) }
    #expect(throws: DPOError.self) { try ClosedForm(alphaCoefficient: .infinity) }
  }
}

/// A prompt with six answers, a softmax policy over them, and both roads to the optimum.
@Suite(.timeLimit(.minutes(10))) struct BanditTests {
  let reference = [0.30, 0.25, 0.20, 0.15, 0.07, 0.03].map { log($0) }
  let rewards = [0.0, 1.0, -0.5, 0.5, 2.0, 1.5]

  func softmax(_ logits: [Double]) -> [Double] {
    let total = log(logits.reduce(0) { $0 + exp($1) })
    return logits.map { $0 - total }
  }

  func totalVariation(_ p: [Double], _ q: [Double]) -> Double {
    zip(p, q).reduce(0) { $0 + abs(exp($1.0) - exp($1.1)) } / 2
  }

  /// d/d logits of a function whose derivatives by the log-probs are known.
  func throughSoftmax(_ gradient: [Double], _ logProbs: [Double]) -> [Double] {
    let total = gradient.reduce(0, +)
    return zip(gradient, logProbs).map { $0 - exp($1) * total }
  }

  /// Every ordered pair (i, j), weighted by the exact probability that i is preferred to j.
  func learn(_ options: DPOLossOptions) throws -> [Double] {
    var logits = reference
    let pairs = rewards.indices.flatMap { i in rewards.indices.filter { $0 != i }.map { (i, $0) } }
    for _ in 0..<3000 {
      let policy = softmax(logits)
      var scores = PairScores(
        chosen: pairs.map { policy[$0.0] }, rejected: pairs.map { policy[$0.1] },
        referenceChosen: pairs.map { reference[$0.0] }, referenceRejected: pairs.map { reference[$0.1] },
        chosenCounts: pairs.map { _ in 1 }, rejectedCounts: pairs.map { _ in 1 })
      scores.weights = pairs.map { ClosedForm.bradleyTerry(rewards[$0.0], over: rewards[$0.1]) }
      let result = try dpoLoss(scores, options)
      var gradient = [Double](repeating: 0, count: logits.count)
      for (k, (i, j)) in pairs.enumerated() {
        gradient[i] += result.chosenGradients[k]
        gradient[j] += result.rejectedGradients[k]
      }
      for (k, value) in throughSoftmax(gradient, policy).enumerated() { logits[k] -= 3 * value }
    }
    return softmax(logits)
  }

  @Test func dpoEndsInTheClosedForm() throws {
    for kind in FDivergence.allCases {
      var options = DPOLossOptions(.sigmoid, beta: 0.5)
      options.fDivergence = kind
      let optimum = try ClosedForm(beta: 0.5, fDivergence: kind).optimum(reference: reference, rewards: rewards)
      #expect(totalVariation(reference, optimum.logProbs) > 0.3)
      let distance = totalVariation(try learn(options), optimum.logProbs)
      #expect(distance < 1e-6, "\(kind): \(distance)")
    }
  }

  /// The exact gradient of E_π[r] − β·KL(π‖π_ref), which PPO estimates from samples.
  @Test func thePolicyGradientEndsInTheClosedForm() throws {
    var logits = reference
    for _ in 0..<3000 {
      let policy = softmax(logits)
      let gradient = policy.indices.map { exp(policy[$0]) * (rewards[$0] - 0.5 * (policy[$0] - reference[$0])) }
      for (k, value) in throughSoftmax(gradient, policy).enumerated() { logits[k] += value }
    }
    let optimum = try ClosedForm(beta: 0.5).optimum(reference: reference, rewards: rewards)
    #expect(totalVariation(softmax(logits), optimum.logProbs) < 1e-6)
  }
}
