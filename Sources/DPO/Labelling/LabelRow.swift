import CKernels
import DPOBase

/// Answers to one prompt, to be judged: `{"prompt", "completions": […]}`, as `LanguageModel.sample` writes them, and for chat
/// messages `tools` and `chat_template_kwargs`, which the rows made of it have as well.
public struct LabelRow: Sendable, Equatable {
  /// XXH3 of prompt and completions in hexadecimal, and a number where a file repeats a row: the same wherever the row stands.
  public let id: String
  /// Line of the file.
  public let line: Int
  /// What was asked.
  public let prompt: Content
  /// At least one.
  public let completions: [Content]
  /// What the chat template reads besides messages.
  public let template: TemplateColumns

  /// A completion as training takes it.
  func answer(_ index: Int) -> JSON { completions[index].answering(prompt).json }

  /// A row made of this one: its prompt with these columns.
  func made(_ columns: JSONObject) -> JSONObject {
    (["prompt": prompt.json] as JSONObject).with(columns).with(template.columns)
  }
}

extension LabelRow {
  /// Rows to be judged of a file or directory of rows.
  ///
  /// - Throws: `.format` with the line of a row that is not like `LabelRow`; `.format` for a file without rows.
  public static func read(_ path: String) throws -> [LabelRow] {
    var rows: [LabelRow] = []
    var copies: [String: Int] = [:]
    try RowFiles([path]).forEachRow { row, place in
      func content(_ value: JSON?, _ name: String) throws -> Content {
        guard let content = Content(value), value?.array?.allSatisfy({ $0["content"] != nil }) != false else {
          throw DPOError.format(
            place.description, "\"\(name)\" is \(value?.kind ?? "missing"), expected text or chat messages")
        }
        return content
      }
      guard let found = row["completions"]?.array, !found.isEmpty else {
        throw DPOError.format(
          place.description,
          "\"completions\" is \(row["completions"]?.kind ?? "missing"), expected at least one answer")
      }
      let prompt = try content(row["prompt"], "prompt")
      let completions = try found.map { try content($0, "completions") }
      let template = try TemplateColumns(row, beside: prompt, place: place.description)
      let columns = template.columns
      let text = JSON.array(
        ([prompt] + completions).map(\.json) + (columns.isEmpty ? [] : [.object(columns)])
      ).description
      let hash = Array(text.utf8).withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) }
      let id = String(hash, radix: 16)
      let copy = copies[id, default: 0] + 1
      copies[id] = copy
      rows.append(
        LabelRow(
          id: copy == 1 ? id : "\(id)-\(copy)", line: place.number, prompt: prompt, completions: completions,
          template: template
        ))
    }
    guard !rows.isEmpty else { throw DPOError.format(path, "no rows; expected at least one") }
    return rows
  }
}

/// What a judgement makes of a row.
enum LabelOutput {
  /// `{"prompt", "chosen", "rejected"}`
  static func pair(_ row: LabelRow, chosen: Int, rejected: Int) -> JSONObject {
    row.made(["chosen": row.answer(chosen), "rejected": row.answer(rejected)])
  }

  /// `{"prompt", "completion", "label"}`
  static func thumb(_ row: LabelRow, _ index: Int, up: Bool) -> JSONObject {
    row.made(["completion": row.answer(index), "label": .bool(up)])
  }
}
