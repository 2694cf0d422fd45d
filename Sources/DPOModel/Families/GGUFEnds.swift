/// llama.cpp's end-of-generation tokens (`llama_vocab::impl::load`): those that a file's keys name, and those whose text says so.
package enum GGUFEnds {
  /// Of `tokenizer.ggml.`, EOS first.
  package static let keys = [
    "eos_token_id", "eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id",
  ]

  private static let texts: Set = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
  ]

  /// Texts that count only where the file has no such key.
  private static let textsWithoutKey = [
    "<|fim_pad|>": "fim_pad_token_id", "<fim-pad>": "fim_pad_token_id", "<fim_pad>": "fim_pad_token_id",
    "<PAD>": "fim_pad_token_id", "[PAD]": "fim_pad_token_id", "<|fim_repo|>": "fim_rep_token_id",
    "<|repo_name|>": "fim_rep_token_id", "<fim-repo>": "fim_rep_token_id", "<REPO>": "fim_rep_token_id",
    "<reponame>": "fim_rep_token_id", "<|file_sep|>": "fim_sep_token_id",
  ]

  /// Ids of the tokens: those of keys in their order, then those of texts.
  package static func find(_ tokens: some Collection<String>, keys ids: [String: Int]) -> [Int] {
    var found = keys.compactMap { ids[$0] }
    var texts: [String: Int] = [:]
    for (id, token) in tokens.enumerated() where "<_[".contains(token.first ?? " ") {
      let withoutKey = textsWithoutKey[token].map { ids[$0] == nil } ?? false
      if withoutKey || GGUFEnds.texts.contains(token) { found.append(id) }
      if found.contains(id) { texts[token] = id }
    }
    func has(_ some: String...) -> Bool { some.contains { texts[$0] != nil } }
    // Where a message has an end of its own, "<|end|>" only ends a part of it. Gemma 4's and PLaMo's "</s>" is text.
    if has("<|call|>", "<|calls|>"), has("<|return|>", "<|flush|>") { found.removeAll { $0 == texts["<|end|>"] } }
    if has("<|tool_response>", "<|plamo:eos|>") { found.removeAll { $0 == texts["</s>"] } }
    var seen: Set<Int> = []
    return found.filter { seen.insert($0).inserted }
  }
}
