import CKernels
import DPOBase
import DPOTensor

/// A file that `HDF5Writer` wrote, mapped, with all checksums verified.
package final class HDF5Reader: Sendable {
  package struct Dataset: Sendable {
    package let path: String
    package let element: HDF5Element
    package let shape: [Int]
    /// XXH3-64 of its bytes.
    package let checksum: UInt64
    fileprivate let range: Range<Int>
  }

  package let path: String
  /// In the order they were written.
  package let datasets: [Dataset]
  /// Attributes of each group by its path; "/" for the file as a whole.
  package let attributes: [String: [String: HDF5Value]]
  private let file: MappedFile
  private let index: [String: Int]

  /// Opens and verifies a file. A damaged part is named in the error.
  ///
  /// - Parameter isLarge: the file may be larger than memory: what was verified does not stay there.
  package init(_ path: String, isLarge: Bool = false) throws {
    self.path = path
    file = try MappedFile(path)
    let bytes = file.bytes
    let structure = try HDF5Structure(bytes, file: path)
    attributes = structure.attributes
    let root = attributes["/"] ?? [:]
    guard case .text(let contents)? = root[HDF5Names.contents], case .text(let seal)? = root[HDF5Names.checksum] else {
      throw DPOError.format(
        path, "an HDF5 file, but none that libdpo wrote: its attributes contents and xxh3 are missing or are no text")
    }

    var found: [String: HDF5Structure.Dataset] = [:]
    for dataset in structure.datasets { found[dataset.path] = dataset }
    var ordered: [Dataset] = []
    var sealed: [(path: String, element: HDF5Element, shape: [Int], checksum: String)] = []
    for name in contents.split(separator: "\n").map(String.init) {
      guard let dataset = found.removeValue(forKey: name) else {
        let group = structure.unreadable.first { name.hasPrefix($0) }
        let reason = group.map { ": group \($0) is in a newer form of HDF5, or has links to other files" } ?? ""
        throw DPOError.format(path, "dataset \(name) is missing\(reason)")
      }
      guard case .text(let checksum)? = dataset.attributes[HDF5Names.checksum] else {
        throw DPOError.format(path, "dataset \(name) has no checksum (attribute xxh3)")
      }
      let data = UnsafeRawBufferPointer(rebasing: bytes[dataset.bytes])
      let sum = try isLarge ? file.checksum(dataset.bytes) : ck_xxh3(data.baseAddress, data.count)
      guard hexadecimal(sum) == checksum else {
        throw DPOError.format(path, "dataset \(name) is damaged: its bytes do not match its checksum")
      }
      ordered.append(
        Dataset(
          path: name, element: dataset.element, shape: dataset.shape, checksum: sum, range: dataset.bytes))
      sealed.append((name, dataset.element, dataset.shape, checksum))
    }
    if let extra = found.keys.min() { throw DPOError.format(path, "dataset \(extra) does not belong there") }
    guard HDF5Names.seal(attributes: attributes, datasets: sealed) == seal else {
      throw DPOError.format(path, "its attributes or the shapes of its datasets were changed after libdpo wrote it")
    }
    datasets = ordered
    index = Dictionary(uniqueKeysWithValues: ordered.enumerated().map { ($1.path, $0) })
  }

  /// Throws `.io` if the file was written to or cut since it was opened.
  package func checkUnchanged(_ use: String) throws { try file.checkUnchanged(use) }

  /// Gives the memory of the pages that were read back to the system, which reads them again when they are needed.
  package func forgetPages() { file.forget(0..<file.bytes.count) }

  package func dataset(_ path: String) -> Dataset? { index[path].map { datasets[$0] } }

  /// Datasets that lie directly in a group.
  package func datasets(in group: String) -> [Dataset] {
    datasets.filter { directoryOf($0.path) == group }
  }

  /// A dataset's bytes; valid while the reader lives.
  package func bytes(_ dataset: Dataset) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[dataset.range])
  }

  /// A float32 dataset as a tensor that reads from the mapped file. Its name is that of the dataset in its group.
  package func tensor(_ dataset: Dataset) throws -> StoredTensor {
    guard dataset.element == .float32 else {
      throw DPOError.format(path, "dataset \(dataset.path): elements are \(dataset.element.rawValue), expected float32")
    }
    return try StoredTensor(
      name: nameOf(dataset.path), dtype: .f32, shape: dataset.shape, bytes: bytes(dataset), owner: file, file: path)
  }

  /// Text of an attribute, nil if it is absent.
  package func text(_ group: String, _ name: String) throws -> String? {
    guard let value = attributes[group]?[name] else { return nil }
    guard case .text(let text) = value else {
      throw DPOError.format(path, "attribute \(name) of \(group): expected text")
    }
    return text
  }
}
