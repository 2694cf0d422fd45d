import DPOBase
import DPOModel
import DPOStorage

/// How far sampling has come.
public struct SamplingProgress: Sendable {
  /// Prompts whose completions are in the file, and of how many.
  public let prompts, total: Int
  /// Drawn in this call, and the seconds that took.
  public let tokens: Int
  /// Wall time of this call.
  public let seconds: Double
}

/// What a file of samples holds.
public struct SamplingResult: Sendable, Equatable {
  /// Prompts in the file.
  public let prompts: Int
  /// Prompts that were there before.
  public let resumedAt: Int
  /// Rows in the file.
  public let rows: Int
  /// Drawn in this call.
  public let tokens: Int
}

extension LanguageModel {
  /// Samples completions of prompts into a JSON-lines file that only grows:
  /// `{"prompt", "completions": […], "finish_reasons": […], "index", "sampling"}`, and the prompt's template columns. `index`
  /// counts prompts from 0, `sampling` tells model, adapter and options.
  ///
  /// A file of the same prompts and sampling is continued, and becomes what it would be had nothing interrupted it: a draw
  /// depends on the seed, the prompt's index, the completion and the position, and prompts are computed in groups that do not
  /// depend on where the run started. Rows are on the disk, group after group.
  ///
  /// - Parameters:
  ///   - pairs: rows of two different completions, the first with the second, the third with the fourth and so on,
  ///     ready to be compared; equal ones are left out.
  ///   - onProgress: called as tokens are drawn; false stops with `.cancelled`.
  /// - Throws: `.mismatch` if the file holds something else.
  @discardableResult
  public func sample(
    _ prompts: [PromptRow], options: GenerationOptions, pairs: Bool = false, to path: String, overwrite: Bool = false,
    onProgress: @escaping (SamplingProgress) -> Bool = { _ in true }
  ) throws -> SamplingResult {
    try options.validate()
    let time = try overwrite ? sampleTime(nil) : sampleTime(path)
    let settings = samplingSettings(options, pairs: pairs, time: time)
    let tokens = try sampleTokens(prompts, time: time)
    for (index, prompt) in tokens.enumerated() where prompt.isEmpty || prompt.count >= configuration.contextLength {
      throw DPOError.argument(
        "prompt \(index + 1): \(prompt.count) tokens; a context of \(configuration.contextLength) needs 1 or more, and room for an answer"
      )
    }
    let file = try OwnedAppendFile(path)
    if overwrite { try file.clear() }
    let found = try SampleRows.read(file, prompts: prompts, settings: settings)
    let group = max(1, SampleRows.sequencesOfGroup / options.completionsPerPrompt)
    // The last group may be incomplete; what is missing of it comes from drawing it again.
    let done = found.last.map { pairs || ($0 + 1) % group != 0 ? $0 / group * group : $0 + 1 } ?? 0
    var known = found.count { $0 >= done }
    var rows = found.count
    var drawn = 0
    let clock = ContinuousClock()
    let start = clock.now
    for first in stride(from: done, to: prompts.count, by: group) {
      let range = first..<min(prompts.count, first + group)
      var options = options
      options.firstPrompt = first
      var goesOn = onProgress(progress(first))
      let results =
        try goesOn
        ? generate(Array(tokens[range]), options: options) { _, _, _ in
          drawn += 1
          if drawn % 64 == 0 { goesOn = onProgress(progress(first)) }
          return goesOn
        } : []
      guard goesOn else {
        throw DPOError(.cancelled, "stopped after \(first) of \(prompts.count) prompts; the same command goes on")
      }
      for (index, completions) in zip(range, results) {
        for row in try sampleRows(prompts[index], completions, pairs: pairs) {
          guard known == 0 else {
            known -= 1
            continue
          }
          var row = row
          row["index"] = .int(index)
          row["sampling"] = settings
          try file.append(JSON.object(row).description)
          rows += 1
        }
      }
      try file.flush()
    }
    _ = onProgress(progress(prompts.count))
    return SamplingResult(prompts: prompts.count, resumedAt: min(done, prompts.count), rows: rows, tokens: drawn)

    func progress(_ done: Int) -> SamplingProgress {
      SamplingProgress(
        prompts: done, total: prompts.count, tokens: drawn, seconds: start.duration(to: clock.now) / .seconds(1))
    }
  }

