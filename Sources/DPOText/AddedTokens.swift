import DPOBase

/// A token that is looked for in the text before anything else happens to it, such as "<|im_start|>".
struct AddedToken: Sendable, Equatable {
  var content: String
  var singleWord = false
  var lstrip = false
  var rstrip = false
  var normalized = false
  var special = false

  /// An object as it stands in `added_tokens` or in tokenizer_config.json.
  init(_ field: JSONField) throws {
    content = try field.required("content").string()
    singleWord = try field.flag("single_word", default: false)
    lstrip = try field.flag("lstrip", default: false)
    rstrip = try field.flag("rstrip", default: false)
    special = try field.flag("special", default: false)
    normalized = try field.flag("normalized", default: !special)
    guard content.utf8.count <= AddedToken.longest else {
      throw field.error("content of \(content.utf8.count) bytes is longer than \(AddedToken.longest)")
    }
  }

  init(special content: String) {
    self.content = content
    special = true
  }

  /// The search is quadratic in this at worst.
  static let longest = 4096
}

/// The added tokens of a tokenizer, and the search for them.
struct AddedTokens: Sendable {
  private(set) var byID: [Int32: AddedToken] = [:]
  private var ids: [ByteString: Int32] = [:]
  private var raw = TokenTrie()
  private var normalized = TokenTrie()
  /// What normalized tokens look like in normalized text, where that differs from their content.
  private(set) var normalizedText: [Int32: [UInt8]] = [:]

  /// Strings that are equal only byte by byte.
  private struct ByteString: Hashable {
    let bytes: [UInt8]
    init(_ text: String) { bytes = Array(text.utf8) }
  }

  func id(of content: String) -> Int32? { ids[ByteString(content)] }
  var idLimit: Int { Int(byID.keys.max() ?? -1) + 1 }
  var isEmpty: Bool { byID.isEmpty }

  /// Adds a token under the id that `tokenizers` would give it: the one it has, or the next free one.
  @discardableResult
  mutating func add(_ token: AddedToken, to vocabulary: Vocabulary) -> Int32? {
    guard !token.content.isEmpty else { return nil }
    let id = id(of: token.content) ?? vocabulary.id(of: token.content) ?? Int32(max(vocabulary.count, idLimit))
    ids[ByteString(token.content)] = id
    byID[id] = token
    return id
  }

  /// Builds the search once all tokens are there.
  mutating func finish(normalizer: Normalizer?) throws {
    let scratch = try RegexScratch()
    for (id, token) in byID.sorted(by: { $0.key < $1.key }) {
      guard token.normalized else {
        raw.insert(Array(token.content.utf8), id: id)
        continue
      }
      let text = try normalizer?.apply(token.content, scratch) ?? Array(token.content.utf8)
      if text != Array(token.content.utf8) { normalizedText[id] = text }
      if !text.isEmpty { normalized.insert(text, id: id) }
    }
  }

  enum Stage { case raw, normalized }

  enum Part {
    case token(Int32)
    case text(UnsafeBufferPointer<UInt8>)
  }

  /// Cuts `text` at the added tokens of one stage: calls `body` with them and with what lies between, in order.
  func split(_ text: UnsafeBufferPointer<UInt8>, _ stage: Stage, _ body: (Part) throws -> Void) rethrows {
    let trie = stage == .raw ? raw : normalized
    guard !trie.isEmpty else { return text.isEmpty ? () : try body(.text(text)) }
    var done = 0
    var position = 0
    while let match = trie.firstMatch(in: text, from: position) {
      position = match.end
      guard let added = byID[match.id] else { continue }
      var start = match.start
      var end = match.end
      if added.singleWord {
        if start > 0, UTF8Text.isWord(UTF8Text.scalar(text, before: start).0) { continue }
        if end < text.count, UTF8Text.isWord(UTF8Text.scalar(text, end).0) { continue }
      }
      if added.lstrip {
        start = max(start, done)
        while start > done {
          let (scalar, previous) = UTF8Text.scalar(text, before: start)
          guard UTF8Text.isWhitespace(scalar) else { break }
          start = previous
        }
      }
      if added.rstrip {
        while end < text.count {
          let (scalar, next) = UTF8Text.scalar(text, end)
          guard UTF8Text.isWhitespace(scalar) else { break }
          end = next
        }
      }
      // A match inside of blanks that the one before has taken follows `tokenizers` to the letter.
      if done < start { try body(.text(UnsafeBufferPointer(rebasing: text[done..<start]))) }
      if start < end { try body(.token(match.id)) }
      done = end
    }
    if done < text.count { try body(.text(UnsafeBufferPointer(rebasing: text[done...]))) }
  }
}

/// A prefix tree over bytes that finds the leftmost, and of these the longest, of its tokens.
struct TokenTrie: Sendable {
  private struct Node {
    var byte: UInt8
    var id: Int32 = -1
    var child: Int32 = -1
    var sibling: Int32 = -1
  }

  /// Node 0 is the root; children form a list, except the root's, which have a table.
  private var nodes = [Node(byte: 0)]
  private var roots = [Int32](repeating: -1, count: 256)

  var isEmpty: Bool { nodes.count == 1 }

  mutating func insert(_ token: [UInt8], id: Int32) {
    var node: Int32 = 0
    for (depth, byte) in token.enumerated() {
      var child = depth == 0 ? roots[Int(byte)] : nodes[Int(node)].child
      while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
      if child < 0 {
        child = Int32(nodes.count)
        nodes.append(Node(byte: byte, sibling: depth == 0 ? -1 : nodes[Int(node)].child))
        if depth == 0 { roots[Int(byte)] = child } else { nodes[Int(node)].child = child }
      }
      node = child
    }
    nodes[Int(node)].id = id
  }

  func firstMatch(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> (start: Int, end: Int, id: Int32)? {
    nodes.withUnsafeBufferPointer { nodes in
      roots.withUnsafeBufferPointer { roots in
        for position in start..<max(start, text.count) {
          var node = roots[Int(text[position])]
          guard node >= 0 else { continue }
          var end = position
          var best: (end: Int, id: Int32)?
          while node >= 0 {
            end += 1
            if nodes[Int(node)].id >= 0 { best = (end, nodes[Int(node)].id) }
            guard end < text.count else { break }
            node = nodes[Int(node)].child
            while node >= 0, nodes[Int(node)].byte != text[end] { node = nodes[Int(node)].sibling }
          }
          if let best { return (position, best.end, best.id) }
        }
        return nil
      }
    }
  }
}
