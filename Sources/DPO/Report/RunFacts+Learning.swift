import DPOBase

/// Rules about the course of training: divergence, no learning, saturation, over-fitting.
extension RunFacts {
  private typealias Text = ReportText

  private func fasterRate(_ factor: Double) -> [Diagnosis.Suggestion] {
    guard let rate = learningRate, rate > 0 else { return [.set("learning_rate", "larger")] }
    return [.set("learning_rate", to: Self.about(rate * factor), "\(Text.option(factor)) times the present one")]
  }

  private func slowerRate(_ factor: Double) -> Diagnosis.Suggestion {
    guard let rate = learningRate, rate > 0 else { return .set("learning_rate", "smaller") }
    return .set(
      "learning_rate", to: Self.about(rate / factor),
      "a \(factor == 3 ? "third" : factor == 10 ? "tenth" : "part") of the present one")
  }

  /// NaN or infinity, or a loss that ends far above where it began.
  var divergence: Diagnosis? {
    let broken = metrics.brokenSteps
    let risen = loss.flatMap { loss -> (head: Double, low: Double, tail: RunSeries.Window)? in
      // The loss of a policy that draws its own rows says nothing of what was learned.
      guard loss.count >= 10, !isRollout else { return nil }
      let head = loss.head.mean
      let tail = loss.tail
      let low = loss.smoothed.min() ?? head
      let rise = tail.mean - max(head, low)
      return rise > max(0.25 * abs(head), 0.1) && rise > 2 * tail.standardError ? (head, low, tail) : nil
    }
    guard !broken.isEmpty || risen != nil else { return nil }
    var evidence: [String] = []
    if let first = broken.first {
      evidence.append(
        "\(Text.grouped(broken.count)) step\(broken.count == 1 ? "" : "s") with a loss or gradient that is not finite, first at step \(Text.number(first))"
      )
    }
    if let risen {
      evidence.append(
        "training loss \(Text.number(risen.head)) in the first tenth of the steps, \(Self.range(risen.tail)) in the last; lowest \(Text.number(risen.low))"
      )
    }
    if let gradient = metrics[.gradNorm], let largest = gradient.values.max() {
      evidence.append("largest gradient norm \(Text.number(largest)), typical \(Text.number(gradient.median))")
    }
    let text =
      risen != nil
      ? "The training loss ended above where it began: the steps were so large that they undid what earlier ones had learned. "
        + "The resulting model is worse than its reference; an earlier checkpoint is the better choice."
      : "The loss or the gradient stopped being a number in some steps. Those steps were not applied, but the weights were near "
        + "the edge: treat the result with suspicion."
    return Diagnosis(
      .divergence, .problem, "Training diverged", text, evidence: evidence,
      try: [
        slowerRate(10),
        .set("warmup_steps", to: .int(max(10, metrics.steps / 10)), "the first steps are the most dangerous"),
        .set("max_grad_norm", to: 0.5, "single batches pull less"),
        .set("beta", to: Self.about(beta * 3), "a stronger tie to the reference"),
      ])
  }

  /// Neither the margin nor the loss moved beyond the scatter of the steps.
  var noLearning: Diagnosis? {
    guard divergence == nil, !isRollout, let loss, loss.count >= 10 else { return nil }
    let improved = loss.head.mean - loss.tail.mean
    var evidence = ["training loss \(Self.range(loss.head)) → \(Self.range(loss.tail))"]
    guard isPreference, let margin = margins?.tail else {
      guard improved < max(0.01 * abs(loss.head.mean), 2 * loss.tail.standardError) else { return nil }
      return Diagnosis(
        .noLearning, .warning, "Nothing was learned",
        "The loss did not fall by more than it scatters from step to step. The usual cause is a learning rate that is too "
          + "small for so few steps; a model that already knows this text looks the same.",
        evidence: evidence, try: fasterRate(10) + [.set("num_train_epochs", "more steps")])
    }
    guard !hasLearned, margin.mean < max(0.05, 3 * margin.standardError) else { return nil }
    evidence.append("training margin \(Self.range(margin)) at the end; it starts at 0")
    if let accuracy {
      evidence.append("training accuracy \(Text.percent(accuracy.tail.mean)) at the end; guessing gives 50 %")
    }
    let moved = [drift(.rewardsChosen), drift(.rewardsRejected)].compactMap { $0.map { abs($0.mean) } }.max() ?? 0
    evidence.append("log-probs of whole completions moved by \(Text.number(moved)) nats against the reference")
    if let rate = learningRate {
      evidence.append("learning rate \(Text.option(rate)), \(Text.grouped(metrics.steps)) steps")
    }
    if moved < 1 {
      return Diagnosis(
        .noLearning, .warning, "Nothing was learned: the model has hardly moved",
        "Chosen and rejected answers are as far apart as they were, and their log-probs are almost those of the reference. "
          + "The steps were too small or too few. LoRA needs rates 10 to 100 times those of full fine-tuning (1e-4 rather than 1e-6).",
        evidence: evidence,
        try: fasterRate(10) + [
          .set(
            "num_train_epochs", to: Self.about(max(2, (setting("num_train_epochs") ?? 1) * 3)), "more steps"),
          .set("warmup_steps", to: 0, "if the schedule spends the run warming up"),
        ])
    }
    return Diagnosis(
      .noLearning, .warning, "Nothing was learned: the model moved, but not towards the chosen answers",
      "Log-probs changed, yet chosen answers gained nothing over rejected ones. Then the labels and the texts do not go "
        + "together: chosen and rejected swapped or random, answers that hardly differ, or preferences that contradict each other.",
      evidence: evidence,
      try: [.init(.act("inspect the data"), "with the model: its tokens, duplicates and contradictions are told")]
        + (isDPO
          ? [smoothed("robust", 0.2, "for labels of which about a fifth are wrong")] : [])
        + [.init(.act("more data"), "with clearer differences between chosen and rejected")])
  }

