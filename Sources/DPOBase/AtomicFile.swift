import DPOPlatform

/// A file that appears whole or not at all: written beside its place under another name, flushed to the disk, then
/// renamed. Without `commit` nothing remains of it.
package final class AtomicFile {
  package let path: String
  /// Where the content is written until `commit`.
  package let temporaryPath: String
  private var descriptor: Int32
  private var size = 0
  private var committed = false

  package init(_ path: String) throws {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw DPOError(.io, "a file to write needs a name") }
    guard fileKind(path) != .directory else { throw DPOError(.io, "\(path): is a directory") }
    self.path = path
    let prefix = "\(directoryOf(path))/.\(nameOf(path))."
    AtomicFile.removeAbandoned(prefix)
    var attempt = 0
    var name = ""
    repeat {
      attempt += 1
      name = "\(prefix)\(getpid())-\(attempt).tmp"
      descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    } while descriptor < 0 && errno == EEXIST
    temporaryPath = name
    guard descriptor >= 0 else { throw DPOError(.io, "\(path): cannot write: \(systemMessage())") }
    // Held while the file is written: tells it from one that a killed process left.
    flock(descriptor, LOCK_EX | LOCK_NB)
  }

  /// Removes what killed processes left of their attempts to write the same file.
  private static func removeAbandoned(_ prefix: String) {
    removeAbandoned(in: directoryOf(prefix), beginning: nameOf(prefix))
  }

  /// Removes what was left of attempts to write any of the files in a directory, by killed processes or where nothing could be
  /// removed any more. What another process writes at the moment stays.
  package static func removeAbandoned(in directory: String) { removeAbandoned(in: directory, beginning: ".") }

  private static func removeAbandoned(in directory: String, beginning start: String) {
    for name in (try? directoryNames(directory)) ?? [] where name.hasPrefix(start) && name.hasSuffix(".tmp") {
      let attempt =
        start == "." ? name.dropLast(4).split(separator: ".").last ?? "" : name.dropFirst(start.count).dropLast(4)
      guard attempt.contains("-"), attempt.allSatisfy({ $0.isNumber || $0 == "-" }) else { continue }
      let descriptor = open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink("\(directory)/\(name)") }
      close(descriptor)
    }
  }

  /// Appends to what was written.
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    try OpenFile(descriptor: descriptor, path: path).write(bytes, at: size)
    size += bytes.count
  }

  /// Appends to what was written.
  package func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  /// Puts the file in its place.
  ///
  /// - Parameter check: reads the file where it was written; if it throws, the place is left as it was.
  package func commit(check: (_ path: String) throws -> Void = { _ in }) throws {
    // The lock lasts until the file has its name.
    let held = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    defer { if held >= 0 { close(held) } }
    guard fsync(descriptor) == 0, close(descriptor) == 0 else {
      descriptor = -1
      throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
    }
    descriptor = -1
    try checkWritten(temporaryPath, for: path, check)
    guard rename(temporaryPath, path) == 0 else { throw DPOError(.io, "\(path): cannot write: \(systemMessage())") }
    committed = true
    try syncDirectory(directoryOf(path))
  }

  /// Ends without a trace: shows whether the place can be written.
  package func discard() {}

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if !committed { unlink(temporaryPath) }
  }
}

/// Reads what was written for a place, before it goes there.
package func checkWritten(_ temporary: String, for path: String, _ check: (_ path: String) throws -> Void) throws {
  do {
    try check(temporary)
  } catch let error as DPOError {
    throw DPOError(
      error.code,
      "\(path): was not written, as it would not open again: \(error.message.replacing(temporary, by: path))")
  }
}

/// Writes a whole small file crash-safely.
package func writeFile(_ path: String, _ text: String) throws {
  let file = try AtomicFile(path)
  try file.write(text)
  try file.commit()
}

/// Writes a copy, whole or not at all.
package func copyFile(_ source: String, to path: String) throws {
  let content = try MappedFile(source)
  let file = try AtomicFile(path)
  try withExtendedLifetime(content) { try file.write(content.bytes) }
  try file.commit()
}
