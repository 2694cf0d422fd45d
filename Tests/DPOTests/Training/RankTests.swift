import DPO
import DPOBase
import DPOPlatform
import Synchronization
import TestSupport
import Testing

/// Runs that are divided among ranks, here threads of this process: the same bits as one rank by itself.
@Suite(.timeLimit(.minutes(10))) struct RankTests {
  static let kinds = [
    "dpo", "lora", "lora with dropout", "ipo", "aot", "cpo", "orpo", "sft", "pretrain", "kto", "bco", "reward",
    "ranked",
    "reference synced", "reference precomputed", "ppo", "rloo", "grpo", "online_dpo",
  ]

  @Test(arguments: kinds) func everyNumberOfRanksEndsInTheSameBits(kind: String) throws {
    let folder = try TemporaryDirectory()
    let alone = try makeTrainer(kind, accumulation: 4)
    try alone.run(outputDirectory: "\(folder.path)/1")
    let expected = try metricRows("\(folder.path)/1")
    #expect(expected.count == 4 && expected.last?["eval_loss"] != nil || expected.last?["objective/kl"] != nil)
    for (ranks, accumulation) in [(2, 2), (4, 1)] {
      let directory = "\(folder.path)/\(ranks)"
      let trained = try together(ranks) { communicator in
        let trainer = try makeTrainer(kind, accumulation: accumulation, communicator)
        try trainer.run(outputDirectory: directory)
        return parameterBits(trainer)
      }
      for result in trained { #expect(firstDifference(result, parameterBits(alone)) == nil) }
      #expect(try metricRows(directory) == expected)
    }
  }

  /// Four micro-batches a step: the ranks have two, one and one.
  @Test(arguments: ["dpo", "bco", "grpo"]) func aRunGoesOnWithAnotherNumberOfRanks(kind: String) throws {
    let folder = try TemporaryDirectory()
    let straight = try makeTrainer(kind, accumulation: 4)
    try straight.run(outputDirectory: "\(folder.path)/1")
    let directory = "\(folder.path)/many"
    _ = try together(4) { communicator in
      let trainer = try makeTrainer(kind, accumulation: 1, communicator)
      // A wish of one rank stops all.
      let error = #expect(throws: DPOError.self) {
        try trainer.run(outputDirectory: directory) { event in
          if case .step(let record) = event { return communicator?.rank != 2 || record.step < 2 }
          return true
        }
      }
      #expect(error?.code == .cancelled)
    }
    let trained = try together(3) { communicator in
      let trainer = try makeTrainer(kind, accumulation: 1, communicator)
      var notes: [String] = []
      try trainer.run(outputDirectory: directory, resume: .last) { event in
        if case .note(let text) = event { notes.append(text) }
        return true
      }
      #expect(communicator?.rank != 0 || notes.contains { $0.contains("4 micro-batches a step") })
      return parameterBits(trainer)
    }
    for result in trained { #expect(firstDifference(result, parameterBits(straight)) == nil) }
    #expect(try metricRows(directory) == metricRows("\(folder.path)/1"))
  }

  /// Each rank adds up its own first: the same for any order of messages, and close to the sum in one order.
  @Test func sumsInAnotherOrderAreClose() throws {
    func trained(_ reproducible: Bool) throws -> [[Float]] {
      try together(2) { communicator in
        let trainer = try makeTrainer("dpo", accumulation: 2, communicator) {
          $0.batches.reproducibleSums = reproducible
        }
        for _ in 0..<2 { try trainer.takeStep() }
        return (0..<trainer.parameters.count).map { trainer.parameters.values.pointer[$0] }
      }
    }
    let (fast, inOrder) = (try trained(false), try trained(true))
    #expect(firstDifference(fast[0], fast[1]) == nil)
    let largest = zip(fast[0], inOrder[0]).map { abs($0 - $1) }.max() ?? .nan
    #expect(largest > 0 && largest < 1e-4)
  }

  @Test func gradientsOfAHostsOwnLossAreSummed() throws {
    let alone = try makeTrainer("dpo", accumulation: 2)
    for rows in [[0, 1], [2, 3]] {
      let scores = try alone.forward(rows: rows)
      try alone.backward(tokenGradients: scores.policy.logProbs.map { _ in 0.25 })
    }
    try alone.applyGradients()
    let trained = try together(2) { communicator in
      let trainer = try makeTrainer("dpo", accumulation: 1, communicator)
      let scores = try trainer.forward(rows: communicator?.rank == 0 ? [0, 1] : [2, 3])
      try trainer.backward(tokenGradients: scores.policy.logProbs.map { _ in 0.25 })
      try trainer.applyGradients()
      return (0..<trainer.parameters.count).map { trainer.parameters.values.pointer[$0] }
    }
    #expect(firstDifference(trained[0], trained[1]) == nil)
    let values = (0..<alone.parameters.count).map { alone.parameters.values.pointer[$0] }
    #expect((zip(values, trained[0]).map { abs($0 - $1) }.max() ?? .nan) < 1e-4)
  }

  @Test func evaluationAndScoresAreDealt() throws {
    let alone = try makeTrainer("dpo", accumulation: 3)
    let rows = try data("dpo", alone.options)
    let (metrics, scores) = (try alone.evaluate().json, try alone.scores(of: rows))
    _ = try together(3) { communicator in
      let trainer = try makeTrainer("dpo", accumulation: 1, communicator)
      let (evaluated, found) = (try trainer.evaluate().json, try trainer.scores(of: rows))
      #expect(evaluated["eval_loss"] == metrics["eval_loss"] && evaluated["eval_entropy"] == metrics["eval_entropy"])
      #expect(found.policy == scores.policy && found.reference == scores.reference)
    }
  }

  // MARK: What goes wrong

  @Test func anErrorOfOneRankIsThrownOnAll() throws {
    let messages = try together(3) { communicator -> String in
      let reward = Judge(identity: "failing", readsText: false) { answers in
        if communicator?.rank == 1 { throw DPOError(.io, "the judge is gone") }
        return answers.map { _ in 0.5 }
      }
      let trainer = try makeTrainer("grpo", accumulation: 2, communicator, reward: reward)
      let before = parameterBits(trainer)
      let error = #expect(throws: DPOError.self) { try trainer.takeStep() }
      #expect(error?.code == .io)
      #expect(firstDifference(parameterBits(trainer), before) == nil)
      // All can go on.
      try trainer.setReward(RankTests.reward)
      try trainer.takeStep()
      return error?.message ?? ""
    }
    #expect(messages.allSatisfy { $0.contains("the judge is gone") })
    #expect(messages[0].hasPrefix("step 1: rank 1 of 3: ") && messages[1].hasPrefix("step 1: the judge"))
  }

  @Test func aLossThatIsNotFiniteIsAppliedOnNoRank() throws {
    _ = try together(2) { communicator in
      let trainer = try makeTrainer("dpo", accumulation: 2, communicator) {
        $0.optimization.learningRate = 1e30
        $0.optimization.maxGradNorm = 0
        $0.optimization.lrSchedulerType = .constant
      }
      var error: DPOError?
      var before: [UInt32] = []
      for _ in 0..<4 where error == nil {
        before = parameterBits(trainer)
        do { try trainer.takeStep() } catch let failure as DPOError { error = failure }
      }
      #expect(error?.code == .nonFinite)
      #expect(firstDifference(parameterBits(trainer), before) == nil)
    }
  }

  @Test func ranksOfDifferentRunsAreRefused() throws {
    let changes: [(String, @Sendable (inout TrainingOptions) -> Void)] = [
      ("beta", { $0.method.beta = 0.3 }), ("seed", { $0.batches.seed = 1 }), ("save_steps", { $0.files.saveSteps = 7 }),
      ("the training data", { $0.rows.maxLength = 20 }),
    ]
    for (what, change) in changes {
      let errors = try together(2) { communicator in
        #expect(throws: DPOError.self) {
          _ = try makeTrainer("dpo", accumulation: 1, communicator) { if communicator?.rank == 1 { change(&$0) } }
        }
      }
      for error in errors {
        #expect(error?.code == .mismatch && error?.message.contains(what) == true)
      }
    }
    let errors = try together(2) { communicator in
      #expect(throws: DPOError.self) {
        _ = try makeTrainer("dpo", accumulation: 1, communicator) {
          if communicator?.rank == 1 { $0.machine.memoryLimitMb = 1 }
        }
      }
    }
    #expect(errors.allSatisfy { $0?.code == .memory } && errors[0]?.message.hasPrefix("rank 1 of 2: ") == true)
  }

  @Test func ranksThatWouldHaveNothingToDoAreRefused() throws {
    let errors = try together(7) { communicator in
      #expect(throws: DPOError.self) { _ = try makeTrainer("dpo", accumulation: 1, communicator) }
    }
    #expect(errors.allSatisfy { $0?.code == .invalidArgument })
    #expect(errors.last??.message.contains("7 ranks, but a step has only 6 micro-batches") == true)
  }

  @Test func aDirectoryThatRankZeroCannotUseStopsAll() throws {
    let folder = try TemporaryDirectory()
    try writeFile("\(folder.path)/something", "there")
    let path = folder.path
    let errors = try together(2) { communicator in
      let trainer = try makeTrainer("dpo", accumulation: 1, communicator)
      return #expect(throws: DPOError.self) { try trainer.run(outputDirectory: path) }
    }
    #expect(errors.allSatisfy { $0?.message.contains("not empty") == true })
  }

  @Test func anEngineThatLosesARankFailsOnTheOthers() throws {
    let errors = try together(2, losing: 1, after: 40) { communicator in
      #expect(throws: DPOError.self) {
        let trainer = try makeTrainer("dpo", accumulation: 2, communicator)
        for _ in 0..<4 { try trainer.takeStep() }
      }
    }
    #expect(errors.allSatisfy { $0?.code == .io && $0?.message.contains("lost") == true })
  }

  // MARK: Parts

  static let reward = Judge(identity: "length", readsText: false) { answers in
    answers.map { Double($0.completionTokens.reduce(0) { $0 + Int($1) } % 17) / 8 - 1 }
  }

  private func data(_ kind: String, _ options: TrainingOptions) throws -> TokenizedDataset {
    let files = [
      "sft": "completions", "pretrain": "documents", "kto": "unpaired", "bco": "unpaired", "ranked": "ranked",
    ]
    return try ModelFile.open(Fixtures.path("models/llama-tied")).dataset(
      .file(Fixtures.path("data/\(files[kind] ?? "pairs").jsonl")), options: options.dataset())
  }

  private func makeTrainer(
    _ kind: String, accumulation: Int, _ communicator: Communicator? = nil, reward: Judge = RankTests.reward,
    change: (inout TrainingOptions) -> Void = { _ in }
  ) throws -> Trainer {
    var options = TrainingOptions()
    options.batches.perDeviceTrainBatchSize = kind == "ranked" ? 1 : 2
    options.batches.gradientAccumulationSteps = accumulation
    options.batches.maxSteps = 4
    options.optimization.learningRate = 1e-3
    options.files.saveSteps = 2
    options.machine.threads = 1
    switch kind {
    case "lora", "lora with dropout":
      options.lora.rank = 4
      if kind != "lora" {
        options.lora.dropout = 0.2
        options.lora.disableDropout = false
      }
    case "ipo", "aot": options.method.lossType = [kind]
    case "pretrain":
      options.method.name = kind
      // Pieces enough for four ranks.
      options.rows.maxLength = 32
    case "reference synced":
      options.method.syncRefModel = true
      options.method.refModelSyncSteps = 2
    case "reference precomputed": options.method.precomputeRefLogProbs = true
    case "dpo": break
    default: options.method.name = kind
    }
    let draws = ["ppo", "rloo", "grpo", "online_dpo"].contains(kind)
    if draws { options.method.maxCompletionLength = 8 }
    if ["rloo", "grpo"].contains(kind) { options.method.numGenerations = 2 }
    change(&options)
    let rows = try data(kind, options)
    return try Trainer(
      model: .open(Fixtures.path("models/llama-tied")), data: rows, evaluation: rows, reward: draws ? reward : nil,
      options: options, communicator: communicator)
  }

  /// Runs `body` as each rank of a job, on threads of their own.
  private func together<Result: Sendable>(
    _ count: Int, losing lost: Int? = nil, after calls: Int = 0,
    _ body: @escaping @Sendable (Communicator?) throws -> Result
  ) throws -> [Result] {
    let job = ThreadJob(count, losing: lost, after: calls)
    let results = Mutex([Swift.Result<Result, any Error>?](repeating: nil, count: count))
    for rank in 0..<count {
      try startThread {
        let result = Swift.Result { try body(Communicator(ThreadCollectives(job, rank))) }
        results.withLock { $0[rank] = result }
      }
    }
    while results.withLock({ $0.contains { $0 == nil } }) { usleep(1000) }
    return try results.withLock { $0 }.compactMap { try $0?.get() }
  }
}

