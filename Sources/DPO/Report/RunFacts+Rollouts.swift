import DPOBase

/// Rules about policies that learn from their own completions: what they earned, and what that cost.
extension RunFacts {
  private typealias Text = ReportText

  var isRollout: Bool { metrics[.objectiveScores] != nil }

  /// A metric of the rollouts, once a rollout: every step that learned from one repeats it.
  private func rollouts(_ name: Metrics.Name) -> RunSeries? {
    guard let series = metrics[name], let episodes = metrics[.episode] else { return metrics[name] }
    let episodeOf = Dictionary(zip(episodes.steps, episodes.values), uniquingKeysWith: { $1 })
    var last: Double?
    let points = zip(series.steps, series.values).filter { step, _ in
      defer { last = episodeOf[step] }
      return last == nil || last != episodeOf[step]
    }
    return RunSeries(name: name, points: points.map { (step: $0.0, value: $0.1) })
  }

  /// β as given, else the run's last one.
  private var penaltyWeight: Double { setting("kl_coef") ?? metrics[.objectiveKlCoef]?.last ?? 0 }

  private var scoreSuggestions: [Diagnosis.Suggestion] {
    var options: [Diagnosis.Suggestion] = []
    if let rate = learningRate, rate > 0 {
      options.append(.set("learning_rate", to: Self.about(rate * 3), "three times the present one"))
    }
    if penaltyWeight > 0 {
      options.append(.set("kl_coef", to: Self.about(penaltyWeight / 3), "lets the policy go further"))
    }
    return options + [.set("max_steps", "more rollouts")]
  }

  /// The score rose, or did not.
  var rewardChange: Diagnosis? {
    guard let scores = rollouts(.objectiveScores), scores.count >= 6 else { return nil }
    let (head, tail) = (scores.head, scores.tail)
    let error = (head.standardError * head.standardError + tail.standardError * tail.standardError).squareRoot()
    let change = tail.mean - head.mean
    var evidence = ["score \(Self.range(head)) → \(Self.range(tail)) over \(Text.grouped(scores.count)) rollouts"]
    if let held = metrics[.objectiveScores.evaluated], let first = held.values.first, let last = held.last,
      held.count > 1
    {
      evidence.append("on held-out prompts \(Text.number(first)) → \(Text.number(last))")
    }
    if let kl = rollouts(.objectiveKl)?.tail {
      evidence.append("paid with a KL of \(Self.range(kl)) nats a completion from the reference")
    }
    if change > 2 * error, change > 1e-3 * max(1, abs(head.mean)) {
      return Diagnosis(
        .learned, .good, "The policy earns a higher score",
        "Completions score better than at the start by more than rollouts scatter. Whether they are better to read, the score "
          + "alone does not tell: look at samples, and at the score of a judge that was not trained on.",
        evidence: evidence)
    }
    return Diagnosis(
      .noLearning, .warning, change < -2 * error ? "The score fell" : "The score did not rise",
      change < -2 * error
        ? "Completions score worse than at the start. Steps that are too large, or a reward that changes from call to call, do that."
        : "The score changed by no more than it scatters from rollout to rollout: the steps are too small or too few, or the "
          + "completions of a prompt hardly differ in what they earn.",
      evidence: evidence,
      try: change < -2 * error
        ? [.set("learning_rate", "smaller"), .set("cliprange", to: 0.1, "smaller steps")] : scoreSuggestions)
  }

  /// Far from the reference, or with a policy that always says the same.
  var overOptimization: Diagnosis? {
    guard let kl = rollouts(.objectiveKl) ?? metrics[.objectiveKl.evaluated], kl.count >= 6 else { return nil }
    let length =
      metrics[.completionsMeanLength]?.tail.mean ?? (isRollout ? setting("max_completion_length") : chosenTokens) ?? 1
    let perToken = kl.tail.mean / max(1, length)
    let entropy = metrics[.policyEntropyAvg]
    let collapsed = entropy.map { $0.head.mean > 0.1 && $0.tail.mean < 0.1 * $0.head.mean } ?? false
    guard perToken > 0.5 || collapsed else { return nil }
    var evidence = ["KL \(Self.range(kl.tail)) nats a completion, \(Text.number(perToken)) a token"]
    if let entropy {
      evidence.append("entropy \(Text.number(entropy.head.mean)) → \(Text.number(entropy.tail.mean)) nats a token")
    }
    return Diagnosis(
      .overOptimization, .warning,
      collapsed ? "The policy says almost the same thing every time" : "The policy has gone far from its reference",
      "Here a reward is easily exploited: completions that score well need not be good, for the reward was learned or written for "
        + "text like the reference's. Read samples; an earlier checkpoint may be the better model.",
      evidence: evidence,
      try: [
        .set(
          "kl_coef", to: Self.about(penaltyWeight > 0 ? 3 * penaltyWeight : 0.05), "a stronger tie to the reference"),
        .set("kl_target", "steers the KL of a completion to a number of nats"),
        .set("beta", to: Self.about(beta * 3), "a stronger tie to the reference"),
        .set("learning_rate", "smaller"),
      ])
  }

  /// Many tokens at the edge of the clip range.
  var largeSteps: Diagnosis? {
    guard let clipped = metrics[.policyClipfracAvg], clipped.count >= 6, clipped.tail.mean > 0.3 else { return nil }
    return Diagnosis(
      .largeSteps, .warning, "Steps are larger than the clip range",
      "At more than three tokens in ten the update had gone as far as it may, so that later passes over a rollout learned from "
        + "the others only.",
      evidence: ["clip fraction \(Text.percent(clipped.tail.mean)) at the end"],
      try: [
        .set("learning_rate", "smaller"),
        .set(
          "num_ppo_epochs", to: Self.whole(max(1, (setting("num_ppo_epochs") ?? 4) / 2)), "fewer passes over a rollout"),
      ])
  }

  /// A value function that knows less than the mean.
  var poorValues: Diagnosis? {
    guard let explained = rollouts(.valExplainedVariance), explained.count >= 6, explained.tail.mean < 0 else {
      return nil
    }
    return Diagnosis(
      .poorValues, .note, "The value function does not know the returns yet",
      "Its explained variance is below zero: advantages are noisier than without it. That is usual at the start, for it starts "
        + "at zero.",
      evidence: ["explained variance \(Self.range(explained.tail)) at the end; 1 would be perfect"],
      try: [
        .set("vf_coef", to: Self.about((setting("vf_coef") ?? 0.1) * 5), "it learns faster"),
        .set("max_steps", "a longer run"),
      ])
  }
}
