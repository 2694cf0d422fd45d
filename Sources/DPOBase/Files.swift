import DPOPlatform

/// The text of `errno`.
func systemMessage(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// A file mapped read-only. Only regular files are mapped: a pipe or device would hang or never end.
public final class MappedFile: @unchecked Sendable {
  public let path: String
  /// Valid as long as the object: keep it alive (`withExtendedLifetime`) where nothing else does.
  public let bytes: UnsafeRawBufferPointer
  /// Device, inode, size and change time when it was opened: tells whether the file is still the same one.
  public let identity: FileIdentity
  /// Stays open: the path may name another file by and by.
  private let descriptor: Int32

  public init(_ path: String) throws {
    descriptor = try openRegularFile(path)
    self.path = path
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let reason = systemMessage()
      close(descriptor)
      throw DPOError(.io, "\(path): \(reason)")
    }
    identity = FileIdentity(status)
    let size = Int(status.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      let reason = systemMessage()
      close(descriptor)
      throw DPOError(.io, "\(path): cannot map \(size) bytes: \(reason)")
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  /// Throws `.io` if the file was written to or cut since it was opened: to read beyond its end would raise SIGBUS. One that
  /// was removed, or that another file took the name of, stays as it was.
  public func checkUnchanged() throws {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw DPOError(.io, "\(path): \(systemMessage())") }
    guard FileIdentity(status) == identity else {
      throw DPOError(
        .io,
        "\(path): the file was changed while its weights were in use (\(bytes.count) bytes when it was opened, "
          + "\(status.st_size) now); open it again, and replace files by renaming instead of writing into them")
    }
  }

  deinit {
    close(descriptor)
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }
}

public struct FileIdentity: Sendable, Equatable {
  let device, inode, size, seconds, nanoseconds: Int

  init(_ status: stat) {
    device = Int(bitPattern: UInt(status.st_dev))
    inode = Int(bitPattern: UInt(status.st_ino))
    size = Int(status.st_size)
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }

  /// Whether both were taken of one file, whatever was written to it in between.
  public func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

private func openRegularFile(_ path: String) throws -> Int32 {
  guard !path.utf8.contains(0) else { throw DPOError(.io, "\(path): a path cannot hold a NUL character") }
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
  guard descriptor >= 0 else { throw DPOError(.io, "\(path): cannot open: \(systemMessage())") }
  var status = stat()
  guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
    close(descriptor)
    throw DPOError(.io, "\(path): expected a regular file")
  }
  return descriptor
}

/// The whole of a regular file of at most `limit` bytes.
public func readFile(_ path: String, limit: Int) throws -> [UInt8] {
  let file = try MappedFile(path)
  guard file.bytes.count <= limit else {
    throw DPOError.format(path, "\(file.bytes.count) bytes, more than the \(limit) that such a file may have")
  }
  return withExtendedLifetime(file) { Array(file.bytes) }
}

public enum FileKind: Sendable { case none, file, directory, other }

/// What stands at a path, links followed.
public func fileKind(_ path: String) -> FileKind {
  var status = stat()
  guard stat(path, &status) == 0 else { return .none }
  switch status.st_mode & S_IFMT {
  case S_IFREG: return .file
  case S_IFDIR: return .directory
  default: return .other
  }
}

/// Names in a directory, sorted, without "." and "..".
public func directoryNames(_ path: String) throws -> [String] {
  guard let handle = opendir(path) else {
    throw DPOError(.io, "\(path): cannot open the directory: \(systemMessage())")
  }
  defer { closedir(handle) }
  var names: [String] = []
  while let entry = readdir(handle) {
    // In place: an entry is as long as its name, and a copy of the field would read beyond it.
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// Makes a directory and its missing parents.
public func makeDirectories(_ path: String) throws {
  var made = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    made += (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
    if mkdir(made, 0o777) == 0 || errno == EEXIST { continue }
    let reason = systemMessage()
    guard fileKind(made) == .directory else { throw DPOError(.io, "\(made): cannot make the directory: \(reason)") }
  }
  guard fileKind(path) == .directory else { throw DPOError(.io, "\(path): not a directory") }
}

/// A file that appears whole or not at all: written beside its place under another name, flushed to the disk, then
/// renamed. Without `commit` nothing remains of it.
public final class AtomicFile {
  public let path: String
  /// Where the content is written until `commit`.
  public let temporaryPath: String
  private var descriptor: Int32
  private var size = 0
  private var committed = false

  public init(_ path: String) throws {
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
    let directory = directoryOf(prefix)
    let start = nameOf(prefix)
    for name in (try? directoryNames(directory)) ?? [] where name.hasPrefix(start) && name.hasSuffix(".tmp") {
      guard name.dropFirst(start.count).dropLast(4).allSatisfy({ $0.isNumber || $0 == "-" }) else { continue }
      let descriptor = open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink("\(directory)/\(name)") }
      close(descriptor)
    }
  }

  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    try checkSizeLimit(size + bytes.count, path: path)
    var rest = bytes
    while let base = rest.baseAddress, !rest.isEmpty {
      let count = DPOPlatform.write(descriptor, base, min(rest.count, 1 << 30))
      if count < 0 {
        if errno == EINTR { continue }
        throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
    size += bytes.count
  }

  public func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  public func commit() throws {
    guard fsync(descriptor) == 0, close(descriptor) == 0 else {
      descriptor = -1
      throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
    }
    descriptor = -1
    guard rename(temporaryPath, path) == 0 else { throw DPOError(.io, "\(path): cannot write: \(systemMessage())") }
    committed = true
    try syncDirectory(directoryOf(path))
  }

  /// Ends without a trace: shows whether the place can be written.
  public func discard() {}

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if !committed { unlink(temporaryPath) }
  }
}

/// A write beyond the process's limit would raise SIGXFSZ, which ends a host that does not expect it.
func checkSizeLimit(_ size: Int, path: String) throws {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { return }
  guard rlim_t(size) <= limit.rlim_cur else {
    throw DPOError(.io, "\(path): cannot write: larger than the \(limit.rlim_cur) bytes that the process may write")
  }
}

/// Writes a whole small file crash-safely.
public func writeFile(_ path: String, _ text: String) throws {
  let file = try AtomicFile(path)
  try file.write(text)
  try file.commit()
}

/// Makes renames and removals in a directory last.
public func syncDirectory(_ path: String) throws {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
  guard descriptor >= 0 else { throw DPOError(.io, "\(path): \(systemMessage())") }
  defer { close(descriptor) }
  guard fsync(descriptor) == 0 || errno == EINVAL else { throw DPOError(.io, "\(path): \(systemMessage())") }
}

/// The directory part of a path, "." if there is none.
public func directoryOf(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The last component of a path.
public func nameOf(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return path }
  return String(path[path.index(after: slash)...])
}

/// A text file that only grows, a line at a time.
public final class AppendFile {
  public let path: String
  private let descriptor: Int32

  /// Opens or makes the file. `keeping`: the lines it shall start with, replacing what was there, at once or not at all.
  public init(_ path: String, keeping lines: [String]) throws {
    let start = try AtomicFile(path)
    for line in lines { try start.write(line + "\n") }
    try start.commit()
    self.path = path
    descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { throw DPOError(.io, "\(path): cannot write: \(systemMessage())") }
  }

  /// Appends a line in one write.
  public func append(_ line: String) throws {
    let bytes = Array((line + "\n").utf8)
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { DPOPlatform.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
      }
      done += count
    }
  }

  /// Returns when all lines are on the disk.
  public func flush() throws {
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
    }
  }

  deinit { close(descriptor) }
}

public func removeFile(_ path: String) throws {
  guard unlink(path) == 0 || errno == ENOENT else { throw DPOError(.io, "\(path): cannot remove: \(systemMessage())") }
}

/// Removes a directory and all in it; of links, the link.
public func removeTree(_ path: String) throws {
  for name in try directoryNames(path) {
    let item = "\(path)/\(name)"
    var status = stat()
    let isDirectory = lstat(item, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    try isDirectory ? removeTree(item) : removeFile(item)
  }
  guard rmdir(path) == 0 || errno == ENOENT else { throw DPOError(.io, "\(path): cannot remove: \(systemMessage())") }
}

/// Writes a copy, whole or not at all.
public func copyFile(_ source: String, to path: String) throws {
  let content = try MappedFile(source)
  let file = try AtomicFile(path)
  try withExtendedLifetime(content) { try file.write(content.bytes) }
  try file.commit()
}

/// A path that does not depend on the working directory.
public func absolutePath(_ path: String) -> String {
  guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
  defer { free(directory) }
  return "\(String(cString: directory))/\(path)"
}