  var shortRun: Diagnosis? {
    guard metrics.steps > 0, metrics.steps < 10 else { return nil }
    return Diagnosis(
      .shortRun, .note, "Only \(metrics.steps) step\(metrics.steps == 1 ? "" : "s")",
      "That is too few to tell learning from the scatter between batches, so most of what follows is silent.",
      evidence: ["\(metrics.steps) optimiser steps recorded"], try: [.set("num_train_epochs", "a longer run")])
  }

  /// From some step on every pair is ordered right and the loss is almost zero.
  var saturation: Diagnosis? {
    guard isPreference, let loss, let accuracy, loss.count >= 20, accuracy.count == loss.count else { return nil }
    let start = loss.values.prefix(max(1, loss.count / 20)).reduce(0, +) / Double(max(1, loss.count / 20))
    let losses = loss.smoothed
    let accuracies = accuracy.smoothed
    guard start > 0, let final = losses.last, final <= 0.1 * start, accuracy.tail.mean >= 0.98 else { return nil }
    let begin = (losses.indices.last { losses[$0] > 0.1 * start || accuracies[$0] < 0.97 } ?? -1) + 1
    let share = Double(loss.count - begin) / Double(loss.count)
    guard share >= 0.15 else { return nil }
    var evidence = [
      "training accuracy \(Text.percent(accuracy.tail.mean)) and loss \(Text.number(loss.tail.mean)) at the end (\(Text.number(start)) at the start)",
      "this has held since step \(Text.number(loss.steps[begin])): \(Text.percent(share)) of the run",
    ]
    if let gradient = metrics[.gradNorm] {
      evidence.append("gradient norm \(Text.number(gradient.head.mean)) → \(Text.number(gradient.tail.mean))")
    }
    if let margin = margins?.tail {
      evidence.append(
        "margin \(Text.number(margin.mean)), which is \(Text.number(beta > 0 ? margin.mean / beta : 0)) nats at β = \(Text.option(beta))"
      )
    }
    var options: [Diagnosis.Suggestion] = [
      .set("max_steps", to: Self.whole(loss.steps[begin]), "stop where it was learned"),
      .set("beta", to: Self.about(beta * 3), "the loss is content with a smaller change of the model"),
      slowerRate(3),
    ]
    options += softerLabels("keeps a finite target margin (cDPO)")
    if isDPO, !lossTypes.contains("ipo") {
      options.append(.set("loss_type", to: "ipo", "a loss that aims at a margin instead of an ever larger one"))
    }
    return Diagnosis(
      .saturation, share >= 0.5 ? .warning : .note, "The training pairs are exhausted",
      "Every training pair is ordered right with room to spare, so the loss and its gradient are close to zero: the last "
        + "\(Text.percent(share)) of the steps changed little, except that margins kept growing and the model moved further "
        + "from its reference than the data asks for. If held-out accuracy is good this is only wasted time; if not, see over-fitting.",
      evidence: evidence, try: options)
  }

