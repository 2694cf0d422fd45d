import DPOBase
import DPOModel
import DPOStorage
import DPOPlatform

/// Whether an exported file still says what training taught: a number format of few bits rounds a small change away. The
/// trained model and the exported one score the same pairs. With
///
///     m_i = [log π(chosen) − log π(rejected)] − [the same of the reference], of pair i under the trained model
///     e_i = the same under the exported one
///
/// (of reward models: score of chosen − score of rejected), what is lost is √(Σ (e_i − m_i)² / Σ m_i²): 0 if every pair
/// is as it was, 1 if rounding brought the reference back, more if what was learnt is smaller than the rounding of all else.
public struct ExportCheck {
  private let trained: LanguageModel
  /// nil: rewards are a reward model's scores.
  private let reference: LanguageModel?
  private let base: ModelFile
  private let data: TokenizedDataset
  private let beta: Double
  private let threads: Int

  /// Opens what is to be exported and reads the pairs.
  ///
  /// - Parameters:
  ///   - input, adapter: as in `export`.
  ///   - referenceModel: what was trained from; nil: an adapter's base model, or the model that a trained file names.
  ///   - data: pairs as JSON lines.
  ///   - beta: factor of the rewards.
  public init(
    input: String, adapter: String? = nil, referenceModel: String? = nil, data: String,
    beta: Double = TrainingOptions.Method.standard.beta,
    threads: Int = 0
  ) throws {
    guard beta.isFinite, beta > 0 else { throw DPOError.argument("beta is \(beta); expected a finite number > 0") }
    let source = try exportSource(input: input, adapter: adapter)
    base = source.model
    trained = try LanguageModel(
      source.model, adapter: source.adapter.map { try AdapterFile.open($0, for: source.model.configuration) },
      threads: threads)
    self.beta = beta
    self.threads = threads
    var options = DatasetOptions(.preference)
    options.maxLength = nil
    self.data = try trained.file.dataset(.file(data), options: options)
    try self.data.check(contextLength: trained.configuration.contextLength)
    guard !trained.isRewardModel else {
      reference = nil
      return
    }
    if let referenceModel {
      reference = try LanguageModel(path: referenceModel, threads: threads)
    } else if source.adapter != nil {
      reference = try LanguageModel(source.model, threads: threads)
    } else {
      guard let path = source.model.provenance["trained_from"]?.string, fileKind(path) != .none else {
        throw DPOError.argument(
          "\(input): does not say what it was trained from, or that is gone; give a reference model")
      }
      reference = try LanguageModel(path: path, threads: threads)
    }
  }

  /// What the pairs came to.
  public struct Result: Sendable, Equatable {
    /// The pairs under one of the models.
    public struct Side: Sendable, Equatable {
      /// Share of pairs whose chosen answer has the higher reward.
      public let accuracy: Double
      /// Mean reward of chosen − reward of rejected.
      public let margin: Double
    }

    /// Number of pairs.
    public let pairs: Int
    /// The trained model and the exported one.
    public let trained, exported: Side
    /// Mean over the completions' tokens of |log p(exported) − log p(trained)|. nil for reward models.
    public let logProbChange: Double?
    /// Mean over the same tokens of KL(trained‖exported) of the predictions, in nats. nil for reward models.
    public let divergence: Double?
    /// See `ExportCheck`; nil where training changed nothing on these pairs.
    public let lost: Double?

    /// An export that loses more of what was learnt is warned of.
    public static let limit = 0.25

    /// Whether no more is lost than `limit`.
    public var survives: Bool { lost.map { $0 <= Result.limit } ?? true }

    /// What the user should know; nil if all is well.
    public var warning: String? {
      guard !survives, let lost else { return nil }
      func percent(_ share: Double) -> String { "\(Int(min(99_999, (100 * share).rounded()))) %" }
      return
        "rounding has eaten what was learnt: margins are off by \(percent(lost)) of what training changed "
        + "(more than \(percent(Result.limit))); choose a dtype of more bits, do not merge, or train further"
    }

    /// The same by name.
    public var json: JSON {
      func side(_ side: Side) -> JSON {
        let (accuracy, margin) = divergence == nil ? ("accuracy", "margin") : ("rewards/accuracies", "rewards/margins")
        return .object([accuracy: .real(side.accuracy), margin: .real(side.margin)])
      }
      return [
        "pairs": .int(pairs), "trained": side(trained), "exported": side(exported),
        "mean_abs_logp_change": logProbChange.map(JSON.real) ?? .null, "kl": divergence.map(JSON.real) ?? .null,
        "lost": lost.map(JSON.real) ?? .null, "limit": .real(Result.limit), "survives": .bool(survives),
      ]
    }
  }

  /// Compares a file that `export` wrote, a model or an adapter, with the trained model.
  public func measure(_ output: String) throws -> Result {
    let exported =
      try isAdapter(output)
      ? LanguageModel(base, adapter: AdapterFile.open(output, for: base.configuration), threads: threads)
      : LanguageModel(path: output, threads: threads)
    var (learnt, kept): ([Double], [Double]) = ([], [])
    var (change, divergence, tokens) = (0.0, 0.0, 0)
    for first in stride(from: 0, to: data.count, by: ExportCheck.batchRows) {
      let rows = Array(first..<min(data.count, first + ExportCheck.batchRows))
      guard let reference else {
        learnt += margins(try trained.rewards(data, rows: rows))
        kept += margins(try exported.rewards(data, rows: rows))
        continue
      }
      let forest = try data.forest(rows: rows)
      let compared = try trained.compare(forest, with: exported)
      let before = margins(try reference.score(forest).sums)
      learnt += zip(margins(compared.scores.sums), before).map { $0 - $1 }
      kept += zip(margins(compared.other.sums), before).map { $0 - $1 }
      change += zip(compared.scores.logProbs, compared.other.logProbs).reduce(0) { $0 + Double(abs($1.0 - $1.1)) }
      divergence += compared.divergences.reduce(0) { $0 + Double($1) }
      tokens += compared.divergences.count
    }
    if let bad = learnt.indices.first(where: { !(learnt[$0].isFinite && kept[$0].isFinite) }) {
      throw DPOError(
        .nonFinite, "\(data.place(bad)): the margin is \(learnt[bad]) before and \(kept[bad]) after the export")
    }
    let size = learnt.reduce(0) { $0 + $1 * $1 }
    let error = zip(learnt, kept).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let factor = reference == nil ? 1 : beta
    func side(_ margins: [Double]) -> Result.Side {
      Result.Side(accuracy: margins.map { $0 > 0 ? 1 : 0 }.mean, margin: factor * margins.mean)
    }
    return Result(
      pairs: data.count, trained: side(learnt), exported: side(kept),
      logProbChange: reference == nil ? nil : change / Double(max(1, tokens)),
      divergence: reference == nil ? nil : divergence / Double(max(1, tokens)),
      lost: size > 0 ? sqrt(error / size) : nil)
  }

  /// Chosen − rejected of numbers that stand in pairs.
  private func margins(_ values: [Double]) -> [Double] {
    stride(from: 0, to: values.count, by: 2).map { values[$0] - values[$0 + 1] }
  }

  private static let batchRows = 8
}
