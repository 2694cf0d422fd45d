import DPO
import DPOPlatform
import TestSupport
import Testing

/// Whole runs of six steps beside TRL's trainers: same model, rows, options and starting adapter.
@Suite(.timeLimit(.minutes(10))) struct TRLTrajectoryTests {
  static let runs = [
    "gpt2-lora-sigmoid", "gpt2-sigmoid", "llama-tied-chat", "llama-tied-implicit", "llama-tied-lora-sigmoid",
    "llama-tied-sft-messages", "llama-tied-sigmoid", "llama-untied-ipo", "llama-untied-lora-ipo",
    "llama-untied-sft-text", "mistral-lora-sigmoid", "mistral-sigmoid", "qwen2-ipo", "qwen2-lora-ipo",
    "qwen2-lora-sft-completions", "qwen2-sync", "qwen3-lora-sigmoid", "qwen3-sft-completions", "qwen3-sigmoid-sft",
    "llama-tied-kto", "qwen2-lora-kto", "mistral-reward", "llama-tied-reward-margins", "gpt2-reward",
    "llama-untied-reward-implicit", "qwen2-lora-reward", "llama-tied-lora-reward-chat", "mistral-apo-zero",
    "llama-tied-cpo", "mistral-cpo-hinge", "qwen2-cpo-ipo", "llama-untied-simpo", "qwen3-lora-alphapo",
    "llama-tied-orpo", "qwen3-orpo",
    "qwen3-sft-dft", "llama-tied-adafactor", "gpt2-adafactor", "gpt2-sgd", "qwen3-sgd", "mistral-lion",
    "llama-untied-adamw-8bit", "qwen2-lion-8bit", "qwen3-lora-adafactor",
    "llama-untied-sft-packed", "qwen3-sft-packed-completions", "qwen2-sft-assistant", "qwen2-sft-assistant-packed",
    "qwen3-moe-sigmoid", "qwen3-moe-lora-sigmoid", "qwen3-moe-sft", "qwen3-moe-kto",
  ]

  @Test(arguments: runs) func stepsAndEvaluationAreTRLs(name: String) throws {
    try follow(name, Fixtures.json("golden/trl/\(name).json"))
  }

  /// Methods that TRL has no trainer for, beside plain PyTorch loops.
  @Test(arguments: [
    "llama-tied-bco", "qwen2-bco", "mistral-unlikelihood", "llama-untied-ranked", "qwen3-ranked-pairs",
  ]) func stepsAndEvaluationAreThoseOfALoop(name: String) throws {
    try follow(name, Fixtures.json("golden/methods/\(name).json"))
  }

  private func follow(_ name: String, _ golden: JSON) throws {
    let trainer = try TRLTrajectoryTests.trainer(golden)
    // The first step within 1e-5; rounding grows with every update. Where it tips a code of 8 bits over, a number moves by up to
    // a tenth more or less.
    let later = name.hasSuffix("8bit") ? 1e-2 : 1e-3
    for expected in try #require(golden["steps"]?.array) {
      let record = try trainer.takeStep()
      compare(record, expected, tolerance: record.step == 1 ? 1e-5 : later, "\(name) step \(record.step)")
      #expect(abs(record.epoch - (expected["epoch"]?.double ?? -1)) < 1e-9, "\(name) step \(record.step)")
    }
    compare(try trainer.evaluate(), try #require(golden["evaluation"]), tolerance: later, "\(name) evaluation")
    for (tensor, expected) in golden["tensors"]?.object?.members ?? [] {
      let entry = try #require(trainer.parameters[tensor], "\(name) \(tensor)")
      let values = UnsafeBufferPointer(start: trainer.parameters.values.pointer + entry.offset, count: entry.count)
      let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      // A key's bias moves all scores of a row alike: its gradient is zero but for rounding, which AdamW and Adafactor make whole
      // steps of.
      let isKeyBias = tensor.hasSuffix("c_attn.bias") || tensor.hasSuffix("k_proj.bias")
      #expect(
        abs(norm - (expected["norm"]?.double ?? -1)) <= (isKeyBias ? 1e-2 : 2e-4) * norm + 1e-6, "\(name) \(tensor)")
    }
  }

  @Test func everyLossTakesTRLsSteps() throws {
    for (name, golden) in try #require(Fixtures.json("golden/losses.json").object).members {
      let trainer = try TRLTrajectoryTests.trainer(golden)
      for expected in try #require(golden["steps"]?.array) {
        let record = try trainer.takeStep()
        compare(record, expected, tolerance: record.step == 1 ? 1e-5 : 1e-3, "\(name) step \(record.step)")
      }
      compare(try trainer.evaluate(), try #require(golden["evaluation"]), tolerance: 1e-3, "\(name) evaluation")
    }
  }

  static func trainer(_ golden: JSON) throws -> Trainer {
    func text(_ key: String) -> String? { golden[key]?.string.map(Fixtures.path) }
    var options = TrainingOptions()
    try options.set("method", to: golden["method"] ?? "dpo")
    for (name, value) in golden["options"]?.object?.members ?? [] {
      switch name {
      case "train_sampling_strategy": options.batches.shuffle = value.string != "sequential"
      case "loss_type" where value.string != nil: options.method.lossType = [value.string ?? ""]
      default: try options.set(name, to: value)
      }
    }
    let template = text("template")
    let directory = try template.map { try withTemplate($0, model: text("model") ?? "") }
    defer { withExtendedLifetime(directory) {} }
    let model = try ModelFile.open(directory?.path ?? text("model") ?? "")
    // CPO's and ORPO's trainers in TRL tokenise by rules of their own.
    let data =
      ["cpo", "orpo"].contains(options.method.name)
      ? try TokenizedDataset(.tokens(tokenRows(golden)), options: options.dataset())
      : try model.dataset(.file(text("data") ?? ""), options: options.dataset())
    let trainer = try Trainer(
      model: model, adapter: text("adapter").map { try AdapterFile.open($0, for: model) }, data: data, evaluation: data,
      options: options)
    // A fresh score head is torch's draw, not ours.
    if let score = golden["score"]?.array?.compactMap(\.double) {
      let entry = try #require(trainer.parameters["score.weight"])
      try #require(score.count == entry.count)
      for (index, value) in score.enumerated() {
        trainer.parameters.values.pointer[entry.offset + index] = Float(value)
      }
    }
    return trainer
  }

  private static func tokenRows(_ golden: JSON) throws -> [TokenizedRow] {
    try #require(golden["rows"]?.array).map { row in
      func ids(_ key: String) -> [Int32] { row[key]?.array?.compactMap { $0.int.map(Int32.init) } ?? [] }
      return TokenizedRow(
        prompt: ids("prompt_ids"), completion: ids("chosen_ids"), rejected: ids("rejected_ids"))
    }
  }

  /// The model with another chat template.
  private static func withTemplate(_ template: String, model: String) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for name in try directoryNames(model) where name != "chat_template.jinja" {
      symlink("\(model)/\(name)", "\(directory.path)/\(name)")
    }
    symlink(template, "\(directory.path)/chat_template.jinja")
    return directory
  }

  private func compare(_ record: StepRecord, _ expected: JSON, tolerance: Double, _ place: String) {
    for (name, value) in expected.object?.members ?? [] {
      guard let want = value.double, name != "step", name != "epoch", name != "eval_num_tokens" else { continue }
      guard let found = record[Metrics.Name(name)] else {
        Issue.record("\(place): no metric \(name)")
        continue
      }
      // A mean near zero is a difference of larger numbers: the tolerance is that of numbers of order one.
      #expect(abs(found - want) <= tolerance * max(1, abs(want)), "\(place) \(name): \(found), TRL \(want)")
    }
  }
}
