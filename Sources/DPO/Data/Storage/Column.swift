import DPOBase

/// Numbers of a data set's rows, one after the other: in memory, or in a mapped file. A part of a column keeps its places.
public struct Column<Element: BitwiseCopyable & Sendable>: RandomAccessCollection, @unchecked Sendable {
  /// Places of the elements: of a part those that it has in the whole.
  public let startIndex, endIndex: Int
  /// Of place 0; nil where there are no elements.
  private let base: UnsafePointer<Element>?
  /// What the elements live in.
  private let owner: (any Sendable)?

  /// - Parameter bytes: aligned, and of whole elements; live as long as `owner`.
  init(_ bytes: UnsafeRawBufferPointer, owner: (any Sendable)?) {
    base = bytes.baseAddress?.assumingMemoryBound(to: Element.self)
    (startIndex, endIndex) = (0, bytes.count / MemoryLayout<Element>.stride)
    self.owner = owner
  }

  private init(_ column: Column, _ range: Range<Int>) {
    (base, owner, startIndex, endIndex) = (column.base, column.owner, range.lowerBound, range.upperBound)
  }

  /// The element at a place.
  public subscript(position: Int) -> Element {
    precondition(position >= startIndex && position < endIndex)
    return base.unsafelyUnwrapped[position]
  }

  /// A part.
  public subscript(bounds: Range<Int>) -> Column {
    precondition(bounds.lowerBound >= startIndex && bounds.upperBound <= endIndex)
    return Column(self, bounds)
  }

  /// The elements where they lie.
  func withElements<Result>(_ body: (UnsafeBufferPointer<Element>) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(owner) {
      try body(UnsafeBufferPointer(start: base.map { $0 + startIndex }, count: endIndex - startIndex))
    }
  }

  /// The elements of both, one after the other.
  public static func + (a: Column, b: Column) -> [Element] { Array(a) + Array(b) }

  /// As `withElements`.
  public func withContiguousStorageIfAvailable<Result>(
    _ body: (UnsafeBufferPointer<Element>) throws -> Result
  ) rethrows -> Result? { try withElements(body) }
}

extension Column: Equatable where Element: Equatable {
  /// Whether the elements are equal, wherever they lie.
  public static func == (a: Column, b: Column) -> Bool {
    a.count == b.count && (a.startIndex == b.startIndex && a.base == b.base || a.elementsEqual(b))
  }
}

extension Column: Hashable where Element: Hashable {
  /// The elements' bytes.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(count)
    withElements { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
