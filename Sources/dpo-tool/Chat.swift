import ArgumentParser
import DPO
import DPOPlatform

struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat", abstract: "Talk to a model, say which answers are good, and let it learn from that.",
    discussion: """
      \(ChatSession.help)

      What is said of answers goes into the feedback file; /learn trains the adapter in the output directory on \
      what is new, as `dpo feedback train` does. Ctrl-C ends an answer or the learning, Ctrl-D the talk.
      """)

  @Argument(help: "GGUF file, Hugging Face directory or HDF5 file: always the one without adapter.")
  var model: String

  @Option(help: "Feedback file; the first word on an answer makes it.")
  var feedback = "feedback.jsonl"

  @Option(help: "Where /learn puts the adapter; unset: the feedback file's name without its ending.")
  var outputDir: String?

  @Option(help: ArgumentHelp("Instructions for the whole talk.", valueName: "TEXT"))
  var system: String?

  @Option(help: ArgumentHelp("Most tokens of an answer.", valueName: "N"))
  var maxNewTokens = 512

  @Option(help: ArgumentHelp("Sampling temperature; 0: greedy.", valueName: "X"))
  var temperature = 0.7

  @Option(help: ArgumentHelp("Sample among the likeliest tokens that have this probability together.", valueName: "X"))
  var topP = 0.95

  @Option(help: ArgumentHelp("Seed of the first answer; each further one takes the next.", valueName: "N"))
  var seed: UInt64 = 42

  @Option(help: ArgumentHelp("Compute threads; 0: one a core.", valueName: "N"))
  var threads = 0

  @OptionGroup var mapping: MappingFlags

  @OptionGroup(title: "Training options of /learn", visibility: .hidden)
  var flags: TrainingFlags

  func run() throws {
    var options = GenerationOptions()
    (options.maxNewTokens, options.temperature, options.topP, options.seed) = (maxNewTokens, temperature, topP, seed)
    try options.validate()
    var learning = FeedbackOptions()
    learning.minRecords = 1
    // A correction shows what to write, which the comparison alone only makes likelier than the answer.
    try learning.training.set("loss_type", to: ["sigmoid", "sft"])
    for (name, value) in flags.given { try learning.training.set(name, to: value) }
    let name = feedback.hasSuffix(".jsonl") ? String(feedback.dropLast(".jsonl".count)) : feedback + "-adapter"
    let session = try ChatSession(
      file: ModelFile.open(model, inMemory: mapping.noMmap), store: FeedbackStore(feedback),
      directory: outputDir ?? name, system: system, drawing: options, learning: learning,
      choosesEpochs: !flags.given.contains { ["num_train_epochs", "max_steps"].contains($0.name) }, threads: threads)
    try session.run()
  }
}

/// A talk with a model, and what is said of its answers.
private final class ChatSession {
  static let help = """
    /good, /bad        the last answer was
    /better            draw another answer, and pick the better one
    /should TEXT       what it should have said
    /again             draw the last answer anew
    /learn [SECONDS]   train the adapter on what was said, for so long at most
    /adapter on|off    talk to what was learnt, or to the model as it came
    /system [TEXT]     instructions for the whole talk; begins a new one
    /new               begin a new talk
    /status            what the feedback file holds
    /help, /quit
    """

  private let base: LanguageModel
  private var tuned: LanguageModel?
  /// What each of them has read so far.
  private let baseTalk: Conversation
  private var tunedTalk: Conversation?
  private var isAdapterOn = false
  private let store: FeedbackStore
  private let directory: String
  private let learning: FeedbackOptions
  private let choosesEpochs: Bool
  private let threads: Int
  private var drawing: GenerationOptions
  private var system: String?
  private var messages: [Chat.Message] = []
  private let hasTemplate: Bool
  /// What was asked last, and the answer that stands.
  private var last: (prompt: Content, answer: String)?

  init(
    file: ModelFile, store: FeedbackStore, directory: String, system: String?, drawing: GenerationOptions,
    learning: FeedbackOptions, choosesEpochs: Bool, threads: Int
  ) throws {
    base = try LanguageModel(file, threads: threads)
    baseTalk = base.conversation
    self.choosesEpochs = choosesEpochs
    (self.store, self.directory, self.system) = (store, directory, system)
    (self.drawing, self.learning, self.threads) = (drawing, learning, threads)
    hasTemplate = try base.tokenizer.chatTemplate != nil
    guard system == nil || hasTemplate else {
      throw DPOError.unsupported("\(file.path) has no chat template, so --system has no place")
    }
    begin()
  }

