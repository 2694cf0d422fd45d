import CKernels
import DPOBase
import DPOText

/// An answer to be judged.
public struct Answer: Sendable {
  /// What was asked; nil where only tokens are known.
  public var prompt: Content?
  /// What was answered; nil where only tokens are known.
  public var completion: Content?
  /// What a reward model's chat template reads besides messages.
  public var template = TemplateColumns.none
  /// All other columns of a prompt's row that a policy answered: what a program may want, such as the right answer.
  package var columns: JSONObject = [:]
  /// What the policy read and drew, of answers that it gave itself: the tokens, and whether the last one ends the answer.
  public var promptTokens: [Int32] = []
  /// What the policy drew.
  public var completionTokens: [Int32] = []
  /// Whether the last token ends the answer.
  public var isFinished = true
  /// The prompt's row in the data, as `TokenizedDataset.lineNumber` counts.
  public var row = 0
  /// Whether the policy answered evaluation data.
  public var isEvaluation = false

  /// An answer of which the tokens are not known.
  public init(prompt: Content?, completion: Content?) {
    self.prompt = prompt
    self.completion = completion
  }
}

/// Whoever says how good an answer is by giving it a number: a classifier, a reward model, a program or function of one's own.
public struct Judge: Sendable {
  /// Tells this judge from others, in the log of its judgements.
  public let identity: String
  /// Whether it reads texts; one that looks at tokens alone does for a model without tokenizer.
  public let readsText: Bool
  /// What a reward model reads with.
  public let tokenizer: Tokenizer?
  /// Bytes that it takes while it judges.
  public let memory: Int
  private let judge: @Sendable ([Answer]) throws -> [Double]
  /// The same judge at another time, which a chat template may write.
  private var dated: (@Sendable (_ time: Int) -> Judge)?

  /// Whether its scores may depend on the time.
  var readsClock: Bool { dated != nil && (try? tokenizer?.chatTemplate)?.readsClock == true }

  /// The time, where the judge's scores may depend on it.
  var timeNow: Int? { readsClock ? Machine.localTime : nil }

  /// The judge as it is at a time, as `DatasetOptions.templateTime` tells it.
  func at(_ time: Int) -> Judge { dated?(time) ?? self }

  /// - Parameter answers: one score an answer, higher is better. Any thread may call it, and several at once.
  public init(
    identity: String, readsText: Bool = true, tokenizer: Tokenizer? = nil, memory: Int = 0,
    answers: @escaping @Sendable ([Answer]) throws -> [Double]
  ) {
    self.identity = identity
    self.readsText = readsText
    self.tokenizer = tokenizer
    self.memory = memory
    judge = answers
  }

  /// A judge that sees the answers to one prompt at a time.
  public init(
    identity: String, scores: @escaping @Sendable (_ prompt: Content, _ completions: [Content]) throws -> [Double]
  ) {
    self.init(identity: identity, rows: { prompt, _, completions in try scores(prompt, completions) })
  }

  /// The same, which also sees what else stands in the prompt's row.
  init(
    identity: String,
    rows scores:
      @escaping @Sendable (_ prompt: Content, _ columns: JSONObject, _ completions: [Content]) throws -> [Double]
  ) {
    self.init(identity: identity) { answers in
      var all: [Double] = []
      while all.count < answers.count {
        let first = answers[all.count]
        let group = answers[all.count...].prefix {
          $0.prompt == first.prompt && $0.columns == first.columns && $0.template == first.template
        }.map { $0.completion ?? "" }
        let found = try scores(first.prompt ?? "", first.template.columns.with(first.columns), group)
        try Judge.check(found, for: group.count)
        all += found
      }
      return all
    }
  }

  /// One finite score an answer.
  ///
  /// - Throws: what the judge throws, or `.format` for too few scores, or such as are not finite.
  public func scores(_ answers: [Answer]) throws -> [Double] {
    guard !answers.isEmpty else { return [] }
    let scores = try judge(answers)
    try Judge.check(scores, for: answers.count)
    return scores
  }

  /// The same of completions of one prompt.
  public func scores(
    _ prompt: Content, _ completions: [Content], template: TemplateColumns = .none
  ) throws -> [Double] {
    try scores(
      completions.map {
        var answer = Answer(prompt: prompt, completion: $0)
        answer.template = template
        return answer
      })
  }

  private static func check(_ scores: [Double], for count: Int) throws {
    guard scores.count == count, scores.allSatisfy(\.isFinite) else {
      let bad = scores.firstIndex { !$0.isFinite }.map { ", number \($0 + 1) of them \(scores[$0])" } ?? ""
      throw DPOError(
        .format, "the judge gave \(scores.count) scores for \(count) answers\(bad); expected one finite number each")
    }
  }

  /// The log-odds of the positive class.
  ///
  /// - Parameter completionOnly: judge the completion by itself. Otherwise, as always after chat messages, a text prompt and its
  ///   completion are one text.
  public static func classifier(_ classifier: TextClassifier, completionOnly: Bool = false) -> Judge {
    Judge(identity: "classifier \(classifier.fingerprint)\(completionOnly ? " of completions" : "")") { answers in
      answers.map { answer in
        let before = if !completionOnly, case .text(let text) = answer.prompt { text } else { "" }
        return classifier.logOdds(before + (answer.completion?.text ?? ""))
      }
    }
  }

  /// A reward model's scores, tokenised as in training. The judge computes with a copy of its own, beside which the model may
  /// be used from other threads.
  ///
  /// - Throws: `.unsupported` if the model is none.
  public static func rewardModel(_ model: LanguageModel) throws -> Judge {
    guard model.isRewardModel else {
      throw DPOError.unsupported("\(model.file.path): a language model, which has no score; expected a reward model")
    }
    let adapter = model.adapterFile.map { " \(String($0.fingerprint(), radix: 16))" } ?? ""
    return rewardModel(
      Guarded(try model.copy()), identity: "reward model \(String(model.file.fingerprint(), radix: 16))\(adapter)",
      tokenizer: try model.tokenizer, memory: try model.file.mappedBytes + model.scoringPlan().total, time: nil)
  }

  private static func rewardModel(
    _ copy: Guarded<LanguageModel>, identity: String, tokenizer: Tokenizer, memory: Int, time: Int?
  ) -> Judge {
    var judge = Judge(identity: identity, tokenizer: tokenizer, memory: memory) { answers in
      var options = DatasetOptions(.any)
      options.maxLength = nil
      options.templateTime = time
      let rows = answers.map { answer -> JSONObject in
        let prompt = answer.prompt ?? ""
        let completion = (answer.completion ?? "").answering(prompt)
        return (["prompt": prompt.json, "completion": completion.json] as JSONObject).with(answer.template.columns)
      }
      return try copy.use { model in
        let data = try model.file.dataset(.rows(rows), options: options)
        try data.check(contextLength: model.configuration.contextLength)
        return try model.rewards(data, rows: Array(0..<data.count))
      }
    }
    judge.dated = { rewardModel(copy, identity: identity, tokenizer: tokenizer, memory: memory, time: $0) }
    return judge
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
