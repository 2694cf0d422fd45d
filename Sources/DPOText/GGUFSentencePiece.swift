import DPOBase

/// SentencePiece's BPE in a GGUF file ("llama"): tokens with scores instead of merges. The pair whose union has the best score is
/// joined first, which is BPE with the unions ordered by their scores; see llama.cpp's `llm_tokenizer_spm`.
extension Tokenizer {
  static func sentencePiece(
    _ source: GGUFTokenizerSource, _ tokens: [String], _ vocabulary: Vocabulary, isGemma4: Bool = false
  ) throws -> GGUFKind {
    let hasMerges = try isGemma4 || source.strings("merges") != nil
    let scores = try source.numbers("scores")
    if !hasMerges {
      guard let scores else { throw source.error("scores", "is missing") }
      guard scores.count == tokens.count else {
        throw source.error("scores", "expected one for each of \(tokens.count) tokens, found \(scores.count)")
      }
      if let bad = scores.firstIndex(where: { !$0.isFinite }) {
        throw source.error("scores", "number \(bad) is \(scores[bad]); expected finite numbers")
      }
    }
    let addsSpace = try !isGemma4 && source.bool("add_space_prefix") ?? true
    let unknown = try source.int("unknown_token_id") ?? (isGemma4 ? -1 : 0)
    var rest = JSONObject()
    if let scores { rest["scores"] = .array(scores.map(JSON.real)) }
    if isGemma4 { rest["model"] = .string(gemma4) }
    let blank = "\u{2581}"
    let spaces: JSON = ["type": "Replace", "pattern": ["String": " "], "content": .string(blank)]
    let prepend: JSON = ["type": "Prepend", "prepend": .string(blank)]
    var decoders: [JSON] = [
      ["type": "Replace", "pattern": ["String": .string(blank)], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
    ]
    if addsSpace { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
    return GGUFKind(
      merges: hasMerges
        ? try source.merges(vocabulary) : merges(vocabulary, tokens, scores: scores ?? []),
      normalizer: addsSpace ? ["type": "Sequence", "normalizers": [prepend, spaces]] : spaces,
      decoder: ["type": "Sequence", "decoders": .array(decoders)],
      model: [
        "type": "BPE", "dropout": .null,
        "unk_token": tokens.indices.contains(unknown) ? .string(tokens[unknown]) : .null,
        "continuing_subword_prefix": .null, "end_of_word_suffix": .null, "fuse_unk": true, "byte_fallback": true,
        "ignore_merges": false,
      ], addsBOS: true, alwaysAddsBOS: isGemma4,
      rest: rest.isEmpty ? .null : .object(rest))
  }

  /// Every way in which a token, whatever its type, is the union of two: the best score first, then by the ids of the parts.
  private static func merges(_ vocabulary: Vocabulary, _ tokens: [String], scores: [Double]) -> MergeTable {
    var found: [(score: Double, left: Int32, right: Int32, merged: Int32)] = []
    for (id, token) in tokens.enumerated() {
      var token = token
      token.withUTF8 { text in
        for cut in 1..<max(1, text.count) where text[cut] & 0xC0 != 0x80 {
          guard let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: text[..<cut])),
            let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: text[cut...]))
          else { continue }
          found.append((scores[id], left, right, Int32(id)))
        }
      }
    }
    found.sort { ($1.score, $0.left, $0.right) < ($0.score, $1.left, $1.right) }
    let table = MergeTable(count: found.count)
    for (rank, merge) in found.enumerated() { table.insert(merge.left, merge.right, rank: rank, merged: merge.merged) }
    return table
  }

  /// What a GGUF file of this kind says of the tokens. Scores that no file gave follow from the merges: minus the rank of the
  /// first that makes the token, so that the same pair is joined first.
  /// - Throws: `.unsupported` for a tokenizer that llama.cpp has no kind for.
  func sentencePieceScores(_ ids: Range<Int32>) throws -> (values: [Double], addsSpace: Bool) {
    guard let addsSpace = sentencePiecePrefix, bpe.fallsBack else {
      throw DPOError.unsupported(
        "a tokenizer that is neither byte-level BPE nor SentencePiece's with byte_fallback cannot be written to a GGUF file"
      )
    }
    if let kept = skeleton[Tokenizer.ggufKey]?["scores"]?.array?.compactMap(\.double), kept.count >= ids.count {
      return (Array(kept.prefix(ids.count)), addsSpace)
    }
    var scores = [Double](repeating: 0, count: ids.count)
    for (rank, merge) in bpe.merges.ordered.enumerated().reversed() {
      guard let merged = bpe.merges.find(merge.left, merge.right)?.merged, ids.contains(merged) else { continue }
      scores[Int(merged)] = -Double(rank)
    }
    return (scores, addsSpace)
  }

  /// Whether a blank is put before a text; nil for other normalizers than SentencePiece's.
  private var sentencePiecePrefix: Bool? {
    let isBlank = { (step: JSON) in
      step["type"] == "Replace" && step["pattern"]?["String"] == " " && step["content"] == "\u{2581}"
    }
    // Gemma's splits at blanks, of which none are left by then.
    let pre = skeleton["pre_tokenizer"] ?? .null
    guard let normalizer = skeleton["normalizer"],
      pre.isNull || pre["type"] == "Split" && pre["pattern"]?["String"] == " "
    else { return nil }
    let steps = normalizer["normalizers"]?.array ?? [normalizer]
    guard let last = steps.last, isBlank(last) else { return nil }
    switch steps.dropLast() {
    case []: return false
    case [["type": "Prepend", "prepend": "\u{2581}"]]: return true
    default: return nil
    }
  }
}