/// Ranks that are threads of one process.
private final class ThreadJob: @unchecked Sendable {
  let size: Int
  /// The rank that is lost, and its calls until then.
  private let lost: Int?
  private let calls: Int
  private let state: Mutex<State>

  private struct State {
    var sent: [[[UInt8]]?]
    var taken = 0
    var turn = 0
    var isLost = false
  }

  init(_ size: Int, losing lost: Int?, after calls: Int) {
    (self.size, self.lost, self.calls) = (size, lost, calls)
    state = Mutex(State(sent: Array(repeating: nil, count: size)))
  }

  /// Gives each rank its part; gets those that are for this one.
  func exchange(_ rank: Int, _ parts: [[UInt8]], call: Int) throws -> [[UInt8]] {
    if rank == lost, call >= calls { state.withLock { $0.isLost = true } }
    let turn = state.withLock { state in
      state.sent[rank] = parts
      return state.turn
    }
    while true {
      let found: [[UInt8]]?? = state.withLock { state in
        if state.isLost { return .some(nil) }
        guard state.turn == turn, !state.sent.contains(where: { $0 == nil }) else { return nil }
        let received = state.sent.compactMap { $0?[rank] }
        state.taken += 1
        if state.taken == size {
          state.sent = Array(repeating: nil, count: size)
          state.taken = 0
          state.turn += 1
        }
        return received
      }
      switch found {
      case .some(.none): throw DPOError(.io, "rank \(rank): a rank is lost")
      case .some(let received?):
        // Nobody begins the next exchange before all have theirs.
        while state.withLock({ $0.turn == turn && !$0.isLost }) { usleep(20) }
        return received
      case .none: usleep(20)
      }
    }
  }
}

