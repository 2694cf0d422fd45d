import DPOBase

/// What the rows of a data set hold; the first row decides for all.
public enum RowKind: String, Sendable {
  /// {"prompt", "chosen", "rejected"}, or {"chosen", "rejected"} that begin with their common prompt.
  case pairs
  /// {"prompt", "completions", "ranks"}, lower is better, or {"prompt", "completions", "scores"}, higher is better.
  case ranked
  /// {"prompt", "completion", "label"}
  case unpaired
  /// {"prompt", "completion"}
  case completions
  /// {"text"}
  case text
  /// {"messages"}
  case messages
  /// {"prompt"}; other columns are there for judges.
  case prompts
}

/// One row before tokenisation.
package struct DataRow {
  var prompt: Content?
  /// [chosen, rejected], those that are ranked, [completion], [text] or [messages].
  var completions: [Content]
  /// The place of each ranked completion; lower is better.
  var ranks: [Double]?
  var label: Bool?
  var weight: Double?
  var margin: Double?
  /// The reference's log-probs of chosen and rejected, as TRL's precomputed columns hold them.
  var reference: (chosen: Double, rejected: Double)?
  package var template = TemplateColumns.none
  /// All columns of a row that is a prompt.
  var columns: JSONObject?
}

/// How rows are read; from the first row.
struct RowFormat {
  let kind: RowKind
  let isText: Bool
  private let hasPrompt, hasMargin, hasReference: Bool

  /// - Parameters:
  ///   - place: file and line, for errors.
  init(first row: JSONObject, purpose: DatasetPurpose, place: String) throws {
    kind = try RowFormat.kind(of: row, purpose: purpose, place: place)
    hasPrompt = row["prompt"] != nil
    hasMargin = row["margin"] != nil && kind == .pairs
    hasReference = (row["ref_chosen_logps"] ?? row["ref_rejected_logps"]) != nil && kind == .pairs
    isText =
      try RowFormat.completions(row, kind, place: place).first?.isText
      ?? RowFormat.content(row, "prompt", place: place).isText
  }

  private static func kind(of row: JSONObject, purpose: DatasetPurpose, place: String) throws -> RowKind {
    let keys = Set(row.keys)
    let found: RowKind? =
      if purpose == .prompts {
        keys.contains("prompt") ? .prompts : nil
      } else if keys.contains("chosen") || keys.contains("rejected") {
        .pairs
      } else if keys.contains("completions") {
        .ranked
      } else if keys.contains("completion") {
        keys.contains("label") && purpose != .supervised ? .unpaired : .completions
      } else if keys.contains("messages") {
        .messages
      } else if keys.contains("text") {
        .text
      } else if purpose == .any, keys.contains("prompt") {
        .prompts
      } else {
        nil
      }
    if let found, purpose.accepts(found) { return found }
    let names =
      row.keys.isEmpty
      ? "none" : row.keys.prefix(8).map { "\"\(DPOError.printable($0, limit: 30))\"" }.joined(separator: ", ")
    let advice = ColumnAdvice.form(row.keys).map { ": \($0)" } ?? ""
    throw DPOError.format(place, "expected \(purpose.expectation); found the keys \(names)\(advice)")
  }

  /// The columns that are read of such rows.
  var columns: Set<String> {
    let own: Set<String> =
      switch kind {
      case .pairs: ["prompt", "chosen", "rejected", "margin", "ref_chosen_logps", "ref_rejected_logps"]
      case .ranked: ["prompt", "completions", "ranks", "scores"]
      case .unpaired: ["prompt", "completion", "label"]
      case .completions: ["prompt", "completion"]
      case .text: ["text"]
      case .messages: ["messages"]
      case .prompts: ["prompt"]
      }
    return own.union(["weight"]).union(isText ? [] : TemplateColumns.names)
  }

