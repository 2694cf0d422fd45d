import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

/// A frozen model, ready to score and to generate: weights where they lie, tokenizer, threads, and perhaps an adapter.
///
/// Not for use from two threads at once; a training run of the same model does not disturb it.
public final class LanguageModel {
  /// What was opened.
  public let file: ModelFile
  /// The weights, as they are stored.
  package let decoder: Decoder
  /// The adapter's file and its weights, when one was put on the model.
  public let adapterFile: AdapterFile?
  /// Its weights; nil without an adapter.
  public let adapter: LoRAAdapter?
  /// The threads that compute.
  public private(set) var team: ThreadTeam
  private var runner: ModelRunner

  /// Opens a GGUF file, a Hugging Face directory or a libdpo HDF5 file.
  ///
  /// - Parameters:
  ///   - adapter: a PEFT directory, a libdpo adapter or a GGUF LoRA to put on top.
  ///   - threads: 0: one a processor, which is also the most that compute.
  ///   - engine: what computes.
  ///   - inMemory: copy the weights instead of mapping the file.
  public convenience init(
    path: String, adapter: String? = nil, threads: Int = 0, engine: Engine = .best, inMemory: Bool = false
  )
    throws
  {
    let file = try ModelFile.open(path, inMemory: inMemory)
    try self.init(
      file, adapter: adapter.map { try AdapterFile.open($0, for: file.configuration) }, threads: threads, engine: engine
    )
  }

  /// A model that is open already, with an adapter that fits it.
  public init(_ file: ModelFile, adapter adapterFile: AdapterFile? = nil, threads: Int = 0, engine: Engine = .best)
    throws
  {
    guard threads >= 0, threads <= 1024 else { throw DPOError.argument("threads is \(threads), expected 0 to 1024") }
    let file = try adapterFile.map { try file.with(heads: $0.heads) } ?? file
    self.file = file
    self.adapterFile = adapterFile
    self.adapter = try adapterFile.map {
      try LoRAAdapter($0.configuration, model: file.configuration, tensors: $0.tensors)
    }
    decoder = try file.decoder(trainable: false)
    team = try ThreadTeam(threads: ThreadTeam.useful(threads), engine: engine)
    runner = ModelRunner(decoder: decoder, team: team)
  }

  private init(beside other: LanguageModel) throws {
    file = other.file
    adapterFile = other.adapterFile
    adapter = other.adapter
    decoder = try file.decoder(trainable: false)
    team = try ThreadTeam(threads: other.team.threads, engine: other.team.engine)
    runner = ModelRunner(decoder: decoder, team: team)
  }

  /// The same mapped weights with working memory of its own, for another thread.
  public func copy() throws -> LanguageModel { try LanguageModel(beside: self) }

  /// Computes with another engine from now on.
  public func use(_ engine: Engine) throws {
    team = try ThreadTeam(threads: team.threads, engine: engine)
    runner = ModelRunner(decoder: decoder, team: team)
  }

  /// Shape and constants of the model.
  public var configuration: DecoderConfiguration { file.configuration }

  /// Asked before each pass over the model and each generated token: true ends the running call with `.cancelled`. For hosts
  /// whose wish to stop lies somewhere else.
  public var stopRequested: (() -> Bool)? {
    get { decoder.stopRequested }
    set { decoder.stopRequested = newValue }
  }

  /// Log-probs of a forest's targets, with the adapter on.
  public func score(_ forest: TokenForest, extras: ScoreExtras = []) throws -> TokenScores {
    try runner.score(forest, adapter: adapter, extras: extras)
  }

  /// Scores of this model and of another one, and how far this one's predictions are from the other's.
  public func compare(_ forest: TokenForest, with other: LanguageModel) throws -> ComparedScores {
    try runner.compare(forest, adapter: adapter, with: other.runner, adapter: other.adapter)
  }

