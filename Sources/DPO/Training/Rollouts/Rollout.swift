import DPOBase
import DPOModel

/// How a method learns from completions that the policy draws.
struct RolloutMethod: Sendable {
  /// n: completions of each prompt.
  var completionsPerPrompt = 1
  /// Rows that a prompt's completions become at most: n of them, or one pair.
  var rowsPerPrompt = 1
  /// Passes over a rollout, and optimiser steps of each.
  var epochs = 1
  var miniBatches = 1
  var sampling: SamplingOptions
  var kl: KLControl
  /// What a rollout's completions become under the weight β of the KL penalty.
  let learn: @Sendable (Samples, _ klCoefficient: Double) throws -> Rollout
}

/// How completions are drawn and scored.
struct SamplingOptions: Sendable, Equatable {
  var temperature: Double
  var maxCompletionLength: Int
  /// Taken from the score of a completion that does not end; nil: nothing.
  var missingEosPenalty: Double?
}

/// β, the weight of the KL penalty: fixed, or adapted after each rollout (Ziegler et al. 2019).
package struct KLControl: Sendable, Equatable {
  package var coefficient: Double
  /// Mean KL of a completion that β is steered towards; nil: β is fixed.
  package var target: Double?
  package var horizon: Double
  /// Mean KL of a completion above which the run stops; nil: never.
  package var limit: Double?

  package init(coefficient: Double, target: Double? = nil, horizon: Double = 10000, limit: Double? = nil) {
    self.coefficient = coefficient
    self.target = target
    self.horizon = horizon
    self.limit = limit
  }

  /// β ← β·(1 + clip(KL/target − 1, −0.2, 0.2)·batch/horizon)
  package func next(_ coefficient: Double, kl: Double, batch: Int) -> Double {
    guard let target else { return coefficient }
    return coefficient * (1 + min(max(kl / target - 1, -0.2), 0.2) * Double(batch) / horizon)
  }
}

/// Completions of some prompts, and what policy, reference and reward say of them. Completion i belongs to prompt
/// i / completionsPerPrompt; columns of tokens go completion after completion.
struct Samples {
  let completionsPerPrompt: Int
  let rows: [TokenizedRow]
  /// Whether the last token ends the completion.
  let isFinished: [Bool]
  /// Of the whole completions, the penalty for a missing end taken off.
  let scores: [Double]
  let counts: [Int]
  let logProbs, referenceLogProbs: [Float]
  /// v where each token is predicted; empty without a value function.
  let values: [Float]

  /// Σ k, k = log π − log π_ref, of each completion.
  var divergences: [Double] {
    var start = 0
    return counts.map { count in
      defer { start += count }
      return (start..<start + count).reduce(0) { $0 + Double(logProbs[$1]) - Double(referenceLogProbs[$1]) }
    }
  }

  /// TRL's metrics of a rollout. `penalties`: Σ of each completion's rewards without its score.
  func metrics(penalties: [Double]) -> Metrics {
    let entropy = -logProbs.reduce(0) { $0 + Double($1) } / Double(max(1, counts.count))
    return [
      .objectiveKl: divergences.mean, .objectiveEntropy: entropy, .objectiveNonScoreReward: penalties.mean,
      .objectiveRlhfReward: penalties.mean + scores.mean, .objectiveScores: scores.mean,
      .objectiveScoresStd: sampleVariance(scores).squareRoot(), .valNumEosTokens: Double(isFinished.count { $0 }),
      .completionsMeanLength: counts.map(Double.init).mean,
    ]
  }
}

/// What some optimiser steps learn from: rows that the policy drew, and constants of their loss.
struct Rollout {
  /// nil: the completions teach nothing.
  let data: TokenizedDataset?
  /// Of each token of the rows' completions; nil where the rows alone tell all.
  var tokens: RolloutTokens?
  /// The reference's sums of each row's sequences; nil where the loss asks for none.
  var referenceSums: [[Double]]?
  /// Mean over the completions of Σ k.
  let divergence: Double
  var metrics: Metrics
  /// What the user should know of it.
  var notes: [String] = []

  var rowCount: Int { data?.count ?? 0 }

  /// The tokens of some rows, in their order.
  func tokens(of rows: [Int]) throws -> RolloutTokens {
    guard let tokens, let data else { throw DPOError(.internal, "the rollout noted nothing of its tokens") }
    var starts = [0]
    for row in 0..<data.count { starts.append(starts[row] + data.sequence(row).targetCount) }
    func pick(_ column: [Float]) -> [Float] {
      column.isEmpty ? [] : rows.flatMap { column[starts[$0]..<starts[$0 + 1]] }
    }
    return RolloutTokens(
      logProbs: pick(tokens.logProbs), values: pick(tokens.values), advantages: pick(tokens.advantages),
      returns: pick(tokens.returns), referenceLogProbs: pick(tokens.referenceLogProbs))
  }
}
