import DPOBase
import DPOPlatform

/// Memory for `count` f32 numbers, 64-byte aligned and zeroed. It belongs to nobody but its owner; sharing it between
/// threads is the owner's business.
public final class FloatBuffer: @unchecked Sendable {
  /// The first number.
  public let pointer: UnsafeMutablePointer<Float>
  /// How many numbers there are.
  public let count: Int
  private let mappedBytes: Int
  private let isInFile: Bool

  /// Pages come zeroed from the system and are counted only when touched, so large buffers are mapped.
  private static let mappingThreshold = 1 << 20

  /// - Parameter directory: where a file holds the numbers, which memory then need not; nil: memory does.
  /// - Throws: `.memory`, or `.io` of a file, if the system refuses.
  package init(count: Int, in directory: String? = nil) throws {
    let (bytes, overflow) = max(count, 1).multipliedReportingOverflow(by: 4)
    guard count >= 0, !overflow, bytes <= 1 << 46 else {
      throw DPOError(.memory, "cannot allocate \(count) numbers of 4 bytes")
    }
    self.count = count
    isInFile = directory != nil
    if let directory {
      pointer = try mapScratchFile(in: directory, bytes: bytes).assumingMemoryBound(to: Float.self)
      mappedBytes = bytes
    } else if bytes >= FloatBuffer.mappingThreshold {
      try Machine.requireRoom(for: bytes)
      guard let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), base != MAP_FAILED
      else {
        throw DPOError(.memory, "cannot allocate \(bytes) bytes of memory")
      }
      #if os(Linux)
        madvise(base, bytes, 14)  // MADV_HUGEPAGE: fewer faults and TLB misses; refusal is harmless
      #endif
      pointer = base.assumingMemoryBound(to: Float.self)
      mappedBytes = bytes
    } else {
      var base: UnsafeMutableRawPointer?
      guard posix_memalign(&base, 64, (bytes + 63) / 64 * 64) == 0, let base else {
        throw DPOError(.memory, "cannot allocate \(bytes) bytes of memory")
      }
      memset(base, 0, bytes)
      pointer = base.assumingMemoryBound(to: Float.self)
      mappedBytes = 0
    }
  }

  deinit {
    if mappedBytes > 0 { munmap(pointer, mappedBytes) } else { free(pointer) }
  }

  /// All of them.
  public var buffer: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: pointer, count: count) }

  /// Zeroes a part, and gives its memory back to the system where it is whole pages.
  package func release(_ range: Range<Int>) {
    let (start, size) = (UInt(bitPattern: pointer + range.lowerBound), range.count * 4)
    let page = UInt(FloatBuffer.pageSize)
    let (first, last) = ((start + page - 1) / page * page, (start + UInt(size)) / page * page)
    guard mappedBytes > 0, !isInFile, first < last, let pages = UnsafeMutableRawPointer(bitPattern: first),
      let end = UnsafeMutableRawPointer(bitPattern: last),
      madvise(pages, Int(last - first), MADV_DONTNEED) == 0
    else {
      memset(pointer + range.lowerBound, 0, size)
      return
    }
    memset(pointer + range.lowerBound, 0, Int(first - start))
    memset(end, 0, Int(start + UInt(size) - last))
  }

  private static let pageSize = sysconf(Int32(_SC_PAGESIZE))

  package func zero() { memset(pointer, 0, count * 4) }
}

extension StoredTensor {
  /// All elements as f32.
  package func floats() throws -> FloatBuffer {
    let buffer = try FloatBuffer(count: count)
    dequantize(rows: 0..<rows, into: buffer.pointer)
    return buffer
  }

  /// The elements where they lie, if they are f32 in our order already.
  package var directFloats: UnsafePointer<Float>? {
    guard dtype == .f32, rowOrder == .natural, let base = bytes.baseAddress, Int(bitPattern: base) % 4 == 0 else {
      return nil
    }
    return base.assumingMemoryBound(to: Float.self)
  }
}
