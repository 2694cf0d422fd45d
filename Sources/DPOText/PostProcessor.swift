import DPOBase

/// Special tokens around a text: the `post_processor` of tokenizer.json, for single sequences.
struct PostProcessor: Sendable {
  private enum Piece: Sendable {
    case text
    case tokens([Int32])
  }

  private var pieces: [Piece] = [.text]

  /// `isToken` says whether an id exists.
  init(_ field: JSONField?, isToken: (Int32) -> Bool) throws {
    if let field { try apply(field, isToken) }
  }

  private mutating func apply(_ field: JSONField, _ isToken: (Int32) -> Bool) throws {
    func id(_ field: JSONField) throws -> Int32 {
      let id = Int32(try field.int(in: 0...Vocabulary.largestID))
      guard isToken(id) else { throw field.error("\(id) is not the id of a token") }
      return id
    }
    let type = try field.required("type").string()
    switch type {
    case "Sequence":
      let steps = try field.required("processors").elements()
      guard steps.count <= PreTokenizer.longestSequence else { throw field.error("too many steps in a sequence") }
      for step in steps { try apply(step, isToken) }
    case "ByteLevel": break
    case "TemplateProcessing":
      let special = try field.required("special_tokens")
      var template: [Piece] = []
      for piece in try field.required("single").elements() {
        if let sequence = piece["Sequence"] {
          let name = try sequence.required("id").string()
          guard name == "A" else {
            throw sequence.error("a single text has no sequence \"\(DPOError.printable(name))\"")
          }
          template.append(.text)
        } else if let token = piece["SpecialToken"] {
          let name = try token.required("id").string()
          guard let entry = special[name] else {
            throw token.error("\"\(DPOError.printable(name))\" is not among special_tokens")
          }
          template.append(.tokens(try entry.required("ids").elements().map(id)))
        } else {
          throw piece.error("expected a Sequence or a SpecialToken")
        }
      }
      try wrap(template, field)
    case "BertProcessing", "RobertaProcessing":
      func token(_ key: String) throws -> Piece {
        let pair = try field.required(key).elements()
        guard pair.count == 2 else { throw field.error("\(key): expected a token and its id") }
        return .tokens([try id(pair[1])])
      }
      try wrap([token("cls"), .text, token("sep")], field)
    default: throw field.unsupported("post-processor \"\(DPOError.printable(type))\" is not supported")
    }
  }

  /// Puts what is there so far in the place of the text in `template`.
  private mutating func wrap(_ template: [Piece], _ field: JSONField) throws {
    pieces = template.flatMap { piece in
      if case .text = piece { return pieces }
      return [piece]
    }
    guard pieces.count <= 1024 else { throw field.error("too many pieces in a template") }
  }

  /// What it puts before a text, and behind it.
  var around: (before: [Int32], after: [Int32]) {
    let texts = pieces.indices.filter { if case .text = pieces[$0] { true } else { false } }
    func ids(_ pieces: ArraySlice<Piece>) -> [Int32] {
      pieces.flatMap { piece -> [Int32] in if case .tokens(let ids) = piece { ids } else { [] } }
    }
    guard let first = texts.first, let last = texts.last else { return ([], []) }
    return (ids(pieces[..<first]), ids(pieces[(last + 1)...]))
  }

  func process(_ tokens: [Int32], addSpecialTokens: Bool) -> [Int32] {
    if pieces.count == 1, case .text = pieces[0] { return tokens }
    var out: [Int32] = []
    out.reserveCapacity(tokens.count + pieces.count)
    for piece in pieces {
      switch piece {
      case .text: out.append(contentsOf: tokens)
      case .tokens(let ids): if addSpecialTokens { out.append(contentsOf: ids) }
      }
    }
    return out
  }
}