  /// The completions of a row, at least one.
  private static func completions(_ row: JSONObject, _ kind: RowKind, place: String) throws -> [Content] {
    switch kind {
    case .pairs: return [try content(row, "chosen", place: place), try content(row, "rejected", place: place)]
    case .ranked:
      guard let values = row["completions"]?.array, rankedCompletions.contains(values.count) else {
        let found = row["completions"]?.array.map { "a list of \($0.count)" } ?? row["completions"]?.kind ?? "missing"
        throw DPOError.format(
          place,
          "\"completions\" is \(found); expected \(rankedCompletions.lowerBound) to \(rankedCompletions.upperBound) answers"
        )
      }
      return try values.enumerated().map { try content($1, "completions[\($0)]", place: place) }
    case .unpaired, .completions: return [try content(row, "completion", place: place)]
    case .text: return [try content(row, "text", place: place)]
    case .messages: return [try content(row, "messages", place: place)]
    case .prompts: return []
    }
  }

  /// Answers that a row of ranked ones may have.
  private static let rankedCompletions = 2...256

  /// Reads a row; it must be of the first row's kind.
  func read(_ row: JSONObject, place: String) throws -> DataRow {
    var result = DataRow(completions: [])
    let needsPrompt =
      kind == .unpaired || kind == .completions || kind == .ranked || kind == .prompts || (kind == .pairs && hasPrompt)
    result.completions = try RowFormat.completions(row, kind, place: place)
    // Whole conversations hold their prompt, whatever the other rows have.
    let holdsPrompt =
      kind == .pairs && result.completions.allSatisfy { $0.isConversation(after: .chat([])) && !$0.isAnswer }
    if kind == .pairs, !hasPrompt, !holdsPrompt, row["prompt"] != nil {
      throw DPOError.format(place, "has a \"prompt\", which the first row has not")
    }
    if row["prompt"] != nil ? needsPrompt : needsPrompt && !holdsPrompt {
      result.prompt = try prompt(row, beside: result.completions, place: place)
    }
    for (index, completion) in result.completions.enumerated() {
      try checkForm(completion, RowFormat.column(of: index, kind), place: place)
    }
    if kind == .ranked { result.ranks = try ranks(row, count: result.completions.count, place: place) }
    if kind == .unpaired { result.label = try label(row, place: place) }
    if row["weight"] != nil {
      let weight = try number(row, "weight", place: place)
      guard weight >= 0 else { throw DPOError.format(place, "\"weight\" is \(weight); expected a number ≥ 0") }
      result.weight = weight
    }
    for key in ["margin", "ref_chosen_logps", "ref_rejected_logps"] where kind == .pairs && row[key] != nil {
      guard key == "margin" ? hasMargin : hasReference else {
        throw DPOError.format(place, "has \"\(key)\", which the first row has not")
      }
    }
    if hasMargin { result.margin = try number(row, "margin", place: place) }
    if hasReference {
      result.reference = (
        try number(row, "ref_chosen_logps", place: place), try number(row, "ref_rejected_logps", place: place)
      )
    }
    if !isText { result.template = try TemplateColumns(row, place: place) }
    if kind == .prompts { result.columns = row }
    return result
  }

  /// The prompt of a row; nil where its pair is of whole conversations, and the messages that both begin with are the prompt,
  /// whatever the column holds (TRL's `maybe_extract_prompt`; a column of the same messages is taken so as well).
  private func prompt(_ row: JSONObject, beside completions: [Content], place: String) throws -> Content? {
    let prompt = try RowFormat.content(row, "prompt", place: place)
    if kind == .pairs, completions.allSatisfy({ $0.isConversation(after: prompt) }) { return nil }
    if let other = completions.first(where: { $0.isText != prompt.isText }) {
      func form(_ content: Content) -> String { content.isText ? "text" : "chat messages" }
      let column = RowFormat.column(of: completions.firstIndex(of: other) ?? 0, kind)
      throw DPOError.format(
        place,
        "\"prompt\" holds \(form(prompt)) and \(column) \(form(other)); expected text in both, or chat messages in both"
      )
    }
    try checkForm(prompt, "\"prompt\"", place: place)
    return prompt
  }

  /// What the completion of this number stands under.
  private static func column(of index: Int, _ kind: RowKind) -> String {
    switch kind {
    case .pairs: index == 0 ? "\"chosen\"" : "\"rejected\""
    case .ranked: "\"completions[\(index)]\""
    case .unpaired, .completions: "\"completion\""
    case .text: "\"text\""
    case .messages: "\"messages\""
    case .prompts: "\"prompt\""
    }
  }

