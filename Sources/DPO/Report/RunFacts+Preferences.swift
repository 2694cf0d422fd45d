import DPOBase

/// Rules about preferences: falling log-probs, length, and the pairs themselves.
extension RunFacts {
  private typealias Text = ReportText

  /// Chosen answers lose probability while margins rise: the question asked most, answered with the run's own numbers.
  var chosenFalls: Diagnosis? {
    guard divergence == nil, !isReferenceFree, hasLearned, metrics.steps >= 10, let chosen = drift(.rewardsChosen),
      let rejected = drift(.rewardsRejected)
    else { return nil }
    var evidence = [
      "against the reference, chosen completions changed by \(Self.range(chosen)) nats and rejected ones by \(Self.range(rejected)) nats (reward ÷ β)"
    ]
    let perToken = chosenTokens.flatMap { $0 > 0 ? chosen.mean / $0 : nil }
    if let perToken, let chosenTokens {
      evidence.append(
        "a typical chosen completion has \(Text.number(chosenTokens)) tokens: \(Text.number(perToken)) nats a token")
    }
    if let entropy = metrics[.entropy] {
      evidence.append("entropy \(Text.number(entropy.head.mean)) → \(Text.number(entropy.tail.mean)) nats a token")
    }
    guard chosen.mean < -max(0.1, 2 * chosen.standardError) else {
      return Diagnosis(
        .chosenFalls, .good, "Chosen answers did not lose probability",
        "The margin grew without the model turning away from the chosen answers themselves.", evidence: evidence)
    }
    let togetherShare = rejected.mean < 0 ? chosen.mean / rejected.mean : 1
    let entropyRise = metrics[.entropy].map { $0.head.mean > 0 ? $0.tail.mean / $0.head.mean - 1 : 0 } ?? 0
    let isLarge = (perToken ?? 0) < -0.3 || togetherShare > 0.75 && chosen.mean < -5 || entropyRise > 0.3
    let cause =
      "DPO asks only for the difference between chosen and rejected. Pushing a rejected answer down also lowers whatever "
      + "resembles it, and chosen answers share most of their words with it; their probability goes to answers in neither column. "
      + "A fall in the chosen log-probs while margins rise is therefore usual. "
    var options: [Diagnosis.Suggestion] = []
    if isDPO, !lossTypes.contains("sft") {
      options.append(
        .init(
          .set([
            OptionSetting("loss_type", .array((lossTypes + ["sft"]).map(JSON.string))),
            OptionSetting("loss_weights", .array(lossTypes.map { _ in 1 } + [0.1])),
          ]), "rewards the chosen answers as such"))
    }
    options.append(.set("beta", to: Self.about(beta * 3), "a stronger tie to the reference"))
    if let rate = learningRate {
      options.append(.set("learning_rate", to: Self.about(rate / 3), "a third of the present one"))
    }
    if isDPO, !lossTypes.contains("apo_zero") {
      options.append(.set("loss_type", to: "apo_zero", "pushes chosen answers up explicitly"))
    }
    if isLarge {
      var reasons: [String] = []
      if (perToken ?? 0) < -0.3 { reasons.append("the fall is large for each token") }
      if togetherShare > 0.75, chosen.mean < -5 {
        reasons.append("chosen answers fell almost as much as rejected ones")
      }
      if entropyRise > 0.3 { reasons.append("the model became much less certain of its words") }
      return Diagnosis(
        .chosenFalls, .warning, "Chosen answers became much less likely",
        cause + "Here it goes further than is healthy: \(reasons.joined(separator: ", and ")). "
          + "Read samples of the model before using it.", evidence: evidence, try: options)
    }
    return Diagnosis(
      .chosenFalls, .note, "Chosen log-probs fell while margins rose: healthy here",
      cause
        + "Here the fall is small beside that of the rejected answers (\(Text.percent(max(0, togetherShare))) of it)"
        + (perToken.map { " and for each token (\(Text.number($0)) nats)" } ?? "") + ", so nothing needs to be done.",
      evidence: evidence, try: options)
  }

  /// Length tells chosen from rejected, or answers grew.
  var lengthBias: Diagnosis? {
    let longer = number("longer_is_chosen").flatMap { (rows ?? 0) >= 20 ? $0 : nil }
    let share = longer.map { max($0, 1 - $0) } ?? 0.5
    let before = samples.compactMap { $0.before.map { Double($0.unicodeScalars.count) } }.sorted()
    let after = samples.filter { $0.before != nil }.map { Double($0.after.unicodeScalars.count) }.sorted()
    let growth =
      before.count >= 8 && before[before.count / 2] > 0 ? after[after.count / 2] / before[before.count / 2] : 1
    let correlation =
      metrics["eval_rewards/length_correlation"]?.last ?? metrics["rewards/length_correlation"]?.tail.mean ?? 0
    let grew = growth > 1.3 || growth < 0.7
    guard share > 0.6 || grew || abs(correlation) > 0.4 else { return nil }
    var evidence: [String] = []
    if let longer, share > 0.6 {
      evidence.append(
        "the longer answer is the chosen one in \(Text.percent(longer)) of the pairs (50 % would be neutral)")
      evidence.append(
        "\"\(longer > 0.5 ? "longer" : "shorter") wins\" alone scores \(Text.percent(share)); compare the accuracy with that, not with 50 %"
      )
    }
    if let chosen = chosenTokens, let rejected = data["rejected_tokens"]?["median"]?.double {
      evidence.append("median tokens: chosen \(Text.number(chosen)), rejected \(Text.number(rejected))")
    }
    if abs(correlation) > 0 {
      evidence.append("correlation of reward and length on completions: \(Text.number(correlation))")
    }
    if grew {
      evidence.append("median length of the samples below: \(Text.number(growth)) times what it was before training")
    }
    let word = (longer ?? 0.5) > 0.5 || growth > 1 && longer == nil ? "longer" : "shorter"
    var options: [Diagnosis.Suggestion] = []
    if isDPO, setting("ld_alpha") == nil {
      options.append(.set("ld_alpha", to: 0.5, "tokens beyond the shorter answer count half (LD-DPO)"))
    }
    if isDPO, !lossTypes.contains("sigmoid_norm") {
      options.append(.set("loss_type", to: "sigmoid_norm", "log-probs are averaged over tokens"))
    }
    options.append(.init(.act("more data"), "with pairs of similar length"))
    let separates =
      share > 0.6
      ? "Length alone tells chosen from rejected in \(Text.percent(share)) of the pairs, and sums of log-probs grow with length, so the "
        + "model can lower its loss by writing \(word) answers. " : ""
    let result =
      grew
      ? "After training its samples are \(growth > 1 ? "longer" : "shorter"): \(Text.number(growth)) times the length of before. "
        + (separates.isEmpty
          ? "The training pairs do not explain this by themselves; read some to see whether the added words say anything."
          : "")
      : abs(correlation) > 0.4 ? "The reward follows the length of an answer." : ""
    return Diagnosis(
      .lengthBias, share > 0.7 || grew ? .warning : .note, "Length may stand in for quality", separates + result,
      evidence: evidence, try: options)
  }

