import DPOBase

extension Vocabulary {
  /// `model.vocab` of tokenizer.json: an object of tokens and their ids.
  convenience init(_ field: JSONField) throws {
    let members = try field.object().members
    guard !members.isEmpty else { throw field.error("the vocabulary is empty") }
    func element(_ key: String) -> JSONField {
      JSONField(.null, file: field.file, path: "\(field.path)[\"\(DPOError.printable(key))\"]")
    }
    var bytes = 0
    var idLimit = 0
    for (key, value) in members {
      guard let id = value.int else {
        let found = value.double.map { "\($0)" } ?? value.kind
        throw element(key).error("expected a whole number, found \(found)")
      }
      guard (0...Vocabulary.largestID).contains(id) else {
        throw element(key).error("id \(id) is outside of 0…\(Vocabulary.largestID)")
      }
      idLimit = max(idLimit, id + 1)
      bytes += key.utf8.count
    }
    self.init(count: members.count, bytes: bytes, idLimit: idLimit)
    for (key, value) in members {
      var key = key
      let id = Int32(truncatingIfNeeded: value.int ?? 0)
      if key.withUTF8({ insert($0, id: id) }) != .done {
        throw element(key).error("id \(id) is already that of \"\(DPOError.printable(token(id) ?? ""))\"")
      }
    }
  }
}

extension MergeTable {
  /// `model.merges` of tokenizer.json: "a b" or ["a", "b"] by rank.
  convenience init(_ field: JSONField, _ vocabulary: Vocabulary) throws {
    guard let items = field.value.array else { throw field.error("expected an array, found \(field.value.kind)") }
    self.init(count: items.count)
    var room = MergeRoom(vocabulary)
    for (rank, item) in items.enumerated() {
      func element() -> JSONField { JSONField(item, file: field.file, path: "\(field.path)[\(rank)]") }
      switch item {
      case .string(let text): try room.add(text, rank: rank, to: self, element())
      case .array(let pair):
        guard pair.count == 2, case .string(let left) = pair[0], case .string(let right) = pair[1] else {
          throw element().error("expected two strings")
        }
        try room.add(left, right, rank: rank, to: self, element())
      default: throw element().error("expected a string or an array of two, found \(item.kind)")
      }
    }
  }
}

/// Looks up the tokens of merges.
struct MergeRoom {
  private let vocabulary: Vocabulary
  private var joined: [UInt8] = []

  init(_ vocabulary: Vocabulary) { self.vocabulary = vocabulary }

  /// "left right", separated by one blank.
  mutating func add(_ text: String, rank: Int, to table: MergeTable, _ place: @autoclosure () -> JSONField) throws {
    var text = text
    try text.withUTF8 { text in
      guard let blank = text.firstIndex(of: 0x20), text.lastIndex(of: 0x20) == blank else {
        throw place().error("expected two tokens with one blank between them")
      }
      try add(
        UnsafeBufferPointer(rebasing: text[..<blank]), UnsafeBufferPointer(rebasing: text[(blank + 1)...]), rank, table,
        place())
    }
  }

  mutating func add(
    _ left: String, _ right: String, rank: Int, to table: MergeTable, _ place: @autoclosure () -> JSONField
  ) throws {
    var (left, right) = (left, right)
    try left.withUTF8 { left in try right.withUTF8 { right in try add(left, right, rank, table, place()) } }
  }

  private mutating func add(
    _ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>, _ rank: Int, _ table: MergeTable,
    _ place: @autoclosure () -> JSONField
  ) throws {
    joined.removeAll(keepingCapacity: true)
    joined.append(contentsOf: left)
    joined.append(contentsOf: right)
    func id(_ token: UnsafeBufferPointer<UInt8>) throws -> Int32 {
      if let id = vocabulary.id(of: token) { return id }
      let text = DPOError.printable(String(decoding: token, as: UTF8.self))
      throw place().error("\"\(text)\" is not in the vocabulary")
    }
    let merged = try joined.withUnsafeBufferPointer { try id($0) }
    table.insert(try id(left), try id(right), rank: rank, merged: merged)
  }
}
