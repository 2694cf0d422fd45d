import DPOBase
import DPOPlatform

/// Memory of its own, 64-byte aligned, for tensors that cannot be used where they lie in a file.
package final class OwnedBytes: @unchecked Sendable {
  package let bytes: UnsafeMutableRawBufferPointer

  package init(count: Int) throws {
    guard count > 0 else {
      bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      return
    }
    try Machine.requireRoom(ifLarge: count)
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, 64, count) == 0, let pointer else {
      throw DPOError(.memory, "cannot allocate \(count) bytes for a tensor")
    }
    bytes = UnsafeMutableRawBufferPointer(start: pointer, count: count)
  }

  deinit { free(bytes.baseAddress) }
}