  var fewPairs: Diagnosis? {
    guard let rows, rows < 200 else { return nil }
    var evidence = ["\(Text.number(rows)) rows"]
    if let epochs = metrics.lastEpoch, epochs > 1.5 {
      evidence.append("each was seen about \(Text.number(epochs)) times")
    }
    return Diagnosis(
      .fewPairs, rows < 50 ? .warning : .note, "Few rows",
      "With so few rows the model can learn each by heart; single odd rows weigh a lot, and held-out numbers scatter by several points. "
        + "A few hundred clear pairs are a beginning for a narrow style; broad behaviour takes thousands.",
      evidence: evidence,
      try: [.init(.act("more data"), "for instance samples of the model, labelled")]
        + (isPreference ? [.set("beta", to: Self.about(beta * 3), "stays close to the reference")] : [])
        + softerLabels("trusts single labels less"))
  }

  /// Pairs that say the opposite of others, and labels that cannot be fitted.
  var contradictions: Diagnosis? {
    guard let rows, rows > 0 else { return nil }
    let opposed = number("contradicting_rows") ?? 0
    let share = opposed / rows
    // Several passes and still near chance: the labels themselves are noisy.
    let epochs = metrics.lastEpoch ?? setting("num_train_epochs") ?? 1
    let stuck = hasLearned && epochs >= 2 && (accuracy?.tail.mean ?? 1) < 0.7 && metrics.steps >= 20
    guard opposed > 0 || stuck else { return nil }
    var evidence: [String] = []
    if opposed > 0 {
      evidence.append(
        "\(Text.grouped(Int(min(opposed, 1e15)))) of \(Text.number(rows)) rows (\(Text.percent(share))) prefer the answer that another row of the same prompt rejects"
      )
    }
    if stuck, let accuracy {
      evidence.append(
        "accuracy on the training pairs themselves is only \(Text.percent(accuracy.tail.mean)) after \(Text.number(epochs)) passes"
      )
    }
    let noise = max(0.05, min(0.4, stuck ? 1 - (accuracy?.tail.mean ?? 0.7) : share / 2))
    let rounded = (noise * 20).rounded() / 20
    return Diagnosis(
      .contradictions, share > 0.02 || stuck ? .warning : .note, "Preferences contradict each other",
      "No model can satisfy a pair and its opposite: they pull in opposite directions, cost steps and cap the accuracy that can be reached.",
      evidence: evidence,
      try: (isDPO
        ? [
          smoothed("robust", rounded, "allows for labels of which that share is flipped")
        ] : [])
        + softerLabels("cDPO: a finite target margin", rate: rounded)
        + [.init(.act("clean data"), "keep the majority's choice for each prompt, or give pairs a weight")])
  }

  /// Rows that taught nothing or less than they could.
  var wastedRows: Diagnosis? {
    guard let rows, rows > 0 else { return nil }
    var evidence: [String] = []
    var options: [Diagnosis.Suggestion] = []
    func tell(_ key: String, over limit: Double, _ words: String, _ option: Diagnosis.Suggestion) {
      guard let count = number(key), count / rows > limit else { return }
      evidence.append(
        "\(Text.grouped(Int(min(count, 1e15)))) of \(Text.number(rows)) rows (\(Text.percent(count / rows))) \(words)")
      options.append(option)
    }
    tell(
      "identical_rows", over: 0.01, "have chosen equal to rejected and give no gradient",
      .init(.act("clean data"), "drop pairs without a difference"))
    tell("truncated_rows", over: 0.05, "were cut to max_length", .set("max_length", "larger, if memory allows"))
    tell(
      "dropped_rows", over: 0.01, "were left out because the prompt alone fills max_length",
      .set("max_length", "larger, or shorter prompts"))
    tell(
      "duplicate_rows", over: 0.05, "repeat an earlier row",
      .init(.act("clean data"), "drop repeated rows, or give one a weight"))
    guard !evidence.isEmpty else { return nil }
    return Diagnosis(
      .wastedRows, .note, "Rows that teach little",
      "Part of the data costs time without its full effect.", evidence: evidence, try: options)
  }
}
