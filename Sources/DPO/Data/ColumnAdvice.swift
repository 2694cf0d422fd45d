import DPOBase

/// What to do about columns that are not read.
enum ColumnAdvice {
  /// Names that other data sets have for the columns read here.
  private static let otherNames: [(column: String, names: Set<String>)] = [
    ("prompt", ["question", "instruction", "query", "input", "context", "history", "prompts"]),
    ("chosen", ["chosen_response", "response_chosen", "preferred", "accepted", "positive", "winner", "better"]),
    ("rejected", ["rejected_response", "response_rejected", "dispreferred", "negative", "loser", "worse"]),
    ("completion", ["response", "output", "answer", "reply", "generation"]),
    ("label", ["labels", "thumb", "thumbs", "rating", "feedback"]),
    ("messages", ["conversations", "conversation", "dialog", "dialogue", "turns"]),
    ("text", ["content", "document"]),
    ("tools", ["functions"]),
    ("weight", ["weights"]),
  ]

  /// Published forms of rows that take more than another name.
  private static let forms: [(keys: Set<String>, advice: String)] = [
    (
      ["response_0", "response_1", "better_response_id"],
      "make \"chosen\" of the response that \"better_response_id\" names, \"rejected\" of the other one"
    ),
    (
      ["history", "human_ref_A", "human_ref_B", "labels"],
      "call \"history\" \"prompt\", and make \"chosen\" of \"human_ref_A\" where \"labels\" is 1, else of \"human_ref_B\""
    ),
    (
      ["response", "helpfulness"],
      "call \"response\" \"completion\" and add \"label\", true from a score of \"helpfulness\" on; or make \"chosen\" and "
        + "\"rejected\" of two responses to a prompt"
    ),
    (
      ["completions", "instruction"],
      "call \"instruction\" \"prompt\", and let \"completions\" hold texts, with their \"scores\" beside"
    ),
    (
      ["answers", "question"],
      "call \"question\" \"prompt\" and make \"chosen\" and \"rejected\" of two of the \"answers\""
    ),
  ]

  /// What a row with these keys, which no kind of rows has, could become; nil where nothing comes to mind.
  static func form(_ keys: [String]) -> String? {
    if let form = forms.first(where: { $0.keys.isSubset(of: keys) }) { return form.advice }
    let separators: [(mark: Character, name: String)] = [(";", "semicolons"), ("\t", "tabs")]
    if keys.count == 1, let separator = separators.first(where: { keys[0].contains($0.mark) }) {
      return "the columns have \(separator.name) between them; expected commas, or tabs in a file named .tsv"
    }
    let renamed = renames(keys, missingFrom: Set(keys))
    return renamed.isEmpty ? nil : renamed.map { "call \(quoted($0.key)) \(quoted($0.column))" }.joined(separator: ", ")
  }

  /// Columns of `keys` that would be read under another name, which the row lacks.
  static func renames(_ keys: [String], missingFrom present: Set<String>) -> [(key: String, column: String)] {
    otherNames.compactMap { column, names in
      guard !present.contains(column), let key = keys.first(where: { isOther($0, names, column) }) else { return nil }
      return (key, column)
    }
  }

  /// Whether a column has one of the names, or is spelled otherwise: with capitals or blanks.
  private static func isOther(_ key: String, _ names: Set<String>, _ column: String) -> Bool {
    let plain = String(key.lowercased().filter { !$0.isWhitespace })
    return names.contains(plain) || (plain == column && key != column)
  }

  /// What a row that lacks a column has instead.
  static func missing(_ column: String, _ keys: [String]) -> String {
    renames(keys, missingFrom: Set(keys)).first { $0.column == column }.map {
      ": call \(quoted($0.key)) \(quoted(column))"
    }
      ?? ""
  }

  static func quoted(_ name: String) -> String { "\"\(DPOError.printable(name, limit: 30))\"" }
}
