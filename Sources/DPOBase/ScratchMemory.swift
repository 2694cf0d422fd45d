import DPOPlatform

/// Maps zeroed bytes of a new file in `directory`, for numbers that memory need not have room for. The file has no name any more
/// when this returns, so that nothing remains of it however the process ends, and all its room is taken from the disk, as a page
/// without room would be SIGBUS later. `munmap` ends it.
///
/// - Throws: `.io` where a file cannot be made or has no room.
package func mapScratchFile(in directory: String, bytes: Int) throws -> UnsafeMutableRawPointer {
  guard fileKind(directory) == .directory else {
    throw DPOError(.io, "\(directory): not a directory, expected one with room for \((bytes >> 20) + 1) MiB")
  }
  var name = Array("\(directory)/.dpo-offload-XXXXXX".utf8CString)
  let descriptor = mkstemp(&name)
  guard descriptor >= 0 else { throw DPOError(.io, "\(directory): cannot make a file: \(systemMessage())") }
  defer { close(descriptor) }
  unlink(name)
  try OpenFile(descriptor: descriptor, path: directory).checkSizeLimit(bytes)
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
