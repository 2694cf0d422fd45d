import DPOPlatform

/// Tells whether a file is the one that it was.
package struct FileIdentity: Sendable, Equatable {
  let device, inode, size, seconds, nanoseconds: Int

  init(_ status: stat) {
    device = Int(bitPattern: UInt(status.st_dev))
    inode = Int(bitPattern: UInt(status.st_ino))
    size = Int(status.st_size)
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }

  /// Whether both were taken of one file, whatever was written to it in between.
  package func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

/// What a file was when it was read, as far as the system tells without reading it again.
package struct FileStamp: Sendable, Equatable {
  /// Names device, inode, size and the times of the last write and the last change of any kind.
  package let text: String
  package let size: Int
  /// A change within this time may leave the stamp as it is: clocks of file systems go in steps.
  private static let steps = 2

  package init(_ path: String) throws {
    var status = stat()
    guard stat(path, &status) == 0 else { throw DPOError(.io, "\(path): \(systemMessage())") }
    size = Int(status.st_size)
    let (written, changed) = (status.st_mtim, status.st_ctim)
    text =
      "\(status.st_dev) \(status.st_ino) \(status.st_size) \(written.tv_sec).\(written.tv_nsec) "
      + "\(changed.tv_sec).\(changed.tv_nsec)"
    isSettled = time(nil) - max(written.tv_sec, changed.tv_sec) > FileStamp.steps
  }

  /// Whether any later change shows in the stamp.
  package let isSettled: Bool

  package static func == (a: FileStamp, b: FileStamp) -> Bool { a.text == b.text }
}
