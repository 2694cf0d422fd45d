/// What a computation will take, before anything is allocated.
public struct MemoryPlan: Sendable, Equatable {
  /// What some purpose takes.
  public struct Part: Sendable, Equatable {
    /// "activations", "key-value cache", …
    public let name: String
    /// At most so many.
    public let bytes: Int
  }

  /// All purposes, in the order in which they were first named.
  public private(set) var parts: [Part] = []
  /// Bytes of all parts.
  public var total: Int { parts.reduce(0) { $0 &+ $1.bytes } }

  package init() {}

  /// Adds bytes to the part of that name. Parts keep the order in which they were first named.
  package mutating func add(_ name: String, bytes: Int) {
    if let index = parts.firstIndex(where: { $0.name == name }) {
      parts[index] = Part(name: name, bytes: parts[index].bytes &+ bytes)
    } else {
      parts.append(Part(name: name, bytes: bytes))
    }
  }

  /// Bytes of the part of that name, 0 without one.
  public subscript(name: String) -> Int { parts.first { $0.name == name }?.bytes ?? 0 }
}
