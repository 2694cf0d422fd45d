/// A parameter store in blocks of about equal size, by which work on it is divided.
///
/// A block ends where a block of 8-bit states ends as well: all states that its update needs are of its own numbers.
package struct StoreBlocks: Sendable {
  private let size: Int
  /// The first number of each, and last the store's end.
  private let borders: [Int]

  /// - Parameter counts: numbers of the store's parameters, in order.
  package init(_ counts: [Int], size: Int) {
    self.size = size
    var borders = [0]
    var start = 0
    for count in counts {
      let end = start + count
      // Every multiple of `size` moves up to the next place where the parameter may be cut.
      for multiple in stride(from: (start + size - 1) / size * size, to: end, by: size) where multiple > 0 {
        let whole = (multiple - start + StateFormat.blockSize - 1) / StateFormat.blockSize * StateFormat.blockSize
        borders.append(min(start + whole, end))
      }
      start = end
    }
    if borders.last != start { borders.append(start) }
    self.borders = borders
  }

  package var count: Int { borders.count - 1 }
  package var ranges: [Range<Int>] { (0..<count).map { self[$0] } }
  package subscript(block: Int) -> Range<Int> { borders[block]..<borders[block + 1] }

  /// The block that a number belongs to.
  package func index(of number: Int) -> Int {
    let block = min(number / size, count - 1)
    return borders[block] <= number ? block : block - 1
  }
}