  private func sampleRows(_ prompt: PromptRow, _ completions: [Completion], pairs: Bool) throws -> [JSONObject] {
    let texts = try completions.map(text)
    func row(_ chosen: [Int]) -> JSONObject {
      prompt.columns.with([
        "completions": .array(chosen.map { .string(texts[$0]) }),
        "finish_reasons": .array(chosen.map { .string(completions[$0].finish.rawValue) }),
      ])
    }
    guard pairs else { return [row(Array(texts.indices))] }
    return distinctPairs(texts).map { row([$0.0, $0.1]) }
  }

  /// What the chat template is told of the time: what the rows of a file to be continued were; nil where it does not ask.
  private func sampleTime(_ path: String?) throws -> Int? {
    guard let template = try file.tokenizer?.chatTemplate, template.readsClock else { return nil }
    return try path.flatMap(SampleRows.templateTime) ?? Machine.localTime
  }

  private func sampleTokens(_ prompts: [PromptRow], time: Int?) throws -> [[Int32]] {
    let tokenizer = try tokenizer
    return try prompts.map { try tokenizer.tokens(of: $0, time: time, file: file.path) }
  }

  private func samplingSettings(_ options: GenerationOptions, pairs: Bool, time: Int?) -> JSON {
    var settings: JSONObject = [
      "model": .string(hexadecimal(file.fingerprint())),
      "adapter": adapterFile.map { .string(hexadecimal($0.fingerprint())) } ?? .null,
      "num_return_sequences": .int(options.completionsPerPrompt),
      "precision": .string(options.precision.rawValue), "pairs": .bool(pairs),
      "max_new_tokens": .int(options.maxNewTokens), "temperature": .real(options.temperature),
      "top_k": .int(options.topK), "top_p": .real(options.topP), "min_p": .real(options.minP),
      "seed": .string(String(options.seed)),
    ]
    if let time { settings["template_time"] = .int(time) }
    return .object(settings)
  }
}

/// Where each text stands for the first time.
func distinct(_ texts: [String]) -> [Int] {
  var seen = Set<String>()
  return texts.indices.filter { seen.insert(texts[$0]).inserted }
}

/// Disjoint pairs of different texts, in order: each text is in at most one, and equal texts count once.
func distinctPairs(_ texts: [String]) -> [(Int, Int)] {
  let all = distinct(texts)
  return stride(from: 0, to: all.count - 1, by: 2).map { (all[$0], all[$0 + 1]) }
}

/// Rows of a file of samples that is to be continued.
enum SampleRows {
  /// Completions that are drawn between two looks at the disk.
  static let sequencesOfGroup = 64

  /// What a file's first row says that the chat template was told of the time; nil where there is no such row.
  static func templateTime(_ path: String) throws -> Int? {
    guard fileKind(path) == .file else { return nil }
    let file = try MappedFile(path)
    defer { withExtendedLifetime(file) {} }
    let line = file.bytes.prefix { $0 != UInt8(ascii: "\n") }
    let row = try? JSON.parse(UnsafeRawBufferPointer(rebasing: line), file: path)
    return row?["sampling"]?["template_time"]?.int
  }

  /// The prompts' indices of the rows of a file, in order.
  static func read(_ file: OwnedAppendFile, prompts: [PromptRow], settings: JSON) throws -> [Int] {
    var indices: [Int] = []
    let name = nameOf(file.path)
    let instead = "; give another file, or set overwrite"
    try file.withLines { bytes in
      guard !bytes.isEmpty else { return }
      try RowFile(lines: bytes, name: name).forEach { row, place in
        guard let found = row["sampling"]?.object, let index = row["index"]?.int, row["completions"]?.array != nil
        else { throw DPOError.mismatch("\(place) is no row of samples\(instead)") }
        for (key, value) in settings.object?.members ?? [] where found[key] != value {
          let was = found[key].map { DPOError.printable($0.description, limit: 40) } ?? "missing"
          throw DPOError.mismatch("\(place) was sampled with \(key) = \(was), now \(value)\(instead)")
        }
        guard prompts.indices.contains(index), index >= indices.last ?? 0,
          prompts[index].columns.members.allSatisfy({ row[$0.key] == $0.value })
        else {
          throw DPOError.mismatch("\(place) is not of prompt \(index) of these \(prompts.count)\(instead)")
        }
        indices.append(index)
      }
    }
    return indices
  }
}
