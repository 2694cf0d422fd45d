import DPOBase
import HeapModule

/// Byte-pair encoding: the `model` of tokenizer.json.
///
/// A word starts as its characters; the adjacent pair with the lowest rank is joined, the leftmost of equals first,
/// until no pair has a merge.
struct BPE: Sendable {
  let vocabulary: Vocabulary
  let merges: MergeTable
  /// Words are bytes, and stand for the characters of the byte-level alphabet.
  let isByteLevel: Bool
  /// A word that is a token as it stands is taken whole (Llama 3).
  let ignoresMerges: Bool
  private let fusesUnknown: Bool
  /// Characters outside of the vocabulary become their bytes.
  var fallsBack: Bool { fallbackTokens != nil }
  var unknownToken: String? { unknown?.text }
  /// Whether the token stands for a byte.
  func isFallback(_ id: Int32) -> Bool { fallbackTokens?.contains(id) ?? false }
  private let unknown: (text: String, id: Int32?)?
  /// The id of each byte's character in the byte-level alphabet; -1 if it has none.
  private let byteTokens: [Int32]
  /// The ids of "<0x00>" to "<0xFF>", for characters outside of the vocabulary; -1 where there is none.
  private let fallbackTokens: [Int32]?
  /// No character can be unknown, or nothing comes in its place.
  private let isSimple: Bool

