import DPOBase

/// Files under Tests/Fixtures.
public enum Fixtures {
  public static let directory: String = directoryOf(directoryOf(#filePath)) + "/Fixtures"

  public static func path(_ name: String) -> String { "\(directory)/\(name)" }

  public static func json(_ name: String) throws -> JSON {
    try JSON.parse(readFile(path(name), limit: 1 << 28), file: name)
  }

  /// CRC-32 as 8 digits, as common.py has it.
  public static func digest(_ text: String) -> String {
    var value = ~UInt32(0)
    for byte in text.utf8 {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    let digits = String(~value, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}
