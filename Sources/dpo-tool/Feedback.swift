import ArgumentParser
import DPO

struct Feedback: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Record what people say of a model's answers, and train an adapter on it.",
    discussion: """
      The feedback file only grows; any number of programs may add to it at once. Training takes what is new since the \
      last time, within the time it is given, and replaces adapter.h5 and adapter.gguf at once.
      """,
    subcommands: [Add.self, TrainOnFeedback.self, Status.self])

  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Record a thumb up or down, or which of two answers is better.",
      discussion: "The last word on an answer counts; with --weight 0 it takes back what was said before.")

    @Argument(help: "Feedback file; the first record makes it.", completion: .file())
    var file: String

    @Option(help: "What the model was asked.")
    var prompt: String

    @Option(help: "Its answer.")
    var answer: String

    @Flag(help: "The answer is good.")
    var up = false

    @Flag(help: "The answer is bad.")
    var down = false

    @Option(help: ArgumentHelp("The answer is better than this one.", valueName: "OTHER"))
    var over: String?

    @Option(help: ArgumentHelp("Factor on the record's loss.", valueName: "W"))
    var weight = 1.0

    @Flag(help: "The prompt is a user's message, for the model's chat template.")
    var chat = false

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func validate() throws {
      guard [up, down, over != nil].count(where: \.self) == 1 else {
        throw ValidationError("give one of --up, --down and --over")
      }
    }

    func run() throws {
      let store = try FeedbackStore(file)
      let prompt: JSON = chat ? [["role": "user", "content": .string(prompt)]] : .string(prompt)
      let answer = JSON.string(answer)
      let id =
        try over.map { try store.record(prompt: prompt, chosen: answer, rejected: .string($0), weight: weight) }
        ?? store.record(prompt: prompt, answer: answer, thumbUp: up, weight: weight)
      if json {
        printJSON(["file": .string(file), "id": .int(id)])
      } else {
        print("record \(id) in \(file)")
      }
    }
  }

  struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tell what a feedback file holds and what is trained on.")

    @Argument(help: "Feedback file.", completion: .file())
    var file: String

    @Option(help: "Directory of `dpo feedback train`.", completion: .directory)
    var outputDir: String?

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func run() throws {
      let status = try existing(file).status(directory: outputDir)
      guard !json else { return printJSON(status) }
      func count(_ name: String) -> Int { status[name]?.int ?? 0 }
      print(
        "\(count("records")) records: \(count("thumbs_up")) thumbs up, \(count("thumbs_down")) down, "
          + "\(count("choices")) choices; \(count("replaced")) replaced by later ones, \(count("taken_back")) taken back"
      )
      guard outputDir != nil else { return }
      print("\(count("new")) new since session \(status["sessions"]?.array?.count ?? 0)")
      if let session = status["unfinished"]?["session"]?.int {
        print("session \(session) goes on with the next training")
      }
      if let adapter = status["adapter"]?.string { print("adapter: \(adapter)") }
    }
  }
}

/// A feedback file that is there.
private func existing(_ path: String) throws -> FeedbackStore {
  guard fileKind(path) != .none else { throw DPOError(.io, "\(path): no such file") }
  return try FeedbackStore(path)
}

extension Feedback {
  struct TrainOnFeedback: ParsableCommand {
    /// Of a session's training, what differs from that of `dpo train`.
    private static let defaults = {
      let training = FeedbackOptions.defaultTraining
      let settings = TrainingOptions.fields.filter { $0.value(in: training) != $0.defaultValue }.map {
        OptionSetting($0.name, $0.value(in: training)).flags
      }
      return settings.joined(separator: " ")
    }()

    static let configuration = CommandConfiguration(
      commandName: "train", abstract: "Train the adapter on new feedback.",
      discussion: """
        Choices train with DPO, then thumbs with KTO, each against the model without its adapter. Ctrl-C or --max-seconds \
        stops at once; the same command goes on. What a session has seen is not trained on again, unless --replay or \
        --retrain says so.

        Training options of `dpo train` are taken as well. Defaults that differ: \(defaults), and --threads \
        leaves one core free.
        """)

    @Argument(
      help: "GGUF file, Hugging Face directory or HDF5 file: always the one without adapter.", completion: .file())
    var model: String

    @Argument(help: "Feedback file.", completion: .file())
    var file: String

    @Option(help: "Where the adapter and the state of training are; made when training begins.", completion: .directory)
    var outputDir: String

    @OptionGroup var session: FeedbackTrainingOptionFlags

    @Flag(help: "One JSON document on stdout.")
    var json = false

    @OptionGroup var mapping: MappingFlags

    @OptionGroup(title: "Training options", visibility: .hidden)
    var flags: TrainingFlags

    func run() throws {
      var options = FeedbackOptions()
      for (name, value) in flags.given { try options.training.set(name, to: value) }
      session.apply(to: &options)
      let store = try existing(file)
      Interrupt.install()
      let result = try store.trainShowingProgress(
        model: ModelFile.open(model, inMemory: mapping.noMmap), into: outputDir, options: options)
      guard !json else { return printJSON(document(result)) }
      switch result.outcome {
      case .nothingNew: print("nothing new in \(file): nothing was changed")
      case .waiting:
        print("\(result.new) new records, waiting for \(options.minRecords) (--min-records): nothing was changed")
      case .finished:
        print("done: \(result.steps) steps on \(result.new) new records; adapter in \(result.adapter ?? outputDir)")
      case .stopped:
        print("time is over after \(result.steps) steps; the same command goes on")
      }
    }

    private func document(_ result: FeedbackResult) -> JSON {
      [
        "outcome": .string(result.outcome.text), "new": .int(result.new), "replayed": .int(result.replayed),
        "skipped": .int(result.skipped), "steps": .int(result.steps),
        "adapter": result.adapter.map(JSON.string) ?? .null,
        "gguf_adapter": result.ggufAdapter.map(JSON.string) ?? .null, "metrics": result.last?.json ?? .null,
      ]
    }
  }
}

extension FeedbackStore {
  /// Trains and shows how far it is, until it is done or interrupted.
  func trainShowingProgress(
    model: ModelFile, into directory: String, options: FeedbackOptions
  ) throws -> FeedbackResult {
    var progress = Progress("step")
    return try train(model: model, into: directory, options: options, stopRequested: { Interrupt.requested }) { event in
      switch event {
      case .started(let plan):
        progress = Progress("step")
        Terminal.tell(plan.summary)
      case .step(let record):
        progress.show(
          done: record.step, total: record.totalSteps,
          detail: record[.rewardsMargins].map { "margin \(Terminal.short($0))" } ?? "")
      case .saved(let path): Terminal.tell("saved \(path)")
      case .note(let text): Terminal.tell(text)
      case .evaluation, .progress: break
      }
      return true
    }
  }
}
