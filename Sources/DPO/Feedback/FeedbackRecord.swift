import CKernels
import DPOBase

/// One piece of feedback, as a line of the file holds it. Without `id` and `time` it is a row of TRL's data sets:
/// `{"id", "time", "prompt", "completion", "label"}` or `{"id", "time", "prompt", "chosen", "rejected"}`, each with an
/// optional `"weight"`.
public struct FeedbackRecord: Sendable, Equatable {
  /// What was said.
  public enum Kind: String, Sendable, CaseIterable {
    /// The answer is good: a row with `"label": true`.
    case thumbUp = "thumb up"
    /// The answer is bad: a row with `"label": false`.
    case thumbDown = "thumb down"
    /// One answer is better than another: a row with `"chosen"` and `"rejected"`.
    case choice
  }

  /// Counts from 1 and only grows.
  public let id: Int
  /// Whether it is a thumb or a choice.
  public let kind: Kind
  /// What was asked.
  public let prompt: Content
  /// The answer; of a choice the chosen one and the rejected one.
  public let answers: [Content]
  /// The line's members, with `"id"` and `"time"` where the line has them.
  package let row: JSONObject
  /// Factor on the record's loss. 0 takes back what was said of the same answers before.
  public let weight: Double
  /// Whether prompt and answers are text, or else chat messages.
  let isText: Bool

  /// - Parameters:
  ///   - id: for a row that has none.
  ///   - place: file and line, for errors.
  init(_ row: JSONObject, id next: Int, place: String) throws {
    let format = try RowFormat(first: row, purpose: .any, place: place)
    guard format.kind == .pairs || format.kind == .unpaired, row["prompt"] != nil else {
      throw DPOError.format(
        place, "expected \"prompt\", and \"completion\" with \"label\" or \"chosen\" with \"rejected\"")
    }
    let read = try format.read(row, place: place)
    kind = format.kind == .pairs ? .choice : read.label == true ? .thumbUp : .thumbDown
    guard kind != .choice || read.completions[0] != read.completions[1] else {
      throw DPOError.format(place, "\"chosen\" equals \"rejected\"; expected two answers")
    }
    if let value = row["id"] {
      guard let found = value.int, found >= next, found < 1 << 53 else {
        throw DPOError.format(
          place, "\"id\" is \(DPOError.printable(value.description)); expected a whole number, \(next) or more")
      }
      id = found
    } else {
      id = next
    }
    prompt = read.prompt ?? ""
    answers = read.completions
    self.row = row
    weight = read.weight ?? 1
    isText = format.isText
  }

  /// The training method that learns from it.
  var method: String { kind == .choice ? "dpo" : "kto" }

  /// The columns that training reads.
  var trainingRow: JSONObject {
    var result = JSONObject()
    for key in FeedbackRecord.columns { result[key] = row[key] }
    return result
  }

  private static let columns = [
    "prompt", "completion", "label", "chosen", "rejected", "weight", "tools", "chat_template_kwargs",
  ]

  /// Equal for records on the same answer to the same prompt, or on the same two answers: the last of them counts.
  var subject: UInt64 {
    let answers = ["completion", "chosen", "rejected"].compactMap { row[$0]?.description }.sorted()
    return hash(([row["prompt"]?.description ?? ""] + answers).joined(separator: "\n"))
  }

  /// Tells the record from any other with its number.
  var fingerprint: UInt64 { hash(JSON.object(row).description) }

  private func hash(_ text: String) -> UInt64 {
    var text = text
    return text.withUTF8 { ck_xxh3($0.baseAddress, $0.count) }
  }
}