  private func checkForm(_ content: Content, _ what: String, place: String) throws {
    guard content.isText == isText else {
      let (found, expected) = isText ? ("chat messages", "a string") : ("a string", "chat messages")
      throw DPOError.format(place, "\(what) holds \(found); expected \(expected), as the first row has")
    }
  }

  /// The places of a row's completions, from "ranks" or from "scores".
  private func ranks(_ row: JSONObject, count: Int, place: String) throws -> [Double] {
    guard (row["ranks"] == nil) != (row["scores"] == nil) else {
      throw DPOError.format(
        place, "\(row["ranks"] == nil ? "neither" : "both") \"ranks\" and \"scores\"; expected one of them")
    }
    let (key, sign) = row["ranks"] == nil ? ("scores", -1.0) : ("ranks", 1.0)
    let values = row[key]?.array?.compactMap(\.double).filter(\.isFinite) ?? []
    guard values.count == count, row[key]?.array?.count == count else {
      throw DPOError.format(place, "\"\(key)\": expected a list of \(count) finite numbers, one for each completion")
    }
    return values.map { sign * $0 }
  }

  private static func content(_ row: JSONObject, _ key: String, place: String) throws -> Content {
    guard row[key] != nil else {
      throw DPOError.format(place, "\"\(key)\" is missing\(ColumnAdvice.missing(key, row.keys))")
    }
    return try content(row[key], key, place: place)
  }

  private static func content(_ value: JSON?, _ key: String, place: String) throws -> Content {
    switch value {
    case nil: throw DPOError.format(place, "\"\(key)\" is missing")
    case .string(let text) where key != "messages": return .text(text)
    case .array(let messages) where key != "text":
      guard !messages.isEmpty else { throw DPOError.format(place, "\"\(key)\" is an empty list of messages") }
      for (index, message) in messages.enumerated() {
        try check(message, "\"\(key)\" message \(index + 1)", place: place)
      }
      return .chat(messages.compactMap(\.object).map(Chat.Message.init))
    case .some(let other):
      let expected =
        key == "messages" ? "a list of messages" : key == "text" ? "a string" : "a string or a list of messages"
      throw DPOError.format(place, "\"\(key)\" is \(other.kind); expected \(expected)")
    }
  }

  private static func check(_ message: JSON, _ what: String, place: String) throws {
    guard let message = message.object else {
      throw DPOError.format(place, "\(what) is \(message.kind); expected an object with \"role\" and \"content\"")
    }
    guard message["role"]?.string != nil else {
      let found = message["role"]?.kind ?? "missing"
      let advice =
        message["from"] != nil && message["value"] != nil
        ? ": call \"from\" \"role\", with \"user\" for \"human\" and \"assistant\" for \"gpt\", and \"value\" \"content\""
        : ""
      throw DPOError.format(place, "\(what): \"role\" is \(found); expected a string\(advice)")
    }
    let callsTools = message["tool_calls"]?.array?.isEmpty == false
    let content = message["content"] ?? .null
    if let parts = content.array, !parts.isEmpty {
      for part in parts where part["type"]?.string != "text" || part["text"]?.string == nil {
        let kind = part["type"]?.string.map { "of type \"\(DPOError.printable($0, limit: 30))\"" } ?? "without a type"
        throw DPOError.format(
          place, "\(what): \"content\" holds a part \(kind); expected {\"type\": \"text\", \"text\": …}")
      }
      return
    }
    guard content.string != nil || (content.isNull && callsTools) else {
      let found = message["content"]?.kind ?? "missing"
      throw DPOError.format(place, "\(what): \"content\" is \(found); expected a string")
    }
  }

  private func label(_ row: JSONObject, place: String) throws -> Bool {
    guard let value = row["label"] else { throw DPOError.format(place, "\"label\" is missing") }
    if let label = value.bool { return label }
    if let label = value.double, label == 0 || label == 1 { return label == 1 }
    throw DPOError.format(place, "\"label\" is \(DPOError.printable(value.description)); expected true or false")
  }

