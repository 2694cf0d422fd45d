import DPOBase

// Mixtures of experts in the place of MLPs.

extension Family {
  /// Modules of Llama with a router and experts instead of the MLP.
  private static func mixtureModules(
    router: String, experts: String, _ names: [ModelPart: String] = [:]
  ) -> [(part: ModelPart, path: String)] {
    llamaModules(
      names.merging([
        .router: "model.layers.#.\(router)", .expertGate: "model.layers.#.\(experts).@.gate_proj",
        .expertUp: "model.layers.#.\(experts).@.up_proj", .expertDown: "model.layers.#.\(experts).@.down_proj",
      ]) { own, _ in own }
    ).filter { ![.gate, .up, .down].contains($0.part) }
  }

  /// Norms over all heads of q and of k.
  static let olmoe: Family = Family(
    name: "olmoe", classes: ("OlmoeForCausalLM", "OlmoeForSequenceClassification"), ggufArchitecture: "olmoe",
    modules: mixtureModules(router: "mlp.gate", experts: "mlp.experts"), defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        olmoe, RotaryDefaults(epsilon: 1e-5, contextLength: 4096, eosToken: 50_279))
      try reader.readAttentionBias(into: &configuration)
      configuration.queryKeyNorm = .whole
      configuration.experts = try reader.experts(
        count: 64, active: 8, weighsActiveOnly: try reader.bool("norm_topk_prob", default: false),
        lossCoefficient: 0.01)
      if let clip = reader.value("clip_qkv") {
        throw DPOError(.unsupported, "\(reader.file): clip_qkv = \(clip.brief) is not supported")
      }
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "attention_bias": .bool(configuration.outputBias), "clip_qkv": .null,
        "norm_topk_prob": .bool(configuration.experts?.weighsActiveOnly ?? false),
      ]).with(configuration.expertsJSON("num_experts"))
    },
    writeShape: \.mixtureJSON,
    readGGUF: { reader in
      var configuration = try reader.rotary(olmoe)
      configuration.queryKeyNorm = .whole
      configuration.experts?.weighsActiveOnly = false
      configuration.experts?.lossCoefficient = 0.01
      return configuration
    },
    writeGGUF: \.expertsMetadata)

  /// Qwen 3 with experts in all blocks.
  static let qwen3MoE: Family = Family(
    name: "qwen3_moe", classes: ("Qwen3MoeForCausalLM", "Qwen3MoeForSequenceClassification"),
    ggufArchitecture: "qwen3moe", modules: mixtureModules(router: "mlp.gate", experts: "mlp.experts"),
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        qwen3MoE,
        RotaryDefaults(intermediateKey: "moe_intermediate_size", keyValueHeads: 4, contextLength: 32_768))
      configuration.queryKeyNorm = .heads
      try reader.readAttentionBias(into: &configuration)
      try reader.readQwenWindow(into: &configuration)
      configuration.experts = try reader.experts(
        count: 128, active: 8, weighsActiveOnly: try reader.bool("norm_topk_prob", default: false))
      guard try reader.optionalInteger("decoder_sparse_step", 1...1 << 20) ?? 1 == 1,
        reader.value("mlp_only_layers")?.array?.isEmpty ?? true
      else {
        throw DPOError(
          .unsupported,
          "\(reader.file): decoder_sparse_step and mlp_only_layers: blocks without experts are not supported")
      }
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "attention_bias": .bool(configuration.outputBias),
        "moe_intermediate_size": .int(configuration.intermediateSize),
        "norm_topk_prob": .bool(configuration.experts?.weighsActiveOnly ?? false), "decoder_sparse_step": 1,
        "mlp_only_layers": [],
      ]).with(configuration.qwenWindowJSON).with(configuration.expertsJSON("num_experts"))
    },
    writeShape: { shape in
      var json = shape.mixtureJSON
      json["moe_intermediate_size"] = json["intermediate_size"]
      return json
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(qwen3MoE)
      configuration.queryKeyNorm = .heads
      return configuration
    },
    writeGGUF: \.expertsMetadata)

  /// Granite with experts, all in one tensor.
  static let graniteMoE: Family = Family(
    name: "granitemoe", classes: ("GraniteMoeForCausalLM", "GraniteMoeForSequenceClassification"),
    ggufArchitecture: "granitemoe",
    modules: mixtureModules(router: "block_sparse_moe.router.layer", experts: "block_sparse_moe.experts"),
    permutesQueryKeyInGGUF: true,
    expertTensors: [
      .expertGate: ExpertTensor(weight: "model.layers.#.block_sparse_moe.input_linear.weight", part: 0, parts: 2),
      .expertUp: ExpertTensor(weight: "model.layers.#.block_sparse_moe.input_linear.weight", part: 1, parts: 2),
      .expertDown: ExpertTensor(weight: "model.layers.#.block_sparse_moe.output_linear.weight"),
    ],
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.granite(graniteMoE)
      configuration.experts = try reader.experts(count: 8, active: 2, weighsActiveOnly: true)
      return configuration
    },
    writeHuggingFace: { configuration in
      var json = configuration.graniteJSON
      json["mlp_bias"] = nil
      return json.with(configuration.expertsJSON("num_local_experts"))
    },
    writeShape: { shape in shape.mixtureJSON.with(["attention_multiplier": .real(shape.attentionScale)]) },
    readGGUF: { try $0.granite(graniteMoE) },
    writeGGUF: { $0.graniteMetadata + $0.expertsMetadata })

  /// A window in every other block, sinks of attention, and biases everywhere.
  static let gptOSS: Family = Family(
    name: "gpt_oss", classes: ("GptOssForCausalLM", "GptOssForSequenceClassification"), ggufArchitecture: "gpt-oss",
    modules: mixtureModules(
      router: "mlp.router", experts: "mlp.experts", [.attentionSinks: "model.layers.#.self_attn.sinks"]),
    ggufNames: [.mlpNorm: "post_attention_norm"],
    expertTensors: [
      .expertGate: ExpertTensor(
        weight: "model.layers.#.mlp.experts.gate_up_proj", bias: "model.layers.#.mlp.experts.gate_up_proj_bias",
        part: 0, parts: 2, takesTurns: true, isTransposed: true),
      .expertUp: ExpertTensor(
        weight: "model.layers.#.mlp.experts.gate_up_proj", bias: "model.layers.#.mlp.experts.gate_up_proj_bias",
        part: 1, parts: 2, takesTurns: true, isTransposed: true),
      .expertDown: ExpertTensor(
        weight: "model.layers.#.mlp.experts.down_proj", bias: "model.layers.#.mlp.experts.down_proj_bias",
        isTransposed: true),
    ],
    llamaHasWindow: { _ in true }, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      guard let rope = reader.value("rope_scaling") ?? reader.value("rope_parameters"), rope.object != nil else {
        throw reader.wrong("rope_parameters", nil, expected: "an object that describes the rotary positions")
      }
      var configuration = try reader.rotary(
        gptOSS,
        RotaryDefaults(epsilon: 1e-5, keyValueHeads: 8, headSize: 64, contextLength: 131_072, base: 150_000))
      try reader.readAttentionBias(into: &configuration, default: true)
      try reader.readPatternWindow(into: &configuration, pattern: 2, absent: 128)
      for (key, constant) in [("swiglu_limit", 7), ("swiglu_alpha", 1.702)] {
        let value = try reader.positive(key, in: reader.json, default: constant)
        guard value == constant else {
          throw DPOError(.unsupported, "\(reader.file): \(key) = \(value) is not supported, only \(constant)")
        }
      }
      configuration.experts = try reader.experts(count: 128, active: 4, weighsActiveOnly: true)
      (configuration.mlpBias, configuration.attentionSinks, configuration.activation) = (true, true, .clampedSwish)
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with(configuration.windowJSON).with([
        "attention_bias": .bool(configuration.outputBias), "swiglu_limit": 7, "swiglu_alpha": .real(1.702),
      ]).with(configuration.expertsJSON("num_local_experts"))
    },
    writeShape: { shape in
      shape.mixtureJSON.with(["rope_parameters": ["rope_type": "default", "rope_theta": 150_000]])
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(gptOSS)
      try reader.readPatternWindow(into: &configuration, pattern: 2)
      (configuration.attentionSinks, configuration.activation) = (true, .clampedSwish)
      return configuration
    },
    writeGGUF: \.expertsMetadata)
}

