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
