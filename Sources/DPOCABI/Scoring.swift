import CDPO
import CHandles
import DPO
import DPOBase
import DPOPlatform

// Section 2 of dpo.h: scoring.

extension HandleKind where Object == LanguageModel {
  static var model: HandleKind { HandleKind(code: 1, name: "model") }
}

@_cdecl("dpo_model_open") @implementation
public func dpo_model_open(
  _ path: UnsafePointer<CChar>?, _ adapter: UnsafePointer<CChar>?, _ threads: Int32,
  _ model: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 { open(path, adapter, threads, inMemory: false, model) }

@_cdecl("dpo_model_load") @implementation
public func dpo_model_load(
  _ path: UnsafePointer<CChar>?, _ adapter: UnsafePointer<CChar>?, _ threads: Int32,
  _ model: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 { open(path, adapter, threads, inMemory: true, model) }

private func open(
  _ path: UnsafePointer<CChar>?, _ adapter: UnsafePointer<CChar>?, _ threads: Int32, inMemory: Bool,
  _ model: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    ch_opening()
    defer { ch_opened() }
    let model = try required(model, "model")
    let opened = try LanguageModel(
      path: text(path, "path"), adapter: optionalText(adapter, "adapter"), threads: Int(threads), inMemory: inMemory)
    let handle = try HandleKind.model.make(opened)
    opened.stopRequested = takeCancel(of: handle)
    model.pointee = handle
  }
}

@_cdecl("dpo_model_set_engine") @implementation
public func dpo_model_set_engine(_ model: OpaquePointer?, _ engine: UnsafePointer<CChar>?) -> Int32 {
  withStatus(model) {
    let engine = try Engine(named: text(engine, "engine"))
    try HandleKind.model.use(model) { try $0.use(engine) }
  }
}

@_cdecl("dpo_model_cancel") @implementation public func dpo_model_cancel(_ model: OpaquePointer?) {
  // One atomic store: a signal handler may call this.
  ch_cancel(UnsafeRawPointer(model), 1)
}

@_cdecl("dpo_model_release") @implementation public func dpo_model_release(_ model: OpaquePointer?) {
  HandleKind.model.release(model)
}

@_cdecl("dpo_model_get_info") @implementation
public func dpo_model_get_info(_ model: OpaquePointer?, _ info: UnsafeMutablePointer<dpo_model_info>?) -> Int32 {
  withStatus(model) {
    try HandleKind.model.use(model) { model in
      let configuration = model.configuration
      var values = dpo_model_info()
      values.parameters = UInt64(model.file.parameterCount)
      values.mapped_bytes = UInt64(model.file.mappedBytes)
      values.vocabulary_size = Int32(clamping: configuration.vocabularySize)
      values.hidden_size = Int32(clamping: configuration.hiddenSize)
      values.layers = Int32(clamping: configuration.layerCount)
      values.context_length = Int32(clamping: configuration.contextLength)
      values.eos_token = Int32(clamping: configuration.eosTokens.first ?? -1)
      values.bos_token = Int32(clamping: configuration.bosToken ?? -1)
      values.has_chat_template = (try? model.file.tokenizer?.chatTemplate) == nil ? 0 : 1
      values.has_adapter = model.adapter == nil ? 0 : 1
      copyName(configuration.family.name, to: &values.architecture)
      copyName(model.file.format.rawValue, to: &values.format)
      values.is_reward_model = model.isRewardModel ? 1 : 0
      try dpo_model_info.write(values, to: info)
    }
  }
}

/// Fills a `char name[N]`, always with a NUL at its end.
private func copyName<Characters>(_ name: String, to field: inout Characters) {
  withUnsafeMutableBytes(of: &field) { bytes in
    bytes.copyBytes(from: name.utf8.prefix(bytes.count - 1))
  }
}

@_cdecl("dpo_inspect") @implementation
public func dpo_inspect(_ path: UnsafePointer<CChar>?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?)
  -> Int32
{
  withStatus {
    let json = try required(json, "json")
    json.pointee = try copiedText(Inspection.of(text(path, "path")).description).text
  }
}

/// Uses a model for a call that dpo_model_cancel ends. A wish from before the call does not count.
func useCancellably<Result>(_ model: OpaquePointer?, _ body: (LanguageModel) throws -> Result) throws -> Result {
  try HandleKind.model.use(model) { object in
    if let flag = ch_cancel_flag(UnsafeRawPointer(model)) { ch_flag_clear(flag) }
    return try body(object)
  }
}

// MARK: - Text

@_cdecl("dpo_model_encode") @implementation
public func dpo_model_encode(
  _ model: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ size: Int, _ add_special_tokens: Int32,
  _ ids: UnsafeMutablePointer<Int32>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(model) {
    let count = try required(count, "count")
    guard capacity >= 0, ids != nil || capacity == 0 else {
      throw DPOError.argument("ids is NULL; expected room for \(UInt(bitPattern: capacity)) ids")
    }
    let text = try utf8Text(text, size, "text")
    try HandleKind.model.use(model) { model in
      let encoded = try model.tokenizer.encode(text, addSpecialTokens: add_special_tokens != 0)
      if let ids { for (index, id) in encoded.prefix(capacity).enumerated() { ids[index] = id } }
      count.pointee = encoded.count
    }
  }
}

@_cdecl("dpo_model_decode") @implementation
public func dpo_model_decode(
  _ model: OpaquePointer?, _ ids: UnsafePointer<Int32>?, _ count: Int,
  _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(model) {
    let text = try required(text, "text")
    let given = try array(ids, count, "ids")
    try requireRoom(rows: 0, bytes: count)
    let ids = Array(given)
    try HandleKind.model.use(model) { model in
      let most = max(model.configuration.vocabularySize, try model.tokenizer.vocabularySize)
      if let bad = ids.firstIndex(where: { !(0..<most).contains(Int($0)) }) {
        throw DPOError.argument("ids[\(bad)] is \(ids[bad]), expected 0 to \(most - 1)")
      }
      let copy = try copiedText(model.tokenizer.decode(ids, skipSpecialTokens: false))
      text.pointee = copy.text
      size?.pointee = copy.size
    }
  }
}

@_cdecl("dpo_model_apply_chat_template") @implementation
public func dpo_model_apply_chat_template(
  _ model: OpaquePointer?, _ messages_json: UnsafePointer<CChar>?, _ add_generation_prompt: Int32,
  _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
  withStatus(model) {
    let output = try required(text, "text")
    let document = try JSON.parse(DPOCABI.text(messages_json, "messages_json"), file: "messages_json")
    guard let messages = document.array else {
      throw DPOError.format("messages_json", "\(document.kind), expected an array of messages")
    }
    try HandleKind.model.use(model) { model in
      let copy = try copiedText(model.chat(messages, addGenerationPrompt: add_generation_prompt != 0))
      output.pointee = copy.text
      size?.pointee = copy.size
    }
  }
}

/// UTF-8 of a given length, which may hold any character.
private func utf8Text(_ pointer: UnsafePointer<CChar>?, _ size: Int, _ name: String) throws -> String {
  let bytes = UnsafeRawBufferPointer(try array(pointer, size, name))
  try requireRoom(rows: 0, bytes: size)
  guard let text = String(validating: bytes, as: UTF8.self) else {
    throw DPOError.argument("\(name) is not valid UTF-8")
  }
  return text
}

// MARK: - Scores

@_cdecl("dpo_model_score_tokens") @implementation
public func dpo_model_score_tokens(
  _ model: OpaquePointer?, _ prompt_ids: UnsafePointer<Int32>?, _ prompt_lengths: UnsafePointer<Int>?,
  _ prompt_count: Int, _ completion_ids: UnsafePointer<Int32>?, _ completion_lengths: UnsafePointer<Int>?,
  _ completion_prompts: UnsafePointer<Int>?, _ completion_count: Int, _ token_logps: UnsafeMutablePointer<Float>?,
  _ sum_logps: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(model) {
    let prompts = try lists(prompt_ids, prompt_lengths, prompt_count, "prompt_ids", "prompt_lengths")
    let tokens = try lists(completion_ids, completion_lengths, completion_count, "completion_ids", "completion_lengths")
    let parents = try array(completion_prompts, completion_count, "completion_prompts")
    try useCancellably(model) { model in
      let scores = try model.score(prompts: prompts, completions: zip(parents, tokens).map { ($0, $1) })
      write(scores.map(\.logProb), to: sum_logps)
      guard var next = token_logps else { return }
      for (score, tokens) in zip(scores, tokens) {
        // The first token after an empty prompt has no score and counts 0.
        let missing = tokens.count - score.tokenLogProbs.count
        next.update(repeating: 0, count: missing)
        (next + missing).update(from: score.tokenLogProbs, count: score.tokenLogProbs.count)
        next += tokens.count
      }
    }
  }
}

@_cdecl("dpo_model_reward_tokens") @implementation
public func dpo_model_reward_tokens(
  _ model: OpaquePointer?, _ prompt_ids: UnsafePointer<Int32>?, _ prompt_lengths: UnsafePointer<Int>?,
  _ prompt_count: Int, _ completion_ids: UnsafePointer<Int32>?, _ completion_lengths: UnsafePointer<Int>?,
  _ completion_prompts: UnsafePointer<Int>?, _ completion_count: Int, _ rewards: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(model) {
    let rewards = try required(rewards, "rewards")
    let prompts = try lists(prompt_ids, prompt_lengths, prompt_count, "prompt_ids", "prompt_lengths")
    let tokens = try lists(completion_ids, completion_lengths, completion_count, "completion_ids", "completion_lengths")
    let parents = try array(completion_prompts, completion_count, "completion_prompts")
    try useCancellably(model) { model in
      write(try model.rewards(prompts: prompts, completions: zip(parents, tokens).map { ($0, $1) }), to: rewards)
    }
  }
}

@_cdecl("dpo_model_reward_texts") @implementation
public func dpo_model_reward_texts(
  _ model: OpaquePointer?, _ prompts: UnsafePointer<UnsafePointer<CChar>?>?,
  _ completions: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ rewards: UnsafeMutablePointer<Double>?
) -> Int32 {
  withStatus(model) {
    let rewards = try required(rewards, "rewards")
    let rows = zip(try texts(prompts, count, "prompts"), try texts(completions, count, "completions"))
    try useCancellably(model) { model in
      write(try model.rewards(texts: rows.map { (prompt: $0, completion: $1) }), to: rewards)
    }
  }
}

/// `count` lists of ids that stand one after the other in an array.
func lists(
  _ ids: UnsafePointer<Int32>?, _ lengths: UnsafePointer<Int>?, _ count: Int, _ idsName: String, _ lengthsName: String
) throws -> [[Int32]] {
  let lengths = try array(lengths, count, lengthsName)
  var total = 0
  for length in lengths {
    guard length >= 0, length <= maximumCount - total else {
      throw DPOError.argument("\(lengthsName): a length of \(UInt(bitPattern: length))")
    }
    guard ids != nil || length == 0 else { throw DPOError.argument("\(idsName) is NULL") }
    total += length
  }
  try requireRoom(rows: count, bytes: total / 4)
  var start = 0
  return lengths.map { length in
    defer { start += length }
    return Array(UnsafeBufferPointer(start: ids.map { $0 + start }, count: length))
  }
}

@_cdecl("dpo_model_score_texts") @implementation
public func dpo_model_score_texts(
  _ model: OpaquePointer?, _ prompts: UnsafePointer<UnsafePointer<CChar>?>?,
  _ completions: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ sum_logps: UnsafeMutablePointer<Double>?,
  _ token_counts: UnsafeMutablePointer<Int32>?
) -> Int32 {
  withStatus(model) {
    let rows = zip(try texts(prompts, count, "prompts"), try texts(completions, count, "completions"))
    try useCancellably(model) { model in
      let scores = try model.score(texts: rows.map { (prompt: $0, completion: $1) })
      write(scores.map(\.logProb), to: sum_logps)
      write(scores.map { Int32(clamping: $0.tokenLogProbs.count) }, to: token_counts)
    }
  }
}

/// An array of NUL-terminated strings.
func texts(_ pointers: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ name: String) throws -> [String] {
  let pointers = try array(pointers, count, name)
  try requireRoom(rows: count, bytes: pointers.reduce(0) { $0 &+ ($1.map { strlen($0) } ?? 0) })
  return try pointers.enumerated().map { try text($0.element, "\(name)[\($0.offset)]") }
}

/// Refuses rows whose lists and tokens would leave too little address space: about 1 KiB each, and 24 bytes a byte of text.
private func requireRoom(rows: Int, bytes: Int) throws {
  let (fixed, first) = rows.multipliedReportingOverflow(by: 1024)
  let (texts, second) = bytes.multipliedReportingOverflow(by: 24)
  try Machine.requireRoom(for: first || second ? Int.max / 2 : min(fixed, Int.max / 4) + min(texts, Int.max / 4))
}
