import ArgumentParser
import DPO

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model or a LoRA adapter.",
    usage: "dpo train MODEL --data ROWS --output-dir DIR [options]",
    discussion: """
      Writes metrics.jsonl, checkpoint-N.h5, final.h5 and report.html to --output-dir. Ctrl-C stops after saving; \
      --resume-from-checkpoint last goes on and ends in the same bits as a run that was never stopped.
      """)

  /// Flags that help shows first, beside those that the option table says.
  static let basics: Set<String> = [
    "--data", "--output-dir", "--eval-data", "--adapter", "--config", "--resume-from-checkpoint", "--dry-run",
  ]
  /// Flags that go with an option of the table: methods that have the one have the other.
  static let companions = [
    "--ref-model": "reference_free", "--reward-model": "max_completion_length",
    "--reward-adapter": "max_completion_length", "--classifier": "max_completion_length",
    "--completion-only": "max_completion_length", "--command": "max_completion_length",
    "--timeout": "max_completion_length",
  ]

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file.", completion: .file())
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Settings in YAML or JSON, by the options' names in Python and TRL. Flags win.", valueName: "FILE"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "Rows: {prompt, chosen, rejected}, {prompt, completion}, {text}, {messages}, or {prompt} alone. \(DataSources.help) May be "
        + "repeated; FILE=0.7 is its share of a mixture. For pretrain also text files.", valueName: "ROWS"),
    completion: .file())
  var data: [String] = []

  @Option(help: "Where the run's files go; new or empty.", completion: .directory)
  var outputDir: String?

  @Option(
    help: ArgumentHelp("Rows to evaluate on, as --data. May be repeated.", valueName: "ROWS"), completion: .file())
  var evalData: [String] = []

  @Option(help: "Adapter to go on from; its frozen copy is then the reference.", completion: .file())
  var adapter: String?

  @Option(help: "Model to compare with, instead of the one that training starts from.", completion: .file())
  var refModel: String?

  @OptionGroup(title: "Reward of the policy's own answers") var reward: RewardFlags

  @Option(help: ArgumentHelp("Checkpoint to go on from, or last.", valueName: "FILE|last"), completion: .file())
  var resumeFromCheckpoint: String?

  @Flag(help: "Resume even from a checkpoint of other data, another model or other options.")
  var allowMismatch = false

  @Flag(help: "Print the plan – steps, tokens, memory, time – and stop.")
  var dryRun = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  @OptionGroup var mapping: MappingFlags

  @OptionGroup(title: "Several processes") var ranks: RankFlags

  @OptionGroup var flags: TrainingFlags

  mutating func validate() throws {
    if let config {
      do { try take(ConfigSettings(config)) } catch let error as DPOError { throw ValidationError(error.message) }
    }
    guard [reward.rewardModel, reward.classifier, reward.command].count(where: { $0 != nil }) <= 1 else {
      throw ValidationError("give one reward: --reward-model, --classifier or --command")
    }
  }

  /// What a file says and no flag does.
  private mutating func take(_ settings: ConfigSettings) throws {
    func text(_ name: String) -> String? { settings.flags[name]?.first }
    model = model ?? text("model")
    if data.isEmpty { data = settings.flags["data"] ?? [] }
    if evalData.isEmpty { evalData = settings.flags["eval_data"] ?? [] }
    outputDir = outputDir ?? text("output_dir")
    adapter = adapter ?? text("adapter")
    refModel = refModel ?? text("ref_model")
    if [reward.rewardModel, reward.classifier, reward.command].allSatisfy({ $0 == nil }) {
      (reward.rewardModel, reward.classifier, reward.command) = (
        text("reward_model"), text("classifier"), text("command")
      )
    }
    reward.rewardAdapter = reward.rewardAdapter ?? text("reward_adapter")
    reward.timeout =
      try reward.timeout
      ?? text("timeout").map { text in
        guard let seconds = Double(text) else {
          throw DPOError.argument("timeout is \(text), expected a number of seconds")
        }
        return seconds
      }
    resumeFromCheckpoint = resumeFromCheckpoint ?? text("resume_from_checkpoint")
    reward.completionOnly = reward.completionOnly || text("completion_only") == "true"
    try ranks.take(engine: text("distributed"), timeout: text("ddp_timeout"))
    allowMismatch = allowMismatch || text("allow_mismatch") == "true"
    mapping.noMmap = mapping.noMmap || text("no_mmap") == "true"
  }

  func run() throws {
    // Here and not in validate(), which comes before a flag that there is not is told.
    for (isGiven, what) in [
      (model != nil, "MODEL"), (!data.isEmpty, "--data ROWS"), (outputDir != nil || dryRun, "--output-dir DIR"),
    ] where !isGiven {
      throw ValidationError("\(what) is missing")
    }
    let settings = try config.map { try ConfigSettings($0) }
    for note in settings?.notes ?? [] { Terminal.tell(note) }
    let options = try flags.options(over: settings?.options ?? [])
    let communicator = try ranks.communicator()
    let isFirst = communicator.map { $0.rank == 0 } ?? true
    let parts = try Communicator.guarded(communicator) { () throws -> Parts in
      if let outputDir, isFirst {
        try Trainer.checkOutputDirectory(outputDir, options: options, resuming: resumeFromCheckpoint != nil)
      }
      return try Parts(self, options, shows: isFirst)
    }
    try Communicator.together(communicator) {
      let trainer = try Trainer(
        model: parts.model, adapter: parts.adapter, referenceModel: parts.reference, data: parts.data,
        evaluation: parts.evaluation, reward: parts.reward, options: options, communicator: communicator)
      if dryRun {
        if isFirst { try showPlan(trainer) }
        return
      }
      try run(trainer, isFirst: isFirst)
    }
  }

  /// - Parameter isFirst: of several processes the one that tells what happens.
  private func run(_ trainer: Trainer, isFirst: Bool) throws {
    trainer.spelling = \.flags
    Interrupt.install { trainer.cancel() }
    defer { Interrupt.remove() }
    let resume: ResumePoint = resumeFromCheckpoint.map { $0 == "last" ? .last : .file($0) } ?? .none
    var progress = Progress("step")
    var preparation: Progress?
    let result = try trainer.run(
      outputDirectory: outputDir ?? "", resume: resume, allowMismatch: allowMismatch
    ) { event in
      guard isFirst else { return true }
      switch event {
      case .started(let plan): Terminal.tell(plan.summary)
      case .step(let record): progress.show(done: record.step, total: record.totalSteps, detail: summary(record))
      case .evaluation(let record): Terminal.tell("evaluation after step \(record.step): \(summary(record))")
      case .saved(let path): Terminal.tell("saved \(path)")
      case .note(let text): Terminal.tell(text)
      case .progress(let phase, let done, let total):
        var line = preparation ?? Progress(phase)
        line.show(done: done, total: total, detail: "")
        preparation = line
      }
      return true
    }
    guard isFirst else { return }
    if json {
      var object: JSONObject = [
        "output_dir": .string(outputDir ?? ""), "steps": .int(result.steps), "model": .string(result.modelPath),
        "report": .string(result.reportPath),
      ]
      object["metrics"] = result.last?.json ?? .null
      printJSON(.object(object))
    } else {
      print("done: \(result.steps) steps, result in \(result.modelPath), report in \(result.reportPath)")
    }
  }

  private func showPlan(_ trainer: Trainer) throws {
    let seconds = try trainer.estimateSeconds()
    if json {
      var plan = trainer.plan.json.object ?? [:]
      plan["estimated_seconds"] = .real(seconds)
      plan["options"] = trainer.options.json
      printJSON(.object(plan))
    } else {
      print(trainer.plan.summary)
      for part in trainer.plan.memory.parts where part.bytes > 0 {
        print("  \(part.name): \(Terminal.size(part.bytes))\(part.isOffloaded ? " in files" : "")")
      }
      print(
        "of this, embedding and head with a vocabulary of \(trainer.plan.vocabularySize): "
          + Terminal.size(trainer.plan.vocabularyMemory))
      print("estimated time: \(Terminal.duration(seconds))")
    }
  }

  private func summary(_ record: StepRecord) -> String {
    let shown: [(Metrics.Name, String)] = [
      (.loss, "loss"), (.loss.evaluated, "loss"), (.rewardsMargins, "margin"), (.rewardsMargins.evaluated, "margin"),
      (.rewardsAccuracies, "accuracy"), (.rewardsAccuracies.evaluated, "accuracy"),
      (.meanTokenAccuracy, "token accuracy"), (.perplexity.evaluated, "perplexity"), (.objectiveScores, "score"),
      (.objectiveKl, "KL"), (.objectiveScores.evaluated, "score"), (.objectiveKl.evaluated, "KL"),
    ]
    let isPreference = record[.rewardsMargins] != nil
    return shown.compactMap { name, title in
      name == .meanTokenAccuracy && isPreference ? nil : record[name].map { "\(title) \(Terminal.short($0))" }
    }.joined(separator: "  ")
  }
}

