import CHDF5
import DPOBase
import DPOPlatform

/// What libhdf5's in-memory driver wrote: the bytes of a file up to the last one of its structure.
final class HDF5Image {
  private nonisolated(unsafe) var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  /// A file name for libhdf5, which looks whether there is such a file: there cannot be one.
  static let name = "/dev/null/libdpo"

  /// The image that the driver's callbacks serve, under `HDF5Library`'s lock.
  private nonisolated(unsafe) static weak var current: HDF5Image?

  /// Makes files opened with these properties live in this image.
  func attach(to access: hid_t) -> herr_t {
    HDF5Image.current = self
    var callbacks = H5FD_file_image_callbacks_t()
    callbacks.image_malloc = { size, _, _ in HDF5Image.current?.resize(size) }
    callbacks.image_memcpy = { target, source, size, _, _ in
      guard let target, let source else { return nil }
      return memcpy(target, source, size)
    }
    callbacks.image_realloc = { _, size, _, _ in HDF5Image.current?.resize(size) }
    // The driver is done with the image when it closes the file, and we are not.
    callbacks.image_free = { _, _, _ in 0 }
    guard H5Pset_fapl_core(access, 1 << 20, false) >= 0 else { return -1 }
    return H5Pset_file_image_callbacks(access, &callbacks)
  }

  private func resize(_ size: Int) -> UnsafeMutableRawPointer? {
    guard let base = realloc(bytes.baseAddress, size) else { return nil }
    bytes = UnsafeMutableRawBufferPointer(start: base, count: size)
    return base
  }

  deinit { free(bytes.baseAddress) }

  /// Size of the whole file, from the superblock.
  func fileSize() throws -> Int {
    try HDF5Bytes(bytes: UnsafeRawBufferPointer(bytes), file: "the HDF5 image").integer(40, 8)
  }

  /// Writes a part of the file that holds no elements.
  func write(_ range: Range<Int>, to file: AtomicFile) throws {
    let within = range.clamped(to: 0..<bytes.count)
    try file.write(UnsafeRawBufferPointer(rebasing: bytes[within]))
    // Beyond the image there is only padding.
    let padding = [UInt8](repeating: 0, count: range.count - within.count)
    try padding.withUnsafeBytes { try file.write($0) }
  }
}
