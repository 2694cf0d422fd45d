import DPOBase

/// What the messages in an object's header say.
struct HDF5ObjectHeader {
  /// Type of a dataset's or attribute's elements.
  enum ElementType: CustomStringConvertible {
    case number(HDF5Element)
    case fixedText(size: Int)
    case variableText
    case other(String)

    var description: String {
      switch self {
      case .number(let element): element.rawValue
      case .fixedText, .variableText: "text"
      case .other(let what): what
      }
    }
  }

  private(set) var type: ElementType?
  /// nil without a dataspace; [] for a scalar.
  private(set) var shape: [Int]?
  private(set) var layout: (offset: Int, size: Int)?
  private(set) var symbolTable: (tree: Int, heap: Int)?
  /// A group in a newer form of HDF5, as libhdf5 makes of any that gets a link to another file.
  private(set) var isNewGroup = false
  private(set) var attributes: [String: HDF5Value] = [:]

  private let file: HDF5Bytes
  private let path: String

  init(_ file: HDF5Bytes, _ address: Int, path: String) throws {
    self.file = file
    self.path = path
    guard try file.integer(address, 1) == 1 else {
      throw file.damaged("\(path): an object header in a newer form of HDF5 or damaged")
    }
    var count = try file.integer(address + 2, 2)
    var blocks = [(offset: address + 16, size: try file.integer(address + 8, 4))]
    guard count <= HDF5Limits.messages else { throw file.damaged("\(path): \(count) header messages") }
    var next = 0
    while next < blocks.count {
      var (offset, size) = blocks[next]
      next += 1
      try file.check(offset, size)
      while size >= 8 && count > 0 {
        let kind = try file.integer(offset, 2)
        let length = try file.integer(offset + 2, 2)
        let flags = try file.integer(offset + 4, 1)
        guard length <= size - 8 else { throw file.damaged("\(path): a header message is cut off") }
        if kind == 0x10 {
          guard length >= 16 else { throw file.damaged("\(path): a header message is cut off") }
          blocks.append((try file.address(offset + 8, path), try file.integer(offset + 16, 8)))
        } else {
          let body = HDF5Bytes(
            bytes: UnsafeRawBufferPointer(rebasing: file.bytes[offset + 8..<offset + 8 + length]), file: file.file)
          try read(kind, body, shared: flags & 2 != 0)
        }
        count -= 1
        offset += 8 + length
        size -= 8 + length
      }
    }
    guard count == 0 else { throw file.damaged("\(path): \(count) header messages are missing") }
  }

  private mutating func read(_ kind: Int, _ body: HDF5Bytes, shared: Bool) throws {
    let needed = [0x01, 0x03, 0x07, 0x08, 0x0B, 0x0C, 0x11].contains(kind)
    guard !(shared && needed) else { throw file.damaged("\(path): a header message that is shared between objects") }
    switch kind {
    case 0x01: shape = try dataspace(body, "\(path)")
    case 0x02, 0x06: isNewGroup = true
    case 0x03: type = try elementType(body)
    case 0x07: throw file.damaged("dataset \(path): its data lie in another file")
    case 0x08: layout = try dataLayout(body)
    case 0x0B:
      guard try body.integer(1, 1) == 0 else {
        throw file.damaged("dataset \(path): compressed or filtered, expected plain contiguous data")
      }
    case 0x0C: try readAttribute(body)
    case 0x11: symbolTable = (try address(body, 0), try address(body, 8))
    default: break
    }
  }

  /// An address that a message holds: it counts from the start of the file, not of the message.
  private func address(_ body: HDF5Bytes, _ offset: Int) throws -> Int {
    let value = try body.integer(offset, 8)
    guard value > 0, value < file.bytes.count else {
      throw file.damaged("\(path): address \(value) lies outside of the file")
    }
    return value
  }

  // MARK: Messages

  private func dataspace(_ body: HDF5Bytes, _ place: String) throws -> [Int] {
    let version = try body.integer(0, 1)
    let rank = try body.integer(1, 1)
    guard version == 1 || version == 2 else { throw file.damaged("\(place): a dataspace of version \(version)") }
    guard try version == 1 || body.integer(3, 1) != 2 else { throw file.damaged("\(place): holds no elements") }
    guard rank <= HDF5Limits.dimensions else {
      throw file.damaged("\(place): \(rank) dimensions, expected at most \(HDF5Limits.dimensions)")
    }
    let start = version == 1 ? 8 : 4
    return try (0..<rank).map { try body.integer(start + $0 * 8, 8) }
  }

