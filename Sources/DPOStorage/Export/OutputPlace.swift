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

/// Writes the files of a directory, which appears whole or not at all. In a directory that exists and may be overwritten, the
/// new files take the places of the old ones, and others stay; the file `last`, without which a reader knows nothing of the
/// others, is taken away first and put there last.
///
/// - Parameters:
///   - owned: names, with one "*" at most, of what a reader would take for a part of the new content: those that are not
///     written go.
///   - check: opens the directory before it takes its place.
package func writeDirectory(
  _ path: String, overwrite: Bool, owned: [String] = [], last: String,
  check: (_ directory: String) throws -> Void = { _ in },
  _ write: (_ directory: String) throws -> Void
) throws {
  var path = path
  while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
  var replaces = false
  switch fileKind(path) {
  case .directory where try !directoryNames(path).isEmpty:
    guard overwrite else {
      throw DPOError.argument("\(path): the directory is not empty; choose another or allow overwriting")
    }
    replaces = true
  case .file, .other: throw DPOError.argument("\(path): is no directory")
  case .none, .directory: break
  }
  let parent = directoryOf(path)
  try makeDirectories(parent)
  let temporary = try makeTemporaryDirectory(beside: path)
  do {
    try write(temporary)
    try checkWritten(temporary, for: path, check)
    if replaces {
      try replaceFiles(of: path, by: temporary, owned: owned, last: last)
    } else if rename(temporary, path) != 0 {
      throw DPOError(.io, "\(path): cannot write: \(systemMessage())")
    }
  } catch {
    try? removeTree(temporary)
    guard let error = error as? DPOError else { throw error }
    throw DPOError(error.code, error.message.replacing(temporary, by: path))
  }
  try syncDirectory(parent)
}

private func makeTemporaryDirectory(beside path: String) throws -> String {
  let prefix = ".\(nameOf(path))."
  let parent = directoryOf(path)
  for name in (try? directoryNames(parent)) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(".tmp") {
    // "PID-NUMBER" of a process that was killed.
    let owner = name.dropFirst(prefix.count).dropLast(".tmp".count).split(separator: "-").first.flatMap { pid_t($0) }
    if let owner, kill(owner, 0) != 0, errno == ESRCH, fileKind("\(parent)/\(name)") == .directory {
      try? removeTree("\(parent)/\(name)")
    }
  }
  var attempt = 0
  while true {
    attempt += 1
    let temporary = "\(parent)/\(prefix)\(getpid())-\(attempt).tmp"
    if mkdir(temporary, 0o777) == 0 { return temporary }
    guard errno == EEXIST else { throw DPOError(.io, "\(path): cannot make the directory: \(systemMessage())") }
  }
}

private func replaceFiles(of directory: String, by temporary: String, owned: [String], last: String) throws {
  let names = try directoryNames(temporary)
  try removeFile("\(directory)/\(last)")
  for name in try directoryNames(directory) where !names.contains(name) && owned.contains(where: { matches(name, $0) })
  {
    let old = "\(directory)/\(name)"
    try fileKind(old) == .directory ? removeTree(old) : removeFile(old)
  }
  for name in names.filter({ $0 != last }) + names.filter({ $0 == last }) {
    guard rename("\(temporary)/\(name)", "\(directory)/\(name)") == 0 else {
      throw DPOError(.io, "\(directory)/\(name): cannot write: \(systemMessage())")
    }
  }
  rmdir(temporary)
  try syncDirectory(directory)
}

private func matches(_ name: String, _ pattern: String) -> Bool {
  let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
  guard parts.count == 2 else { return name == pattern }
  return name.count >= pattern.count - 1 && name.hasPrefix(parts[0]) && name.hasSuffix(parts[1])
}
