import DPOBase
import DPOModel
import DPOText

/// A model's tokenizer as two documents, whatever files its facts stand in.
package struct TokenizerDocuments: Sendable {
  /// tokenizer.json
  package var json: JSON?
  /// tokenizer_config.json, with every special token and every chat template in it.
  package var configuration: JSON?
  /// tokenizer.json as other programs know it.
  var plainJSON: JSON? {
    guard var object = json?.object else { return json }
    object[Tokenizer.ggufKey] = nil
    return .object(object)
  }
  /// The file that the default chat template is from, where that is not tokenizer_config.json.
  package var templateFile: String?
}

/// Where a Hugging Face directory may name its special tokens and chat templates, and what wins (transformers 5.23,
/// `PreTrainedTokenizerBase._from_pretrained`):
///
/// 1. templates: chat_template.jinja and additional_chat_templates/*.jinja, else `chat_template` of tokenizer_config.json;
/// 2. tokens: special_tokens_map.json, unless tokenizer_config.json has `added_tokens_decoder`; then tokenizer_config.json;
/// 3. tokens named nowhere: the defaults of transformers' tokenizer class, if the vocabulary has them;
/// 4. EOS named nowhere: the first id of `eos_token_id` in generation_config.json or config.json, as llama.cpp's converter
///    does.
///
/// A name that is null is no token, and looked for no further. `add_prefix_space` counts for the classes of 3, which make their
/// pre-tokenizer themselves.
extension HuggingFaceDirectory {
  package func tokenizerDocuments() throws -> TokenizerDocuments {
    let settings = try optionalJSON("tokenizer_config.json")
    guard var json = try tokenizerJSON() else { return TokenizerDocuments(configuration: settings) }
    guard var configuration = settings.map(\.object) ?? JSONObject() else {
      throw DPOError.format(file("tokenizer_config.json"), "expected an object, found \(settings?.kind ?? "nothing")")
    }
    let tokens = TokenTexts(json)
    // transformers takes several templates as a list or as an object.
    if let named = configuration["chat_template"]?.object {
      configuration["chat_template"] = .array(named.members.map { ["name": .string($0.key), "template": $0.value] })
    }
    let templates = try templateFiles()
    if let only = templates.first, templates.count == 1, only.name == "default" {
      configuration["chat_template"] = .string(only.source)
    } else if !templates.isEmpty {
      configuration["chat_template"] = .array(
        templates.map { ["name": .string($0.name), "template": .string($0.source)] })
    }
    if configuration["added_tokens_decoder"] == nil, let map = try optionalJSON("special_tokens_map.json") {
      guard let map = map.object else {
        throw DPOError.format(file("special_tokens_map.json"), "expected an object, found \(map.kind)")
      }
      for (name, token) in map.members {
        if name == "extra_special_tokens", let more = token.array {
          let old = configuration[name]?.array ?? []
          configuration[name] = .array(old + more.map(tokens.named).filter { !old.contains($0) })
        } else {
          configuration[name] = token.array.map { .array($0.map(tokens.named)) } ?? tokens.named(token)
        }
      }
    }
    try addTokens(to: &configuration)
    let model = try optionalJSON("config.json")
    let defaults = defaultTokens(
      configuration["tokenizer_class"] ?? model?["tokenizer_class"], model?["model_type"])
    for (name, token) in defaults where configuration[name] == nil && tokens.has(token) {
      configuration[name] = .string(token)
    }
    // The same classes make their pre-tokenizer themselves, by this setting.
    if !defaults.isEmpty, let step = json["pre_tokenizer"], var object = json.object {
      object["pre_tokenizer"] = puttingBlank(step, configuration["add_prefix_space"]?.bool ?? false)
      json = .object(object)
    }
    if configuration["eos_token"] == nil {
      let ids = try [optionalJSON("generation_config.json"), model].map { $0?["eos_token_id"] ?? .null }
      let id = ids.lazy.compactMap { $0.int ?? $0.array?.first?.int }.first
      if let token = id.flatMap(tokens.text) { configuration["eos_token"] = .string(token) }
    }
    return TokenizerDocuments(
      json: json, configuration: .object(configuration), templateFile: templates.first?.file)
  }

