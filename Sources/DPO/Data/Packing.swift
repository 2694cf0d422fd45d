extension DatasetContents {
  /// Rows that share a pack, where the options ask for that.
  func packs() -> [[Int]]? {
    guard options.packs, let limit = options.maxLength else { return nil }
    let (first, ends) = (columns.firstSegments, columns.ends)
    let lengths = columns.lines.indices.map { row in
      min(limit, ends[first[row + 1] - 1] - (first[row] == 0 ? 0 : ends[first[row] - 1]))
    }
    return bestFitDecreasing(lengths, limit: limit)
  }
}

/// Packs of at most `limit` tokens by best-fit decreasing, with TRL's order of packs and of rows within them: in each block
/// of 1000 rows the longest goes first, and into the pack that it fills best.
package func bestFitDecreasing(_ lengths: [Int], limit: Int, block: Int = 1000) -> [[Int]] {
  var packs: [[Int]] = []
  for start in stride(from: 0, to: lengths.count, by: block) {
    let rows = (start..<min(start + block, lengths.count)).sorted {
      lengths[$0] != lengths[$1] ? lengths[$0] > lengths[$1] : $0 < $1
    }
    var open = OpenPacks(most: min(limit, rows.reduce(0) { $0 + lengths[$1] }))
    for row in rows {
      let length = lengths[row]
      if let (pack, used) = open.take(upTo: limit - length) {
        packs[pack].append(row)
        open.put(pack, used: used + length)
      } else {
        open.put(packs.count, used: length)
        packs.append([row])
      }
    }
  }
  return packs
}

/// Packs by the tokens in them; of equally full ones the one that has waited longest is taken.
private struct OpenPacks {
  private var waiting: [Int: (packs: [Int], next: Int)] = [:]
  /// A bit for every number of tokens of which there is a pack.
  private var present: [UInt64]

  init(most: Int) { present = [UInt64](repeating: 0, count: most / 64 + 1) }

  mutating func put(_ pack: Int, used: Int) {
    waiting[used, default: ([], 0)].packs.append(pack)
    if used / 64 < present.count { present[used / 64] |= 1 << UInt64(used % 64) }
  }

  /// The fullest pack of at most `limit` tokens.
  mutating func take(upTo limit: Int) -> (pack: Int, used: Int)? {
    guard limit > 0 else { return nil }
    let last = min(limit, present.count * 64 - 1)
    var word = last / 64
    var bits = present[word] & (UInt64.max >> UInt64(63 - last % 64))
    while bits == 0 {
      guard word > 0 else { return nil }
      word -= 1
      bits = present[word]
    }
    let used = word * 64 + 63 - bits.leadingZeroBitCount
    guard var queue = waiting.removeValue(forKey: used) else { return nil }
    let pack = queue.packs[queue.next]
    queue.next += 1
    if queue.next < queue.packs.count {
      waiting[used] = queue
    } else {
      present[word] &= ~(1 << UInt64(used % 64))
    }
    return (pack, used)
  }
}

extension TokenizedDataset {
  /// What a batch counts: packs, or rows where each stands alone.
  package var packCount: Int { packs?.count ?? count }

  package func rows(ofPacks range: Range<Int>) -> [Int] {
    packs.map { $0[range].flatMap { $0 } } ?? Array(range)
  }
}
