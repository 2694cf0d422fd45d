/// What a computation will take, before anything is allocated.
public struct MemoryPlan: Sendable, Equatable {
  /// What some purpose takes.
  public struct Part: Sendable, Equatable {
    /// "activations", "key-value cache", …
    public let name: String
    /// At most so many.
    public let bytes: Int
    /// They lie in files, and memory holds of them what it has room for.
    public let isOffloaded: Bool
  }

  /// All purposes, in the order in which they were first named.
  public private(set) var parts: [Part] = []
  /// Bytes of memory, those in files left out.
  public var total: Int { parts.reduce(0) { $1.isOffloaded ? $0 : $0 &+ $1.bytes } }
  /// Bytes in files.
  public var offloaded: Int { parts.reduce(0) { $1.isOffloaded ? $0 &+ $1.bytes : $0 } }

  package init() {}

  /// Adds bytes to the part of that name. Parts keep the order in which they were first named.
  package mutating func add(_ name: String, bytes: Int, offloaded: Bool = false) {
    if let index = parts.firstIndex(where: { $0.name == name && $0.isOffloaded == offloaded }) {
      parts[index] = Part(name: name, bytes: parts[index].bytes &+ bytes, isOffloaded: offloaded)
    } else {
      parts.append(Part(name: name, bytes: bytes, isOffloaded: offloaded))
    }
  }

  /// Adds all parts of another plan.
  package mutating func add(_ other: MemoryPlan) {
    for part in other.parts { add(part.name, bytes: part.bytes, offloaded: part.isOffloaded) }
  }

  /// Bytes of the part of that name, in memory or not; 0 without one.
  public subscript(name: String) -> Int { parts.reduce(0) { $1.name == name ? $0 &+ $1.bytes : $0 } }
}
