import DPOBase

extension GGUFFile {
  static func readMetadata(_ cursor: inout ByteCursor, count: Int) throws -> GGUFMetadata {
    var metadata = GGUFMetadata(file: cursor.file)
    for index in 0..<count {
      let key = try readName(&cursor, "metadata key \(index)")
      guard metadata[key] == nil else {
        throw DPOError.format(cursor.file, "metadata key \(DPOError.printable(key)) stands twice in the file")
      }
      let type = try cursor.integer(UInt32.self, "the type of \(DPOError.printable(key))")
      metadata.set(key, try readValue(&cursor, type: type, key: DPOError.printable(key)))
    }
    return metadata
  }

  /// A name must be text: it is looked up and shown.
  static func readName(_ cursor: inout ByteCursor, _ what: @autoclosure () -> String) throws -> String {
    let length = try cursor.count(of: 1, what())
    guard let text = String(validating: try cursor.slice(length, what()), as: UTF8.self) else {
      throw DPOError.format(cursor.file, "\(what()) is not valid UTF-8")
    }
    return text
  }

  private static func readText(_ cursor: inout ByteCursor, key: String) throws -> String {
    let length = try cursor.count(of: 1, "\(key) (a string)")
    return String(decoding: try cursor.slice(length, key), as: UTF8.self)
  }

  /// Sizes of the number types by their number in the file.
  private static let sizes: [UInt32: Int] = [
    0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 8: 8, 10: 8, 11: 8, 12: 8,
  ]

  private static func readValue(_ cursor: inout ByteCursor, type: UInt32, key: String) throws -> GGUFValue {
    switch type {
    case 0, 1, 2, 3, 4, 5, 11: return .int(try readInteger(&cursor, type: type, key: key))
    case 10:
      // Beyond Int only as a number that no setting allows.
      let value = try cursor.integer(UInt64.self, key)
      return Int(exactly: value).map(GGUFValue.int) ?? .double(Double(value))
    case 6, 12: return .double(try readReal(&cursor, type: type, key: key))
    case 7: return .bool(try readBool(&cursor, key: key))
    case 8: return .string(try readText(&cursor, key: key))
    case 9: return try readArray(&cursor, key: key)
    default: throw DPOError.format(cursor.file, "\(key): unknown metadata type \(type)")
    }
  }

  private static func readArray(_ cursor: inout ByteCursor, key: String) throws -> GGUFValue {
    let type = try cursor.integer(UInt32.self, "\(key) (element type)")
    guard let size = sizes[type] else {
      throw DPOError(
        .unsupported,
        "\(cursor.file): \(key): arrays of " + (type == 9 ? "arrays" : "type \(type)") + " are not supported")
    }
    let count = try cursor.count(of: size, "\(key) (number of elements)")
    switch type {
    case 6, 12: return .doubles(try (0..<count).map { _ in try readReal(&cursor, type: type, key: key) })
    case 7: return .bools(try (0..<count).map { _ in try readBool(&cursor, key: key) })
    case 8: return .strings(try (0..<count).map { _ in try readText(&cursor, key: key) })
    default: return .ints(try (0..<count).map { _ in try readInteger(&cursor, type: type, key: key) })
    }
  }

  private static func readInteger(_ cursor: inout ByteCursor, type: UInt32, key: String) throws -> Int {
    switch type {
    case 0: return Int(try cursor.integer(UInt8.self, key))
    case 1: return Int(try cursor.integer(Int8.self, key))
    case 2: return Int(try cursor.integer(UInt16.self, key))
    case 3: return Int(try cursor.integer(Int16.self, key))
    case 4: return Int(try cursor.integer(UInt32.self, key))
    case 5: return Int(try cursor.integer(Int32.self, key))
    case 11: return Int(try cursor.integer(Int64.self, key))
    default:
      let value = try cursor.integer(UInt64.self, key)
      guard let number = Int(exactly: value) else {
        throw DPOError.format(cursor.file, "\(key): \(value) is too large")
      }
      return number
    }
  }

  private static func readReal(_ cursor: inout ByteCursor, type: UInt32, key: String) throws -> Double {
    type == 6
      ? Double(Float(bitPattern: try cursor.integer(UInt32.self, key)))
      : Double(bitPattern: try cursor.integer(UInt64.self, key))
  }

  private static func readBool(_ cursor: inout ByteCursor, key: String) throws -> Bool {
    let byte = try cursor.integer(UInt8.self, key)
    guard byte <= 1 else { throw DPOError.format(cursor.file, "\(key): a boolean of \(byte), expected 0 or 1") }
    return byte == 1
  }
}