  private func elementType(_ body: HDF5Bytes) throws -> ElementType {
    let kind = try body.integer(0, 1) & 0x0F
    let bits = try body.integer(1, 3)
    let size = try body.integer(4, 4)
    switch kind {
    case 0:
      let plain = try body.integer(8, 2) == 0 && body.integer(10, 2) == size * 8 && bits & 1 == 0
      if plain && size == 8 && bits & 8 != 0 { return .number(.int64) }
      if plain && size == 4 && bits & 8 != 0 { return .number(.int32) }
      if plain && size == 1 && bits & 8 == 0 { return .number(.uint8) }
      return .other("integers of \(size) bytes")
    case 1:
      let fields = try (0..<12).map { try body.integer(8 + $0, 1) }
      if bits == 0x1F20 && size == 4 && fields == [0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0] {
        return .number(.float32)
      }
      if bits == 0x3F20 && size == 8 && fields == [0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0] {
        return .number(.float64)
      }
      return .other("floating-point numbers of \(size) bytes")
    case 3: return .fixedText(size: size)
    case 9: return bits & 0x0F == 1 && size == 16 ? .variableText : .other("lists")
    case 4: return .other("bit fields")
    case 5: return .other("opaque")
    case 6: return .other("records")
    case 7: return .other("references")
    case 8: return .other("enumerations")
    case 10: return .other("arrays")
    default: return .other("of an unknown type")
    }
  }

  private func dataLayout(_ body: HDF5Bytes) throws -> (offset: Int, size: Int) {
    let version = try body.integer(0, 1)
    let kind = try body.integer(1, 1)
    guard version == 3, kind == 1 else {
      let form = version == 3 ? (kind == 0 ? "compact" : "in chunks") : "in layout version \(version)"
      throw file.damaged("dataset \(path): stored \(form), expected plain contiguous data")
    }
    guard try body.integer(2, 1) != 0xFF || body.integer(9, 1) != 0xFF else {
      throw file.damaged("dataset \(path): no data are stored")
    }
    return (try address(body, 2), try body.integer(10, 8))
  }

  private mutating func readAttribute(_ body: HDF5Bytes) throws {
    let place = "\(path): an attribute"
    let version = try body.integer(0, 1)
    guard (1...3).contains(version) else { throw file.damaged("\(place) of version \(version)") }
    guard try version == 1 || body.integer(1, 1) & 3 == 0 else { throw file.damaged("\(place) with a shared type") }
    let sizes = try (0..<3).map { try body.integer(2 + 2 * $0, 2) }
    // Version 1 pads each part to eight bytes; version 3 has a byte for the name's encoding.
    let padded = sizes.map { version == 1 ? ($0 + 7) & ~7 : $0 }
    let nameAt = version == 3 ? 9 : 8
    let typeAt = nameAt + padded[0]
    let spaceAt = typeAt + padded[1]
    let dataAt = spaceAt + padded[2]
    try body.check(0, dataAt)
    let name = try body.name(nameAt, limit: nameAt + sizes[0], place)

    func part(_ start: Int, _ end: Int) -> HDF5Bytes {
      HDF5Bytes(bytes: UnsafeRawBufferPointer(rebasing: body.bytes[start..<end]), file: file.file)
    }
    let label = "\(path): attribute \(name)"
    let type = try elementType(part(typeAt, spaceAt))
    guard try dataspace(part(spaceAt, dataAt), label).allSatisfy({ $0 == 1 }) else {
      throw file.damaged("\(label): more than one value")
    }
    guard attributes[name] == nil else { throw file.damaged("\(label): given twice") }
    attributes[name] = try value(type, part(dataAt, body.bytes.count), label)
  }

  private func value(_ type: ElementType, _ data: HDF5Bytes, _ place: String) throws -> HDF5Value {
    switch type {
    case .number(.int64):
      try data.check(0, 8)
      return .int(Int(Int64(littleEndian: data.bytes.loadUnaligned(as: Int64.self))))
    case .number(.float64):
      try data.check(0, 8)
      return .real(Double(bitPattern: UInt64(littleEndian: data.bytes.loadUnaligned(as: UInt64.self))))
    case .fixedText(let size):
      try data.check(0, size)
      return .text(try text(data.bytes[..<size].prefix { $0 != 0 }, place))
    case .variableText:
      let length = try data.integer(0, 4)
      let object = try globalHeapObject(collection: address(data, 4), index: data.integer(12, 4), place)
      guard length <= object.count, length <= HDF5Limits.textBytes else {
        throw file.damaged("\(place): a text of \(length) bytes, \(object.count) stored")
      }
      return .text(try text(UnsafeRawBufferPointer(rebasing: object[..<length])[...], place))
    case .number, .other:
      throw file.damaged("\(place): its value is \(type), expected text, int64 or float64")
    }
  }

  private func text(_ bytes: Slice<UnsafeRawBufferPointer>, _ place: String) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw file.damaged("\(place): not UTF-8 text") }
    return text
  }

  /// Bytes of an object in the collection of variable-length values at an address.
  private func globalHeapObject(collection: Int, index: Int, _ place: String) throws -> UnsafeRawBufferPointer {
    try file.signature(collection, "GCOL", place)
    let size = try file.integer(collection + 8, 8)
    try file.check(collection, size)
    var offset = collection + 16
    let end = collection + size
    while offset <= end - 16 {
      let found = try file.integer(offset, 2)
      let length = try file.integer(offset + 8, 8)
      guard found != 0, length <= end - offset - 16 else { break }
      if found == index { return UnsafeRawBufferPointer(rebasing: file.bytes[offset + 16..<offset + 16 + length]) }
      offset += 16 + (length + 7) & ~7
    }
    throw file.damaged("\(place): its text is missing")
  }
}
