import DPOBase
import DPOKernels
import DPOModel
import DPOStorage
import DPOTensor
import TestSupport
import Testing

/// What published files hold beside a text model, files in parts, and what does not fit together.
@Suite(.timeLimit(.minutes(10))) struct FamilyFileTests {
  private typealias Tensor = GoldenFamily.Tensor

  private func expectError(
    _ path: String, _ code: DPOError.Code, _ words: String..., at location: SourceLocation = #_sourceLocation
  ) {
    let error = #expect(throws: DPOError.self, sourceLocation: location) { try ModelFile.open(path) }
    #expect(error?.code == code, "\(error?.message ?? "")", sourceLocation: location)
    for word in words {
      #expect(error?.message.contains(word) == true, "\(error?.message ?? "") lacks \(word)", sourceLocation: location)
    }
  }

  // MARK: Parts

  @Test func aFileInPartsIsTheModelThatItWasCutFrom() throws {
    let (family, directory) = (try GoldenFamily("granite"), try TemporaryDirectory())
    let (whole, stem) = ("\(directory.path)/whole.gguf", "\(directory.path)/part")
    try family.writeGGUF(whole)
    try family.writeParts(stem, count: 3)
    let model = try ModelFile.open("\(stem)-00001-of-00003.gguf")
    #expect(try model.fingerprint() == ModelFile.open(whole).fingerprint())
    #expect(try ModelFile.open("\(stem)-00001-of-00003.gguf", inMemory: true).fingerprint() == model.fingerprint())
    try ModelFile.export(input: model.path, to: .gguf, output: "\(directory.path)/joined.gguf")
    #expect(try ModelFile.open("\(directory.path)/joined.gguf").fingerprint() == model.fingerprint())
  }

  @Test func partsThatAreMissingOrOfAnotherModelAreNamed() throws {
    let (family, directory) = (try GoldenFamily("granite"), try TemporaryDirectory())
    let stem = "\(directory.path)/part"
    func part(_ number: Int) -> String { "\(stem)-0000\(number)-of-00003.gguf" }
    func copy(_ from: String, to: String) throws { try writeCopy(of: from, to: to) }
    try family.writeParts(stem, count: 3)
    expectError(part(2), .format, "part 2 of a split model", part(1))
    try copy(part(1), to: "\(directory.path)/other.gguf")
    expectError("\(directory.path)/other.gguf", .format, "-00001-of-00003.gguf")
    try copy(part(3), to: "\(directory.path)/third")
    try removeFile(part(3))
    expectError(part(1), .io, "part 3 of 3 is missing", part(3))
    try copy(part(2), to: part(3))
    expectError(part(1), .format, part(3), "part 2 of 3", "expected part 3 of 3")
    try copy("\(directory.path)/third", to: part(3))
    #expect(throws: Never.self) { try ModelFile.open(part(1)) }
    try GoldenFamily("smollm3").writeParts("\(directory.path)/smol", count: 3)
    try copy("\(directory.path)/smol-00003-of-00003.gguf", to: part(3))
    expectError(part(1), .mismatch, part(3), "another model")
  }

  @Test(arguments: 0..<3) func thePartWithAWrongNumberOfTensorsIsNamed(_ wrong: Int) throws {
    let (family, directory) = (try GoldenFamily("granite"), try TemporaryDirectory())
    let stem = "\(directory.path)/part"
    try family.writeParts(stem, count: 3, total: (of: wrong, 7))
    expectError(
      "\(stem)-00001-of-00003.gguf", .format,
      "\(stem)-0000\(wrong + 1)-of-00003.gguf: split.tensors.count is 7, but the 3",
      "hold \(family.ggufTensors.count) tensors")
  }

  // MARK: Ends of generation

  @Test func generationEndsWhereLlamaCppEndsIt() throws {
    let (family, directory) = (try GoldenFamily("granite"), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    let cases = try #require(Fixtures.json("golden/ends.json").object)
    #expect(cases.count == 120)
    for (number, item) in cases.members {
      // The embedding has a row of each token.
      let tokens = try #require(item["tokens"]?.array)
      let rest = (tokens.count..<96).map { JSON.string("token \($0)") }
      let keys = (item["keys"]?.object?.members ?? []).map { JSON.array([.string("tokenizer.ggml.\($0)"), "u32", $1]) }
      try family.writeGGUF(
        path,
        metadata: [
          ["tokenizer.ggml.model", "string", item["model"] ?? .null],
          ["tokenizer.ggml.tokens", "[string]", .array(tokens + rest)],
        ] + keys.compactMap(\.array))
      let ends = try ModelFile.open(path).configuration.eosTokens.sorted()
      #expect(.array(ends.map(JSON.int)) == item["ends"], "case \(number)")
    }
  }

  // MARK: More than text

  @Test func whatIsNotOfTheTextModelIsPassedOverAndNamed() throws {
    let (family, directory) = (try GoldenFamily("qwen3vl"), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    func tensor(_ name: String) -> Tensor { Tensor(name: name, shape: [2], values: [1, 2]) }
    try family.writeGGUF(
      path,
      adding: ["v.blk.0.attn_q.weight", "mm.0.weight", "a.blk.0.ln1.weight", "blk.3.nextn.eh_proj.weight"].map(tensor),
      metadata: [["qwen3vl.block_count", "u32", 4], ["qwen3vl.nextn_predict_layers", "u32", 1]])
    let found = try ModelFile.open(path).inspection["passed_over"]
    #expect(found?["vision"]?["tensors"] == 2)
    #expect(found?["vision"]?["bytes"] == 16)
    #expect(found?["audio"]?["tensors"] == 1)
    #expect(found?["multi-token prediction"]?["tensors"] == 1)
    try family.writeGGUF(path, adding: [tensor("blk.0.attn_sinks.weight")])
    expectError(path, .format, "blk.0.attn_sinks.weight", "no place")
    try family.writeModel(directory.path)
    #expect(try ModelFile.open(directory.path).inspection["passed_over"]?["vision"]?["tensors"]?.int ?? 0 > 10)
  }

  // MARK: Mixtures

  private func expectSameScores(
    _ family: GoldenFamily, _ path: String, at location: SourceLocation = #_sourceLocation
  ) throws {
    let file = try ModelFile.open(path)
    let runner = ModelRunner(
      decoder: try Decoder(configuration: file.configuration, tensors: file.tensors, trainable: false),
      team: try ThreadTeam(threads: 2))
    let found = try runner.score(family.forest.forest).logProbs
    #expect(difference(found, family.numbers(family.golden["logps"])).error < 2e-4, sourceLocation: location)
  }

  /// The first files have no keys of experts' widths, and vectors where later ones have matrices of one row.
  @Test func theFirstFilesOfQwen2MoEAreRead() throws {
    let (family, directory) = (try GoldenFamily("qwen2_moe"), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    let gates = family.ggufTensors.filter { $0.name.hasSuffix("ffn_gate_inp_shexp.weight") }
    #expect(gates.count == 3 && gates.allSatisfy { $0.shape == [1, 32] })
    try family.writeGGUF(
      path, adding: gates.map { Tensor(name: $0.name, shape: [32], values: $0.values) },
      without: Set(gates.map(\.name)),
      metadata: [["qwen2moe.expert_feed_forward_length"], ["qwen2moe.expert_shared_feed_forward_length"]])
    try expectSameScores(family, path)
    for shape in [[2, 16], [32, 1], [31], [33]] {
      let values = [Float](repeating: 0, count: shape.reduce(1, *))
      try family.writeGGUF(
        path, adding: [Tensor(name: gates[1].name, shape: shape, values: values)], without: [gates[1].name])
      expectError(path, .format, "\(gates[1].name): shape \(shape)")
    }
  }

  @Test(
    arguments: [
      ("qwen2_moe", "norm_topk_prob", true), ("qwen3_moe", "norm_topk_prob", false), ("olmoe", "norm_topk_prob", true),
      ("qwen2_moe-window", "norm_topk_prob", false),
    ] as [(String, String, JSON)])
  func whatGGUFHasNoKeyForIsNotWritten(name: String, key: String, value: JSON) throws {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    try family.writeModel(directory.path)
    var json = try #require(family.golden["config"]?.object)
    json[key] = value
    try writeFile("\(directory.path)/config.json", JSON.object(json).pretty)
    let error = #expect(throws: DPOError.self) {
      try ModelFile.export(input: directory.path, to: .gguf, output: "\(directory.path)/model.gguf")
    }
    #expect(error?.code == .unsupported)
    let what = name.hasSuffix("window") ? "windows" : "\(key) = \(value)"
    #expect(error?.message.contains("no place for \(what)") == true, "\(error?.message ?? "")")
  }

  /// transformers writes each expert's layers, others write all in one tensor.
  @Test func qwen35sExpertsMayStandInOneTensor() throws {
    let (family, directory) = (try GoldenFamily("qwen3_5_moe"), try TemporaryDirectory())
    var tensors = family.weights.filter { !$0.name.contains(".experts.") }
    let named = Dictionary(family.weights.map { ($0.name, $0.values) }) { first, _ in first }
    for layer in 0..<4 {
      let module = "model.layers.\(layer).mlp.experts"
      func values(_ parts: [String]) -> [Float] {
        (0..<6).flatMap { expert in parts.flatMap { named["\(module).\(expert).\($0).weight"] ?? [] } }
      }
      tensors.append(
        Tensor(name: "\(module).gate_up_proj", shape: [6, 48, 32], values: values(["gate_proj", "up_proj"])))
      tensors.append(Tensor(name: "\(module).down_proj", shape: [6, 32, 24], values: values(["down_proj"])))
    }
    try family.writeModel(directory.path)
    try GoldenFamily.writeSafetensors("\(directory.path)/model.safetensors", tensors)
    try expectSameScores(family, directory.path)
  }

  // MARK: What does not fit

  @Test func rotaryDivisorsHaveToFit() throws {
    let (family, directory) = (try GoldenFamily("phi3-long"), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    try family.writeGGUF(path, without: ["rope_factors_short.weight"])
    expectError(path, .format, "rope_factors_short.weight is missing")
    for values: [Float] in [[1, 2, 3], [1, 2, 3, 0], [1, 2, 3, .nan], [1, 2, 3, -4]] {
      try family.writeGGUF(
        path, adding: [Tensor(name: "rope_factors_short.weight", shape: [values.count], values: values)],
        without: ["rope_factors_short.weight"])
      expectError(path, .format, "rope_factors_short.weight", values.count == 4 ? "positive numbers" : "4 F32 numbers")
    }
  }

  @Test(
    arguments: [
      ("gemma3", "attention.sliding_window_pattern", "[bool]", [true, false]),
      ("gemma3", "attention.sliding_window_pattern", "string", "six"),
      ("gemma3", "attention.sliding_window", "i32", -8),
      ("gemma3", "rope.freq_base_swa", "f32", 0), ("gemma2", "final_logit_softcapping", "f32", -5),
      ("gemma2", "attn_logit_softcapping", "string", "5"), ("granite", "logit_scale", "f32", -1),
      ("granite", "residual_scale", "bool", true), ("phi4mini", "rope.dimension_count", "u32", 5),
      ("phi4mini", "rope.dimension_count", "u32", 10), ("llama-yarn", "rope.scaling.original_context_length", "u32", 0),
      ("llama-yarn", "rope.scaling.type", "string", "spiral"), ("qwen3vl", "nextn_predict_layers", "u32", 3),
      ("gpt_neox", "use_parallel_residual", "u32", 1), ("ministral3", "attention.temperature_scale", "f32", -1),
      ("olmo2", "attention.layer_norm_rms_epsilon", "f32", 2), ("gemma4", "attention.shared_kv_layers", "u32", 7),
      ("gemma4", "attention.head_count_kv", "[i32]", [1, 2]), ("gemma4", "attention.key_length_swa", "u32", 0),
      ("gemma4", "feed_forward_length", "[i32]", [48, 48, 48, 48, 96, 96, 95]), ("gemma4", "expert_count", "u32", 8),
      ("qwen2_moe", "expert_shared_feed_forward_length", "i32", -1),
      ("granitemoeshared", "expert_shared_feed_forward_length", "string", "40"),
    ] as [(String, String, String, JSON)])
  func aWrongKeyOfAGGUFFileIsNamed(name: String, key: String, type: String, value: JSON) throws {
    let (family, directory) = (try GoldenFamily(name), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    let architecture = try GoldenFamily.architecture(family)
    try family.writeGGUF(path, metadata: [[.string("\(architecture).\(key)"), .string(type), value]])
    let error = #expect(throws: DPOError.self) { try ModelFile.open(path) }
    #expect(error?.message.contains("\(path): \(architecture).\(key)") == true, "\(error?.message ?? "")")
  }

  @Test(
    arguments: [
      ("gemma3", "layer_types", ["full_attention"]), ("gemma3", "query_pre_attn_scalar", 0),
      ("gemma3", "sliding_window", "wide"), ("gemma2", "attn_logit_softcapping", -1),
      ("gemma2", "final_logit_softcapping", "thirty"), ("gemma", "use_bidirectional_attention", true),
      ("granite", "residual_multiplier", 0), ("smollm3", "no_rope_layers", [1, 1]),
      ("smollm3", "no_rope_layers", [1, 1, 2, 0, 1]), ("phi4mini", "partial_rotary_factor", 1.5),
      ("phi", "qk_layernorm", true), ("cohere", "use_qk_norm", true), ("cohere2", "logit_scale", -0.5),
      ("gpt_neox", "use_parallel_residual", 1), ("stablelm", "qk_layernorm", true), ("glm4", "head_dim", 0),
      ("nemotron", "hidden_act", "xielu"), ("seed_oss", "attention_out_bias", "no"),
      ("gemma4-text", "num_kv_shared_layers", 7), ("gemma4-text", "num_kv_shared_layers", 6),
      ("gemma4-text", "per_layer_config", ["0": ["head_dim": 16]]), ("gemma4-text", "enable_moe_block", true),
      ("qwen2_moe", "shared_expert_intermediate_size", 0), ("granitemoeshared", "shared_intermediate_size", -1),
      ("gemma4-text", "vocab_size_per_layer_input", 97), ("gemma4-text", "layer_types", ["full_attention"]),
    ] as [(String, String, JSON)])
  func aWrongKeyOfAConfigurationIsNamed(name: String, key: String, value: JSON) throws {
    var json = try #require(try GoldenFamily(name).golden["config"]?.object)
    if key == "partial_rotary_factor" { json["rope_parameters"] = nil }
    json[key] = value
    let error = #expect(throws: DPOError.self) {
      try Family.configuration(huggingFace: .object(json), file: "config.json")
    }
    #expect(error?.message.contains("config.json: \(key)") == true, "\(error?.message ?? "")")
  }

  @Test(
    arguments: [
      ("rope_theta", -1), ("factor", 0), ("beta_fast", "many"), ("original_max_position_embeddings", 0),
      ("attention_factor", -1),
    ] as [(String, JSON)]) func aWrongSettingOfYaRNIsNamed(key: String, value: JSON) throws
  {
    var json = try #require(try GoldenFamily("llama-yarn-options").golden["config"]?.object)
    var rope = try #require(json["rope_parameters"]?.object)
    rope[key] = value
    json["rope_parameters"] = .object(rope)
    let error = #expect(throws: DPOError.self) {
      try Family.configuration(huggingFace: .object(json), file: "config.json")
    }
    #expect(error?.message.contains(key) == true, "\(error?.message ?? "")")
  }

  @Test func aWrongKeyOfTheTextModelIsSoughtInItsPart() throws {
    let (family, directory) = (try GoldenFamily("gemma3-nested"), try TemporaryDirectory())
    try family.writeModel(directory.path)
    var json = try #require(family.golden["config"]?.object)
    var text = try #require(json["text_config"]?.object)
    text["intermediate_size"] = "wide"
    json["text_config"] = .object(text)
    try writeFile("\(directory.path)/config.json", JSON.object(json).pretty)
    expectError(directory.path, .format, "config.json (text_config): intermediate_size: expected")
  }

  /// llama.cpp takes such a file, and does not look at that base.
  @Test func aGemmaFileMayHaveABaseForWindowsAndNone() throws {
    let (family, directory) = (try GoldenFamily("gemma3"), try TemporaryDirectory())
    let path = "\(directory.path)/model.gguf"
    try family.writeGGUF(
      path,
      metadata: [["gemma3.attention.sliding_window", "u32", 0], ["gemma3.rope.freq_base_swa", "f32", 5000]])
    let configuration = try ModelFile.open(path).configuration
    #expect(configuration.slidingWindow == nil && configuration.windowedRope == nil)
  }

  /// A file that says one family and holds another's tensors.
  @Test func tensorsOfAnotherFamilyAreNoticed() throws {
    let directory = try TemporaryDirectory()
    let (gemma, granite) = (try GoldenFamily("gemma3"), try GoldenFamily("granite"))
    try granite.writeModel(directory.path)
    try writeFile("\(directory.path)/config.json", (gemma.golden["config"] ?? .null).pretty)
    expectError(directory.path, .format)
    try gemma.writeModel(directory.path)
    try writeFile("\(directory.path)/config.json", (granite.golden["config"] ?? .null).pretty)
    expectError(directory.path, .format)
  }
}

extension GoldenFamily {
  static func architecture(_ family: GoldenFamily) throws -> String {
    let entries = family.golden["gguf"]?["metadata"]?.array ?? []
    return try #require(entries.first { $0.array?.first == "general.architecture" }?.array?.last?.string)
  }
}

private func writeCopy(of source: String, to target: String) throws {
  let mapped = try MappedFile(source)
  let file = try AtomicFile(target)
  try withExtendedLifetime(mapped) { try file.write(mapped.bytes) }
  try file.commit()
}
