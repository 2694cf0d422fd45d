import DPOPlatform

/// Opens a new file in `directory` for reading and writing. It has no name any more when this returns, so that nothing remains of
/// it however the process ends; whoever opens it closes it.
///
/// - Throws: `.io` where a file cannot be made.
func openScratchFile(in directory: String, named prefix: String) throws -> OpenFile {
  var (attempt, name, descriptor) = (0, "", Int32(-1))
  repeat {
    attempt += 1
    name = "\(directory)/.\(prefix).\(getpid())-\(attempt).tmp"
    descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
  } while descriptor < 0 && errno == EEXIST
  guard descriptor >= 0 else { throw DPOError(.io, "\(directory): cannot write: \(systemMessage())") }
  unlink(name)
  return OpenFile(descriptor: descriptor, path: directory)
}

/// Maps zeroed bytes of a scratch file in `directory`, for numbers that memory need not have room for. All its room is taken from
/// the disk, as a page without room would be SIGBUS later. `munmap` ends it.
///
/// - Throws: `.io` where a file cannot be made or has no room.
package func mapScratchFile(in directory: String, bytes: Int) throws -> UnsafeMutableRawPointer {
  guard fileKind(directory) == .directory else {
    throw DPOError(.io, "\(directory): not a directory, expected one with room for \((bytes >> 20) + 1) MiB")
  }
  let file = try openScratchFile(in: directory, named: "dpo-offload")
  let descriptor = file.descriptor
  defer { close(descriptor) }
  try file.checkSizeLimit(bytes)
  var failure: Int32
  repeat { failure = takeRoom(descriptor, bytes) } while failure == EINTR
  guard failure == 0 else {
    throw DPOError(.io, "\(directory): no room for \((bytes >> 20) + 1) MiB: \(systemMessage(failure))")
  }
  try Machine.requireRoom(for: bytes)
  guard let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
    throw DPOError(.memory, "\(directory): cannot map \(bytes) bytes of a file: \(systemMessage())")
  }
  return base
}

/// 0, or the reason why there is none.
private func takeRoom(_ descriptor: Int32, _ bytes: Int) -> Int32 {
  #if canImport(Darwin)
    var store = fstore_t(
      fst_flags: UInt32(F_ALLOCATEALL), fst_posmode: F_PEOFPOSMODE, fst_offset: 0, fst_length: off_t(bytes),
      fst_bytesalloc: 0)
    return fcntl(descriptor, F_PREALLOCATE, &store) == 0 && ftruncate(descriptor, off_t(bytes)) == 0 ? 0 : errno
  #else
    return posix_fallocate(descriptor, 0, off_t(bytes))
  #endif
}
