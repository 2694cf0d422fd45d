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
    /// Whether it is one of those.
    public var isEvaluated: Bool { text.hasPrefix("eval_") }
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
  /// The step's loss, a mean over its rows or tokens as the method says (docs/losses.md).
  public static let loss: Self = "loss"
  /// L2 norm of all gradients together, before they are clipped.
  public static let gradNorm: Self = "grad_norm"
  /// The rate that the step used.
  public static let learningRate: Self = "learning_rate"
  /// Tokens that the run has trained on so far; a prompt counts once for each of its completions.
  public static let numTokens: Self = "num_tokens"
  /// Mean entropy of the policy's distribution at each predicted token, in nats.
  public static let entropy: Self = "entropy"
  /// Share of the predicted tokens, of pairs of the chosen ones, that the policy holds for the likeliest. 0 to 1.
  public static let meanTokenAccuracy: Self = "mean_token_accuracy"
  /// e^−(mean log-prob of a token) of plain text; of evaluations alone.
  public static let perplexity: Self = "perplexity"

  /// The auxiliary loss of a mixture's routers, before `router_aux_loss_coef`: the experts of a token if all get as many.
  public static let auxLoss: Self = "aux_loss"

  // Of pairs, and of thumbs up and down.
  /// Mean implicit reward β log π/π_ref of the chosen completions, or of rows with a thumb up. Without a reference
  /// model: of the log-probs that the loss compares.
  public static let rewardsChosen: Self = "rewards/chosen"
  /// The same of the rejected completions, or of rows with a thumb down.
  public static let rewardsRejected: Self = "rewards/rejected"
  /// Share of the pairs whose chosen completion has the higher reward; ties count as wrong. 0 to 1.
  public static let rewardsAccuracies: Self = "rewards/accuracies"
  /// Mean reward of the chosen less that of the rejected.
  public static let rewardsMargins: Self = "rewards/margins"
  /// Mean log π of the chosen completions, in nats: of whole completions; orpo, and cpo with ipo or simpo: per token.
  public static let logpsChosen: Self = "logps/chosen"
  /// The same of the rejected completions.
  public static let logpsRejected: Self = "logps/rejected"
  /// Mean logit over the vocabulary and the tokens of the chosen completions.
  public static let logitsChosen: Self = "logits/chosen"
  /// The same of the rejected completions.
  public static let logitsRejected: Self = "logits/rejected"
  /// Negative log-likelihood of the chosen completions, in nats a token; orpo: of prompt and completion.
  public static let nllLoss: Self = "nll_loss"
  /// Mean of log σ(o), o ORPO's log odds ratio (Hong et al. 2024).
  public static let logOddsRatio: Self = "log_odds_ratio"
  /// Mean of o, ORPO's log odds of chosen over rejected.
  public static let logOddsChosen: Self = "log_odds_chosen"
  /// kto: the KL estimate K, in nats a completion. grpo with a β: mean KL (k3) of a token from the reference, in nats.
  public static let kl: Self = "kl"
  /// bco: δ, the running mean of all rewards.
  public static let delta: Self = "delta"

  // Of reward models.
  /// Lowest score of a micro-batch, chosen or rejected.
  public static let minReward: Self = "min_reward"
  /// Mean score of chosen and rejected answers.
  public static let meanReward: Self = "mean_reward"
  /// Highest score of a micro-batch, chosen or rejected.
  public static let maxReward: Self = "max_reward"
  /// Share of the pairs whose chosen answer has the higher score; ties count as wrong. 0 to 1.
  public static let accuracy: Self = "accuracy"
  /// Mean score of the chosen less that of the rejected answers.
  public static let margin: Self = "margin"
  /// Expected calibration error of σ(|margin|), over ten bins; of evaluations alone. 0 to 1.
  public static let calibrationError: Self = "calibration_error"

  // Of policies that learn from their own answers.
  /// Mean over a rollout's completions of Σ log π/π_ref, in nats a completion.
  public static let objectiveKl: Self = "objective/kl"
  /// Mean over a rollout's completions of −Σ log π of the drawn tokens, in nats a completion.
  public static let objectiveEntropy: Self = "objective/entropy"
  /// Mean KL penalty of a completion, −β Σ of the KL estimator.
  public static let objectiveNonScoreReward: Self = "objective/non_score_reward"
  /// Mean score with the KL penalty.
  public static let objectiveRlhfReward: Self = "objective/rlhf_reward"
  /// Mean score that the judge gave a completion, `missing_eos_penalty` taken off.
  public static let objectiveScores: Self = "objective/scores"
  /// Standard deviation of the scores, with n − 1.
  public static let objectiveScoresStd: Self = "objective/scores_std"
  /// β of the rollout, which `kl_target` moves.
  public static let objectiveKlCoef: Self = "objective/kl_coef"
  /// ½ mean (log ρ)² over the tokens, ρ = π/π_old: how far the policy has moved since it drew them.
  public static let policyApproxklAvg: Self = "policy/approxkl_avg"
  /// Share of the tokens (rloo: completions) whose ratio is clipped. 0 to 1.
  public static let policyClipfracAvg: Self = "policy/clipfrac_avg"
  /// Mean entropy of the policy's distribution at each drawn token, in nats.
  public static let policyEntropyAvg: Self = "policy/entropy_avg"
  /// The clipped policy loss L_p alone.
  public static let lossPolicyAvg: Self = "loss/policy_avg"
  /// The value function's loss L_v, before `vf_coef`.
  public static let lossValueAvg: Self = "loss/value_avg"
  /// Mean ratio ρ = π/π_old.
  public static let valRatio: Self = "val/ratio"
  /// Share of the tokens whose value is clipped. 0 to 1.
  public static let valClipfracAvg: Self = "val/clipfrac_avg"
  /// Completions of a rollout that end by themselves.
  public static let valNumEosTokens: Self = "val/num_eos_tokens"
  /// 1 − Var(G − v)/Var(G), G the returns, v the value function: 1 is perfect, 0 as good as their mean.
  public static let valExplainedVariance: Self = "val/explained_variance"
  /// online_dpo: share of the prompts whose answers all have the same score, so that they make no pair. 0 to 1.
  public static let valTies: Self = "val/ties"
  /// Mean tokens of a rollout's completions, the end token included.
  public static let completionsMeanLength: Self = "completions/mean_length"
  /// rloo and grpo: share of the prompts whose completions all have the same reward: all advantages are 0. 0 to 1.
  public static let fracRewardZeroStd: Self = "frac_reward_zero_std"
  /// Completions drawn since the run began.
  public static let episode: Self = "episode"
}
