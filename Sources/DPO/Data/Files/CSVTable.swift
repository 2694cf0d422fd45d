import DPOBase

/// Finds the ends of rows and fields of comma-separated values (RFC 4180): fields in quotes hold commas and lines, and quotes
/// twice.
private struct CSVScanner {
  enum State { case start, plain, quoted, quoteInQuoted }

  let separator: UInt8
  var state = State.start

  enum Found { case field, row, none, stray }

  /// What a byte ends.
  mutating func scan(_ byte: UInt8) -> Found {
    switch (state, byte) {
    case (.quoted, UInt8(ascii: "\"")): state = .quoteInQuoted
    case (.quoted, _): break
    case (.quoteInQuoted, UInt8(ascii: "\"")): state = .quoted
    case (.start, UInt8(ascii: "\"")): state = .quoted
    case (_, separator):
      state = .start
      return .field
    case (_, UInt8(ascii: "\n")):
      state = .start
      return .row
    case (.quoteInQuoted, UInt8(ascii: "\r")): break
    case (.quoteInQuoted, _): return .stray
    default: state = .plain
    }
    return .none
  }
}

/// Rows of comma-separated values. The first line names the columns.
struct CSVTable {
  let separator: UInt8
  let name: String

  /// Columns that hold no text: their fields are JSON (numbers, true or false, lists). An empty field is absent.
  private static let typed: Set<String> = [
    "label", "weight", "margin", "ref_chosen_logps", "ref_rejected_logps", "completions", "ranks", "scores", "messages",
    "chat_template_kwargs",
  ]

  /// Calls `body` with every row and the line that it begins in.
  func forEach(_ window: ByteWindow, _ body: (_ row: RawRow, _ line: Int) throws -> Void) throws {
    var columns: [String] = []
    func place() -> String { "\(name): line \(window.lines + 1)" }
    while true {
      var scanner = CSVScanner(separator: separator)
      let record = try window.record(place) { bytes, start in
        try bytes[start...].firstIndex { byte in
          switch scanner.scan(byte) {
          case .row: return true
          case .stray:
            throw DPOError.format(place(), "text behind the quote that closes a field; quotes in a field stand twice")
          case .field, .none: return false
          }
        }
      }
      guard let record else { break }
      guard scanner.state != .quoted else { throw DPOError.format(place(), "a field in quotes is not closed") }
      let fields = try fields(record.bytes, place())
      // A blank line is no row.
      if fields != [""] {
        if columns.isEmpty {
          columns = try header(fields, place())
        } else {
          try body(.object(row(fields, columns, place())), window.lines + 1)
        }
      }
      window.lines += record.bytes.count { $0 == UInt8(ascii: "\n") } + 1
      window.drop(record.bytes.count + (record.isEnded ? 1 : 0))
    }
  }

  private func fields(_ record: UnsafeRawBufferPointer, _ place: String) throws -> [String] {
    var scanner = CSVScanner(separator: separator)
    var fields: [String] = []
    var field: [UInt8] = []
    func add() throws {
      guard let text = String(validating: field, as: UTF8.self) else {
        throw DPOError.format(place, "field \(fields.count + 1) is not UTF-8")
      }
      fields.append(text)
      field.removeAll(keepingCapacity: true)
    }
    var record = record
    if record.last == UInt8(ascii: "\r") { record = UnsafeRawBufferPointer(rebasing: record.dropLast()) }
    for byte in record {
      let before = scanner.state
      guard scanner.scan(byte) != .field else {
        try add()
        continue
      }
      // A quote that opens, closes or escapes is no part of the text.
      switch (before, scanner.state) {
      case (.start, .quoted), (.quoted, .quoteInQuoted): break
      default: field.append(byte)
      }
    }
    try add()
    return fields
  }

  private func header(_ fields: [String], _ place: String) throws -> [String] {
    guard Set(fields).count == fields.count, !fields.contains("") else {
      throw DPOError.format(
        place,
        "expected the names of the columns, each once; found \(fields.map(ColumnAdvice.quoted).joined(separator: ", "))"
      )
    }
    return fields
  }

  private func row(_ fields: [String], _ columns: [String], _ place: String) throws -> JSONObject {
    guard fields.count == columns.count else {
      throw DPOError.format(place, "\(fields.count) fields; expected \(columns.count), as the first line names columns")
    }
    var row = JSONObject()
    for (column, text) in zip(columns, fields) {
      guard CSVTable.typed.contains(column) else {
        row[column] = .string(text)
        continue
      }
      guard !text.isEmpty else { continue }
      let literal = ["True": "true", "False": "false", "TRUE": "true", "FALSE": "false"][text] ?? text
      do { row[column] = try JSON.parse(literal, file: "") } catch {
        throw DPOError.format(
          place, "\"\(column)\" is \(DPOError.printable(text)); expected a number, true or false, or JSON")
      }
    }
    return row
  }
}
