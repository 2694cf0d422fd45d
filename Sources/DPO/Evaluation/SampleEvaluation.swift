import DPOBase
import DPOModel

/// What a policy says by itself, measured on prompts of pairs: how far it has moved from the reference, and how often a judge
/// prefers its answers to the chosen ones. Intervals and standard errors are bootstrapped over prompts, as answers to one
/// prompt are not independent.
public struct SampleEvaluation: Sendable {
  /// Distinct prompts, and answers drawn to each.
  public let prompts, samplesPerPrompt: Int
  /// KL(π‖π_ref) of answers, in nats: the mean of Σ_t log π(y_t) − log π_ref(y_t) over samples y of π. nil unless samples are
  /// drawn from π itself, at temperature 1 from the whole vocabulary.
  public let kl: Estimate?
  /// The same expectation from whole predictions: the mean of Σ_t KL(π(·|y_<t)‖π_ref(·|y_<t)). Its error is smaller.
  public let predictionKL: Estimate?
  /// Tokens of an answer, end of sequence included, and the share of answers that ended by themselves.
  public let length, finished: Estimate
  /// nil without a judge.
  public let wins: Wins?

  /// What a judge says of samples beside the chosen answers to the same prompts.
  public struct Wins: Sendable {
    /// Share of samples that the judge prefers to a chosen answer; a tie counts half.
    public let rate: Estimate
    /// Share of comparisons that were ties.
    public let ties: Double
    /// Mean scores of samples and of chosen answers.
    public let score, chosenScore: Estimate
  }

  /// What was measured, by name; null where it was not.
  public var json: JSON {
    [
      "prompts": .int(prompts), "samples_per_prompt": .int(samplesPerPrompt), "kl": kl?.json ?? .null,
      "prediction_kl": predictionKL?.json ?? .null, "length": length.json, "finished": finished.json,
      "win_rate": wins?.rate.json ?? .null, "ties": wins.map { .real($0.ties) } ?? .null,
      "score": wins?.score.json ?? .null, "chosen_score": wins?.chosenScore.json ?? .null,
    ]
  }
}

/// A prompt and the answers to it that people chose.
public struct ChosenAnswers: Sendable, Equatable {
  /// What was asked.
  let asked: PromptRow
  /// Each once.
  public internal(set) var answers: [Content]

  /// What was asked, without what else the chat template reads.
  public var prompt: Content { asked.prompt }
}

extension ChosenAnswers {
  /// Prompts of pairs in a file or directory of rows, each once, with every chosen answer.
  public static func read(_ path: String) throws -> [ChosenAnswers] { try read([path]) }

  static func read(_ paths: [String]) throws -> [ChosenAnswers] {
    let files = try RowFiles(paths)
    var found: [ChosenAnswers] = []
    var places: [String: Int] = [:]
    var format: RowFormat?
    try files.forEachRow { object, rowPlace in
      let place = rowPlace.description
      let rows = try format ?? RowFormat(first: object, purpose: .preference, place: place)
      format = rows
      var row = try rows.read(object, place: place)
      try row.extractPrompt(place: place)
      guard let prompt = row.prompt, let answer = row.completions.first else { return }
      let asked = PromptRow(prompt, template: row.template)
      let key = JSON.object(asked.columns).description
      if let index = places[key] {
        if !found[index].answers.contains(answer) { found[index].answers.append(answer) }
      } else {
        places[key] = found.count
        found.append(ChosenAnswers(asked: asked, answers: [answer]))
      }
    }
    guard !found.isEmpty else { throw DPOError.format(files.name, "no rows; expected at least one pair") }
    return found
  }
}

