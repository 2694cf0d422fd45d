import DPOBase

/// Measured numbers by name, in the order in which they are shown. No name stands twice.
public struct Metrics: Sendable, ExpressibleByDictionaryLiteral {
  /// What a number tells: TRL's name of it. The static members are those names in camel case.
  public struct Name: Hashable, Sendable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// As it stands in files.
    public let text: String

    /// Any name, of a metric that is known or not.
    public init(_ text: String) { self.text = text }
    /// The same from a literal.
    public init(stringLiteral text: String) { self.text = text }

    /// The name itself.
    public var description: String { text }
    /// The same number of the evaluation data.
    public var evaluated: Name { "eval_\(text)" }
  }

  private var entries: [(name: Name, value: Double)] = []

  /// No numbers.
  public init() {}

  /// A name that stands twice has its last value.
  public init(_ entries: some Sequence<(name: Name, value: Double)>) {
    for (name, value) in entries { self[name] = value }
  }

  /// Names and numbers in order.
  public init(dictionaryLiteral elements: (Name, Double)...) {
    for (name, value) in elements { self[name] = value }
  }

  /// A new name goes to the end; nil takes it away.
  public subscript(name: Name) -> Double? {
    get { entries.first { $0.name == name }?.value }
    set {
      let index = entries.firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let value?): entries[index].value = value
      case (let index?, nil): entries.remove(at: index)
      case (nil, let value?): entries.append((name, value))
      case (nil, nil): break
      }
    }
  }

  /// The same numbers under the names of an evaluation.
  public var evaluated: Metrics { Metrics(entries.map { ($0.name.evaluated, $0.value) }) }

  /// Members by name, in order.
  public var json: JSONObject {
    var object = JSONObject()
    for (name, value) in entries { object[name.text] = .real(value) }
    return object
  }

  /// Reads what `json` gives; NaN for a number that is none.
  init(json: JSONObject) { self.init(json.members.map { (Name($0.key), $0.value.double ?? .nan) }) }

  /// The second's after the first's; a number of both is the second's, in the first's place.
  public static func + (first: Metrics, second: Metrics) -> Metrics { Metrics(first.entries + second.entries) }
  /// The same in place.
  public static func += (first: inout Metrics, second: Metrics) { first = first + second }
}

extension Metrics: RandomAccessCollection {
  /// 0.
  public var startIndex: Int { 0 }
  /// The number of metrics.
  public var endIndex: Int { entries.count }
  /// The metric that is shown there.
  public subscript(position: Int) -> (name: Name, value: Double) { entries[position] }
}

extension Metrics.Name {
  // Of steps and rows.
  public static let loss: Self = "loss"
  public static let gradNorm: Self = "grad_norm"
  public static let learningRate: Self = "learning_rate"
  public static let numTokens: Self = "num_tokens"
  public static let entropy: Self = "entropy"
  public static let meanTokenAccuracy: Self = "mean_token_accuracy"
  public static let perplexity: Self = "perplexity"

  // Of pairs, and of thumbs up and down.
  public static let rewardsChosen: Self = "rewards/chosen"
  public static let rewardsRejected: Self = "rewards/rejected"
  public static let rewardsAccuracies: Self = "rewards/accuracies"
  public static let rewardsMargins: Self = "rewards/margins"
  public static let logpsChosen: Self = "logps/chosen"
  public static let logpsRejected: Self = "logps/rejected"
  public static let logitsChosen: Self = "logits/chosen"
  public static let logitsRejected: Self = "logits/rejected"
  public static let nllLoss: Self = "nll_loss"
  public static let logOddsRatio: Self = "log_odds_ratio"
  public static let logOddsChosen: Self = "log_odds_chosen"
  public static let kl: Self = "kl"
  public static let delta: Self = "delta"

  // Of reward models.
  public static let minReward: Self = "min_reward"
  public static let meanReward: Self = "mean_reward"
  public static let maxReward: Self = "max_reward"
  public static let accuracy: Self = "accuracy"
  public static let margin: Self = "margin"
  public static let calibrationError: Self = "calibration_error"

  // Of policies that learn from their own answers.
  public static let objectiveKl: Self = "objective/kl"
  public static let objectiveEntropy: Self = "objective/entropy"
  public static let objectiveNonScoreReward: Self = "objective/non_score_reward"
  public static let objectiveRlhfReward: Self = "objective/rlhf_reward"
  public static let objectiveScores: Self = "objective/scores"
  public static let objectiveScoresStd: Self = "objective/scores_std"
  public static let objectiveKlCoef: Self = "objective/kl_coef"
  public static let policyApproxklAvg: Self = "policy/approxkl_avg"
  public static let policyClipfracAvg: Self = "policy/clipfrac_avg"
  public static let policyEntropyAvg: Self = "policy/entropy_avg"
  public static let lossPolicyAvg: Self = "loss/policy_avg"
  public static let lossValueAvg: Self = "loss/value_avg"
  public static let valRatio: Self = "val/ratio"
  public static let valClipfracAvg: Self = "val/clipfrac_avg"
  public static let valNumEosTokens: Self = "val/num_eos_tokens"
  public static let valExplainedVariance: Self = "val/explained_variance"
  public static let valTies: Self = "val/ties"
  public static let completionsMeanLength: Self = "completions/mean_length"
  public static let fracRewardZeroStd: Self = "frac_reward_zero_std"
  public static let episode: Self = "episode"
}
