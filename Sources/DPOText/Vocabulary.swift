import DPOBase

/// Multiplicative hashing of short byte strings. The seed differs from process to process, so that no file can be made
/// whose tokens all collide; nothing that leaves a table depends on it.
enum ByteHash {
  static let seed = UInt64.random(in: 0...UInt64.max)

  @inline(__always)
  static func hash(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    var hash = seed ^ UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
    var index = 0
    while index + 8 <= count {
      let chunk = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt64.self)
      hash = (hash ^ chunk) &* 0xD6E8_FEB8_6659_FD93
      hash ^= hash >> 32
      index += 8
    }
    var tail: UInt64 = 0
    var shift: UInt64 = 0
    while index < count {
      tail |= UInt64(bytes[index]) << shift
      shift += 8
      index += 1
    }
    hash = (hash ^ tail) &* 0xD6E8_FEB8_6659_FD93
    hash ^= hash >> 29
    return hash &* 0x9E37_79B9_7F4A_7C15
  }
}

/// Tokens by id and ids by token, byte for byte: Swift's `String` equality would take two spellings of "é" for one.
final class Vocabulary: @unchecked Sendable {
  /// No vocabulary in use comes near; tables by id stay small whatever a file claims.
  static let largestID = (1 << 22) - 1

  /// The largest id + 1.
  let idLimit: Int
  private(set) var count = 0
  private let starts: UnsafeMutablePointer<UInt32>
  private let lengths: UnsafeMutablePointer<UInt32>
  private let text: UnsafeMutablePointer<UInt8>
  private let textCapacity: Int
  private var textCount = 0
  private let slots: UnsafeMutablePointer<Int32>
  private let shift: UInt64
  private let mask: Int

  private static let absent = UInt32.max

  /// Room for `count` tokens of together `bytes` bytes with ids below `idLimit`.
  init(count: Int, bytes: Int, idLimit: Int) {
    self.idLimit = idLimit
    starts = .allocate(capacity: max(1, idLimit))
    starts.initialize(repeating: 0, count: idLimit)
    lengths = .allocate(capacity: max(1, idLimit))
    lengths.initialize(repeating: Vocabulary.absent, count: idLimit)
    text = .allocate(capacity: max(1, bytes))
    textCapacity = bytes
    var bits: UInt64 = 4
    while 1 << bits < count * 2 { bits += 1 }
    slots = .allocate(capacity: 1 << bits)
    slots.initialize(repeating: -1, count: 1 << bits)
    shift = 64 - bits
    mask = 1 << bits - 1
  }

  deinit {
    starts.deallocate()
    lengths.deallocate()
    text.deallocate()
    slots.deallocate()
  }

  enum Insertion: Equatable {
    case done
    case sameText(Int32)
    case sameID
  }

  /// Adds a token within the room that `init` was told of.
  func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int32) -> Insertion {
    precondition(id >= 0 && Int(id) < idLimit && textCount + token.count <= textCapacity && count < mask)
    guard lengths[Int(id)] == Vocabulary.absent else { return .sameID }
    let start = text + textCount
    for index in 0..<token.count { start[index] = token[index] }
    var slot = Int(truncatingIfNeeded: ByteHash.hash(start, token.count) >> shift)
    while slots[slot] >= 0 {
      if equal(slots[slot], start, token.count) { return .sameText(slots[slot]) }
      slot = (slot + 1) & mask
    }
    slots[slot] = id
    starts[Int(id)] = UInt32(textCount)
    lengths[Int(id)] = UInt32(token.count)
    textCount += token.count
    count += 1
    return .done
  }

  @inline(__always)
  private func equal(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard Int(lengths[Int(id)]) == count else { return false }
    let own = text + Int(starts[Int(id)])
    for index in 0..<count where own[index] != bytes[index] { return false }
    return true
  }

  @inline(__always)
  func id(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32? {
    var slot = Int(truncatingIfNeeded: ByteHash.hash(bytes, count) >> shift)
    while slots[slot] >= 0 {
      if equal(slots[slot], bytes, count) { return slots[slot] }
      slot = (slot + 1) & mask
    }
    return nil
  }

  func id(of bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard let base = bytes.baseAddress else { return nil }
    return id(base, bytes.count)
  }

  func id(of token: String) -> Int32? {
    var token = token
    return token.withUTF8 { id(of: $0) }
  }

  /// The UTF-8 of a token, valid as long as the vocabulary.
  @inline(__always)
  func bytes(of id: Int32) -> UnsafeBufferPointer<UInt8>? {
    guard id >= 0, Int(id) < idLimit, lengths[Int(id)] != Vocabulary.absent else { return nil }
    return UnsafeBufferPointer(start: text + Int(starts[Int(id)]), count: Int(lengths[Int(id)]))
  }

  func token(_ id: Int32) -> String? { bytes(of: id).map { String(decoding: $0, as: UTF8.self) } }

  /// The length in bytes of the longest token.
  var longest: Int { (0..<idLimit).reduce(0) { lengths[$1] == Vocabulary.absent ? $0 : max($0, Int(lengths[$1])) } }
}