private final class ThreadCollectives: Collectives, @unchecked Sendable {
  let rank: Int
  var size: Int { job.size }
  let name = "threads"
  private let job: ThreadJob
  private var call = 0

  init(_ job: ThreadJob, _ rank: Int) { (self.job, self.rank) = (job, rank) }

  func allGather(_ sent: UnsafeRawPointer, into received: UnsafeMutableRawPointer, bytes: [Int]) throws {
    let own = Array(UnsafeRawBufferPointer(start: sent, count: bytes[rank]))
    try exchange(Array(repeating: own, count: size), into: received, bytes)
  }

  func allToAll(
    _ sent: UnsafeRawPointer, bytes sentBytes: [Int], into received: UnsafeMutableRawPointer,
    bytes receivedBytes: [Int]
  ) throws {
    var start = 0
    let parts = sentBytes.map { count in
      defer { start += count }
      return Array(UnsafeRawBufferPointer(start: sent + start, count: count))
    }
    try exchange(parts, into: received, receivedBytes)
  }

  private func exchange(_ parts: [[UInt8]], into received: UnsafeMutableRawPointer, _ bytes: [Int]) throws {
    call += 1
    let found = try job.exchange(rank, parts, call: call)
    guard found.map(\.count) == bytes else { throw DPOError(.internal, "the ranks do not agree on what they send") }
    var place = received
    for part in found {
      place.copyMemory(from: part, byteCount: part.count)
      place += part.count
    }
  }

  func abort(exitStatus: Int32) {}
}
