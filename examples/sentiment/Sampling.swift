import DPO

/// What a model says to some prompts.
struct Samples {
  /// [prompt][sample]
  var texts: [[String]]
  var tokens: [[[Int32]]]
  /// Log-odds that the whole text, prompt included, is positive.
  var rewards: [[Double]]
}

extension LanguageModel {
  /// Continues prompts, several times each, in batches that share the work.
  func sample(
    _ prompts: [String], count: Int, newTokens: Int, seed: UInt64, judge: TextClassifier, phase: String
  ) throws -> Samples {
    var samples = Samples(texts: [], tokens: [], rewards: [])
    var progress = Phase(phase, total: prompts.count)
    var options = GenerationOptions()
    options.maxNewTokens = newTokens
    options.completionsPerPrompt = count
    for first in stride(from: 0, to: prompts.count, by: 8) {
      let batch = Array(prompts[first..<min(prompts.count, first + 8)])
      options.seed = seed &+ UInt64(first)
      let completions = try generate(batch.map { try tokens(of: .text($0)) }, options: options)
      for (prompt, answers) in zip(batch, completions) {
        let texts = try answers.map(text)
        samples.texts.append(texts)
        samples.tokens.append(answers.map(\.tokens))
        samples.rewards.append(texts.map { judge.logOdds(prompt + $0) })
      }
      progress.show(samples.texts.count)
    }
    return samples
  }

  /// log π(y|x) of every sample.
  func logProbs(_ prompts: [String], _ samples: Samples) throws -> [[Double]] {
    let ids = try prompts.map { try tokens(of: .text($0)) }
    let flat = samples.tokens.enumerated().flatMap { prompt, answers in answers.map { (prompt: prompt, tokens: $0) } }
    var scores = try score(prompts: ids, completions: flat).map(\.logProb)[...]
    return samples.tokens.map { answers in
      defer { scores = scores.dropFirst(answers.count) }
      return Array(scores.prefix(answers.count))
    }
  }
}
