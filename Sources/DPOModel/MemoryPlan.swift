/// What a computation will take, before anything is allocated.
public struct MemoryPlan: Sendable, Equatable {
  public struct Part: Sendable, Equatable {
    public let name: String
    public let bytes: Int
  }

  public private(set) var parts: [Part] = []
  public var total: Int { parts.reduce(0) { $0 &+ $1.bytes } }

  public init() {}

  /// Adds bytes to the part of that name. Parts keep the order in which they were first named.
  public mutating func add(_ name: String, bytes: Int) {
    if let index = parts.firstIndex(where: { $0.name == name }) {
      parts[index] = Part(name: name, bytes: parts[index].bytes &+ bytes)
    } else {
      parts.append(Part(name: name, bytes: bytes))
    }
  }

  public subscript(name: String) -> Int { parts.first { $0.name == name }?.bytes ?? 0 }
}