  private func number(_ row: JSONObject, _ key: String, place: String) throws -> Double {
    guard let value = row[key]?.double, value.isFinite else {
      throw DPOError.format(place, "\"\(key)\" is \(row[key]?.kind ?? "missing"); expected a finite number")
    }
    return value
  }
}

/// What the rows are for: which kinds are accepted, and what becomes of them.
public enum DatasetPurpose: String, Sendable {
  /// Pairs: DPO, CPO, SimPO, ORPO, reward models.
  case preference
  /// Ranked answers, of which pairs are the case of two: Plackett–Luce DPO.
  case ranked
  /// Single completions with labels: KTO, BCO. Pairs are taken apart.
  case unpaired
  /// Supervised fine-tuning. Of pairs the chosen completions are learnt: the DPO paper's Preferred-FT.
  case supervised
  /// Documents of text. Longer ones than max_length are cut into pieces, and pieces share the places of a batch.
  case pretraining
  /// Prompts that the policy itself answers.
  case prompts
  /// Whatever the first row is: scoring and inspection.
  case any

  /// What rows of this kind become: unpaired and supervised learning take pairs apart.
  func learns(_ kind: RowKind) -> RowKind {
    switch self {
    case .unpaired: .unpaired
    case .supervised: kind == .pairs ? .completions : kind
    default: kind
    }
  }

  func accepts(_ kind: RowKind) -> Bool {
    switch self {
    case .preference: kind == .pairs
    case .ranked: kind == .pairs || kind == .ranked
    case .unpaired: kind == .pairs || kind == .unpaired
    case .supervised: kind == .completions || kind == .text || kind == .messages || kind == .pairs
    case .pretraining: kind == .text
    case .prompts: kind == .prompts
    case .any: true
    }
  }

  var expectation: String {
    switch self {
    case .preference: "\"chosen\" and \"rejected\", with or without \"prompt\""
    case .ranked: "\"prompt\", \"completions\" and \"ranks\" or \"scores\", or \"prompt\", \"chosen\" and \"rejected\""
    case .unpaired: "\"prompt\", \"completion\" and \"label\", or \"prompt\", \"chosen\" and \"rejected\""
    case .supervised: "\"text\", \"messages\", \"prompt\" and \"completion\", or \"chosen\" and \"rejected\""
    case .pretraining: "\"text\""
    case .prompts: "\"prompt\""
    case .any:
      "\"chosen\" and \"rejected\", \"prompt\" and \"completions\", \"prompt\" and \"completion\", \"text\" or \"messages\""
    }
  }
}

extension DataRow {
  /// Splits completions that hold their prompt as TRL does: they are equal up to the first difference (by Unicode
  /// scalar or by message); in text, one blank before it goes to the completions. Without a difference inside the shorter
  /// one, its last scalar or message is the completion.
  mutating func extractPrompt(place: String) throws {
    guard prompt == nil, ranks == nil, completions.count == 2 else { return }
    switch (completions[0], completions[1]) {
    case (.text(let chosen), .text(let rejected)):
      let (a, b) = (chosen.unicodeScalars, rejected.unicodeScalars)
      guard !a.isEmpty, !b.isEmpty else {
        throw DPOError.format(place, "chosen or rejected is empty; expected texts that begin with their prompt")
      }
      var i = a.startIndex
      var j = b.startIndex
      while i < a.endIndex, j < b.endIndex, a[i] == b[j] {
        i = a.index(after: i)
        j = b.index(after: j)
      }
      if i == a.endIndex || j == b.endIndex {
        i = a.index(before: i)
      } else if i > a.startIndex, a[a.index(before: i)] == " " {
        i = a.index(before: i)
      }
      let length = chosen[..<i].utf8.count
      prompt = .text(String(chosen[..<i]))
      completions = [chosen, rejected].map { .text(String($0.utf8.dropFirst(length)) ?? "") }
    case (.chat(let chosen), .chat(let rejected)):
      let shorter = min(chosen.count, rejected.count)
      let index = (0..<shorter).first { chosen[$0] != rejected[$0] } ?? shorter - 1
      prompt = .chat(Array(chosen[..<index]))
      completions = [.chat(Array(chosen[index...])), .chat(Array(rejected[index...]))]
    default: throw DPOError.format(place, "one completion is text and the other chat messages")
    }
  }
}
