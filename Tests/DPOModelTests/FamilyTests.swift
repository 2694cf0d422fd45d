import DPOBase
import DPOModel
import TestSupport
import Testing

/// Instead of a value: the key is left out.
private let removed: JSON? = nil

@Suite(.timeLimit(.minutes(10))) struct FamilyTests {
  /// config.json of a tiny model with some keys replaced; nil removes one.
  private func configuration(_ name: String, _ changes: [String: JSON?] = [:]) throws -> DecoderConfiguration {
    var json = try #require(Fixtures.json("models/\(name)/config.json").object)
    for (key, value) in changes { json[key] = value }
    return try Family.configuration(huggingFace: .object(json), file: "config.json")
  }

  @Test func ropeSettingsAreReadInTheFormsOfTransformers4And5() throws {
    let settings: JSON = [
      "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
      "original_max_position_embeddings": 64, "rope_theta": 5000,
    ]
    let expected = RopeScaling.llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64)
    let new = try configuration("llama-tied", ["rope_parameters": settings])
    #expect(new.rope?.scaling == expected && new.rope?.base == 5000)
    var inner = try #require(settings.object)
    inner["rope_theta"] = nil
    let old = try configuration(
      "llama-tied", ["rope_parameters": removed, "rope_scaling": .object(inner), "rope_theta": 7000])
    #expect(old.rope?.scaling == expected && old.rope?.base == 7000)
    let linear = try configuration("llama-tied", ["rope_parameters": ["type": "linear", "factor": 2]])
    #expect(linear.rope == Rope(base: 10_000, scaling: .linear(factor: 2), size: 8))
  }

  @Test func absentKeysMeanWhatTransformersTakesThemToMean() throws {
    #expect(try configuration("mistral", ["sliding_window": removed]).slidingWindow == 4096)
    #expect(try configuration("mistral", ["sliding_window": .null]).slidingWindow == nil)
    #expect(try configuration("llama-tied", ["num_key_value_heads": removed]).keyValueHeadCount == 4)
    #expect(try configuration("llama-tied", ["tie_word_embeddings": removed]).tiedHead == false)
    #expect(try configuration("gpt2", ["tie_word_embeddings": removed]).tiedHead == true)
    #expect(try configuration("llama-tied", ["head_dim": .null]).headSize == 8)
    #expect(try configuration("gpt2", ["n_inner": .null]).intermediateSize == 128)
  }

  @Test func qwensWindowCountsOnlyWhereItIsUsed() throws {
    let off: [String: JSON?] = ["sliding_window": 16, "use_sliding_window": false, "layer_types": removed]
    #expect(try configuration("qwen2", off).slidingWindow == nil)
    let on: [String: JSON?] = ["sliding_window": 16, "use_sliding_window": true, "layer_types": removed]
    #expect(try configuration("qwen2", on.merging(["max_window_layers": 0]) { $1 }).slidingWindow == 16)
    #expect(try configuration("qwen2", on.merging(["max_window_layers": 2]) { $1 }).slidingWindow == nil)
    let some = try configuration("qwen2", on.merging(["max_window_layers": 1]) { $1 })
    #expect(some.slidingWindow == 16 && some.layersWithoutWindow == [0])
  }

  @Test(
    arguments: [
      ("hidden_size", 0), ("hidden_size", "64"), ("hidden_size", 1_000_000_000), ("num_hidden_layers", .null),
      ("num_attention_heads", 5), ("num_key_value_heads", 3), ("vocab_size", -1), ("head_dim", 7), ("rms_norm_eps", -1),
      ("rope_theta", 0), ("rope_scaling", ["rope_type": "yarn", "factor": -2]), ("hidden_act", "nope"),
      ("rope_scaling", ["rope_type": "llama3", "factor": 2]), ("mlp_bias", true), ("eos_token_id", [1, 100_000]),
      ("quantization_config", ["quant_method": "gptq"]), ("model_type", "nope"), ("max_position_embeddings", 0),
    ] as [(String, JSON)])
  func aWrongSettingIsRefusedByItsName(key: String, value: JSON) throws {
    let changes: [String: JSON?] = ["rope_parameters": removed, "head_dim": removed]
    let error = #expect(throws: DPOError.self) {
      try configuration("llama-tied", changes.merging([key: value]) { $1 })
    }
    #expect(error?.message.contains("config.json: \(key)") == true, "\(error?.message ?? "")")
  }

  @Test func weightDecayLeavesOutNormsAndBiases() throws {
    for name in ["gpt2", "qwen3", "qwen2"] {
      let model = try configuration(name)
      for parameter in model.family.parameters(model) {
        let isMatrix = parameter.shape.count == 2
        #expect(parameter.decays == isMatrix, "\(parameter.name)")
      }
    }
  }

  @Test func parametersStandInHuggingFacesOrder() throws {
    let model = try configuration("qwen3")
    let names = model.family.parameters(model).map(\.name)
    #expect(
      names.prefix(4) == [
        "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
      ])
    #expect(names.contains("model.layers.1.self_attn.q_norm.weight"))
    #expect(model.family.linearModules(model).count == 14)
  }
}