/// The files of a run.
private struct Parts {
  let model: ModelFile
  let adapter: AdapterFile?
  let reference: ModelFile?
  let data: TokenizedDataset
  let evaluation: TokenizedDataset?
  let reward: Judge?

  init(_ command: Train, _ options: TrainingOptions, shows: Bool) throws {
    let inMemory = command.mapping.noMmap
    let model = try ModelFile.open(command.model ?? "", inMemory: inMemory)
    self.model = model
    adapter = try command.adapter.map { try AdapterFile.open($0, for: model) }
    reference = try command.refModel.map { try ModelFile.open($0, inMemory: inMemory) }
    let rows = try options.dataset()
    data = try model.rows(DataSources.source(command.data), options: rows, shows: shows)
    evaluation =
      command.evalData.isEmpty
      ? nil : try model.rows(DataSources.source(command.evalData), options: rows, shows: shows)
    reward = try command.reward.judge(options)
  }
}

/// Who scores the answers that the policy draws.
struct RewardFlags: ParsableArguments {
  @Option(help: "Reward model that scores the policy's own answers.", completion: .file())
  var rewardModel: String?

  @Option(help: "Adapter on the reward model: PEFT directory, HDF5 file or GGUF LoRA.", completion: .file())
  var rewardAdapter: String?

  @Option(help: "Text classifier of `dpo classifier train` whose log-odds are the reward instead.", completion: .file())
  var classifier: String?

  @Flag(help: "The classifier sees answers without their prompts.")
  var completionOnly = false

  @Option(help: "Program that scores the answers instead, as in `dpo label`.")
  var command: String?

  @Option(help: ArgumentHelp("Most seconds that the program may take for a prompt. (default: 60)", valueName: "S"))
  var timeout: Double?

  func judge(_ options: TrainingOptions) throws -> Judge? {
    if let rewardModel {
      return try .rewardModel(
        LanguageModel(
          path: rewardModel, adapter: rewardAdapter, threads: options.machine.threads,
          engine: Engine(named: options.machine.engine)))
    }
    if let classifier { return .classifier(try TextClassifier.load(classifier), completionOnly: completionOnly) }
    return try command.map { try .command($0, timeout: timeout ?? 60) { Interrupt.requested } }
  }
}