  /// added_tokens.json, which old files have instead of `added_tokens_decoder`.
  private func addTokens(to configuration: inout JSONObject) throws {
    guard configuration["added_tokens_decoder"] == nil, let added = try optionalJSON("added_tokens.json")?.object,
      !added.isEmpty
    else { return }
    let special = configuration.members.flatMap { [$0.value] + ($0.value.array ?? []) }
    var decoder = JSONObject()
    for (text, id) in added.members {
      guard let id = id.int else {
        throw DPOError.format(
          file("added_tokens.json"), "\(DPOError.printable(text)): expected an id, found \(id.kind)")
      }
      let isSpecial = special.contains { $0.string == text || $0["content"]?.string == text }
      decoder["\(id)"] = ["content": .string(text), "normalized": .bool(!isSpecial), "special": .bool(isSpecial)]
    }
    configuration["added_tokens_decoder"] = .object(decoder)
  }

  /// Templates in files of their own, the default one first.
  private func templateFiles() throws -> [(name: String, source: String, file: String)] {
    var found: [(name: String, file: String)] = []
    if has("chat_template.jinja") { found.append(("default", file("chat_template.jinja"))) }
    let more = "additional_chat_templates"
    if fileKind(file(more)) == .directory {
      for name in try directoryNames(file(more)) where name.hasSuffix(".jinja") {
        found.append((String(name.dropLast(".jinja".count)), file("\(more)/\(name)")))
      }
    }
    return try found.map { name, file in
      guard let source = String(validating: try readFile(file, limit: Self.maximumSettings), as: UTF8.self) else {
        throw DPOError.format(file, "not valid UTF-8")
      }
      return (name, source, file)
    }
  }
}

/// A pre-tokenizer whose byte-level step puts a blank before a text, or does not.
private func puttingBlank(_ step: JSON, _ adds: Bool) -> JSON {
  guard var object = step.object else { return step }
  switch object["type"]?.string {
  case "ByteLevel": object["add_prefix_space"] = .bool(adds)
  case "Sequence":
    object["pretokenizers"] = (object["pretokenizers"]?.array).map { .array($0.map { puttingBlank($0, adds) }) }
  default: break
  }
  return .object(object)
}

/// What transformers' tokenizer classes call their special tokens where no file does.
private func defaultTokens(_ name: JSON?, _ modelType: JSON?) -> [(name: String, token: String)] {
  let ofFamily = Family.all.first { $0.name == modelType?.string }?.tokenizerClass
  let given = ofFamily?.always == true ? nil : name?.string
  var name = given ?? ofFamily?.name ?? ""
  if name.hasSuffix("Fast") { name.removeLast("Fast".count) }
  let end = "<|endoftext|>"
  return switch name {
  case "GPT2Tokenizer", "CodeGenTokenizer": [("bos_token", end), ("eos_token", end), ("unk_token", end)]
  case "GPTNeoXTokenizer":
    [("bos_token", end), ("eos_token", end), ("unk_token", end), ("pad_token", "<|padding|>")]
  case "Qwen2Tokenizer": [("eos_token", end), ("unk_token", end), ("pad_token", end)]
  case "CohereTokenizer":
    [
      ("bos_token", "<BOS_TOKEN>"), ("eos_token", "<|END_OF_TURN_TOKEN|>"), ("unk_token", "<UNK>"),
      ("pad_token", "<PAD>"), ("cls_token", "<CLS>"), ("sep_token", "<SEP>"), ("mask_token", "<MASK_TOKEN>"),
    ]
  default: []
  }
}

/// Texts and ids of the tokens of a tokenizer.json.
private struct TokenTexts {
  private let vocabulary: JSONObject
  private let added: [JSON]

  init(_ tokenizer: JSON) {
    vocabulary = tokenizer["model"]?["vocab"]?.object ?? JSONObject()
    added = tokenizer["added_tokens"]?.array ?? []
  }

  func has(_ token: String) -> Bool {
    vocabulary[token] != nil || added.contains { $0["content"]?.string == token }
  }

  /// A token of special_tokens_map.json as tokenizer_config.json has it: its text where tokenizer.json knows it, whose flags
  /// count, else an object that transformers takes for a token.
  func named(_ token: JSON) -> JSON {
    guard var object = token.object, let text = object["content"]?.string else { return token }
    if has(text) { return .string(text) }
    object["__type"] = "AddedToken"
    object["special"] = true
    return .object(object)
  }

  func text(_ id: Int) -> String? {
    added.first { $0["id"]?.int == id }?["content"]?.string ?? vocabulary.members.first { $0.value.int == id }?.key
  }
}
