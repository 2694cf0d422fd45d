import DPO
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct FeedbackTrainingTests {
  let place: FeedbackPlace
  let store: FeedbackStore
  let model: ModelFile
  var options = FeedbackOptions()

  static let topics = ["film", "book", "song", "play", "walk", "meal", "game", "day", "trip", "talk", "show", "view"]
  static let answers = (up: " It was warm and good.", down: " It was dull and bad.")

  init() throws {
    place = try FeedbackPlace()
    store = try FeedbackStore(place.file)
    model = try ModelFile.open(Fixtures.path("models/llama-tied"))
    options.training.optimization.learningRate = 5e-3
    options.training.lora.rank = 4
    options.training.machine.threads = 1
    options.minRecords = 1
  }

  private func prompt(_ topic: String) -> String { "What did you think of the \(topic)?" }

  private func recordThumbs(_ topics: some Sequence<String>) throws {
    for topic in topics {
      try store.record(prompt: .string(prompt(topic)), answer: .string(Self.answers.up), thumbUp: true)
      try store.record(prompt: .string(prompt(topic)), answer: .string(Self.answers.down), thumbUp: false)
    }
  }

  private func recordChoices(_ topics: some Sequence<String>) throws {
    for topic in topics {
      try store.record(
        prompt: .string(prompt(topic)), chosen: .string(Self.answers.up), rejected: .string(Self.answers.down))
    }
  }

  @discardableResult
  private func train(
    _ options: FeedbackOptions? = nil, into directory: String? = nil,
    onEvent: (TrainingEvent) throws -> Bool = { _ in true }
  ) throws -> FeedbackResult {
    try store.train(model: model, into: directory ?? place.output, options: options ?? self.options, onEvent: onEvent)
  }

  /// log π of the good answer less that of the bad one, by topic, with the adapter or without.
  private func margins(_ topics: some Sequence<String>, adapter: String?) throws -> [Double] {
    let language = try LanguageModel(path: model.path, adapter: adapter, threads: 1)
    return try topics.map { topic in
      let scores = try language.score(texts: [Self.answers.up, Self.answers.down].map { (prompt(topic), $0) })
      return scores[0].logProb - scores[1].logProb
    }
  }

  private func tree() throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    func add(_ path: String) throws {
      for name in try directoryNames(path) {
        let item = "\(path)/\(name)"
        if fileKind(item) == .directory { try add(item) } else { files[item] = try readFile(item, limit: 1 << 26) }
      }
    }
    if fileKind(place.output) == .directory { try add(place.output) }
    return files
  }

  private func adapterBits(_ directory: String) throws -> [String: [UInt8]] {
    try AdapterFile.open("\(directory)/adapter.h5", for: model).tensors.mapValues { Array($0.bytes) }
  }

  // MARK: - Teaching

  @Test(arguments: ["thumbs", "choices", "both"]) func whatPeopleSayIsLearntAndHoldsForOtherPrompts(kind: String) throws
  {
    let (told, unseen) = (Self.topics[..<8], Self.topics[8...])
    if kind != "choices" { try recordThumbs(kind == "both" ? told[..<4] : told) }
    if kind != "thumbs" { try recordChoices(kind == "both" ? told[4...] : told) }
    let result = try train()
    #expect(result.outcome == .finished && result.new == (kind == "thumbs" ? 16 : kind == "both" ? 12 : 8))
    for adapter in [result.adapter, result.ggufAdapter] {
      let adapter = try #require(adapter)
      for topics in [told, unseen] {
        let gains = try zip(margins(topics, adapter: adapter), margins(topics, adapter: nil)).map { $0 - $1 }
        #expect(gains.allSatisfy { $0 > 1 }, "\(topics): \(gains)")
      }
    }
  }

  @Test func oneRecordTeaches() throws {
    for (index, thumbUp) in [true, false].enumerated() {
      let directory = "\(place.output)-\(index)"
      let store = try FeedbackStore("\(place.file)-\(index)")
      let answer = thumbUp ? Self.answers.up : Self.answers.down
      try store.record(prompt: .string(prompt("film")), answer: .string(answer), thumbUp: thumbUp)
      let result = try store.train(model: model, into: directory, options: options)
      #expect(result.steps == 4)
      let changed = try margins(["film"], adapter: result.adapter)[0] - margins(["film"], adapter: nil)[0]
      #expect(changed > 0.05)
    }
  }

  // MARK: - What is trained on

  @Test func nothingIsTrainedOnTwice() throws {
    var waiting = options
    waiting.minRecords = 5
    #expect(try train().outcome == .nothingNew)
    try recordThumbs(["film", "book"])
    #expect(try train(waiting).outcome == .waiting)
    #expect(fileKind(place.output) == .none, "a call without work made the directory")

    #expect(try train().new == 4)
    let before = try tree()
    let again = try train()
    #expect(again.outcome == .nothingNew && again.steps == 0 && again.adapter == "\(place.output)/adapter.h5")
    #expect(try tree() == before)
    // The same again is no news; another word on an old answer is.
    try store.record(prompt: .string(prompt("song")), answer: " Yes.", thumbUp: true, weight: 0)
    #expect(try train().outcome == .nothingNew)
    #expect(try tree() == before)

    try recordChoices(["song"])
    try store.record(prompt: .string(prompt("film")), answer: .string(Self.answers.down), thumbUp: true)
    let second = try train()
    #expect(second.new == 2 && second.replayed == 0)
    func rows(_ name: String) throws -> [JSONObject] {
      var rows: [JSONObject] = []
      try RowFile("\(place.output)/session/\(name).jsonl").forEach { row, _ in rows.append(row) }
      return rows
    }
    #expect(try rows("choices").map { $0["prompt"] } == [.string(prompt("song"))])
    #expect(try rows("thumbs").map { $0["label"] } == [true])
    let status = try store.status(directory: place.output)
    #expect(status["new"] == 0 && status["sessions"]?.array?.count == 2 && status["trained_to"] == 7)
  }

  @Test func replayMixesOlderRecordsIn() throws {
    try recordThumbs(Self.topics[..<4])
    try train()
    try recordThumbs(["day"])
    var replay = options
    replay.replay = 1.5
    let result = try train(replay)
    #expect(result.new == 2 && result.replayed == 3)
    var prompts = Set<String>()
    try RowFile("\(place.output)/session/thumbs.jsonl").forEach { row, _ in
      prompts.insert(row["prompt"]?.string ?? "")
    }
    #expect(prompts.contains(prompt("day")) && prompts.count > 2)
    replay.retrain = true
    let anew = try train(replay)
    #expect(anew.new == 10 && anew.replayed == 0)
  }

  @Test func thumbsAreBalancedAndNoGroupIsAlone() throws {
    for topic in Self.topics[..<8] {
      try store.record(prompt: .string(prompt(topic)), answer: .string(Self.answers.up), thumbUp: true)
    }
    try store.record(prompt: .string(prompt("film")), answer: .string(Self.answers.down), thumbUp: false)
    try train()
    let file = "\(place.output)/session/session.json"
    let session = try JSON.parse(readFile(file, limit: 1 << 20), file: file)
    let stage = try #require(session["stages"]?.array?.first?["options"])
    #expect(stage["desirable_weight"] == 0.125 && stage["undesirable_weight"] == 1.0)
    // Nine rows in fours would leave one alone, to be compared with itself.
    #expect(stage["per_device_train_batch_size"] == 3)
  }

  @Test func recordsThatCannotBeReadDoNotStandInTheWay() throws {
    var short = options
    short.training.rows.maxLength = 40
    try store.record(prompt: .string(String(repeating: "word ", count: 60)), answer: "a", thumbUp: true)
    var notes: [String] = []
    let alone = try train(short) { event in
      if case .note(let text) = event { notes.append(text) }
      return true
    }
    #expect(alone.outcome == .finished && alone.new == 0 && alone.skipped == 1 && alone.adapter == nil)
    #expect(notes.contains { $0.hasPrefix("record 1 is left out") && $0.contains("max_length") })
    #expect(try train(short).outcome == .nothingNew)
    try recordThumbs(["film"])
    #expect(try train(short).new == 2)
  }

  @Test func theReferenceStaysTheModelItself() throws {
    try recordChoices(["film", "book", "song"])
    try train()
    let adapter = try AdapterFile.open("\(place.output)/adapter.h5", for: model)
    var run = TrainingOptions()
    run.batches.perDeviceTrainBatchSize = 3
    let data = try model.dataset(.file(place.file), options: run.dataset())
    let trainer = try Trainer(model: model, adapter: adapter, referenceModel: model, data: data, options: run)
    let scores = try trainer.forward(rows: [0, 1, 2])
    let (policy, reference) = (scores.policy.sums, try #require(scores.reference))
    let found = (0..<3).map { reference[2 * $0] - reference[2 * $0 + 1] }
    for (one, other) in try zip(found, margins(["film", "book", "song"], adapter: nil)) {
      #expect(abs(one - other) < 1e-3)
    }
    #expect((0..<3).allSatisfy { policy[2 * $0] - policy[2 * $0 + 1] > found[$0] + 0.5 })
    // Nothing is planned for a second model.
    let own = try Trainer(model: model, adapter: adapter, data: data, options: run)
    #expect(trainer.plan.memory.total == own.plan.memory.total)
    // A second session's first step starts from there, not from a margin of 0.
    try recordChoices(["day"])
    var first: StepRecord?
    try train { event in
      if case .step(let record) = event { first = first ?? record }
      return true
    }
    #expect((first?["rewards/margins"] ?? 0) > 0.05)
  }

  // MARK: - Stopping and going on

  @Test func aStoppedSessionGoesOnToTheSameBits() throws {
    try recordChoices(Self.topics[..<5])
    try recordThumbs(Self.topics[5..<8])
    let straight = "\(place.output)-straight"
    let whole = try train(into: straight)
    #expect(whole.steps == 16)
    var calls = 0
    while true {
      calls += 1
      var steps = 0
      do {
        let result = try train { event in
          if case .step = event { steps += 1 }
          return steps < 3
        }
        #expect(result.outcome == .finished)
        break
      } catch let error as DPOError {
        #expect(error.code == .cancelled && steps == 3)
        // What was learnt so far is there to be used.
        #expect(try !adapterBits(place.output).isEmpty)
        // Records of the meantime are for the next session.
        if calls == 1 { try recordChoices(["view"]) }
        try #require(calls < 10)
      }
    }
    #expect(calls >= 5)
    #expect(try adapterBits(place.output) == adapterBits(straight))
    let files = try [place.output, straight].map { try readFile("\($0)/adapter.gguf", limit: 1 << 26) }
    #expect(files[0] == files[1])
    let status = try store.status(directory: place.output)
    #expect(status["new"] == 1 && status["unfinished"] == .null)
    #expect(try train().new == 1)
  }

  @Test func timeIsKept() throws {
    try recordChoices(Self.topics)
    var short = options
    short.training.batches.numTrainEpochs = 10000
    short.maxSeconds = 0.3
    let clock = ContinuousClock()
    let start = clock.now
    let result = try train(short)
    // One micro-batch is some milliseconds; the rest is a busy machine's.
    #expect(start.duration(to: clock.now) < .seconds(20))
    #expect(result.outcome == .stopped)
    let status = try store.status(directory: place.output)
    #expect(status["unfinished"]?["session"] == 1)
    short.retrain = true
    short.training.batches.numTrainEpochs = 1
    short.maxSeconds = nil
    #expect(try train(short).outcome == .finished)
  }

  @Test func aStopThatIsAskedForLandsBetweenMicroBatches() throws {
    try recordChoices(Self.topics)
    var options = options
    options.training.batches.gradientAccumulationSteps = 4
    let asked = Mutex(0)
    let error = #expect(throws: DPOError.self) {
      try store.train(
        model: model, into: place.output, options: options,
        stopRequested: {
          asked.withLock { asked in
            asked += 1
            return asked == 3
          }
        })
    }
    #expect(error?.code == .cancelled && asked.withLock { $0 } == 3)
    #expect(try train(options).steps == 4)
  }

  @Test func aSessionWhoseNumbersExplodeIsGivenUpAndItsRecordsWait() throws {
    try recordChoices(["film", "book"])
    var wild = options
    wild.training.optimization.learningRate = 1e30
    wild.training.optimization.maxGradNorm = 0
    #expect(throws: DPOError.self) { try train(wild) }
    #expect(fileKind("\(place.output)/adapter.h5") == .none)
    #expect(try train().new == 2)
  }

  // MARK: - Refusals

  @Test func whatDoesNotBelongTogetherIsRefused() throws {
    try recordThumbs(["film"])
    try train()
    let before = try tree()
    func refused(_ code: DPOError.Code, _ says: String, _ body: () throws -> Void) throws {
      let error = #expect(throws: DPOError.self, performing: body)
      #expect(error?.code == code && error?.message.contains(says) == true, "\(error?.message ?? "")")
      #expect(try tree() == before)
    }
    let other = try ModelFile.open(Fixtures.path("models/llama-untied"))
    try recordThumbs(["book"])
    try refused(.mismatch, "another model") { try store.train(model: other, into: place.output, options: options) }
    let stranger = try FeedbackStore(place.file + "2")
    for answer in ["x", "y", "z"] { try stranger.record(prompt: "p", answer: .string(answer), thumbUp: true) }
    try refused(.mismatch, "record 2") { try stranger.train(model: model, into: place.output, options: options) }
    try refused(.mismatch, "record 2") { _ = try stranger.status(directory: place.output) }
    for (says, change) in [
      ("max_seconds", { $0.maxSeconds = 0 }), ("min_records", { $0.minRecords = 0 }), ("replay", { $0.replay = -1 }),
      ("lora_r", { $0.training.lora.rank = 0 }), ("method", { $0.training.method.name = "sft" }),
      ("sync_ref_model", { $0.training.method.syncRefModel = true }),
    ] as [(String, (inout FeedbackOptions) -> Void)] {
      var wrong = options
      change(&wrong)
      try refused(.invalidArgument, says) { try train(wrong) }
    }
    try refused(.invalidArgument, "not empty") {
      try train(into: Fixtures.path("models/llama-tied"))
    }
    let held = try OwnedAppendFile("\(place.output)/sessions.jsonl")
    try refused(.state, "another call or process") { try train() }
    withExtendedLifetime(held) {}
  }
}
