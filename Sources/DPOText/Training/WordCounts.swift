import DPOBase

/// How often each word of a corpus occurs. Words are numbered in the order in which they first came.
struct WordCounts {
  private(set) var counts: [Int] = []
  /// The bytes of all words, one after the other.
  private(set) var text: [UInt8] = []
  private(set) var ends: [Int] = []
  private var hashes: [UInt64] = []
  /// Word numbers by hash, -1 where there is none; a power of two of them, at most half of them used.
  private var slots = [Int32](repeating: -1, count: 1 << 12)

  func range(_ word: Int) -> Range<Int> { (word == 0 ? 0 : ends[word - 1])..<ends[word] }

  mutating func add(_ word: UnsafeBufferPointer<UInt8>) throws {
    guard let base = word.baseAddress else { return }
    let hash = ByteHash.hash(base, word.count)
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] >= 0 {
      let known = Int(slots[slot])
      if hashes[known] == hash, text[range(known)].elementsEqual(word) {
        counts[known] += 1
        return
      }
      slot = (slot + 1) & (slots.count - 1)
    }
    guard text.count + word.count <= Int(Int32.max) else {
      throw DPOError.unsupported("the corpus has more than \(Int32.max) bytes of different words")
    }
    slots[slot] = Int32(counts.count)
    counts.append(1)
    hashes.append(hash)
    text.append(contentsOf: word)
    ends.append(text.count)
    if counts.count * 2 > slots.count { grow() }
  }

  private mutating func grow() {
    slots = [Int32](repeating: -1, count: 2 * slots.count)
    for (word, hash) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(word)
    }
  }
}
