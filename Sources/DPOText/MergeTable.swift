/// BPE merges: (left id, right id) → rank and the id of the two together.
final class MergeTable: @unchecked Sendable {
  struct Entry {
    var key: UInt64
    var rank: UInt32
    var merged: Int32
  }

  private(set) var count = 0
  private let entries: UnsafeMutablePointer<Entry>
  private let capacity: Int
  private let shift: UInt64
  private let mask: Int

  private static let empty = UInt64.max

  init(count: Int) {
    var bits: UInt64 = 4
    while 1 << bits < count * 2 { bits += 1 }
    capacity = 1 << bits
    shift = 64 - bits
    mask = capacity - 1
    entries = .allocate(capacity: capacity)
    entries.initialize(repeating: Entry(key: MergeTable.empty, rank: 0, merged: 0), count: capacity)
  }

  deinit { entries.deallocate() }

  @inline(__always)
  private func slot(_ key: UInt64) -> Int {
    let mixed = (key ^ ByteHash.seed) &* 0x9E37_79B9_7F4A_7C15
    var slot = Int(truncatingIfNeeded: ((mixed ^ mixed >> 32) &* 0xD6E8_FEB8_6659_FD93) >> shift)
    while entries[slot].key != key && entries[slot].key != MergeTable.empty { slot = (slot + 1) & mask }
    return slot
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// A pair that comes again gets its later rank, as in `tokenizers`.
  func insert(_ left: Int32, _ right: Int32, rank: Int, merged: Int32) {
    let key = MergeTable.key(left, right)
    let slot = slot(key)
    if entries[slot].key == MergeTable.empty { count += 1 }
    precondition(count < capacity)
    entries[slot] = Entry(key: key, rank: UInt32(rank), merged: merged)
  }

  @inline(__always)
  func find(_ left: Int32, _ right: Int32) -> (rank: UInt32, merged: Int32)? {
    let found = entries[slot(MergeTable.key(left, right))]
    return found.key == MergeTable.empty ? nil : (found.rank, found.merged)
  }

  /// Pairs in the order of their ranks.
  var ordered: [(left: Int32, right: Int32)] {
    let used = UnsafeBufferPointer(start: entries, count: capacity).filter { $0.key != MergeTable.empty }
    return used.sorted { $0.rank < $1.rank }.map {
      (Int32(truncatingIfNeeded: $0.key >> 32), Int32(truncatingIfNeeded: $0.key))
    }
  }
}
