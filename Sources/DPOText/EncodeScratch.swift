import DPOBase
import Synchronization

/// What one encoding needs for itself: room for matching, and the words it has seen.
final class EncodeScratch {
  let regex: RegexScratch
  let cache = WordCache()

  init() throws { regex = try RegexScratch() }
}

/// Scratch that waits for the next call, so that the words of one text are known when the next one comes. A call takes
/// one for itself: nothing is locked while it works.
final class ScratchPool: Sendable {
  private struct Idle: @unchecked Sendable { var items: [EncodeScratch] = [] }
  private let idle = Mutex(Idle())
  /// Calls beyond this many at a time make their own.
  private static let kept = 16

  func use<Result>(_ body: (EncodeScratch) throws -> Result) throws -> Result {
    let box = idle.withLock { Taken(scratch: $0.items.popLast()) }
    let scratch = try box.scratch ?? EncodeScratch()
    defer {
      let box = Taken(scratch: scratch)
      idle.withLock { idle in
        if idle.items.count < ScratchPool.kept, let scratch = box.scratch { idle.items.append(scratch) }
      }
    }
    return try body(scratch)
  }

  private struct Taken: @unchecked Sendable { let scratch: EncodeScratch? }
}

/// The tokens of short words met before: a table of fixed size in which a word replaces the one before it.
final class WordCache {
  static let longestWord = 24
  private static let mostTokens = 7
  private static let bits: UInt64 = 14

  private struct Entry {
    var text: (UInt64, UInt64, UInt64) = (0, 0, 0)
    var tokens: (Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0, 0)
    /// 0: nothing here.
    var textCount: UInt8 = 0
    var tokenCount: UInt8 = 0
  }

  private let entries: UnsafeMutablePointer<Entry>

  init() {
    entries = .allocate(capacity: 1 << Int(WordCache.bits))
    entries.initialize(repeating: Entry(), count: 1 << Int(WordCache.bits))
  }

  deinit { entries.deallocate() }

  @inline(__always)
  private static func key(_ word: UnsafePointer<UInt8>, _ count: Int) -> (UInt64, UInt64, UInt64) {
    var key: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &key) { $0.copyMemory(from: UnsafeRawBufferPointer(start: word, count: count)) }
    return key
  }

  @inline(__always)
  private func entry(_ key: (UInt64, UInt64, UInt64), _ count: Int) -> UnsafeMutablePointer<Entry> {
    var hash = (key.0 ^ UInt64(truncatingIfNeeded: count)) &* 0x9E37_79B9_7F4A_7C15
    hash = (hash ^ hash >> 32 ^ key.1) &* 0xD6E8_FEB8_6659_FD93
    hash = (hash ^ hash >> 32 ^ key.2) &* 0x9E37_79B9_7F4A_7C15
    return entries + Int(truncatingIfNeeded: hash >> (64 - WordCache.bits))
  }

  /// `count` is in 1…longestWord.
  @inline(__always)
  func find(_ word: UnsafePointer<UInt8>, _ count: Int, appendingTo out: inout [Int32]) -> Bool {
    let key = WordCache.key(word, count)
    let entry = entry(key, count)
    guard Int(entry.pointee.textCount) == count, entry.pointee.text == key else { return false }
    if entry.pointee.tokenCount == 1 {
      out.append(entry.pointee.tokens.0)
    } else {
      withUnsafeBytes(of: &entry.pointee.tokens) {
        out.append(contentsOf: $0.bindMemory(to: Int32.self).prefix(Int(entry.pointee.tokenCount)))
      }
    }
    return true
  }

  func store(_ word: UnsafePointer<UInt8>, _ count: Int, tokens: ArraySlice<Int32>) {
    guard tokens.count <= WordCache.mostTokens else { return }
    let key = WordCache.key(word, count)
    let entry = entry(key, count)
    entry.pointee.text = key
    entry.pointee.textCount = UInt8(count)
    entry.pointee.tokenCount = UInt8(tokens.count)
    withUnsafeMutableBytes(of: &entry.pointee.tokens) { room in
      for (index, token) in tokens.enumerated() {
        room.storeBytes(of: token, toByteOffset: 4 * index, as: Int32.self)
      }
    }
  }
}
