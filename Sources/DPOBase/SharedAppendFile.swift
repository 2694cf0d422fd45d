import DPOPlatform

/// A file of lines that threads and processes append to at once. It is opened and locked anew for each operation: readers
/// see whole lines, two writers never mix theirs, and a file that was removed or replaced meanwhile is noticed.
package struct SharedAppendFile: Sendable {
  package let path: String
  /// A larger file is refused before it is read.
  package static let largest = 1 << 30
  /// Locks are held for milliseconds: whoever holds one for so many seconds has stopped.
  private static let patience = 10

  package init(_ path: String) { self.path = path }

  /// The file while it is locked.
  package struct Locked {
    fileprivate let file: OpenFile
    package let identity: FileIdentity
    package var size: Int { identity.size }

    /// What stands from byte `start` on.
    package func bytes(from start: Int = 0) throws -> [UInt8] {
      guard size <= SharedAppendFile.largest else {
        throw DPOError.format(
          file.path, "\(size) bytes, more than the \(SharedAppendFile.largest) that such a file may have")
      }
      return try file.read(max(0, size - start), at: start)
    }
  }

  /// Calls `body` while nobody writes; nil if there is no such file.
  package func read<Result>(_ body: (Locked) throws -> Result) throws -> Result? {
    guard fileKind(path) != .none else { return nil }
    return try locked(O_RDONLY, LOCK_SH, body)
  }

  /// Writes the text that `body` returns behind the first `keeping` bytes; what stood there, the torn line of a crash, goes.
  /// All is on the disk when the call returns; if it fails, the kept bytes alone are in the file.
  package func append(_ body: (Locked) throws -> (keeping: Int, text: String)) throws {
    let isNew = fileKind(path) == .none
    try locked(O_RDWR | O_CREAT, LOCK_EX) { locked in
      let (end, text) = try body(locked)
      do {
        if end != locked.size { try locked.file.truncate(to: end) }
        try locked.file.write(text, at: end)
        try locked.file.flush()
      } catch {
        try? locked.file.truncate(to: end)
        throw error
      }
    }
    if isNew { try syncDirectory(directoryOf(path)) }
  }

  private func locked<Result>(_ flags: Int32, _ lock: Int32, _ body: (Locked) throws -> Result) throws -> Result {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw DPOError(.io, "a file needs a name without NUL characters")
    }
    for _ in 0..<10 {
      let descriptor = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0o666)
      guard descriptor >= 0 else {
        throw DPOError(.io, "\(path): cannot \(lock == LOCK_SH ? "open" : "write"): \(systemMessage())")
      }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        throw DPOError(.io, "\(path): expected a regular file")
      }
      try wait(descriptor, lock)
      // While this call waited, another file may have taken the name.
      var named = stat()
      let isCurrent =
        fstat(descriptor, &status) == 0 && stat(path, &named) == 0
        && FileIdentity(status).isSameFile(as: FileIdentity(named))
      if isCurrent {
        return try body(Locked(file: OpenFile(descriptor: descriptor, path: path), identity: FileIdentity(status)))
      }
    }
    throw DPOError(.io, "\(path): replaced by another process again and again")
  }

  private func wait(_ descriptor: Int32, _ lock: Int32) throws {
    for _ in 0..<SharedAppendFile.patience * 1000 {
      if flock(descriptor, lock | LOCK_NB) == 0 { return }
      guard errno == EWOULDBLOCK || errno == EINTR else {
        throw DPOError(.io, "\(path): cannot lock: \(systemMessage())")
      }
      usleep(1000)
    }
    throw DPOError(.state, "\(path): locked by another process for \(SharedAppendFile.patience) seconds")
  }
}
