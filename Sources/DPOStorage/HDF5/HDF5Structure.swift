import DPOBase

/// Reads the structure of an HDF5 file in its original form (superblock 0, groups as symbol tables, object headers of
/// version 1), which is what libhdf5 writes unless asked for newer forms, and what `HDF5Writer` makes it write.
///
/// Files come from anywhere, and libhdf5 1.10 follows damaged structures into crashes; here every offset, count and
/// length is checked before use. Whatever a libdpo file has no need of (links to other files or names, filters, chunks,
/// external storage, shared messages) is an error that names the object.
struct HDF5Structure {
  /// The first bytes of every HDF5 file.
  static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  struct Dataset {
    let path: String
    let element: HDF5Element
    let shape: [Int]
    let bytes: Range<Int>
    let attributes: [String: HDF5Value]
  }

  private(set) var datasets: [Dataset] = []
  /// By path of the group.
  private(set) var attributes: [String: [String: HDF5Value]] = [:]

  /// Groups in a newer form of HDF5 or with links to other files: what is in them is not looked at.
  private(set) var unreadable: [String] = []

  private let file: HDF5Bytes
  private var visited: Set<Int> = []

  init(_ bytes: UnsafeRawBufferPointer, file name: String) throws {
    file = HDF5Bytes(bytes: bytes, file: name)
    guard bytes.count >= 96, bytes.starts(with: HDF5Structure.signature) else {
      throw DPOError.format(name, "not an HDF5 file, or cut off in its first bytes")
    }
    let versions = bytes[8..<13].map { Int($0) }
    guard versions[0] == 0 else {
      throw DPOError.format(name, "HDF5 superblock of version \(versions[0]), expected 0 (the form that libdpo writes)")
    }
    let base = try file.integer(24, 8)
    let end = try file.integer(40, 8)
    guard versions[1] == 0, versions[2] == 0, versions[4] == 0, bytes[13] == 8, bytes[14] == 8, base == 0 else {
      throw DPOError.format(name, "the HDF5 superblock is damaged")
    }
    guard end <= bytes.count else {
      throw DPOError.format(name, "cut off: \(bytes.count) bytes, the HDF5 superblock says \(end)")
    }
    try readObject(file.address(64, "the root group"), path: "/", depth: 0)
  }

  // MARK: Objects

  private mutating func readObject(_ address: Int, path: String, depth: Int) throws {
    guard depth <= HDF5Limits.depth else { throw file.damaged("\(path): groups nested too deep") }
    guard visited.insert(address).inserted else { throw file.damaged("\(path): linked twice or to a group above it") }
    guard visited.count <= HDF5Limits.objects else { throw file.damaged("more than \(HDF5Limits.objects) objects") }

    let header = try HDF5ObjectHeader(file, address, path: path)
    if let group = header.symbolTable {
      guard header.layout == nil else { throw file.damaged("\(path): both a group and a dataset") }
      attributes[path] = header.attributes
      try readGroup(group, path: path, depth: depth)
    } else if header.isNewGroup {
      unreadable.append(path)
    } else if header.layout != nil {
      datasets.append(try dataset(header, path: path))
    } else {
      throw file.damaged("\(path): neither a dataset nor a group")
    }
  }

  private func dataset(_ header: HDF5ObjectHeader, path: String) throws -> Dataset {
    guard let type = header.type, case .number(let element) = type else {
      throw file.damaged(
        "dataset \(path): elements are \(header.type.map { "\($0)" } ?? "of no type"), expected little-endian float32")
    }
    guard let shape = header.shape, !shape.isEmpty else { throw file.damaged("dataset \(path): has no dimensions") }
    guard let size = HDF5Limits.byteCount(shape: shape, element: element) else {
      throw file.damaged("dataset \(path): shape \(shape) is not possible")
    }
    guard let layout = header.layout else { throw file.damaged("dataset \(path): has no data") }
    guard layout.size == size else {
      throw file.damaged("dataset \(path): \(layout.size) bytes stored, expected \(size) for shape \(shape)")
    }
    guard layout.offset <= file.bytes.count, size <= file.bytes.count - layout.offset else {
      throw file.damaged(
        "dataset \(path): its \(size) bytes at \(layout.offset) end beyond the file (\(file.bytes.count))")
    }
    guard layout.offset % element.size == 0 else {
      throw file.damaged("dataset \(path): begins at byte \(layout.offset), not a multiple of \(element.size)")
    }
    return Dataset(
      path: path, element: element, shape: shape, bytes: layout.offset..<layout.offset + size,
      attributes: header.attributes)
  }

