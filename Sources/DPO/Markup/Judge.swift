import CKernels
import DPOBase

/// Whoever says which answer is better by giving each a number: a classifier, a reward model, a program of one's own.
public struct Judge {
  /// Tells this judge from others, in the log of its judgements.
  public let identity: String
  /// One score a completion of a prompt, higher is better.
  public let scores: (_ prompt: JSON, _ completions: [JSON]) throws -> [Double]

  public init(identity: String, scores: @escaping (_ prompt: JSON, _ completions: [JSON]) throws -> [Double]) {
    self.identity = identity
    self.scores = scores
  }

  /// The log-odds of the positive class.
  ///
  /// - Parameter completionOnly: judge the completion by itself. Otherwise, as always after chat messages, a text prompt and its
  ///   completion are one text.
  public static func classifier(_ classifier: TextClassifier, completionOnly: Bool = false) -> Judge {
    Judge(identity: "classifier \(classifier.fingerprint)\(completionOnly ? " of completions" : "")") {
      prompt, completions in
      let start = completionOnly ? "" : prompt.string ?? ""
      return completions.map { classifier.logOdds(start + MarkupRow.text($0)) }
    }
  }

  /// A reward model's scores, tokenised as in training.
  ///
  /// - Throws: `.unsupported` if the model is none.
  public static func rewardModel(_ model: LanguageModel) throws -> Judge {
    guard model.isRewardModel else {
      throw DPOError.unsupported("\(model.file.path): a language model, which has no score; expected a reward model")
    }
    let adapter = model.adapterFile.map { " \(String($0.fingerprint(), radix: 16))" } ?? ""
    return Judge(identity: "reward model \(String(model.file.fingerprint(), radix: 16))\(adapter)") {
      prompt, completions in
      var options = DatasetOptions(.any)
      options.maxLength = nil
      let rows = completions.map { completion -> JSONObject in
        ["prompt": prompt, "completion": MarkupRow.answer(completion, to: prompt)]
      }
      let data = try model.dataset(rows: rows, options: options)
      try data.check(contextLength: model.configuration.contextLength)
      return try model.rewards(data, rows: Array(0..<data.count))
    }
  }
}

extension TextClassifier {
  /// XXH3 of its numbers.
  var fingerprint: String {
    let hashes = [
      vocabulary.grams.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) },
      (weights + [bias]).withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) },
    ]
    return String(hashes.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) }, radix: 16)
  }
}
