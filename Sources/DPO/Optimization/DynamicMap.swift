import CKernels

/// The 256 numbers of dynamic tree quantisation (Dettmers 2016, 8-Bit Approximations for Parallelism in Deep Learning), those
/// of bitsandbytes' `create_dynamic_map`: the smaller a number is, the more of its bits say so, and the fewer are left for
/// its fraction.
package struct DynamicMap: @unchecked Sendable {
  /// From −0.993 to 1, for what may be below 0.
  package static let signed = DynamicMap(isSigned: true)
  /// From 0 to 1.
  package static let unsigned = DynamicMap(isSigned: false)

  /// Lives as long as the process.
  package let table: UnsafePointer<ck_dynamic_map>
  package let values: [Float]

  private init(isSigned: Bool) {
    var values: [Float] = [0, 1]
    for exponent in 0..<7 {
      let parts = 1 << (isSigned ? exponent : exponent + 1)
      let scale = Float(DynamicMap.powers[exponent])
      let borders = DynamicMap.linspace(parts + 1)
      for (lower, upper) in zip(borders, borders.dropFirst()) {
        let mean = scale * ((lower + upper) / 2)
        values.append(mean)
        if isSigned { values.append(-mean) }
      }
    }
    values.sort()
    self.values = values
    let middles = zip(values, values.dropFirst()).map { $0 + ($1 - $0) / 2 } + [.infinity]
    let first = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
    for upper in 0..<1 << 16 {
      // Of negative numbers the one with the largest bits is the smallest.
      let isNegative = upper >= 1 << 15
      let smallest = Float(bitPattern: UInt32(upper) << 16 | (isNegative ? 0xFFFF : 0))
      first[upper] = UInt8(middles.firstIndex { smallest <= $0 } ?? 0)
    }
    let table = UnsafeMutablePointer<ck_dynamic_map>.allocate(capacity: 1)
    table.initialize(to: ck_dynamic_map())
    withUnsafeMutableBytes(of: &table.pointee.values) { to in values.withUnsafeBytes { to.copyMemory(from: $0) } }
    withUnsafeMutableBytes(of: &table.pointee.middles) { to in middles.withUnsafeBytes { to.copyMemory(from: $0) } }
    table.pointee.first = UnsafePointer(first)
    self.table = UnsafePointer(table)
  }

  private static let powers = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]

  /// torch.linspace(0.1, 1, count) in f32, which counts from both ends and rounds once.
  private static func linspace(_ count: Int) -> [Float] {
    let (start, end) = (Float(0.1), Float(1))
    let step = (end - start) / Float(count - 1)
    return (0..<count).map {
      $0 < count / 2 ? start.addingProduct(step, Float($0)) : end.addingProduct(-step, Float(count - 1 - $0))
    }
  }
}