  private let isAtTerminal = isatty(STDIN_FILENO) == 1
  private var model: LanguageModel { isAdapterOn ? tuned ?? base : base }
  private var talk: Conversation { isAdapterOn ? tunedTalk ?? baseTalk : baseTalk }

  func run() throws {
    let size = Terminal.short(Double(base.file.parameterCount) / 1e6)
    say("\(nameOf(base.file.path)): \(base.configuration.family.name), \(size) million parameters. /help tells more.")
    if !hasTemplate { say("It has no chat template: it goes on with each text that it is given.") }
    try openAdapter()
    while let line = ask("› ") {
      let text = line.trimmingBlanks
      guard !text.isEmpty else { continue }
      guard text.hasPrefix("/") else {
        attempt { try answer(to: text) }
        continue
      }
      let word = String(text.prefix { $0 != " " })
      let rest = String(text.dropFirst(word.count)).trimmingBlanks
      if word == "/quit" || word == "/exit" { return }
      attempt { try obey(word, rest) }
    }
    if isAtTerminal { say("") }
  }

  private func obey(_ word: String, _ rest: String) throws {
    switch word {
    case "/good", "/bad": try thumb(up: word == "/good")
    case "/better": try compare()
    case "/should": try correct(rest)
    case "/again": try redraw()
    case "/learn": try learn(rest)
    case "/adapter": try adapter(rest)
    case "/system":
      guard hasTemplate else {
        throw DPOError.unsupported("this model has no chat template, so instructions have no place")
      }
      system = rest.isEmpty ? nil : rest
      begin()
      say(rest.isEmpty ? "A new talk without instructions." : "A new talk with these instructions.")
    case "/new":
      begin()
      say("A new talk.")
    case "/status": try status()
    case "/help": say(ChatSession.help)
    default: throw DPOError.argument("there is no \(word); /help lists what there is")
    }
  }

  private func begin() {
    messages = system.map { [.system($0)] } ?? []
    last = nil
  }

  // MARK: - Answers

  private func answer(to text: String) throws {
    let prompt: Content = hasTemplate ? .chat(messages + [.user(text)]) : .text(text)
    let answer = try draw(prompt)
    if hasTemplate { messages += [.user(text), .assistant(answer)] }
    last = (prompt, answer)
  }

  /// Draws an answer and shows it as it comes. Ctrl-C ends it where it is.
  private func draw(_ prompt: Content) throws -> String {
    let tokens = try model.tokens(of: prompt)
    var decoder = try StreamingDecoder(model.tokenizer)
    var text = ""
    func show(_ part: String) {
      text += part
      write(part)
    }
    var options = drawing
    options.stopTokens = model.configuration.eosTokens.map { Int32(clamping: $0) }
    let result = try Interrupt.during {
      try talk.complete(tokens, options: options) { [model] token in
        if !model.isStop(token) { show(decoder.append(token)) }
        return !Interrupt.requested
      }
    }
    show(decoder.finish())
    write("\n")
    drawing.seed &+= 1
    if Interrupt.requested {
      say("(stopped)")
    } else if result.finish == .length {
      say("(cut after \(drawing.maxNewTokens) tokens: --max-new-tokens)")
    }
    return text
  }

  /// Puts another answer in the place of the last one.
  private func replace(_ answer: String) {
    guard let prompt = last?.prompt else { return }
    last = (prompt, answer)
    if hasTemplate, !messages.isEmpty { messages[messages.count - 1] = .assistant(answer) }
  }

  private func lastAnswer() throws -> (prompt: Content, answer: String) {
    guard let last else { throw DPOError.argument("there is no answer yet: say something first") }
    guard !last.answer.isEmpty else { throw DPOError.argument("the last answer is empty; /again draws another one") }
    return last
  }

  private func redraw() throws {
    guard let prompt = last?.prompt else { throw DPOError.argument("there is no answer yet: say something first") }
    replace(try draw(prompt))
  }

  // MARK: - Feedback

  private func thumb(up: Bool) throws {
    let (prompt, answer) = try lastAnswer()
    try store.record(prompt: prompt, answer: answer, thumbUp: up)
    try tellRecorded("thumb \(up ? "up" : "down")")
  }

  private func compare() throws {
    let (prompt, first) = try lastAnswer()
    say("Another answer:")
    let second = try draw(prompt)
    guard second != first, !second.isEmpty else { return say("It is the same one, or empty: nothing to compare.") }
    switch ask("Which is better? 1: the first, 2: this one, Enter: neither › ")?.trimmingBlanks {
    case "1": try store.record(prompt: prompt, chosen: first, rejected: second)
    case "2":
      try store.record(prompt: prompt, chosen: second, rejected: first)
      replace(second)
    default: return say("Nothing recorded.")
    }
    try tellRecorded("choice")
  }

