import DPOModel

extension TokenizedDataset {
  /// The token forest of some rows: every distinct prompt once, the completions as its children. Sequences stand in the
  /// order of `sequences`, row after row: chosen and rejected of a pair are sequences 2i and 2i + 1.
  public func forest(rows: [Int]) throws -> TokenForest { try forest(rows: rows, keepsLast: false) }

  /// The same, with the tokens that predict none if it keeps them.
  func forest(rows: [Int], keepsLast: Bool) throws -> TokenForest {
    try forest(of: rows.flatMap(sequences), keepsLast: keepsLast)
  }

  func forest(of sequences: [Sequence], keepsLast: Bool) throws -> TokenForest {
    try forest(of: sequences, labels: nil, keepLast: keepsLast)
  }

  /// The same for a reward model: whole sequences, of which no token is predicted.
  package func scoringForest(rows: [Int]) throws -> TokenForest {
    try forest(of: rows.flatMap(sequences), labels: [], keepLast: true)
  }

  /// The token forest of any sequences, such as KTO's mismatched ones. The tokens of `prompts` are scored too: they are
  /// sequences of their own after the others, and each must be the prompt of one of these.
  public func forest(of sequences: [Sequence], scoring prompts: [Column<Int32>] = []) throws -> TokenForest {
    try forest(of: sequences, labels: nil, keepLast: false, scoring: prompts)
  }

  private func forest(
    of sequences: [Sequence], labels: [Bool]?, keepLast: Bool, scoring scored: [Column<Int32>] = []
  ) throws -> TokenForest {
    // Distinct prompts are fewer.
    try TokenForest.requireRoom(
      tokens: sequences.reduce(0) { $0 + $1.count }, targets: sequences.reduce(0) { $0 + $1.completionCount })
    var forest = TokenForest()
    var prompts: [Column<Int32>: Int] = [:]
    for sequence in sequences {
      let parent = prompts[sequence.prompt] ?? forest.addPrompt(sequence.prompt)
      prompts[sequence.prompt] = parent
      forest.addCompletion(
        sequence.completion, parent: parent, labels: labels ?? sequence.labels.map(Array.init), keepLast: keepLast)
    }
    for prompt in scored { forest.addScores(ofPrompt: prompts[prompt]) }
    return forest
  }
}
