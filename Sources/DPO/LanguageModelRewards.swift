import DPOBase
import DPOModel

extension LanguageModel {
  /// Whether this is a reward model: it scores text and has no log-probs.
  public var isRewardModel: Bool { configuration.heads == .score }

  /// A reward model's scores of completions after their prompts. They say which of two answers to one prompt is the better
  /// one; their zero and their unit mean nothing by themselves.
  ///
  /// - Parameter completions: tokens, and the index of the prompt that they continue.
  /// - Returns: one number a completion, in order.
  /// - Throws: `.unsupported` if this is no reward model, `.nonFinite` for a score that is no number.
  public func rewards(prompts: [[Int32]], completions: [(prompt: Int, tokens: [Int32])]) throws -> [Double] {
    guard isRewardModel else {
      throw DPOError.unsupported("\(file.path): a language model, which has no score; expected a reward model")
    }
    var results = [Double](repeating: 0, count: completions.count)
    try eachBatch(prompts: prompts, completions: completions, labels: []) { forest, batch in
      for (completion, score) in zip(batch, try score(forest).values) { results[completion] = Double(score) }
    }
    if let bad = results.firstIndex(where: { !$0.isFinite }) {
      throw DPOError(.nonFinite, "\(file.path): the score of completion \(bad) is \(results[bad])")
    }
    return results
  }

  /// The same of texts, with EOS appended and prompt and completion tokenised together, as in training.
  public func rewards(texts: [(prompt: String, completion: String)]) throws -> [Double] {
    guard !texts.isEmpty else { return [] }
    return try rewards(of: sequences(texts: texts))
  }

  /// Scores of rows of a data set, row after row: chosen and rejected of a pair, or the one completion.
  public func rewards(_ data: TokenizedDataset, rows: [Int]) throws -> [Double] {
    try rewards(of: rows.flatMap(data.sequences))
  }

  private func rewards(of sequences: [TokenizedDataset.Sequence]) throws -> [Double] {
    var prompts: [[Int32]] = []
    var last: Column<Int32>?
    var completions: [(prompt: Int, tokens: [Int32])] = []
    for sequence in sequences {
      if last != sequence.prompt {
        prompts.append(Array(sequence.prompt))
        last = sequence.prompt
      }
      completions.append((prompts.count - 1, Array(sequence.completion)))
    }
    return try rewards(prompts: prompts, completions: completions)
  }
}
