import CZlib
import DPOBase

/// Unpacks gzip data piece by piece, so that no more of it is in memory than is read.
final class Inflater {
  private let stream: UnsafeMutablePointer<z_stream>
  private(set) var packed: UnsafeRawBufferPointer
  private let name: String
  /// Within one of the parts that gzip data may have.
  private var isInside = true

  /// - Parameter packed: begins with `magic`, and outlives the value.
  init(_ packed: UnsafeRawBufferPointer, name: String) throws {
    (self.packed, self.name) = (packed, name)
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let gzipOnly: Int32 = 15 + 16
    guard inflateInit2_(stream, gzipOnly, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw DPOError(.memory, "\(name): no memory to unpack it with")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  static let magic: [UInt8] = [0x1F, 0x8B]

  /// Writes the next bytes to `target`, and returns how many; 0 at the end.
  func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    let most = 1 << 30  // zlib counts in 32 bits
    let wanted = min(target.count, most)
    stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: Bytef.self)
    stream.pointee.avail_out = UInt32(wanted)
    while stream.pointee.avail_out > 0 {
      if !isInside {
        guard !packed.isEmpty else { break }
        guard packed.starts(with: Inflater.magic), inflateReset(stream) == Z_OK else {
          throw DPOError.format(name, "damaged gzip data: \(packed.count) bytes behind its end")
        }
        isInside = true
      }
      let count = min(packed.count, most)
      stream.pointee.next_in = UnsafeMutablePointer(
        mutating: packed.baseAddress?.assumingMemoryBound(to: Bytef.self))
      stream.pointee.avail_in = UInt32(count)
      let status = inflate(stream, Z_NO_FLUSH)
      packed = UnsafeRawBufferPointer(rebasing: packed[(count - Int(stream.pointee.avail_in))...])
      switch status {
      case Z_OK: break
      case Z_STREAM_END: isInside = false
      case Z_BUF_ERROR where packed.isEmpty: throw DPOError.format(name, "damaged gzip data: it is cut short")
      case Z_MEM_ERROR: throw DPOError(.memory, "\(name): no memory to unpack it with")
      default:
        let reason = stream.pointee.msg.map { String(cString: $0) } ?? "error \(status)"
        throw DPOError.format(name, "damaged gzip data: \(reason)")
      }
    }
    return wanted - Int(stream.pointee.avail_out)
  }
}
