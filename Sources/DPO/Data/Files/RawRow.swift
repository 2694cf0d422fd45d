import DPOBase

/// A row that is not parsed yet, where its form allows: parsing is half of the work of reading, and any thread can do it.
enum RawRow {
  case object(JSONObject)
  /// JSON of one object, and where it begins; `isLine`: it is one line of the file.
  case json(UnsafeRawBufferPointer, place: String, isLine: Bool)
  /// The same in memory of its own.
  case kept([UInt8], place: String, isLine: Bool)

  /// The row as it stands.
  func object() throws -> JSONObject {
    switch self {
    case .object(let object): return object
    case .json(let bytes, let place, let isLine):
      guard case .object(let row) = try JSON.parse(bytes, file: place, isLine: isLine) else {
        throw DPOError.format(place, "expected a JSON object")
      }
      return row
    case .kept(let bytes, let place, let isLine):
      return try bytes.withUnsafeBytes { try RawRow.json($0, place: place, isLine: isLine).object() }
    }
  }

  /// The row once its bytes are gone.
  var kept: RawRow {
    if case .json(let bytes, let place, let isLine) = self {
      .kept(Array(bytes), place: place, isLine: isLine)
    } else {
      self
    }
  }

  /// Bytes of text, as far as they are known.
  var size: Int {
    switch self {
    case .object: 1024
    case .json(let bytes, _, _): bytes.count
    case .kept(let bytes, _, _): bytes.count
    }
  }
}

/// How far files were read.
final class ReadCounter {
  /// Bytes of all files, and of those that were read.
  let total: Int
  var done = 0

  init(total: Int) { self.total = total }
}
