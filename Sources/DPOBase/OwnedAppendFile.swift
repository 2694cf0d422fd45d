import DPOPlatform

/// A file of lines that only grows and that one process at a time writes. What a crash left of a line goes before the next
/// line is written.
package final class OwnedAppendFile {
  package let path: String
  private var file: OpenFile
  /// Where the next line goes.
  private var size: Int
  private var isTorn: Bool

  /// Opens or makes the file and keeps it from others until the value goes.
  ///
  /// - Throws: `.state` if another process has it.
  package init(_ path: String) throws {
    let isNew = fileKind(path) == .none
    self.path = path
    (size, isTorn) = (0, false)
    file = OpenFile(descriptor: open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666), path: path)
    guard file.descriptor >= 0 else { throw file.failure() }
    try OwnedAppendFile.take(file)
    if isNew { try syncDirectory(directoryOf(path)) }
    let mapped = try MappedFile(path)
    size = mapped.bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    isTorn = size != mapped.bytes.count
  }

  /// Starts the file with `lines`, which replace what was there, at once or not at all.
  ///
  /// - Throws: `.state` if another process has it.
  package convenience init(_ path: String, keeping lines: [String]) throws {
    try self.init(path)
    try replace(by: lines)
  }

  /// Puts a file of these lines in the place of this one, at once or not at all.
  package func replace(by lines: [String]) throws {
    let start = try AtomicFile(path)
    for line in lines { try start.write(line + "\n") }
    try start.commit()
    let new = OpenFile(descriptor: open(path, O_RDWR | O_CLOEXEC), path: path)
    guard new.descriptor >= 0 else { throw new.failure() }
    do { try OwnedAppendFile.take(new) } catch {
      close(new.descriptor)
      throw error
    }
    close(file.descriptor)
    file = new
    size = lines.reduce(0) { $0 + $1.utf8.count + 1 }
    isTorn = false
  }

  private static func take(_ file: OpenFile) throws {
    let isTaken = flock(file.descriptor, LOCK_EX | LOCK_NB) == 0
    var (own, there) = (stat(), stat())
    // It may have been replaced between opening and taking it.
    guard isTaken, fstat(file.descriptor, &own) == 0, stat(file.path, &there) == 0, own.st_ino == there.st_ino,
      own.st_dev == there.st_dev
    else { throw DPOError(.state, "\(file.path): in use by another call or process") }
  }

  deinit { close(file.descriptor) }

  /// The whole lines that are in the file, valid during `body`.
  package func withLines<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    let mapped = try MappedFile(path)
    defer { withExtendedLifetime(mapped) {} }
    return try body(UnsafeRawBufferPointer(rebasing: mapped.bytes.prefix(size)))
  }

  /// Removes all lines.
  package func clear() throws {
    size = 0
    isTorn = true
    try cut()
  }

  private func cut() throws {
    guard isTorn else { return }
    try file.truncate(to: size)
    isTorn = false
  }

  /// Appends a line. If that fails, nothing of it stays in the file.
  package func append(_ line: String) throws {
    try cut()
    let line = line + "\n"
    do { try file.write(line, at: size) } catch {
      isTorn = true
      try cut()
      throw error
    }
    size += line.utf8.count
  }

  /// Returns when all lines are on the disk.
  package func flush() throws { try file.flush() }
}
