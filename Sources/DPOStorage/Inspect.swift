import DPOBase
import DPOModel
import DPOTensor
import DPOText

/// What a model, adapter or checkpoint at `path` holds, after all its checks: an object with `kind` ("model", "adapter" or
/// "checkpoint"), `format`, `architecture`, `parameters` (their number), `tensors` (`name`, `dtype`, `shape` each, in our
/// layout) and more. Of a model that libdpo does not know what its file tells by itself, with the reason under `untrainable`.
///
/// Returns the model as well, if it is one that can be trained.
package func inspectFile(_ path: String) throws -> (found: JSON, model: ModelFile?) {
  if fileKind(path) == .directory, HuggingFaceDirectory(path).isAdapter { return (try inspectPEFT(path), nil) }
  let content = try FileContent(path)
  switch content {
  case .gguf(let mapped):
    let file = try GGUFFile(mapped)
    if file.metadata["general.type"] == .string("adapter") { return (inspectAdapter(file), nil) }
  case .hdf5:
    let reader = try CheckpointReader(path)
    if reader.header.kind != .model { return (inspectCheckpoint(reader), nil) }
  default: break
  }
  do {
    let model = try ModelFile.open(path)
    return (model.inspection, model)
  } catch let error as DPOError where error.code == .unsupported {
    guard let found = try unknownModel(path, content, error) else { throw error }
    return (found, nil)
  }
}

extension ModelFile {
  /// The model as `inspectFile` shows it.
  package var inspection: JSON {
    let family = configuration.family
    let listed = family.parameters(configuration).compactMap { parameter in
      tensors[parameter.name].map { describe(name: $0.name, dtype: $0.dtype.rawValue, shape: $0.shape) }
    }
    var out: JSONObject = [
      "kind": "model",
      "format": .string(format.rawValue),
      "architecture": .string(configuration.family.name),
      "parameters": .int(parameterCount),
      "bytes": .int(mappedBytes),
      "configuration": family.huggingFaceJSON(configuration),
      "tokenizer": tokenizerInspection,
      "provenance": provenance,
    ]
    if !passedOver.isEmpty {
      var owners = JSONObject()
      for part in passedOver { owners[part.owner] = ["tensors": .int(part.count), "bytes": .int(part.bytes)] }
      out["passed_over"] = .object(owners)
    }
    out["tensors"] = .array(listed)
    return .object(out)
  }
}

extension ModelFile {
  /// The special tokens by name, the tokens that end an answer, the chat templates, and what does not fit together.
  private var tokenizerInspection: JSON {
    let tokenizer: Tokenizer
    do {
      guard let found = try self.tokenizer else { return .null }
      tokenizer = found
    } catch {
      return ["error": .string((error as? DPOError)?.message ?? "\(error)")]
    }
    func shown(_ id: Int32) -> JSON { ["id": .int(Int(id)), "text": tokenizer.token(id).map(JSON.string) ?? .null] }
    var out: JSONObject = ["tokens": .int(tokenizer.vocabularySize)]
    for (name, text) in tokenizer.specialTokens {
      out[name] = tokenizer.id(of: text).map(shown) ?? .string(text)
    }
    out["puts_before"] = .array(tokenizer.around.before.map(shown))
    out["puts_behind"] = .array(tokenizer.around.after.map(shown))
    out["ends"] = .array(configuration.eosTokens.map { shown(Int32(clamping: $0)) })
    var warnings: [String] = []
    do {
      let template = try tokenizer.chatTemplate
      out["chat_templates"] = .array((template?.names ?? []).map(JSON.string))
      if let end = template.flatMap({ turnEnd($0, tokenizer) }), !configuration.eosTokens.contains(Int(end)) {
        warnings.append(
          "the chat template ends an answer with \"\(tokenizer.token(end) ?? "")\", which does not end generation: name it in "
            + "eos_token_id of generation_config.json")
      }
    } catch { warnings.append((error as? DPOError)?.message ?? "\(error)") }
    if configuration.eosTokens.isEmpty { warnings.append("no token ends a text: generation goes on to its limit") }
    if (try? tokenizerDocuments())?.configuration?["split_special_tokens"] == .bool(true) {
      warnings.append(
        "split_special_tokens of tokenizer_config.json is not applied: special tokens in a text stay whole")
    }
    for name in unappliedGenerationSettings {
      warnings.append("\(name) of generation_config.json is not applied when answers are drawn")
    }
    if tokenizer.eosToken == nil {
      warnings.append("no EOS token: rows of text cannot be learned from, as nothing ends them")
    }
    let rows = configuration.vocabularySize
    if tokenizer.vocabularySize > rows {
      let example =
        (rows..<tokenizer.vocabularySize).lazy.compactMap { tokenizer.token(Int32(clamping: $0)) }.first ?? ""
      warnings.append(
        "tokens from id \(rows) on, such as \"\(DPOError.printable(example, limit: 30))\", have no row in the embedding: text "
          + "that holds them cannot be read")
    }
    if !warnings.isEmpty { out["warnings"] = .array(warnings.map(JSON.string)) }
    return .object(out)
  }

