/// Whether the tokens of files of rows are kept in a file of their own, from which they are then read: once tokenised, they take
/// no time again, and hardly any memory.
public enum DataCache: Sendable, Equatable {
  /// Rows are in memory.
  case none
  /// Files of more than `DataCache.large` bytes together are cached in the directory .dpo-cache beside the first of them, where
  /// that can be written.
  case automatic
  /// Files of any size are cached in this directory.
  case directory(String)

  /// Bytes of files that are worth a cache: smaller ones are tokenised in some twenty seconds, and take as much memory.
  public static let large = 256 << 20

  /// "none", "auto", or a directory.
  public init(named name: String) {
    switch name {
    case "none": self = .none
    case "auto": self = .automatic
    default: self = .directory(name)
    }
  }
}