  private func correct(_ better: String) throws {
    let (prompt, answer) = try lastAnswer()
    guard !better.isEmpty else { throw DPOError.argument("/should TEXT: the text that it should have said is missing") }
    guard better != answer else { throw DPOError.argument("that is what it said; /good says so") }
    try store.record(prompt: prompt, chosen: better, rejected: answer)
    replace(better)
    try tellRecorded("choice")
  }

  private func tellRecorded(_ what: String) throws {
    let new = try store.status(directory: directory)["new"]?.int ?? 0
    say("Recorded: \(what). \(new) new in \(store.path)\(new >= 8 ? "" : "; 8 and more are worth a /learn").")
  }

  private func status() throws {
    let status = try store.status(directory: directory)
    func count(_ name: String) -> Int { status[name]?.int ?? 0 }
    say(
      "\(store.path): \(count("thumbs_up")) thumbs up, \(count("thumbs_down")) down, \(count("choices")) choices; "
        + "\(count("new")) new. Adapter: \(tuned == nil ? "none yet" : isAdapterOn ? "on" : "off").")
  }

  // MARK: - Learning

  private func learn(_ seconds: String) throws {
    var options = learning
    if !seconds.isEmpty {
      guard let limit = Double(seconds), limit > 0, limit.isFinite else {
        throw DPOError.argument("/learn SECONDS: \(seconds) is no number of seconds")
      }
      options.maxSeconds = limit
    }
    if choosesEpochs { try options.training.batches.numTrainEpochs = epochs() }
    let result = try Interrupt.during {
      try store.trainShowingProgress(model: base.file, into: directory, options: options)
    }
    switch result.outcome {
    case .nothingNew, .waiting: return say("Nothing new to learn from: /good, /bad and /better say what to learn.")
    case .finished: say("Learnt from \(result.new) record\(result.new == 1 ? "" : "s") in \(result.steps) steps.")
    case .stopped: say("Time is over after \(result.steps) steps; /learn goes on.")
    }
    try openAdapter()
    if let file = result.ggufAdapter { say("For llama.cpp: \(file)") }
  }

  /// The usual number of epochs, or as many as make 16 steps of what is new: a few records are otherwise over before
  /// anything is learnt.
  private func epochs() throws -> Double {
    let usual = learning.training.batches
    let status = try store.status(directory: directory)
    let records = status["unfinished"]?["new"]?.int ?? status["new"]?.int ?? 0
    let steps = (max(1, records) + usual.perDeviceTrainBatchSize - 1) / usual.perDeviceTrainBatchSize
    return max(usual.numTrainEpochs, Double((16 + steps - 1) / steps))
  }

  /// What the directory holds is used from now on.
  private func openAdapter() throws {
    guard let path = try store.status(directory: directory)["adapter"]?.string else { return }
    tuned = try LanguageModel(
      base.file, adapter: AdapterFile.open(path, for: base.configuration), threads: threads)
    tunedTalk = tuned?.conversation
    isAdapterOn = true
    say("Adapter on: \(path). /adapter off compares with the model as it came.")
  }

  private func adapter(_ choice: String) throws {
    guard tuned != nil else { throw DPOError.argument("there is no adapter yet: /learn makes it") }
    switch choice {
    case "on": isAdapterOn = true
    case "off": isAdapterOn = false
    case "": break
    default: throw DPOError.argument("/adapter \(choice): expected on or off")
    }
    say("Adapter \(isAdapterOn ? "on" : "off").")
  }

  // MARK: - The terminal

  /// What goes wrong in one line of a talk does not end it.
  private func attempt(_ body: () throws -> Void) {
    do { try body() } catch let error as DPOError {
      say(error.code == .cancelled ? "Stopped. What was learnt so far is kept; /learn goes on." : "! \(error.message)")
    } catch { say("! \(error)") }
  }

  /// A line that the person types; nil at the end of the input.
  private func ask(_ prompt: String) -> String? {
    if isAtTerminal { write(prompt) }
    return readLine()
  }

  private func say(_ text: String) { write(text + "\n") }

  private func write(_ text: String) { Terminal.write(text, to: STDOUT_FILENO) }
}

extension LanguageModel {
  /// A new one with this model.
  fileprivate var conversation: Conversation { Conversation(decoder: decoder, adapter: adapter, team: team) }
}

extension String {
  fileprivate var trimmingBlanks: String {
    String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}
