import CHDF5
import CKernels
import DPOBase
import DPOPlatform

/// Writes one HDF5 file that appears whole or not at all.
///
/// libhdf5 lays the file out in memory, without the elements. Structure and elements then go to the disk in one pass by
/// ordinary writes, so that a full disk is an error of ours: libhdf5 1.10 cannot close a file whose last writes fail.
package final class HDF5Writer {
  /// Where a dataset's bytes come from.
  package enum Source {
    /// Bytes that stay valid until `commit` returns.
    case memory(UnsafeRawBufferPointer)
    /// Fills a buffer of the dataset's size; called twice (checksum, then writing) and must give the same bytes.
    case produced((UnsafeMutableRawBufferPointer) throws -> Void)
    /// Hands the bytes on in pieces, from front to back; called twice, as `produced`. For what is larger than memory.
    case pieces((_ take: (UnsafeRawBufferPointer) throws -> Void) throws -> Void)
  }

  private struct Dataset {
    let path: String
    let element: HDF5Element
    let shape: [Int]
    let byteCount: Int
    let source: Source
  }

  package let path: String
  private let file: AtomicFile
  private var attributes: [String: [String: HDF5Value]] = ["/": [:]]
  private var datasets: [Dataset] = []
  private var paths: Set<String> = []

  package init(_ path: String) throws {
    self.path = path
    file = try AtomicFile(path)
  }

  /// Sets an attribute of a group (made if it is not there), "/" for the file as a whole.
  package func attribute(_ group: String, _ name: String, _ value: HDF5Value) throws {
    if group != "/" { try checkPath(group) }
    let reserved = group == "/" && (name == HDF5Names.checksum || name == HDF5Names.contents)
    guard !name.isEmpty, !name.utf8.contains(0), !reserved else {
      throw DPOError.argument("\(path): an attribute cannot be named \"\(name)\"")
    }
    if case .text(let text) = value, text.utf8.contains(0) {
      throw DPOError.argument("\(path): attribute \(name) holds a NUL character")
    }
    attributes[group, default: [:]][name] = value
  }

  /// Adds a dataset at an absolute path such as "/model/lm_head.weight"; groups on the way are made.
  package func dataset(_ path: String, shape: [Int], element: HDF5Element, source: Source) throws {
    try checkPath(path)
    guard paths.insert(path).inserted else { throw DPOError.argument("\(self.path): dataset \(path) is given twice") }
    guard !shape.isEmpty, shape.count <= HDF5Limits.dimensions,
      let size = HDF5Limits.byteCount(shape: shape, element: element), size > 0
    else { throw DPOError.argument("\(self.path): dataset \(path) cannot have shape \(shape)") }
    if case .memory(let bytes) = source, bytes.count != size {
      throw DPOError.argument(
        "\(self.path): dataset \(path) of shape \(shape) needs \(size) bytes, \(bytes.count) given")
    }
    datasets.append(Dataset(path: path, element: element, shape: shape, byteCount: size, source: source))
  }

  /// Adds float32 numbers that stay valid until `commit` returns.
  package func dataset(_ path: String, shape: [Int], floats: UnsafePointer<Float>) throws {
    guard let size = HDF5Limits.byteCount(shape: shape, element: .float32) else {
      throw DPOError.argument("\(self.path): dataset \(path) cannot have shape \(shape)")
    }
    try dataset(
      path, shape: shape, element: .float32, source: .memory(UnsafeRawBufferPointer(start: floats, count: size)))
  }

  /// Writes everything, flushes it to the disk and puts the file in its place.
  ///
  /// - Parameter check: reads the file where it was written; if it throws, the place is left as it was.
  package func commit(check: (_ path: String) throws -> Void = { _ in }) throws {
    let scratch = try Scratch(
      datasets.reduce(0) { if case .produced = $1.source { max($0, $1.byteCount) } else { $0 } })
    var checksums: [String] = []
    for dataset in datasets {
      let hash = try StreamHash()
      try content(of: dataset, scratch) { hash.update($0) }
      checksums.append(hexadecimal(hash.value))
    }
    attributes["/"]?[HDF5Names.contents] = .text(datasets.map(\.path).joined(separator: "\n"))
    let seal = HDF5Names.seal(
      attributes: attributes,
      datasets: zip(datasets, checksums).map { ($0.path, $0.element, $0.shape, $1) })
    attributes["/"]?[HDF5Names.checksum] = .text(seal)

    let (image, offsets) = try HDF5Library.locked { try layOut(checksums) }
    try stream(image: image, offsets: offsets, scratch)
    try file.commit(check: check)
  }

  /// Hands the bytes of a dataset on, exactly as many as it has.
  private func content(
    of dataset: Dataset, _ scratch: Scratch, _ take: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    switch dataset.source {
    case .memory(let bytes): try take(bytes)
    case .produced(let fill):
      let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch.buffer[..<dataset.byteCount])
      try fill(buffer)
      try take(UnsafeRawBufferPointer(buffer))
    case .pieces(let produce):
      var count = 0
      try produce { piece in
        count += piece.count
        if count <= dataset.byteCount { try take(piece) }
      }
      guard count == dataset.byteCount else {
        throw DPOError(.internal, "\(path): dataset \(dataset.path) gave \(count) bytes of \(dataset.byteCount)")
      }
    }
  }

  private func checkPath(_ name: String) throws {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let valid =
      parts.count >= 2 && parts.count <= HDF5Limits.depth + 1 && parts[0].isEmpty && !name.utf8.contains(0)
      && name.utf8.count <= HDF5Limits.nameBytes
      && parts.dropFirst().allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    guard valid else {
      throw DPOError.argument("\(path): \"\(DPOError.printable(name))\" is not a path in an HDF5 file")
    }
  }
}

