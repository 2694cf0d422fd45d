import DPOBase
import DPOPlatform

/// A directory that is removed with the value.
public final class TemporaryDirectory {
  public let path: String

  public init() throws {
    var name = Array("/tmp/dpo-test-XXXXXX\0".utf8CString.dropLast())
    name.append(0)
    guard mkdtemp(&name) != nil else { throw DPOError(.io, "no temporary directory") }
    path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { TemporaryDirectory.remove(path) }

  private static func remove(_ path: String) {
    if fileKind(path) == .directory {
      for name in (try? directoryNames(path)) ?? [] { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}

/// Replaces a file's content.
public func overwrite(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = open(path, O_WRONLY | O_TRUNC)
  defer { close(descriptor) }
  guard bytes.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == bytes.count else {
    throw DPOError(.io, "\(path): not written")
  }
}