extension DecoderConfiguration {
  fileprivate func expertsJSON(_ countKey: String) -> JSONObject {
    guard let experts else { return [:] }
    return [
      countKey: .int(experts.count), "num_experts_per_tok": .int(experts.active),
      "router_aux_loss_coef": .real(experts.lossCoefficient),
    ]
  }

  fileprivate var expertsMetadata: [(key: String, value: GGUFValue)] {
    guard let experts else { return [] }
    return [
      ("expert_count", .int(experts.count)), ("expert_used_count", .int(experts.active)),
      ("expert_feed_forward_length", .int(intermediateSize)),
    ]
  }
}

extension ModelShape {
  fileprivate var mixtureJSON: JSONObject {
    rotaryJSON.with(["num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2])
  }
}

extension HuggingFaceReader {
  /// The numbers of experts, with those that stand in for absent keys.
  fileprivate func experts(
    count: Int, active: Int, weighsActiveOnly: Bool, lossCoefficient: Double = 0.001
  ) throws -> Experts {
    let key = value("num_local_experts") == nil ? "num_experts" : "num_local_experts"
    let count = try optionalInteger(key, Limits.expertCount) ?? count
    let active = try optionalInteger("num_experts_per_tok", 1...count) ?? min(active, count)
    let coefficient = value("router_aux_loss_coef")
    guard let lossCoefficient = coefficient.map({ $0.double }) ?? lossCoefficient, (0...1e6).contains(lossCoefficient)
    else { throw wrong("router_aux_loss_coef", coefficient, expected: "a number of at least 0") }
    return Experts(
      count: count, active: active, weighsActiveOnly: weighsActiveOnly, lossCoefficient: lossCoefficient)
  }
}

extension GGUFReader {
  /// The numbers of experts, which a family without them must not have.
  func experts(_ family: Family) throws -> Experts? {
    guard family.hasExperts else {
      let count = try optionalInteger("expert_count", 0...Int.max) ?? 0
      guard count == 0 else {
        throw DPOError(
          .unsupported,
          "\(file): \(architecture).expert_count = \(count): mixtures of experts of this architecture are not supported"
        )
      }
      return nil
    }
    let count = try integer("expert_count", Limits.expertCount)
    return Experts(count: count, active: try integer("expert_used_count", 1...count), weighsActiveOnly: true)
  }
}
