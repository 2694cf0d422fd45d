import DPOPlatform

/// A file mapped read-only. Only regular files are mapped: a pipe or device would hang or never end.
package final class MappedFile: @unchecked Sendable {
  package let path: String
  /// Valid as long as the object: keep it alive (`withExtendedLifetime`) where nothing else does.
  package let bytes: UnsafeRawBufferPointer
  /// Device, inode, size and time of the last write when it was opened: tells whether the file is still the same one.
  package let identity: FileIdentity
  /// Stays open: the path may name another file by and by.
  private let descriptor: Int32

  package init(_ path: String) throws {
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
    try refusePointer(bytes, path)
  }

  /// Throws `.io` if the file was written to or cut since it was opened: to read beyond its end would raise SIGBUS. One that
  /// was removed, or that another file took the name of, stays as it was.
  package func checkUnchanged(_ use: String = "weights") throws {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw DPOError(.io, "\(path): \(systemMessage())") }
    guard FileIdentity(status) == identity else {
      throw DPOError(
        .io,
        "\(path): the file was changed while its \(use) were in use (\(bytes.count) bytes when it was opened, "
          + "\(status.st_size) now); open it again, and replace files by renaming instead of writing into them")
    }
  }

  /// Bytes that are looked at before their memory is given back.
  package static let piece = 8 << 20

  /// XXH3-64 of a part, in constant memory.
  package func checksum(_ range: Range<Int>) throws -> UInt64 {
    let hash = try StreamHash()
    for start in stride(from: range.lowerBound, to: range.upperBound, by: MappedFile.piece) {
      let part = start..<min(start + MappedFile.piece, range.upperBound)
      hash.update(UnsafeRawBufferPointer(rebasing: bytes[part]))
      forget(part)
    }
    return hash.value
  }

  /// Gives the memory of pages that were read back to the system, which reads them again when they are needed.
  package func forget(_ range: Range<Int>) {
    let page = Int(getpagesize())
    let start = range.lowerBound / page * page
    guard let base = bytes.baseAddress, range.upperBound > start else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + start), range.upperBound - start, Int32(MADV_DONTNEED))
  }

  /// The same of a part by its address.
  package func forget(_ part: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, let start = part.baseAddress, start >= base else { return }
    forget(start - base..<start - base + part.count)
  }

  deinit {
    close(descriptor)
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }
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

/// - Throws: `.format` for what stands in the place of a large file where Git LFS has not fetched it.
private func refusePointer(_ bytes: UnsafeRawBufferPointer, _ path: String) throws {
  guard bytes.count < 1024, bytes.starts(with: "version https://git-lfs.github.com/spec/".utf8) else { return }
  throw DPOError.format(path, "a pointer of Git LFS, not the file itself, which `git lfs pull` fetches")
}

/// The whole of a regular file of at most `limit` bytes.
package func readFile(_ path: String, limit: Int) throws -> [UInt8] {
  let file = try MappedFile(path)
  guard file.bytes.count <= limit else {
    throw DPOError.format(path, "\(file.bytes.count) bytes, more than the \(limit) that such a file may have")
  }
  return withExtendedLifetime(file) { Array(file.bytes) }
}
