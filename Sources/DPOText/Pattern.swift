import DPOBase
import DPOPlatform

/// What Split and Replace look for: `{"String": …}` or `{"Regex": …}`, or a class of characters.
enum Pattern: Sendable {
  case literal([UInt8])
  case regex(Regex)
  case scalars(@Sendable (Unicode.Scalar) -> Bool)

  init(_ field: JSONField) throws {
    if let literal = field["String"] {
      let text = Array(try literal.string().utf8)
      guard (1...AddedToken.longest).contains(text.count) else {
        throw literal.error("a string of \(text.count) bytes to search for, expected 1 to \(AddedToken.longest)")
      }
      self = .literal(text)
    } else if let regex = field["Regex"] {
      self = .regex(try Regex(regex))
    } else {
      throw field.error("expected {\"String\": …} or {\"Regex\": …}, found \(field.value.kind)")
    }
  }

  /// Calls `body` with each match in order.
  func forEachMatch(
    in text: UnsafeBufferPointer<UInt8>, _ scratch: RegexScratch, _ body: (_ start: Int, _ end: Int) throws -> Void
  ) throws {
    switch self {
    case .regex(let regex): try scratch.forEachMatch(regex, in: text, body)
    case .literal(let needle):
      guard let base = text.baseAddress else { return }
      var position = 0
      while position + needle.count <= text.count {
        let room = text.count - position - needle.count + 1
        guard let found = memchr(base + position, Int32(needle[0]), room) else { return }
        let start = UnsafeRawPointer(found) - UnsafeRawPointer(base)
        if memcmp(found, needle, needle.count) == 0 {
          try body(start, start + needle.count)
          position = start + needle.count
        } else {
          position = start + 1
        }
      }
    case .scalars(let contains):
      var index = 0
      while index < text.count {
        let (scalar, next) = UTF8Text.scalar(text, index)
        if contains(scalar) { try body(index, next) }
        index = next
      }
    }
  }
}

/// What becomes of the matches when a text is split at them.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"

  init(_ field: JSONField) throws {
    let name = try field.string()
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw field.error("unknown behavior \"\(DPOError.printable(name))\"")
    }
    self = behavior
  }
}

/// A pattern with its behavior: cuts a text into pieces.
struct Splitter: Sendable {
  let pattern: Pattern
  let behavior: SplitBehavior
  /// What lies between the matches counts as the match.
  let inverted: Bool

  func forEachPiece(
    of text: UnsafeBufferPointer<UInt8>, _ scratch: RegexScratch,
    _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
  ) throws {
    func emit(_ start: Int, _ end: Int) throws {
      if start < end { try body(UnsafeBufferPointer(rebasing: text[start..<end])) }
    }
    // The piece that may still grow, and whether the part before the current one was a match.
    var pending: (start: Int, end: Int)?
    var previousWasMatch = false
    func take(_ start: Int, _ end: Int, isMatch: Bool) throws {
      let isMatch = isMatch != inverted
      let joins: Bool
      switch behavior {
      case .removed: return isMatch ? () : try emit(start, end)
      case .isolated: return try emit(start, end)
      case .contiguous: joins = isMatch == previousWasMatch
      case .mergedWithPrevious: joins = isMatch && !previousWasMatch
      case .mergedWithNext: joins = !isMatch && previousWasMatch
      }
      previousWasMatch = isMatch
      if joins, let first = pending {
        pending = (first.start, end)
      } else {
        if let last = pending { try emit(last.start, last.end) }
        pending = (start, end)
      }
    }
    var position = 0
    try pattern.forEachMatch(in: text, scratch) { start, end in
      if position < start { try take(position, start, isMatch: false) }
      try take(start, end, isMatch: true)
      position = end
    }
    if position < text.count { try take(position, text.count, isMatch: false) }
    if let last = pending { try emit(last.start, last.end) }
  }
}
