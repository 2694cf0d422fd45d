import ArgumentParser
import DPO

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Loss, rewards and accuracy of a model on pairs against a reference; KL and win rate of its samples.",
    discussion: """
      Metrics have TRL's names; "standard_errors" are those of the means over rows. With --samples N, N answers are drawn to every \
      prompt: "samples" tells their KL(π‖π_ref) in nats and, given a judge, how often it prefers them to the chosen answers (a tie \
      counts half), each with a 95 % interval and a standard error bootstrapped over prompts. KL is of samples from the model \
      itself: at another --temperature than 1, with --top-k, --top-p or --min-p, it is null.
      """)

  @OptionGroup var model: ModelArguments

  @Option(
    help: ArgumentHelp(
      "Pairs, or another method's rows. \(DataSources.help) May be repeated. For pretrain also text files.",
      valueName: "ROWS"), completion: .file())
  var data: [String]

  @Option(help: "Model to compare with; unset: the model without its adapter.", completion: .file())
  var refModel: String?

  @Option(help: ArgumentHelp("Answers drawn to each prompt; 0: none.", valueName: "N"))
  var samples = 0

  @OptionGroup(title: "Samples") var drawing: DrawingFlags

  @OptionGroup(title: "Judge of samples") var judges: JudgeFlags

  @Option(help: "Adapter on the reward model that judges: PEFT directory or HDF5 file.", completion: .file())
  var rewardAdapter: String?

  @OptionGroup(title: "Options of the loss and of the rows") var flags: TrainingFlags

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard judges.count <= 1 else { throw ValidationError("give one judge: --classifier, --reward-model or --command") }
    guard judges.count == 0 || samples > 0 else { throw ValidationError("a judge needs --samples") }
    guard samples >= 0 else { throw ValidationError("--samples is \(samples), expected 0 or more") }
  }

  func run() throws {
    var options = try flags.options()
    if model.threads > 0 { options.machine.threads = model.threads }
    if model.engine != "auto" { options.machine.engine = model.engine }
    let engine = try Engine(named: options.machine.engine)
    var generation = drawing.options
    generation.completionsPerPrompt = samples
    generation.seed = UInt64(options.batches.seed)
    if samples > 0 { try generation.validate() }
    let judge = try judges.judge(adapter: rewardAdapter, threads: options.machine.threads, engine: engine)
    let policy = try LanguageModel(
      path: model.model, adapter: model.adapter, threads: options.machine.threads, engine: engine,
      inMemory: model.mapping.noMmap)
    let reference = try refModel.map {
      try LanguageModel(path: $0, threads: options.machine.threads, engine: engine, inMemory: model.mapping.noMmap)
    }
    var progress = Progress("prompt", from: 0)
    let found = try policy.evaluate(
      data, reference: reference, options: options, samples: samples > 0 ? generation : nil, judge: judge
    ) { done, total in
      if done == 0 { Interrupt.install() }
      progress.show(done: done, total: total, detail: "")
      return !Interrupt.requested
    }
    guard !json else { return printJSON(found.json) }
    show(found.record)
    if let drawn = found.samples { show(drawn) }
  }

  private func show(_ record: StepRecord) {
    for (name, value) in record.metrics {
      let error = record.standardErrors[name].flatMap { $0.isFinite ? $0 : nil }
      print("\(name)\t\(value)" + (error.map { "\t± \(Terminal.short($0))" } ?? ""))
    }
  }

  private func show(_ drawn: SampleEvaluation) {
    print("samples: \(drawn.samplesPerPrompt) answers to each of \(drawn.prompts) prompts, ± standard error")
    let lines: [(String, Estimate?)] = [
      ("KL", drawn.kl), ("KL of predictions", drawn.predictionKL), ("tokens", drawn.length),
      ("ended by themselves", drawn.finished), ("win rate", drawn.wins?.rate), ("score", drawn.wins?.score),
      ("score of chosen", drawn.wins?.chosenScore),
    ]
    for case (let name, let estimate?) in lines {
      print("\(name)\t\(Terminal.short(estimate.value))\t± \(Terminal.short(estimate.standardError))")
    }
  }
}
