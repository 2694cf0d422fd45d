import DPO
import DPOBase
import DPOPlatform

/// Metrics of imagined runs: what the trainer would write, with the scatter of small batches.
struct ReportScenario {
  var steps = 200
  var beta = 0.1
  var learningRate = 5e-6
  var epochs = 1.0
  /// Log-ratio to the reference of chosen and rejected answers at the end, in nats.
  var chosenDrift = 3.0
  var rejectedDrift = -12.0
  /// Share of the run after which the drift is complete.
  var speed = 0.6
  /// Scatter of the margin from batch to batch, in units of reward.
  var scatter = 0.25
  var entropyGrowth = 0.0
  /// Added to the training loss towards the end.
  var rise = 0.0
  var evaluates = true
  /// How much worse the last evaluation loss is than the best, which lies in the middle of the run.
  var evaluationRise = 0.0
  /// Share of the training margin that held-out pairs have.
  var heldOut = 0.9
  var brokenSteps: [Int] = []
  var settings: JSONObject = [:]
  var data: JSONObject = [
    "kind": "pairs", "rows": 2000, "dropped_rows": 0, "truncated_rows": 3, "duplicate_rows": 0, "identical_rows": 0,
    "contradicting_rows": 0, "longer_is_chosen": 0.52, "chosen_tokens": ["median": 64, "max": 180],
    "rejected_tokens": ["median": 63, "max": 170],
  ]
  var samples: [RunReport.Sample] = []

  private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  var metrics: [JSON] {
    var random = CounterRandom(key: 11)
    func noise() -> Double {
      // Sum of uniforms: near enough to a normal distribution.
      (0..<6).reduce(0.0) { sum, _ in sum + Double(random.next() >> 11) / Double(1 << 53) - 0.5 } * 1.414
    }
    var rows: [JSON] = []
    for step in 1...steps {
      let part = Double(step - 1) / Double(max(1, steps - 1))
      let progress = 1 - exp(-3 * part / speed)
      let chosen = beta * chosenDrift * progress + scatter * noise() * progress
      let rejected = beta * rejectedDrift * progress + scatter * noise() * progress
      let margin = chosen - rejected
      // Four pairs a batch around the batch's mean.
      let pairs = (0..<4).map { _ in margin + scatter * 2 * noise() * progress }
      let loss = pairs.map { log(1 + exp(-$0)) }.reduce(0, +) / 4 + rise * part * part * part
      let gradient = 12 * sigmoid(-margin) * exp(0.3 * noise()) * (1 + rise * part * 8)
      rows.append([
        "step": .int(step), "epoch": .real(epochs * Double(step) / Double(steps)),
        "loss": brokenSteps.contains(step) ? .null : .real(loss), "grad_norm": .real(gradient),
        "learning_rate": .real(learningRate * (1 - part)), "rewards/chosen": .real(chosen),
        "rewards/rejected": .real(rejected),
        "rewards/margins": .real(margin), "rewards/accuracies": .real(Double(pairs.count { $0 > 0 }) / 4),
        "logps/chosen": .real(-140 + chosen / beta + 12 * noise()),
        "logps/rejected": .real(-138 + rejected / beta + 12 * noise()),
        "logits/chosen": .real(1.2 + 0.05 * noise()), "logits/rejected": .real(1.1 + 0.05 * noise()),
        "entropy": .real(2.1 * (1 + entropyGrowth * progress) + 0.05 * noise()),
        "mean_token_accuracy": .real(0.46 + 0.01 * noise()), "num_tokens": .int(step * 1100),
      ])
      if evaluates, step % max(1, steps / 8) == 0 {
        let held = heldOut * (beta * (chosenDrift - rejectedDrift)) * progress
        let worse = evaluationRise * max(0, part - 0.4) / 0.6
        rows.append([
          "step": .int(step), "epoch": .real(epochs * part),
          "eval_loss": .real(log(1 + exp(-held)) * 0.5 + 0.25 + worse), "eval_rewards/margins": .real(held),
          "eval_rewards/accuracies": .real(min(0.97, 0.5 + 0.45 * heldOut * progress)),
          "eval_rewards/chosen": .real(held * 0.3), "eval_rewards/rejected": .real(-held * 0.7),
        ])
      }
    }
    return rows
  }

  var report: RunReport {
    var options: JSONObject = [
      "method": "dpo", "model": "SmolLM2-135M-Instruct.gguf", "loss_type": "sigmoid", "beta": .real(beta),
      "learning_rate": .real(learningRate),
      "num_train_epochs": .real(epochs), "per_device_train_batch_size": 4, "lr_scheduler_type": "linear", "lora_r": 8,
      "seed": 42,
    ]
    for (key, value) in settings.members { options[key] = value }
    return RunReport(settings: .object(options), data: .object(data), metrics: metrics, samples: samples)
  }
}

extension ReportScenario {
  static let healthy = ReportScenario()
  static var fallingHealthy: ReportScenario {
    var run = ReportScenario()
    run.chosenDrift = -3
    run.rejectedDrift = -16
    return run
  }
  static var fallingBadly: ReportScenario {
    var run = ReportScenario()
    run.chosenDrift = -45
    run.rejectedDrift = -58
    run.entropyGrowth = 0.5
    return run
  }
  static var saturated: ReportScenario {
    var run = ReportScenario()
    run.chosenDrift = -20
    run.rejectedDrift = -140
    run.speed = 0.25
    run.learningRate = 5e-5
    run.epochs = 3
    return run
  }
  static var overfitted: ReportScenario {
    var run = ReportScenario()
    run.epochs = 5
    run.rejectedDrift = -40
    run.evaluationRise = 0.35
    run.heldOut = 0.35
    run.data["rows"] = 160
    return run
  }
  static var diverged: ReportScenario {
    var run = ReportScenario()
    run.learningRate = 1e-3
    run.rise = 3
    run.scatter = 1.5
    run.rejectedDrift = 2
    run.brokenSteps = [170, 188, 189]
    return run
  }
  static var idle: ReportScenario {
    var run = ReportScenario()
    run.learningRate = 5e-8
    run.chosenDrift = 0.02
    run.rejectedDrift = -0.02
    run.scatter = 0.01
    run.evaluates = false
    return run
  }
  static var noisy: ReportScenario {
    var run = ReportScenario()
    run.chosenDrift = -6
    run.rejectedDrift = -6
    run.scatter = 0.1
    return run
  }
}
