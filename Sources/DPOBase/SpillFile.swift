import DPOPlatform

/// Room on the disk for what does not fit into memory: a file without a name, which ends with the process at the latest.
package final class SpillFile {
  private let file: OpenFile
  /// Bytes written.
  package private(set) var size = 0

  /// - Parameter directory: where the bytes lie.
  package init(in directory: String) throws {
    file = try openScratchFile(in: directory, named: "spill")
  }

  deinit { close(file.descriptor) }

  /// Appends.
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    try file.write(bytes, at: size)
    size += bytes.count
  }

  /// Hands on what was written, from front to back.
  package func read(_ take: (UnsafeRawBufferPointer) throws -> Void) throws {
    for start in stride(from: 0, to: size, by: 1 << 20) {
      try file.read(min(1 << 20, size - start), at: start).withUnsafeBytes(take)
    }
  }
}

/// Keeps other processes from the same work: held by one of them at a time, and given up when it ends.
package final class FileLock {
  private let descriptor: Int32

  /// Waits until nobody else holds it; `whileWaiting` is called ten times a second and may throw. File systems without locks let
  /// everyone through.
  package init(_ path: String, whileWaiting: () throws -> Void) throws {
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw DPOError(.io, "\(path): cannot write: \(systemMessage())") }
    do {
      while flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
        try whileWaiting()
        usleep(100_000)
      }
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }
}