  // MARK: Groups

  private mutating func readGroup(_ group: (tree: Int, heap: Int), path: String, depth: Int) throws {
    let place = "group \(path)"
    try file.signature(group.heap, "HEAP", place)
    let heapSize = try file.integer(group.heap + 8, 8)
    let heapData = try file.address(group.heap + 24, place)
    guard heapSize <= file.bytes.count - heapData else { throw file.damaged("\(place): its names end beyond the file") }

    var seen: Set<Int> = []
    var nodes = [(address: group.tree, level: -1)]
    while let node = nodes.popLast() {
      guard seen.insert(node.address).inserted else { throw file.damaged("\(place): its index runs in a circle") }
      try file.signature(node.address, "TREE", place)
      let kind = try file.integer(node.address + 4, 1)
      let level = try file.integer(node.address + 5, 1)
      let count = try file.integer(node.address + 6, 2)
      guard kind == 0, node.level < 0 || level == node.level else {
        throw file.damaged("\(place): its index is damaged")
      }
      for index in (0..<count).reversed() {
        let child = try file.address(node.address + 24 + index * 16 + 8, place)
        if level > 0 {
          nodes.append((child, level - 1))
        } else {
          guard seen.insert(child).inserted else { throw file.damaged("\(place): its index runs in a circle") }
          try readSymbols(child, names: heapData..<heapData + heapSize, path: path, depth: depth)
        }
      }
    }
  }

  private mutating func readSymbols(_ address: Int, names: Range<Int>, path: String, depth: Int) throws {
    let place = "group \(path)"
    try file.signature(address, "SNOD", place)
    for index in 0..<(try file.integer(address + 6, 2)) {
      let entry = address + 8 + index * 40
      let offset = try file.integer(entry, 8)
      guard offset < names.count else { throw file.damaged("\(place): a name lies outside of its list of names") }
      let name = try file.name(names.lowerBound + offset, limit: names.upperBound, place)
      guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/")) else {
        throw file.damaged("\(place): an object named \"\(DPOError.printable(name))\"")
      }
      let child = path == "/" ? "/\(name)" : "\(path)/\(name)"
      guard try file.integer(entry + 16, 4) < 2 else {
        throw file.damaged("\(child): a link to another name, expected a dataset or a group")
      }
      try readObject(file.address(entry + 8, child), path: child, depth: depth + 1)
    }
  }
}

/// Bounds-checked access to the file.
struct HDF5Bytes {
  let bytes: UnsafeRawBufferPointer
  let file: String

  func damaged(_ what: String) -> DPOError { DPOError.format(file, what) }

  func check(_ offset: Int, _ count: Int) throws {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw damaged("cut off or damaged: the structure points to byte \(offset) of \(bytes.count)")
    }
  }

  /// Little-endian unsigned integer of `size` bytes that fits Int.
  func integer(_ offset: Int, _ size: Int) throws -> Int {
    try check(offset, size)
    var value: UInt64 = 0
    for index in (0..<size).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
    guard let value = Int(exactly: value) else { throw damaged("a size or address of \(value) at byte \(offset)") }
    return value
  }

  /// An address that lies in the file.
  func address(_ offset: Int, _ place: String) throws -> Int {
    try check(offset, 8)
    guard !bytes[offset..<offset + 8].allSatisfy({ $0 == 0xFF }) else {
      throw damaged("\(place): its address is missing")
    }
    let value = try integer(offset, 8)
    guard value > 0, value < bytes.count else {
      throw damaged("\(place): address \(value) lies outside of the file (\(bytes.count) bytes)")
    }
    return value
  }

  func signature(_ offset: Int, _ text: StaticString, _ place: String) throws {
    try check(offset, 32)
    let expected = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    guard expected.elementsEqual(bytes[offset..<offset + expected.count]) else {
      throw damaged("\(place): expected \(text) at byte \(offset)")
    }
  }

  /// Text that ends with NUL before `limit`.
  func name(_ offset: Int, limit: Int, _ place: String) throws -> String {
    guard offset >= 0, offset < limit, limit <= bytes.count else {
      throw damaged("\(place): a name outside of the file")
    }
    let rest = bytes[offset..<min(limit, offset + HDF5Limits.nameBytes + 1)]
    guard let end = rest.firstIndex(of: 0) else { throw damaged("\(place): a name without an end") }
    return String(decoding: bytes[offset..<end], as: UTF8.self)
  }
}