  init(_ field: JSONField, vocabulary: Vocabulary, merges: MergeTable, isByteLevel: Bool) throws {
    self.vocabulary = vocabulary
    self.merges = merges
    self.isByteLevel = isByteLevel
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = field[key], try !affix.string().isEmpty {
        throw affix.unsupported("only an empty string or null is supported")
      }
    }
    if let dropout = field["dropout"] {
      guard let rate = dropout.value.double else {
        throw dropout.error("expected a number, found \(dropout.value.kind)")
      }
      guard rate == 0 else { throw dropout.unsupported("BPE dropout is not supported") }
    }
    ignoresMerges = try field.flag("ignore_merges", default: false)
    fusesUnknown = try field.flag("fuse_unk", default: false)
    unknown = try field["unk_token"].map { field in
      let text = try field.string()
      return (text, vocabulary.id(of: text))
    }
    let byteTokens: [Int32] = (0..<256).map { byte in
      var name: [UInt8] = []
      withUnsafePointer(to: UInt8(byte)) { ByteLevel.encode(UnsafeBufferPointer(start: $0, count: 1), into: &name) }
      return name.withUnsafeBufferPointer { vocabulary.id(of: $0) } ?? -1
    }
    let fallsBack = try field.flag("byte_fallback", default: false)
    self.byteTokens = byteTokens
    fallbackTokens =
      !fallsBack
      ? nil
      : (0..<256).map { byte in
        let digits = String(byte, radix: 16, uppercase: true)
        return vocabulary.id(of: "<0x\(digits.count == 1 ? "0" : "")\(digits)>") ?? -1
      }
    isSimple = isByteLevel && (byteTokens.allSatisfy { $0 >= 0 } || (unknown == nil && !fallsBack))
  }

  /// Appends the tokens of one word.
  func encode(_ word: UnsafeBufferPointer<UInt8>, _ scratch: EncodeScratch, into out: inout [Int32]) throws {
    guard let base = word.baseAddress, !word.isEmpty else { return }
    let isCacheable = word.count <= WordCache.longestWord
    if isCacheable, scratch.cache.find(base, word.count, appendingTo: &out) { return }
    let start = out.count
    if ignoresMerges, let whole = wholeToken(word) {
      out.append(whole)
    } else if word.count <= BPE.shortWord {
      try encodeShort(word, into: &out)
    } else {
      try encodeLong(word, into: &out)
    }
    if isCacheable { scratch.cache.store(base, word.count, tokens: out[start...]) }
  }

  private func wholeToken(_ word: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard isByteLevel else { return vocabulary.id(of: word) }
    var name: [UInt8] = []
    name.reserveCapacity(2 * word.count)
    ByteLevel.encode(word, into: &name)
    return name.withUnsafeBufferPointer { vocabulary.id(of: $0) }
  }

  /// Calls `add` with each symbol that merging starts from. A character outside of the vocabulary becomes its bytes, or
  /// the unknown token, or nothing.
  @inline(__always)
  private func forEachSymbol(_ word: UnsafeBufferPointer<UInt8>, _ add: (Int32) -> Void) throws {
    if isSimple {
      for byte in word where byteTokens[Int(byte)] >= 0 { add(byteTokens[Int(byte)]) }
    } else if isByteLevel {
      var characters: [UInt8] = []
      ByteLevel.encode(word, into: &characters)
      try characters.withUnsafeBufferPointer { try forEachCharacterSymbol($0, add) }
    } else {
      try forEachCharacterSymbol(word, add)
    }
  }

  private func forEachCharacterSymbol(_ word: UnsafeBufferPointer<UInt8>, _ add: (Int32) -> Void) throws {
    var pendingUnknown: Int32?
    var index = 0
    while index < word.count {
      let next = UTF8Text.scalar(word, index).1
      let character = UnsafeBufferPointer(rebasing: word[index..<next])
      index = next
      if let id = vocabulary.id(of: character) {
        if let unknown = pendingUnknown { add(unknown) }
        pendingUnknown = nil
        add(id)
      } else if let fallbackTokens, character.allSatisfy({ fallbackTokens[Int($0)] >= 0 }) {
        for byte in character { add(fallbackTokens[Int(byte)]) }
      } else if let unknown {
        guard let id = unknown.id else {
          throw DPOError.unsupported(
            "the text has a character outside of the vocabulary, as is unk_token \"\(DPOError.printable(unknown.text))\""
          )
        }
        if let previous = pendingUnknown, !fusesUnknown { add(previous) }
        pendingUnknown = id
      }
    }
    if let unknown = pendingUnknown { add(unknown) }
  }

  /// Up to here looking at all pairs for every merge beats a queue.
  private static let shortWord = 40

  private func encodeShort(_ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
    // At most two symbols a byte: a character of the byte-level alphabet that falls back to its own bytes.
    try withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2 * BPE.shortWord) { ids in
      try withUnsafeTemporaryAllocation(of: (rank: UInt32, merged: Int32).self, capacity: 2 * BPE.shortWord) { pairs in
        var count = 0
        try forEachSymbol(word) {
          ids[count] = $0
          count += 1
        }
        let none = (rank: UInt32.max, merged: Int32(-1))
        for index in 0..<max(0, count - 1) { pairs[index] = merges.find(ids[index], ids[index + 1]) ?? none }
        while count > 1 {
          var best = 0
          for index in 1..<(count - 1) where pairs[index].rank < pairs[best].rank { best = index }
          guard pairs[best].merged >= 0 else { break }
          ids[best] = pairs[best].merged
          count -= 1
          for index in (best + 1)..<max(count, best + 1) { ids[index] = ids[index + 1] }
          for index in (best + 1)..<max(count - 1, best + 1) { pairs[index] = pairs[index + 1] }
          if best + 1 < count { pairs[best] = merges.find(ids[best], ids[best + 1]) ?? none }
          if best > 0 { pairs[best - 1] = merges.find(ids[best - 1], ids[best]) ?? none }
        }
        out.append(contentsOf: ids[..<count])
      }
    }
  }

  /// The same with a queue of pairs: n log n, for words of any length.
  private func encodeLong(_ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
    var ids: [Int32] = []
    ids.reserveCapacity(word.count)
    try forEachSymbol(word) { ids.append($0) }
    let count = ids.count
    guard count > 1 else { return out.append(contentsOf: ids) }
    let removed: Int32 = -1
    // Neighbours of each symbol that is still there.
    var next = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
      for index in 0..<count { buffer[index] = Int32(index + 1) }
      size = count
    }
    var previous = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
      for index in 0..<count { buffer[index] = Int32(index - 1) }
      size = count
    }
    // (rank, position) of the left symbol, smallest first; entries that no longer hold are skipped.
    var queue = Heap(
      (0..<(count - 1)).compactMap { index in
        merges.find(ids[index], ids[index + 1]).map { UInt64($0.rank) << 32 | UInt64(index) }
      })
    while let top = queue.popMin() {
      let left = Int(truncatingIfNeeded: top & 0xFFFF_FFFF)
      guard ids[left] != removed, next[left] < count else { continue }
      let right = Int(next[left])
      guard let pair = merges.find(ids[left], ids[right]), pair.rank == UInt32(top >> 32) else { continue }
      ids[left] = pair.merged
      ids[right] = removed
      next[left] = next[right]
      if next[left] < count {
        previous[Int(next[left])] = Int32(left)
        if let pair = merges.find(ids[left], ids[Int(next[left])]) {
          queue.insert(UInt64(pair.rank) << 32 | UInt64(left))
        }
      }
      if previous[left] >= 0 {
        let before = Int(previous[left])
        if let pair = merges.find(ids[before], ids[left]) { queue.insert(UInt64(pair.rank) << 32 | UInt64(before)) }
      }
    }
    for id in ids where id != removed { out.append(id) }
  }
}
