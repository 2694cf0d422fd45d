import DPOBase
import DPOPlatform

/// Takes the elements of a column one by one: into memory, or into a file where the column is for one.
final class ColumnWriter<Element: BitwiseCopyable & Sendable> {
  private let memory = ColumnMemory()
  /// Where full memory goes; nil: it grows.
  private let makeSpill: (() throws -> SpillFile)?
  private var spill: SpillFile?
  private(set) var count = 0
  /// Bytes in memory before they go to the file.
  private static var most: Int { 1 << 20 }

  /// - Parameter directory: of the file that takes what memory shall not; nil: all stays in memory.
  init(spillingTo directory: String? = nil) {
    makeSpill = directory.map { directory in { try SpillFile(in: directory) } }
  }

  func append(_ element: Element) throws {
    try withUnsafeBytes(of: element) { try append(bytes: $0) }
  }

  func append(contentsOf elements: [Element]) throws {
    try elements.withUnsafeBytes { try append(bytes: $0) }
  }

  func append(repeating element: Element, count: Int) throws { for _ in 0..<count { try append(element) } }

  private func append(bytes: UnsafeRawBufferPointer) throws {
    if let makeSpill, memory.used + bytes.count > ColumnWriter.most {
      let file = try spill ?? makeSpill()
      spill = file
      try file.write(memory.bytes)
      memory.used = 0
      if bytes.count > ColumnWriter.most {
        try file.write(bytes)
        count += bytes.count / MemoryLayout<Element>.stride
        return
      }
    }
    try memory.append(bytes)
    count += bytes.count / MemoryLayout<Element>.stride
  }

  /// The column, which takes the memory over.
  func column() -> Column<Element> { Column(memory.bytes, owner: memory) }

  /// Hands on all bytes, from front to back.
  func pieces(_ take: (UnsafeRawBufferPointer) throws -> Void) throws {
    try spill?.read(take)
    try take(memory.bytes)
  }
}

/// Memory that grows where it can without being copied.
private final class ColumnMemory: @unchecked Sendable {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  var used = 0

  deinit { free(base) }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: used) }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    if bytes.count > capacity - used {
      let size = max(256, used + bytes.count, capacity + capacity / 2)
      try Machine.requireRoom(ifLarge: size)
      guard let larger = realloc(base, size) else {
        throw DPOError(.memory, "the rows need more than the \(size >> 20) MiB that there is memory for")
      }
      (base, capacity) = (larger, size)
    }
    base?.advanced(by: used).copyMemory(from: start, byteCount: bytes.count)
    used += bytes.count
  }
}
