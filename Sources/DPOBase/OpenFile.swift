import CKernels
import DPOPlatform

/// The text of `errno`.
package func systemMessage(_ code: Int32 = errno) -> String {
  ck_error_text(code).map { String(cString: $0) } ?? "error \(code)"
}

/// A descriptor, and the path it was opened by, which errors name. Whoever opened it closes it.
struct OpenFile: Sendable {
  let descriptor: Int32
  let path: String

  func failure(_ what: String = "cannot write") -> DPOError { DPOError(.io, "\(path): \(what): \(systemMessage())") }

  /// Writes all of `bytes` from byte `start` on.
  func write(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
    try checkSizeLimit(start + bytes.count)
    let isWritten = inParts(bytes.count) { part in
      pwrite(
        descriptor, UnsafeRawBufferPointer(rebasing: bytes[part]).baseAddress, part.count,
        off_t(start + part.lowerBound))
    }
    guard isWritten else { throw failure() }
  }

  func write(_ text: String, at start: Int) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0), at: start) }
  }

  /// The `count` bytes from byte `start` on.
  func read(_ count: Int, at start: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      let isRead = inParts(count) { part in
        pread(
          descriptor, UnsafeMutableRawBufferPointer(rebasing: bytes[part]).baseAddress, part.count,
          off_t(start + part.lowerBound))
      }
      guard isRead else { throw failure("cannot read") }
      initialized = count
    }
  }

  func truncate(to size: Int) throws {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure() }
  }

  /// Returns when all that was written is on the disk, where the file has one.
  func flush() throws {
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure() }
  }

  /// A write beyond the process's limit would raise SIGXFSZ, which ends a host that does not expect it.
  func checkSizeLimit(_ size: Int) throws {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { return }
    guard rlim_t(size) <= limit.rlim_cur else {
      throw DPOError(.io, "\(path): cannot write: larger than the \(limit.rlim_cur) bytes that the process may write")
    }
  }

  /// Calls `transfer` until `count` bytes are through; it may be interrupted by signals, and do a part. Whether all are
  /// through; if not, `errno` says why.
  private func inParts(_ count: Int, _ transfer: (Range<Int>) -> Int) -> Bool {
    var done = 0
    while done < count {
      let moved = transfer(done..<min(count, done + 1 << 30))
      if moved < 0 && errno == EINTR { continue }
      guard moved > 0 else { return false }
      done += moved
    }
    return true
  }
}