  /// Held-out loss that rises again, or a gap between training and held-out accuracy.
  var overfitting: Diagnosis? {
    guard let evaluationLoss, evaluationLoss.count >= 2, let last = evaluationLoss.last, let loss else { return nil }
    let best = evaluationLoss.values.indices.min { evaluationLoss.values[$0] < evaluationLoss.values[$1] } ?? 0
    let lowest = evaluationLoss.values[best]
    let rise = last - lowest
    let trainingFalls = loss.tail.mean < loss.head.mean
    let risesAgain = best < evaluationLoss.count - 1 && rise > max(0.05 * abs(lowest), 0.01) && trainingFalls
    let gap = accuracy.flatMap { training in evaluationAccuracy?.last.map { training.tail.mean - $0 } }
    let hasGap = (gap ?? 0) > 0.15 && trainingFalls
    guard risesAgain || hasGap else { return nil }
    var evidence = [
      "held-out loss: lowest \(Text.number(lowest)) at step \(Text.number(evaluationLoss.steps[best])), \(Text.number(last)) at the end; training loss \(Text.number(loss.tail.mean))"
    ]
    if let gap, let held = evaluationAccuracy?.last, let training = accuracy?.tail.mean {
      evidence.append(
        "accuracy \(Text.percent(training)) on training pairs, \(Text.percent(held)) on held-out ones: a gap of \(Text.number(gap * 100)) points"
      )
    }
    if let held = metrics[.rewardsMargins.evaluated]?.last, let training = margins?.tail.mean {
      evidence.append("margin \(Text.number(training)) on training pairs, \(Text.number(held)) on held-out ones")
    }
    var options: [Diagnosis.Suggestion] = []
    if risesAgain {
      options.append(
        .set("max_steps", to: Self.whole(evaluationLoss.steps[best]), "or take the checkpoint nearest to it"))
    }
    if (setting("num_train_epochs") ?? 1) > 1 { options.append(.set("num_train_epochs", to: 1, "each pair once")) }
    options.append(slowerRate(3))
    if isPreference {
      options.append(.set("beta", to: Self.about(beta * 3), "stays closer to the reference"))
      options += softerLabels("trusts single labels less")
    }
    if (setting("lora_r") ?? 0) > 0, (setting("lora_dropout") ?? 0) == 0 {
      options.append(
        .init(
          .set([OptionSetting("lora_dropout", 0.1), OptionSetting("disable_dropout", false)]), "regularises the adapter"
        ))
    }
    options.append(.init(.act("more data"), "the surest remedy"))
    return Diagnosis(
      .overfitting, risesAgain && rise > 0.15 * abs(lowest) || (gap ?? 0) > 0.25 ? .warning : .note,
      risesAgain
        ? "Over-fitting since step \(Text.number(evaluationLoss.steps[best]))"
        : "Better on training pairs than on held-out ones",
      risesAgain
        ? "The loss on held-out rows rises again while the training loss still falls: what is learned now holds for the "
          + "training rows only."
        : "The model orders training pairs better than held-out ones: part of what it learned is particular to those rows.",
      evidence: evidence, try: options)
  }

  var noEvaluation: Diagnosis? {
    guard !metrics.names.contains(where: \.isEvaluated), metrics.steps >= 10 else { return nil }
    return Diagnosis(
      .noEvaluation, .note, "Nothing was measured on held-out rows",
      "Training metrics alone cannot tell learning from memorising: accuracy near 100 % may be either.",
      try: [
        .set("eval_steps", to: .int(max(1, metrics.steps / 10)), "with rows to evaluate on that are not trained on")
      ])
  }

  var learned: Diagnosis? {
    guard divergence == nil, !isRollout else { return nil }
    if isPreference {
      guard hasLearned, metrics.steps >= 10, let margin = margins?.tail, let accuracy else { return nil }
      var evidence = [
        "on training pairs: margin \(Self.range(margin)), accuracy \(Text.percent(accuracy.tail.mean)) at the end"
      ]
      if let scores = metrics[.objectiveScores.evaluated], let first = scores.values.first, let last = scores.last,
        scores.count > 1
      {
        evidence.append("score of the model's answers to held-out prompts \(Text.number(first)) → \(Text.number(last))")
      }
      var isConfirmed = false
      if let held = evaluationAccuracy?.last {
        evidence.append("on held-out pairs: accuracy \(Text.percent(held))")
        isConfirmed = held > 0.55 && overfitting == nil
      }
      return Diagnosis(
        .learned, .good,
        isConfirmed
          ? "The preference was learned, and holds on new rows" : "The preference was learned on the training rows",
        "The model now gives chosen answers a higher probability, relative to rejected ones and to its reference, than before.",
        evidence: evidence)
    }
    guard let loss, loss.count >= 10, noLearning == nil else { return nil }
    return Diagnosis(
      .learned, .good, "The loss fell", "The model predicts the training text better than before.",
      evidence: ["training loss \(Self.range(loss.head)) → \(Self.range(loss.tail))"])
  }
}