  /// The same of completions given their prompts, one entry a completion, in order.
  public func compare(
    prompts: [[Int32]], completions: [(prompt: Int, tokens: [Int32])], with other: LanguageModel
  ) throws -> [CompletionComparison] {
    var results = [CompletionComparison?](repeating: nil, count: completions.count)
    try eachBatch(prompts: prompts, completions: completions, labels: nil) { forest, batch in
      let compared = try compare(forest, with: other)
      var start = 0
      for (sequence, completion) in batch.enumerated() {
        let range = start..<start + compared.scores.counts[sequence]
        start = range.upperBound
        results[completion] = CompletionComparison(
          logProb: compared.scores.sums[sequence], otherLogProb: compared.other.sums[sequence],
          divergence: compared.divergences[range].reduce(0) { $0 + Double($1) })
      }
    }
    return results.compactMap { $0 }
  }

  /// Scores completions given their prompts. A prompt is computed once for all its completions in a batch.
  ///
  /// - Parameters:
  ///   - completions: tokens, and the index of the prompt that they continue. Where that prompt is empty the first token
  ///     cannot be predicted and has no score.
  ///   - extras: numbers beside the log-probs.
  /// - Returns: one entry a completion, in order.
  public func score(
    prompts: [[Int32]], completions: [(prompt: Int, tokens: [Int32])], extras: ScoreExtras = []
  ) throws -> [CompletionScores] {
    var results = [CompletionScores?](repeating: nil, count: completions.count)
    try eachBatch(prompts: prompts, completions: completions, labels: nil) { forest, batch in
      let scores = try score(forest, extras: extras)
      var start = 0
      for (sequence, completion) in batch.enumerated() {
        let range = start..<start + scores.counts[sequence]
        start = range.upperBound
        results[completion] = CompletionScores(
          logProb: scores.sums[sequence], tokenLogProbs: Array(scores.logProbs[range]),
          tokenEntropies: scores.entropy.map { Array($0[range]) })
      }
    }
    return results.compactMap { $0 }
  }

  /// Forests of the completions, each with the indices of its sequences, in the order of the prompts: completions of one
  /// prompt come together, so that they share it.
  func eachBatch(
    prompts: [[Int32]], completions: [(prompt: Int, tokens: [Int32])], labels: [Bool]?,
    _ body: (TokenForest, [Int]) throws -> Void
  ) throws {
    for (prompt, _) in completions where !prompts.indices.contains(prompt) {
      throw DPOError.argument("a completion continues prompt \(prompt); there are \(prompts.count)")
    }
    let order = completions.indices.sorted { (completions[$0].prompt, $0) < (completions[$1].prompt, $1) }
    var next = 0
    while next < order.count {
      var forest = TokenForest()
      var batch: [Int] = []
      var current: (prompt: Int, segment: Int?)?
      while next < order.count {
        let (prompt, tokens) = completions[order[next]]
        let added = tokens.count + (current?.prompt == prompt ? 0 : prompts[prompt].count)
        if !batch.isEmpty && forest.tokens.count + added > LanguageModel.batchTokens { break }
        if current?.prompt != prompt { current = (prompt, forest.addPrompt(prompts[prompt])) }
        forest.addCompletion(tokens, parent: current?.segment, labels: labels, keepLast: labels != nil)
        batch.append(order[next])
        next += 1
      }
      try body(forest, batch)
    }
  }

  /// What a batch takes beside the weights.
  func scoringPlan() throws -> MemoryPlan {
    let tokens = LanguageModel.batchTokens
    return try ModelRunner.plan(
      configuration, tokens: tokens, targets: tokens, maxLength: min(tokens, configuration.contextLength), mode: .score,
      threads: team.threads)
  }

  /// Enough tokens to keep the products busy, few enough to stay small.
  private static let batchTokens = 2048
}

/// What two models think of one completion, in nats.
public struct CompletionComparison: Sendable {
  /// Sums over the predicted tokens.
  public let logProb, otherLogProb: Double
  /// KL of the first model's predictions from the other's, summed over the same tokens.
  public let divergence: Double
}

/// What a model thinks of one completion. Natural logarithms.
public struct CompletionScores: Sendable {
  /// Sum over the predicted tokens.
  public let logProb: Double
  /// One a predicted token; the first token after an empty prompt has none.
  public let tokenLogProbs: [Float]
  /// Entropy of the prediction at each of them, in nats, when asked for.
  public let tokenEntropies: [Float]?
}
