import DPOBase

/// Which rows a judge's scores become.
public enum LabelForm: String, Sendable, CaseIterable {
  /// `{"prompt", "chosen", "rejected"}` of the best and the worst answer.
  case bestWorst = "best-worst"
  /// The same of every two answers.
  case allPairs = "all-pairs"
  /// `{"prompt", "completions", "scores"}`: ranked answers.
  case scores
  /// `{"prompt", "completions", "ranks"}`: the same, 1 for the best, equal for ties.
  case ranks
  /// `{"prompt", "completion", "score"}` of the best answer: best-of-N, where N answers were drawn.
  case best
  /// `{"prompt", "completion", "label"}`: up for a score above 0.
  case thumbs
}

/// How scores become rows.
public struct LabelOptions: Sendable {
  /// Which rows they become.
  public var form = LabelForm.bestWorst
  /// Scores (for thumbs: a score and 0) that are not further apart than this are a tie, which makes no row. `best` has none.
  public var gap = 0.0
  /// Forget earlier judgements.
  public var overwrite = false

  /// Best against worst, without a gap.
  public init() {}

  func validate() throws {
    guard gap >= 0, gap.isFinite else { throw DPOError.argument("gap is \(gap); expected a finite number ≥ 0") }
  }
}

/// What labelling came to.
public struct LabelResult: Sendable, Equatable {
  /// Rows there are.
  public let rows: Int
  /// Rows that were judged, and comparisons (for thumbs: answers) that were ties.
  public internal(set) var judged = 0
  /// Comparisons (for thumbs: answers) that were ties.
  public internal(set) var ties = 0
  /// Rows of the output.
  public internal(set) var written = 0
  /// Rows on which the judge failed, or which it did not come to; judged when the labelling is run again.
  public internal(set) var kept = 0
  /// Why, for the first of them.
  public internal(set) var failure: String?
}

extension LabelRow {
  /// Labels rows by a judge's scores and writes what training takes.
  ///
  /// Scores are kept in OUTPUT.log as they come: a run that was interrupted, or whose judge failed on some rows, goes on where
  /// it stopped. The output is written at the end, whole or not at all, also when the judge failed.
  ///
  /// - Parameters:
  ///   - onProgress: called with the rows judged so far; false stops after what is judged was written, with `.cancelled`.
  /// - Throws: `.mismatch` if the log is of another judge. A judge's errors are counted, not thrown; after three in a row the
  ///   rest is kept for later.
  public static func label(
    _ rows: [LabelRow], judge: Judge, options: LabelOptions, to output: String,
    onProgress: (Int) -> Bool = { _ in true }
  ) throws -> LabelResult {
    try options.validate()
    try AtomicFile(output).discard()
    var log = try ScoreLog(LabelLog.path(of: output), judge: judge.identity, overwrite: options.overwrite)
    let time = judge.readsClock ? log.time ?? Machine.localTime : nil
    let judge = time.map(judge.at) ?? judge
    var result = LabelResult(rows: rows.count)
    var failuresInARow = 0
    var cancelled = false
    for (index, row) in rows.enumerated() where log.scores[row.id]?.count != row.completions.count {
      guard failuresInARow < 3, !cancelled else { break }
      do {
        let scores = try judge.scores(row.prompt, row.completions, template: row.template)
        try log.record(row, judge: judge.identity, time: time, scores)
        failuresInARow = 0
      } catch let error as DPOError {
        if error.code == .cancelled {
          cancelled = true
        } else {
          failuresInARow += 1
          result.failure = result.failure ?? "line \(row.line): \(error.message)"
        }
      }
      if !onProgress(index + 1) { cancelled = true }
    }
    try log.flush()
    let file = try AtomicFile(output)
    for row in rows {
      guard let scores = log.scores[row.id], scores.count == row.completions.count else {
        result.kept += 1
        continue
      }
      result.judged += 1
      for made in row.labelled(scores, options, keepsScores: true, &result.ties) {
        try file.write(JSON.object(made).description + "\n")
        result.written += 1
      }
    }
    try file.commit()
    guard !cancelled else {
      throw DPOError(.cancelled, "stopped after \(result.judged) of \(rows.count) rows; the same command goes on")
    }
    return result
  }

  /// What the scores of its answers make of the row.
  ///
  /// - Parameter keepsScores: rows have a column for them.
  func labelled(_ scores: [Double], _ options: LabelOptions, keepsScores: Bool, _ ties: inout Int) -> [JSONObject] {
    func pair(_ a: Int, _ b: Int) -> JSONObject? {
      guard abs(scores[a] - scores[b]) > options.gap else {
        ties += 1
        return nil
      }
      let (chosen, rejected) = scores[a] > scores[b] ? (a, b) : (b, a)
      var made = LabelOutput.pair(self, chosen: chosen, rejected: rejected)
      if keepsScores {
        made["score_chosen"] = .real(scores[chosen])
        made["score_rejected"] = .real(scores[rejected])
      }
      return made
    }
    switch options.form {
    case .bestWorst:
      guard scores.count > 1, let best = scores.indices.max(by: { scores[$0] < scores[$1] }),
        let worst = scores.indices.min(by: { scores[$0] < scores[$1] })
      else { return [] }
      return [pair(best, worst)].compactMap(\.self)
    case .allPairs:
      return scores.indices.flatMap { a in scores.indices.dropFirst(a + 1).compactMap { b in pair(a, b) } }
    case .scores, .ranks:
      guard let low = scores.min(), let high = scores.max(), high - low > options.gap else {
        ties += 1
        return []
      }
      let answers = JSON.array(scores.indices.map(answer))
      guard options.form == .ranks else {
        return [made(["completions": answers, "scores": .array(scores.map(JSON.real))])]
      }
      let ranks = scores.map { own in 1 + scores.count { $0 > own + options.gap } }
      return [made(["completions": answers, "ranks": .array(ranks.map(JSON.int))])]
    case .best:
      guard let best = scores.indices.max(by: { scores[$0] < scores[$1] }) else { return [] }
      return [
        made((["completion": answer(best)] as JSONObject).with(keepsScores ? ["score": .real(scores[best])] : [:]))
      ]
    case .thumbs:
      return scores.indices.compactMap { index in
        guard abs(scores[index]) > options.gap else {
          ties += 1
          return nil
        }
        var made = LabelOutput.thumb(self, index, up: scores[index] > 0)
        made["score"] = .real(scores[index])
        return made
      }
    }
  }
}