extension LanguageModel {
  /// Draws answers to prompts and measures them; see `SampleEvaluation`.
  ///
  /// - Parameters:
  ///   - reference: the model to measure KL from, another object than this one; nil: KL is not measured.
  ///   - options: `completionsPerPrompt` answers to each prompt.
  ///   - judge: compares every sample with every chosen answer, in an order as good as random; nil: no win rate.
  ///   - onProgress: called with the prompts done so far; false stops with `.cancelled`.
  public func evaluateSamples(
    _ rows: [ChosenAnswers], reference: LanguageModel?, options: GenerationOptions, judge: Judge? = nil,
    onProgress: (Int) -> Bool = { _ in true }
  ) throws -> SampleEvaluation {
    try options.validate()
    guard !rows.isEmpty else { throw DPOError.argument("there are no prompts to draw answers to") }
    let prompts = try rows.map { try tokens(of: $0.asked) }
    let isPolicy = options.temperature == 1 && options.topK == 0 && options.topP == 1 && options.minP == 0
    let group = max(1, SampleRows.sequencesOfGroup / options.completionsPerPrompt)
    var (kl, predictionKL, lengths, finished) = ([Double](), [Double](), [Double](), [Double]())
    var contests = Contests(seed: options.seed)
    for first in stride(from: 0, to: rows.count, by: group) {
      let range = first..<min(rows.count, first + group)
      guard onProgress(first) else { throw DPOError(.cancelled, "stopped after \(first) of \(rows.count) prompts") }
      var options = options
      options.firstPrompt = first
      let drawn = try generate(Array(prompts[range]), options: options)
      lengths += drawn.map { $0.map { Double($0.tokens.count) }.mean }
      finished += drawn.map { $0.map { $0.finish == .stop ? 1 : 0 }.mean }
      if let reference, isPolicy {
        let compared = try compare(
          prompts: Array(prompts[range]),
          completions: drawn.enumerated().flatMap { prompt, answers in answers.map { (prompt, $0.tokens) } },
          with: reference)
        for start in stride(from: 0, to: compared.count, by: options.completionsPerPrompt) {
          let answers = compared[start..<start + options.completionsPerPrompt]
          kl.append(answers.map { $0.logProb - $0.otherLogProb }.mean)
          predictionKL.append(answers.map(\.divergence).mean)
        }
      }
      if let judge {
        for (index, answers) in zip(range, drawn) {
          try contests.add(rows[index], index, samples: answers.map(text), judge: judge)
        }
      }
    }
    _ = onProgress(rows.count)
    func estimate(_ groups: [Double]) -> Estimate { Estimate(bootstrap: groups, seed: options.seed) }
    if let bad = kl.firstIndex(where: { !$0.isFinite }) {
      throw DPOError(.nonFinite, "prompt \(bad + 1): a log-prob of a sample is not finite")
    }
    return SampleEvaluation(
      prompts: rows.count, samplesPerPrompt: options.completionsPerPrompt, kl: kl.isEmpty ? nil : estimate(kl),
      predictionKL: kl.isEmpty ? nil : estimate(predictionKL), length: estimate(lengths), finished: estimate(finished),
      wins: judge == nil
        ? nil
        : SampleEvaluation.Wins(
          rate: estimate(contests.wins), ties: Double(contests.ties) / Double(contests.count),
          score: estimate(contests.scores), chosenScore: estimate(contests.chosenScores)))
  }
}

/// Samples beside chosen answers, prompt after prompt.
private struct Contests {
  let seed: UInt64
  private(set) var wins: [Double] = []
  private(set) var scores: [Double] = []
  private(set) var chosenScores: [Double] = []
  private(set) var ties = 0
  private(set) var count = 0

  init(seed: UInt64) { self.seed = seed }

  mutating func add(_ row: ChosenAnswers, _ index: Int, samples: [String], judge: Judge) throws {
    var (won, sampleScores, chosenScores): ([Double], [Double], [Double]) = ([], [], [])
    var random = CounterRandom(stream: [seed, 0x4A75_6467, UInt64(index)])
    for sample in samples.map({ Content.text($0).answering(row.prompt) }) {
      for chosen in row.answers {
        // A judge may prefer what it sees first.
        let isFirst = random.next() & 1 == 0
        let scores = try judge.scores(
          row.prompt, isFirst ? [sample, chosen] : [chosen, sample], template: row.asked.template)
        guard scores.count == 2, scores.allSatisfy(\.isFinite) else {
          throw DPOError(
            .format, "prompt \(index + 1): the judge gave \(scores.count) scores for 2 answers, or not finite ones")
        }
        let (own, other) = isFirst ? (scores[0], scores[1]) : (scores[1], scores[0])
        won.append(own > other ? 1 : own < other ? 0 : 0.5)
        sampleScores.append(own)
        chosenScores.append(other)
        if own == other { ties += 1 }
        count += 1
      }
    }
    wins.append(won.mean)
    scores.append(sampleScores.mean)
    self.chosenScores.append(chosenScores.mean)
  }
}