  /// The special token that the template writes behind an answer.
  private func turnEnd(_ template: ChatTemplate, _ tokenizer: Tokenizer) -> Int32? {
    let answer = "xyzzy"
    let text = try? template.render(
      messages: [["role": "user", "content": "x"], ["role": "assistant", "content": .string(answer)]],
      addGenerationPrompt: false, variables: tokenizer.templateVariables)
    guard let text, let place = text.offset(behind: answer) else { return nil }
    let ids = try? tokenizer.encode(
      String(decoding: text.utf8.dropFirst(place), as: UTF8.self), addSpecialTokens: false)
    return ids?.first(where: tokenizer.isSpecial)
  }
}

/// What a file tells of a model that cannot be trained; nil: nothing.
private func unknownModel(_ path: String, _ content: FileContent, _ error: DPOError) throws -> JSON? {
  let (format, architecture, tensors): (ModelFile.Format, JSON, [FileTensor])
  var settings = JSONObject()
  switch content {
  case .gguf(let mapped):
    let file = try GGUFFile(parts: mapped)
    format = .gguf
    architecture = file.metadata["general.architecture"].flatMap(\.text).map(JSON.string) ?? .null
    tensors = file.tensors
    for key in file.metadata.keys where !key.hasPrefix("tokenizer.") {
      if let value = file.metadata[key]?.short { settings[key] = value }
    }
  case .huggingFaceDirectory:
    let directory = HuggingFaceDirectory(path)
    let json = Family.textPart(try directory.json("config.json"))
    format = .huggingFace
    architecture = json["model_type"] ?? .null
    tensors = try directory.tensors()
    settings = json.object ?? settings
  default: return nil
  }
  var encodings = JSONObject()
  for tensor in tensors { encodings[tensor.dtypeName] = .int((encodings[tensor.dtypeName]?.int ?? 0) + 1) }
  return [
    "kind": "model", "format": .string(format.rawValue), "architecture": architecture,
    "parameters": .int(tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }),
    "bytes": .int(tensors.reduce(0) { $0 + $1.bytes.count }), "encodings": .object(encodings),
    "configuration": .object(settings), "untrainable": .string(error.message),
    "tensors": .array(tensors.map { describe(name: $0.name, dtype: $0.dtypeName, shape: $0.shape) }),
  ]
}

extension GGUFValue {
  fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }

  /// A value that is no array.
  fileprivate var short: JSON? {
    switch self {
    case .int(let number): .int(number)
    case .double(let number): .real(number)
    case .bool(let flag): .bool(flag)
    case .string(let text) where text.utf8.count <= 200: .string(text)
    default: nil
    }
  }
}

private func describe(name: String, dtype: String, shape: [Int]) -> JSON {
  ["name": .string(name), "dtype": .string(dtype), "shape": .array(shape.map(JSON.int))]
}

private func adapterDescription(
  format: AdapterFile.Format, architecture: JSON, rank: JSON, alpha: Double, basePath: String?, tensors: [FileTensor]
) -> JSON {
  let count = tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
  return [
    "kind": "adapter",
    "format": .string(format.rawValue),
    "architecture": architecture,
    "parameters": .int(count),
    "rank": rank,
    "alpha": .real(alpha),
    "base": basePath.map(JSON.string) ?? .null,
    "tensors": .array(tensors.map { describe(name: $0.name, dtype: $0.dtypeName, shape: $0.shape) }),
  ]
}

private func inspectPEFT(_ path: String) throws -> JSON {
  let adapter = try PEFTAdapter(path)
  return adapterDescription(
    format: .peft, architecture: .null, rank: .int(adapter.configuration.rank), alpha: adapter.configuration.alpha,
    basePath: adapter.basePath, tensors: adapter.tensors.sorted { $0.name < $1.name })
}

private func inspectAdapter(_ file: GGUFFile) -> JSON {
  let architecture: JSON =
    if case .string(let name) = file.metadata["general.architecture"] { .string(name) } else { .null }
  let alpha = if case .double(let value) = file.metadata["adapter.lora.alpha"] { value } else { 0.0 }
  let rank = file.tensors.first { $0.name.hasSuffix(".lora_a") }?.shape.first
  return adapterDescription(
    format: .gguf, architecture: architecture, rank: rank.map(JSON.int) ?? .null, alpha: alpha, basePath: nil,
    tensors: file.tensors)
}

/// The tensors of /model or /adapter by their names, those of the optimiser and others by their paths.
private func inspectCheckpoint(_ reader: CheckpointReader) -> JSON {
  let group = reader.hasModel ? CheckpointFormat.model : CheckpointFormat.adapter
  let weights = reader.datasets.filter { directoryOf($0.path) == group }
  let listed = reader.datasets.map { dataset in
    describe(
      name: directoryOf(dataset.path) == group ? nameOf(dataset.path) : dataset.path, dtype: "F32", shape: dataset.shape
    )
  }
  let header = reader.header
  var out: JSONObject = [
    "kind": .string(header.kind.rawValue),
    "format": "hdf5",
    "architecture": header.configuration["model_type"] ?? .null,
    "parameters": .int(weights.reduce(0) { $0 + $1.shape.reduce(1, *) }),
    "provenance": header.provenance,
  ]
  if let adapter = header.adapterConfiguration { out["adapter_config"] = adapter }
  if let base = header.baseModel { out["base"] = .string(base.path) }
  if let step = header.trainer?["step"] { out["step"] = step }
  out["tensors"] = .array(listed)
  return .object(out)
}
