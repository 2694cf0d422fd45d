import DPOBase

/// Files under Tests/Fixtures.
public enum Fixtures {
  public static let directory: String = directoryOf(directoryOf(#filePath)) + "/Fixtures"

  public static func path(_ name: String) -> String { "\(directory)/\(name)" }

  public static func json(_ name: String) throws -> JSON {
    try JSON.parse(readFile(path(name), limit: 1 << 28), file: name)
  }
}
