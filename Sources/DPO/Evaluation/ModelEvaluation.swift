import DPOBase
import DPOModel
import DPOStorage

/// What an evaluation of a model tells.
public struct ModelEvaluation: Sendable {
  /// Metrics by TRL's names, with the standard errors of those that are means over rows.
  public let record: StepRecord
  /// What its own answers tell; nil where none were drawn.
  public let samples: SampleEvaluation?

  /// Metrics by name, "standard_errors" and, where there are any, "samples".
  public var json: JSON {
    var object = record.metrics.json
    object["standard_errors"] = .object(record.standardErrors.json)
    if let samples { object["samples"] = samples.json }
    return .object(object)
  }
}

extension LanguageModel {
  /// Measures this model on rows of files, and answers that it draws to their prompts.
  ///
  /// - Parameters:
  ///   - paths: files and directories, see `DataSource.files`.
  ///   - reference: the model to compare with; nil: this one without its adapter.
  ///   - options: method, loss, lengths, batch size.
  ///   - samples: how answers are drawn, `completionsPerPrompt` to each prompt of pairs; nil: none are.
  ///   - judge: compares samples with chosen answers; see `evaluateSamples`.
  ///   - onProgress: called with the prompts done so far, and their number; false stops with `.cancelled`.
  public func evaluate(
    _ paths: [String], reference: LanguageModel? = nil, options: TrainingOptions, samples: GenerationOptions? = nil,
    judge: Judge? = nil, onProgress: (_ done: Int, _ total: Int) -> Bool = { _, _ in true }
  ) throws -> ModelEvaluation {
    try samples?.validate()
    let record = try Trainer.evaluate(
      model: file, adapter: adapterFile, referenceModel: reference?.file,
      data: file.dataset(.files(paths), options: options.dataset()), options: options, stopRequested: stopRequested)
    let drawn = try samples.map { options in
      let rows = try ChosenAnswers.read(paths)
      return try evaluateSamples(
        rows, reference: reference ?? LanguageModel(file, threads: team.threads), options: options, judge: judge
      ) { onProgress($0, rows.count) }
    }
    return ModelEvaluation(record: record, samples: drawn)
  }
}
