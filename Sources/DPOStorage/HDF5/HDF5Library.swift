import CHDF5
import CKernels
import DPOBase
import DPOPlatform

/// libhdf5 as Debian builds it is not thread-safe, and its error printing is global: one lock for the whole process, and
/// inside it printing is off and put back as the host had it.
enum HDF5Library {
  private nonisolated(unsafe) static let mutex: UnsafeMutablePointer<pthread_mutex_t> = {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    return mutex
  }()

  static func locked<Result>(_ body: () throws -> Result) throws -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    guard H5open() >= 0 else { throw DPOError(.internal, "libhdf5 does not start") }
    var handler: H5E_auto2_t?
    var data: UnsafeMutableRawPointer?
    H5Eget_auto2(ch5_default_errors(), &handler, &data)
    H5Eset_auto2(ch5_default_errors(), nil, nil)
    defer {
      H5Eclear2(ch5_default_errors())
      H5Eset_auto2(ch5_default_errors(), handler, data)
    }
    return try body()
  }
}

/// Type of a dataset's elements; all are little-endian.
package enum HDF5Element: String, Sendable {
  case float32, float64, int32, int64, uint8

  package var size: Int {
    switch self {
    case .float32, .int32: 4
    case .float64, .int64: 8
    case .uint8: 1
    }
  }
}

/// Value of an attribute: a number, or UTF-8 text of any length.
package enum HDF5Value: Sendable, Equatable {
  case int(Int)
  case real(Double)
  case text(String)
}

/// Names shared by the writer and the reader.
enum HDF5Names {
  /// On a dataset: XXH3-64 of its bytes. On the root: of everything else the file says (see `seal`).
  static let checksum = "xxh3"
  /// On the root: paths of all datasets in the order they were written, one a line.
  static let contents = "contents"

  /// XXH3 over the attributes of all groups and over type, shape and checksum of every dataset: what the datasets' own
  /// checksums leave open. The root's own "xxh3" is not part of it.
  static func seal(
    attributes: [String: [String: HDF5Value]],
    datasets: [(path: String, element: HDF5Element, shape: [Int], checksum: String)]
  ) -> String {
    var text = ""
    for (group, values) in attributes.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      for (name, value) in values.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
        if group == "/" && name == checksum { continue }
        switch value {
        case .int(let number): text += "\(group) \(name) int \(number)\n"
        case .real(let number): text += "\(group) \(name) real \(hexadecimal(number.bitPattern))\n"
        case .text(let string): text += "\(group) \(name) text \(string.utf8.count) \(string)\n"
        }
      }
    }
    for dataset in datasets.sorted(by: { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }) {
      let shape = dataset.shape.map(String.init).joined(separator: "x")
      text += "\(dataset.path) \(dataset.element.rawValue) \(shape) \(dataset.checksum)\n"
    }
    return text.withUTF8 { hexadecimal(ck_xxh3($0.baseAddress, $0.count)) }
  }
}
