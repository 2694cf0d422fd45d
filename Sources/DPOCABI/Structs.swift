import CDPO
import DPO
import DPOBase
import DPOPlatform

/// A struct of dpo.h that starts with its own size. Later versions append fields.
protocol SizedStruct {
  static var name: String { get }
  /// Its size in the first version that had it: no caller has a smaller one.
  static var firstSize: Int { get }
}

/// A caller's struct larger than this does not exist: the size field was never set.
private let largestStruct = 4096

extension SizedStruct {
  /// The size that a caller's struct says it has.
  private static func declaredSize(_ pointer: UnsafeRawPointer) throws -> Int {
    try checkedSize(pointer.load(as: Int.self))
  }

  private static func checkedSize(_ size: Int) throws -> Int {
    guard size >= firstSize, size <= largestStruct else {
      throw DPOError.argument(
        "\(name): struct_size is \(UInt(bitPattern: size)); expected sizeof(\(name)), \(MemoryLayout<Self>.stride) in this version"
      )
    }
    return size
  }

  /// A caller's options: what an older header does not have keeps its default, what only a newer one has must be zero.
  static func read(_ pointer: UnsafePointer<Self>?, defaults: Self) throws -> Self {
    guard let pointer else { return defaults }
    let source = UnsafeRawPointer(pointer)
    let size = try declaredSize(source)
    let known = MemoryLayout<Self>.stride
    if size > known {
      guard (known..<size).allSatisfy({ source.load(fromByteOffset: $0, as: UInt8.self) == 0 }) else {
        throw DPOError(
          .unsupported, "\(name) sets options of a newer version of libdpo than \(String(cString: versionText))")
      }
    }
    var value = defaults
    withUnsafeMutableBytes(of: &value) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: source, count: min(size, known)))
    }
    return value
  }

  /// Throws unless the caller has set the size of a struct that will be filled.
  static func check(_ pointer: UnsafePointer<Self>) throws { _ = try declaredSize(UnsafeRawPointer(pointer)) }

  /// Fills a caller's struct of the size it says, or that `size` says; what only a newer header has becomes zero.
  static func write(_ value: Self, to pointer: UnsafeMutablePointer<Self>?, size: Int? = nil) throws {
    let target = UnsafeMutableRawPointer(try required(pointer, name))
    let size = try size.map(checkedSize) ?? declaredSize(target)
    let known = min(size, MemoryLayout<Self>.stride)
    withUnsafeBytes(of: value) { target.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(target), byteCount: known) }
    if size > known { memset(target + known, 0, size - known) }
    target.storeBytes(of: size, as: Int.self)
  }
}

extension dpo_model_info: SizedStruct {
  static var name: String { "dpo_model_info" }
  static var firstSize: Int { MemoryLayout<Self>.stride }
}
extension dpo_dataset_info: SizedStruct {
  static var name: String { "dpo_dataset_info" }
  static var firstSize: Int { MemoryLayout<Self>.stride }
}
extension dpo_metrics: SizedStruct {
  static var name: String { "dpo_metrics" }
  static var firstSize: Int { MemoryLayout<Self>.stride }
}
extension dpo_feedback_result: SizedStruct {
  static var name: String { "dpo_feedback_result" }
  static var firstSize: Int { MemoryLayout<Self>.stride }
}

// MARK: - Values of options

/// NULL leaves the default.
func textValue(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> JSON? {
  try optionalText(pointer, name).map(JSON.string)
}

/// Names joined by commas.
func namesValue(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> JSON? {
  try optionalText(pointer, name).map { .array(try OptionField.items(of: $0, name).map(JSON.string)) }
}
