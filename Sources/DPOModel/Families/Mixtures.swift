import DPOBase

// Mixtures of experts in the place of MLPs.

extension Family {
  /// Modules of Llama with a router and experts instead of the MLP.
  static func mixtureModules(
    router: String, experts: String, _ names: [ModelPart: String] = [:]
  ) -> [(part: ModelPart, path: String)] {
    llamaModules(
      names.merging([
        .router: "model.layers.#.\(router)", .expertGate: "model.layers.#.\(experts).@.gate_proj",
        .expertUp: "model.layers.#.\(experts).@.up_proj", .expertDown: "model.layers.#.\(experts).@.down_proj",
      ]) { own, _ in own }
    ).filter { ![.gate, .up, .down].contains($0.part) }
  }

  /// Qwen's MLP beside a mixture.
  static let sharedExpertModules: [ModelPart: String] = [
    .sharedGate: "model.layers.#.mlp.shared_expert.gate_proj", .sharedUp: "model.layers.#.mlp.shared_expert.up_proj",
    .sharedDown: "model.layers.#.mlp.shared_expert.down_proj",
    .sharedRowGate: "model.layers.#.mlp.shared_expert_gate",
  ]

  /// Norms over all heads of q and of k.
  static let olmoe: Family = Family(
    name: "olmoe", classes: ("OlmoeForCausalLM", "OlmoeForSequenceClassification"), ggufArchitecture: "olmoe",
    modules: mixtureModules(router: "mlp.gate", experts: "mlp.experts"),
    llamaWeighsActiveOnly: false, defaultLoRATargets: ["q_proj", "v_proj"],
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
      configuration.experts?.lossCoefficient = 0.01
      return configuration
    },
    writeGGUF: \.expertsMetadata)

  /// Qwen 3 with experts in all blocks.
  static let qwen3MoE: Family = Family(
    name: "qwen3_moe", classes: ("Qwen3MoeForCausalLM", "Qwen3MoeForSequenceClassification"),
    ggufArchitecture: "qwen3moe", modules: mixtureModules(router: "mlp.gate", experts: "mlp.experts"),
    hasWindowInGGUF: false, defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        qwen3MoE,
        RotaryDefaults(intermediateKey: "moe_intermediate_size", keyValueHeads: 4, contextLength: 32_768))
      configuration.queryKeyNorm = .heads
      try reader.readAttentionBias(into: &configuration)
      try reader.readQwenWindow(into: &configuration)
      configuration.experts = try reader.experts(
        count: 128, active: 8, weighsActiveOnly: try reader.bool("norm_topk_prob", default: false))
      try reader.refuseBlocksWithoutExperts()
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

  /// Qwen 2 with experts in all blocks, and beside them an MLP whose rows have gates.
  static let qwen2MoE: Family = Family(
    name: "qwen2_moe", classes: ("Qwen2MoeForCausalLM", "Qwen2MoeForSequenceClassification"),
    ggufArchitecture: "qwen2moe",
    modules: mixtureModules(router: "mlp.gate", experts: "mlp.experts", sharedExpertModules),
    peftNamesEachExpert: false, llamaWeighsActiveOnly: false, hasWindowInGGUF: false,
    defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        qwen2MoE,
        RotaryDefaults(intermediateKey: "moe_intermediate_size", keyValueHeads: 16, contextLength: 32_768))
      configuration.queryKeyValueBias = try reader.bool("qkv_bias", default: true)
      // Of this model those below `max_window_layers`, every other one.
      try reader.readQwenWindow(into: &configuration) { layer, first in layer % 2 == 1 || layer >= first }
      configuration.experts = try reader.experts(
        count: 60, active: 4, weighsActiveOnly: try reader.bool("norm_topk_prob", default: false))
      configuration.experts?.shared = try reader.sharedExpert("shared_expert_intermediate_size", isGated: true)
      try reader.refuseBlocksWithoutExperts()
      return configuration
    },
    writeHuggingFace: { configuration in
      configuration.rotaryJSON.with([
        "qkv_bias": .bool(configuration.queryKeyValueBias),
        "moe_intermediate_size": .int(configuration.intermediateSize),
        "shared_expert_intermediate_size": .int(configuration.experts?.shared?.width ?? 0),
        "norm_topk_prob": .bool(configuration.experts?.weighsActiveOnly ?? false), "decoder_sparse_step": 1,
        "mlp_only_layers": [],
      ]).with(configuration.qwenWindowJSON).with(configuration.expertsJSON("num_experts"))
    },
    writeShape: { shape in
      shape.qwenMixtureJSON
    },
    readGGUF: { reader in
      var configuration = try reader.rotary(qwen2MoE)
      // What the first files leave out follows from `feed_forward_length`.
      let (whole, active) = (configuration.intermediateSize, configuration.experts?.active ?? 1)
      configuration.intermediateSize =
        try reader.optionalInteger("expert_feed_forward_length", Limits.intermediateSize) ?? max(1, whole / active)
      configuration.experts?.shared = try reader.qwenSharedExpert(of: qwen2MoE)
      return configuration
    },
    writeGGUF: \.expertsMetadata)

  /// Granite with experts, all in one tensor.
  static let graniteMoE = graniteMixture("granitemoe", "GraniteMoe", hasShared: false)
  /// The same with an MLP beside them.
  static let graniteMoEShared = graniteMixture("granitemoeshared", "GraniteMoeShared", hasShared: true)

  private static func graniteMixture(_ name: String, _ classes: String, hasShared: Bool) -> Family {
    let (experts, shared) = ("model.layers.#.block_sparse_moe", "model.layers.#.shared_mlp")
    return Family(
      name: name, classes: ("\(classes)ForCausalLM", "\(classes)ForSequenceClassification"),
      ggufArchitecture: "granitemoe",
      modules: mixtureModules(
        router: "block_sparse_moe.router.layer", experts: "block_sparse_moe.experts",
        [
          .sharedGate: "\(shared).gate_proj", .sharedUp: "\(shared).up_proj", .sharedDown: "\(shared).output_linear",
        ]),
      permutesQueryKeyInGGUF: true,
      jointTensors: [
        .expertGate: JointTensor(weight: "\(experts).input_linear.weight", part: 0, parts: 2),
        .expertUp: JointTensor(weight: "\(experts).input_linear.weight", part: 1, parts: 2),
        .expertDown: JointTensor(weight: "\(experts).output_linear.weight"),
        .sharedGate: JointTensor(weight: "\(shared).input_linear.weight", part: 0, parts: 2),
        .sharedUp: JointTensor(weight: "\(shared).input_linear.weight", part: 1, parts: 2),
      ],
      defaultLoRATargets: ["q_proj", "v_proj"],
      readHuggingFace: { reader in
        var configuration = try reader.granite(try named(name, file: reader.file))
        configuration.experts = try reader.experts(count: 8, active: 2, weighsActiveOnly: true)
        if hasShared, reader.value("shared_intermediate_size") ?? 0 != 0 {
          configuration.experts?.shared = try reader.sharedExpert("shared_intermediate_size", isGated: false)
        }
        return configuration
      },
      writeHuggingFace: { configuration in
        var json = configuration.graniteJSON.with(configuration.expertsJSON("num_local_experts"))
        json["mlp_bias"] = nil
        if hasShared { json["shared_intermediate_size"] = .int(configuration.experts?.shared?.width ?? 0) }
        return json
      },
      writeShape: { shape in shape.mixtureJSON.with(["attention_multiplier": .real(shape.attentionScale)]) },
      readGGUF: { reader in
        let width = try reader.sharedWidth()
        var configuration = try reader.granite(width == nil ? graniteMoE : graniteMoEShared)
        configuration.experts?.shared = width.map { SharedExpert(width: $0, isGated: false) }
        return configuration
      },
      writeGGUF: { $0.graniteMetadata + $0.expertsMetadata })
  }

  /// A window in every other block, sinks of attention, and biases everywhere.
  static let gptOSS: Family = Family(
    name: "gpt_oss", classes: ("GptOssForCausalLM", "GptOssForSequenceClassification"), ggufArchitecture: "gpt-oss",
    modules: mixtureModules(
      router: "mlp.router", experts: "mlp.experts", [.attentionSinks: "model.layers.#.self_attn.sinks"]),
    ggufNames: [.mlpNorm: "post_attention_norm"],
    jointTensors: [
      .expertGate: JointTensor(
        weight: "model.layers.#.mlp.experts.gate_up_proj", bias: "model.layers.#.mlp.experts.gate_up_proj_bias",
        part: 0, parts: 2, takesTurns: true, isTransposed: true),
      .expertUp: JointTensor(
        weight: "model.layers.#.mlp.experts.gate_up_proj", bias: "model.layers.#.mlp.experts.gate_up_proj_bias",
        part: 1, parts: 2, takesTurns: true, isTransposed: true),
      .expertDown: JointTensor(
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
  func expertsJSON(_ countKey: String) -> JSONObject {
    guard let experts else { return [:] }
    return [
      countKey: .int(experts.count), "num_experts_per_tok": .int(experts.active),
      "router_aux_loss_coef": .real(experts.lossCoefficient),
    ]
  }

  var expertsMetadata: [(key: String, value: GGUFValue)] {
    guard let experts else { return [] }
    return [
      ("expert_count", .int(experts.count)), ("expert_used_count", .int(experts.active)),
      ("expert_feed_forward_length", .int(intermediateSize)),
    ] + (experts.shared.map { [("expert_shared_feed_forward_length", .int($0.width))] } ?? [])
  }
}

extension ModelShape {
  fileprivate var mixtureJSON: JSONObject {
    rotaryJSON.with(["num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2])
  }

  /// Of Qwen's models with an MLP beside the experts, which is as wide as these.
  var qwenMixtureJSON: JSONObject {
    var json = mixtureJSON
    for key in ["moe_intermediate_size", "shared_expert_intermediate_size"] { json[key] = json["intermediate_size"] }
    return json
  }
}

extension HuggingFaceReader {
  /// The numbers of experts, with those that stand in for absent keys.
  func experts(
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

  /// The MLP beside a mixture, whose width stands under the key.
  func sharedExpert(_ key: String, isGated: Bool) throws -> SharedExpert {
    SharedExpert(width: try integer(key, Limits.intermediateSize), isGated: isGated)
  }

  fileprivate func refuseBlocksWithoutExperts() throws {
    guard try optionalInteger("decoder_sparse_step", 1...1 << 20) ?? 1 == 1,
      value("mlp_only_layers")?.array?.isEmpty ?? true
    else {
      throw DPOError(
        .unsupported, "\(file): decoder_sparse_step and mlp_only_layers: blocks without experts are not supported")
    }
  }
}

extension GGUFReader {
  /// Width of the MLP beside a mixture; nil: the file has no key of it.
  fileprivate func sharedWidth() throws -> Int? {
    let width = try optionalInteger("expert_shared_feed_forward_length", 0...Limits.intermediateSize.upperBound)
    return width == 0 ? nil : width
  }

  /// Qwen's, which the first files have no key of; nil: the model has no experts.
  func qwenSharedExpert(of family: Family) throws -> SharedExpert? {
    guard family.hasExperts else { return nil }
    let width = try sharedWidth() ?? integer("feed_forward_length", Limits.intermediateSize)
    return SharedExpert(width: width, isGated: true)
  }

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
    return Experts(
      count: count, active: try integer("expert_used_count", 1...count), weighsActiveOnly: family.llamaWeighsActiveOnly)
  }
}
