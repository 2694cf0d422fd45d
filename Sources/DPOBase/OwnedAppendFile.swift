import DPOPlatform

/// A file of lines that only grows and that one process at a time writes. What a crash left of a line goes before the next
/// line is written.
public final class OwnedAppendFile {
  public let path: String
  private let descriptor: Int32
  /// Where the next line goes.
  private var size: Int
  private var isTorn: Bool

  /// Opens or makes the file and keeps it from others until the value goes.
  ///
  /// - Throws: `.state` if another process has it.
  public init(_ path: String) throws {
    let isNew = fileKind(path) == .none
    self.path = path
    (size, isTorn) = (0, false)
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure() }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw DPOError(.state, "\(path): in use by another process")
    }
    if isNew { try syncDirectory(directoryOf(path)) }
    let mapped = try MappedFile(path)
    size = mapped.bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    isTorn = size != mapped.bytes.count
  }

  deinit { close(descriptor) }

  private func failure() -> DPOError { DPOError(.io, "\(path): cannot write: \(systemMessage())") }

  /// The whole lines that are in the file, valid during `body`.
  public func withLines<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    let mapped = try MappedFile(path)
    defer { withExtendedLifetime(mapped) {} }
    return try body(UnsafeRawBufferPointer(rebasing: mapped.bytes.prefix(size)))
  }

  /// Removes all lines.
  public func clear() throws {
    size = 0
    isTorn = true
    try cut()
  }

  private func cut() throws {
    guard isTorn else { return }
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure() }
    isTorn = false
  }

  /// Appends a line. If that fails, nothing of it stays in the file.
  public func append(_ line: String) throws {
    try cut()
    let bytes = Array((line + "\n").utf8)
    try checkSizeLimit(size + bytes.count, path: path)
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(size + done)) }
      if count < 0 {
        if errno == EINTR { continue }
        let error = failure()
        isTorn = true
        try cut()
        throw error
      }
      done += count
    }
    size += bytes.count
  }

  /// Returns when all lines are on the disk.
  public func flush() throws {
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure() }
  }
}