/// Memory for one dataset at a time.
private final class Scratch {
  let buffer: UnsafeMutableRawBufferPointer

  init(_ size: Int) throws {
    guard let base = malloc(max(size, 1)) else { throw DPOError(.memory, "cannot allocate \(size) bytes") }
    buffer = UnsafeMutableRawBufferPointer(start: base, count: size)
  }

  deinit { free(buffer.baseAddress) }
}

// MARK: - Layout by libhdf5

extension HDF5Writer {
  /// Makes groups, attributes and datasets without their elements: the file's structure, and each dataset's offset.
  private func layOut(_ checksums: [String]) throws -> (HDF5Image, [Int]) {
    let access = try id(H5Pcreate(ch5_file_access()), "file properties")
    defer { H5Pclose(access) }
    let image = HDF5Image()
    try check(image.attach(to: access), "file properties")
    try check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "file properties")
    // The oldest format, as HDF5 1 writes by itself: HDF5 2 would take a newer one, with another superblock.
    try check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, ch5_latest_format()), "file properties")
    // Elements on cache-line boundaries, so that a reader can use them where they lie.
    try check(H5Pset_alignment(access, 1, 64), "file properties")
    // All structure in one piece before the elements: the image in memory reaches to its end.
    try check(H5Pset_meta_block_size(access, hsize_t((1 << 13) + datasets.count << 10)), "file properties")
    let file = try id(H5Fcreate(HDF5Image.name, ch5_truncate(), ch5_default(), access), "the file")
    var open = true
    defer { if open { H5Fclose(file) } }

    let creation = try id(H5Pcreate(ch5_dataset_create()), "dataset properties")
    defer { H5Pclose(creation) }
    try check(H5Pset_layout(creation, H5D_CONTIGUOUS), "dataset properties")
    try check(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY), "dataset properties")
    try check(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), "dataset properties")
    try check(H5Pset_obj_track_times(creation, false), "dataset properties")

    for (group, values) in attributes.sorted(by: { $0.key < $1.key }) {
      if group != "/" { try makeGroups(file, group.split(separator: "/")) }
      let object = try id(H5Oopen(file, group, ch5_default()), group)
      defer { H5Oclose(object) }
      for (name, value) in values.sorted(by: { $0.key < $1.key }) { try writeAttribute(object, name, value) }
    }

    var offsets: [Int] = []
    for (dataset, checksum) in zip(datasets, checksums) {
      try makeGroups(file, dataset.path.split(separator: "/").dropLast())
      let dimensions = dataset.shape.map { hsize_t($0) }
      let space = try id(H5Screate_simple(Int32(dimensions.count), dimensions, nil), dataset.path)
      defer { H5Sclose(space) }
      let object = try id(
        H5Dcreate2(file, dataset.path, dataset.element.fileType, space, ch5_default(), creation, ch5_default()),
        dataset.path)
      defer { H5Dclose(object) }
      try writeFixedText(object, HDF5Names.checksum, checksum)
      let offset = H5Dget_offset(object)
      guard offset != ch5_undefined_address(), let offset = Int(exactly: offset) else {
        throw DPOError(.internal, "\(path): libhdf5 gave dataset \(dataset.path) no place")
      }
      offsets.append(offset)
    }
    open = false
    try check(H5Fclose(file), "the file")
    return (image, offsets)
  }

  private func makeGroups(_ file: hid_t, _ parts: some Collection<Substring>) throws {
    var group = ""
    for part in parts {
      group += "/" + part
      if H5Lexists(file, group, ch5_default()) > 0 { continue }
      H5Gclose(try id(H5Gcreate2(file, group, ch5_default(), ch5_default(), ch5_default()), group))
    }
  }

  private func writeAttribute(_ object: hid_t, _ name: String, _ value: HDF5Value) throws {
    switch value {
    case .int(var number): try writeScalar(object, name, HDF5Element.int64.fileType, &number)
    case .real(var number): try writeScalar(object, name, HDF5Element.float64.fileType, &number)
    case .text(let text):
      let type = try textType(size: ch5_variable_size(), name)
      defer { H5Tclose(type) }
      try text.withCString { pointer in
        var pointer: UnsafePointer<CChar>? = pointer
        try writeScalar(object, name, type, &pointer)
      }
    }
  }

  private func writeFixedText(_ object: hid_t, _ name: String, _ text: String) throws {
    let type = try textType(size: text.utf8.count, name)
    defer { H5Tclose(type) }
    try text.withCString { try writeScalar(object, name, type, $0) }
  }

  private func textType(size: Int, _ name: String) throws -> hid_t {
    let type = try id(H5Tcopy(ch5_c_string()), name)
    try check(H5Tset_size(type, size), name)
    try check(H5Tset_strpad(type, H5T_STR_NULLPAD), name)
    try check(H5Tset_cset(type, H5T_CSET_UTF8), name)
    return type
  }

  private func writeScalar(_ object: hid_t, _ name: String, _ type: hid_t, _ value: UnsafeRawPointer) throws {
    let space = try id(H5Screate(H5S_SCALAR), name)
    defer { H5Sclose(space) }
    let attribute = try id(H5Acreate2(object, name, type, space, ch5_default(), ch5_default()), name)
    defer { H5Aclose(attribute) }
    try check(H5Awrite(attribute, type, value), name)
  }

  private func id(_ value: hid_t, _ what: String) throws -> hid_t {
    guard value >= 0 else { throw DPOError(.internal, "\(path): libhdf5 cannot make \(what)") }
    return value
  }

  private func check(_ status: herr_t, _ what: String) throws {
    guard status >= 0 else { throw DPOError(.internal, "\(path): libhdf5 cannot write \(what)") }
  }
}

extension HDF5Element {
  fileprivate var fileType: hid_t {
    switch self {
    case .float32: ch5_float32()
    case .float64: ch5_float64()
    case .int32: ch5_int32()
    case .int64: ch5_int64()
    case .uint8: ch5_uint8()
    }
  }
}

// MARK: - Writing

extension HDF5Writer {
  /// Structure and elements in the order of their offsets.
  private func stream(image: HDF5Image, offsets: [Int], _ scratch: Scratch) throws {
    let size = try image.fileSize()
    var position = 0
    for (offset, dataset) in zip(offsets, datasets).sorted(by: { $0.0 < $1.0 }) {
      guard offset >= position, offset <= size, dataset.byteCount <= size - offset else {
        throw DPOError(.internal, "\(path): libhdf5 placed dataset \(dataset.path) over another part of the file")
      }
      try image.write(position..<offset, to: file)
      try content(of: dataset, scratch) { try file.write($0) }
      position = offset + dataset.byteCount
    }
    try image.write(position..<size, to: file)
  }
}
