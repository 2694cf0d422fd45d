import DPOPlatform

package enum FileKind: Sendable { case none, file, directory, other }

/// What stands at a path, links followed.
package func fileKind(_ path: String) -> FileKind {
  var status = stat()
  guard stat(path, &status) == 0 else { return .none }
  switch status.st_mode & S_IFMT {
  case S_IFREG: return .file
  case S_IFDIR: return .directory
  default: return .other
  }
}

/// Names in a directory, sorted, without "." and "..".
package func directoryNames(_ path: String) throws -> [String] {
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
package func makeDirectories(_ path: String) throws {
  var made = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    made += (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
    if mkdir(made, 0o777) == 0 || errno == EEXIST { continue }
    let reason = systemMessage()
    guard fileKind(made) == .directory else { throw DPOError(.io, "\(made): cannot make the directory: \(reason)") }
  }
  guard fileKind(path) == .directory else { throw DPOError(.io, "\(path): not a directory") }
}

/// Makes renames and removals in a directory last.
package func syncDirectory(_ path: String) throws {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
  guard descriptor >= 0 else { throw DPOError(.io, "\(path): \(systemMessage())") }
  defer { close(descriptor) }
  guard fsync(descriptor) == 0 || errno == EINVAL else { throw DPOError(.io, "\(path): \(systemMessage())") }
}

/// Removes a file; there need not be one.
package func removeFile(_ path: String) throws {
  guard unlink(path) == 0 || errno == ENOENT else { throw DPOError(.io, "\(path): cannot remove: \(systemMessage())") }
}

/// Removes a directory and all in it; of links, the link.
package func removeTree(_ path: String) throws {
  for name in try directoryNames(path) {
    let item = "\(path)/\(name)"
    var status = stat()
    let isDirectory = lstat(item, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    try isDirectory ? removeTree(item) : removeFile(item)
  }
  guard rmdir(path) == 0 || errno == ENOENT else { throw DPOError(.io, "\(path): cannot remove: \(systemMessage())") }
}
