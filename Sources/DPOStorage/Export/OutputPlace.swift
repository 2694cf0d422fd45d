import DPOBase
import DPOPlatform

/// Refuses to write over what is there, unless told to.
func checkOutputFile(_ path: String, overwrite: Bool) throws {
  switch fileKind(path) {
  case .none: return
  case .file where overwrite: return
  case .file: throw DPOError.argument("\(path): exists already; choose another name or allow overwriting")
  case .directory, .other: throw DPOError.argument("\(path): is no regular file, so a file cannot be written there")
  }
}

/// Writes the files of a new directory, which appears whole or not at all. In a directory that exists and may be
/// overwritten, each file is replaced on its own and others stay.
package func writeDirectory(_ path: String, overwrite: Bool, _ write: (_ directory: String) throws -> Void) throws {
  var path = path
  while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
  switch fileKind(path) {
  case .directory where try !directoryNames(path).isEmpty:
    guard overwrite else {
      throw DPOError.argument("\(path): the directory is not empty; choose another or allow overwriting")
    }
    return try write(path)
  case .file, .other: throw DPOError.argument("\(path): is no directory")
  case .none, .directory: break
  }
  let parent = directoryOf(path)
  try makeDirectories(parent)
  var temporary = ""
  var attempt = 0
  var made: Int32 = 0
  repeat {
    attempt += 1
    temporary = "\(parent)/.\(nameOf(path)).\(getpid())-\(attempt).tmp"
    made = mkdir(temporary, 0o777)
  } while made != 0 && errno == EEXIST
  guard made == 0 else {
    throw DPOError(.io, "\(path): cannot make the directory: \(String(cString: strerror(errno)))")
  }
  do {
    try write(temporary)
    guard rename(temporary, path) == 0 else {
      throw DPOError(.io, "\(path): cannot write: \(String(cString: strerror(errno)))")
    }
  } catch {
    for name in (try? directoryNames(temporary)) ?? [] { unlink("\(temporary)/\(name)") }
    rmdir(temporary)
    throw error
  }
  try syncDirectory(parent)
}
