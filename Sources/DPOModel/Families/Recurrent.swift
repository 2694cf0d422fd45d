import DPOBase

// Attention in some blocks only, and in the others what goes from position to position.

extension Family {
  /// Short convolutions between the blocks with attention.
  static let lfm2: Family = Family(
    name: "lfm2", classes: ("Lfm2ForCausalLM", "Lfm2ForSequenceClassification"), ggufArchitecture: "lfm2",
    modules: [
      (.tokenEmbedding, "model.embed_tokens"),
      (.query, "model.layers.#.self_attn.q_proj"),
      (.key, "model.layers.#.self_attn.k_proj"),
      (.value, "model.layers.#.self_attn.v_proj"),
      (.attentionOutput, "model.layers.#.self_attn.out_proj"),
      (.queryNorm, "model.layers.#.self_attn.q_layernorm"),
      (.keyNorm, "model.layers.#.self_attn.k_layernorm"),
      (.convolution, "model.layers.#.conv.conv"),
      (.convolutionInput, "model.layers.#.conv.in_proj"),
      (.convolutionOutput, "model.layers.#.conv.out_proj"),
      (.gate, "model.layers.#.feed_forward.w1"),
      (.up, "model.layers.#.feed_forward.w3"),
      (.down, "model.layers.#.feed_forward.w2"),
      (.attentionNorm, "model.layers.#.operator_norm"),
      (.mlpNorm, "model.layers.#.ffn_norm"),
      (.finalNorm, "model.embedding_norm"),
      (.head, "lm_head"),
    ],
    ggufNames: [.finalNorm: "token_embd_norm"], defaultLoRATargets: ["q_proj", "v_proj"],
    readHuggingFace: { reader in
      var configuration = try reader.rotary(
        lfm2,
        RotaryDefaults(
          epsilonKey: "norm_eps", epsilon: 1e-5,
          intermediateKey: reader.value("block_ff_dim") == nil ? "intermediate_size" : "block_ff_dim", keyValueHeads: 8,
          contextLength: 128_000, base: 1_000_000,
          tiedHead: try reader.bool("tie_embedding", default: true), bosToken: 1, eosToken: 2))
      try reader.refuse("conv_bias", unless: false)
      configuration.queryKeyNorm = .heads
      configuration.intermediateSize = try reader.lfm2Width(configuration.intermediateSize)
      let count = configuration.layerCount
      let attentive: Set<Int>
      if let types = reader.value("layer_types") {
        guard let names = types.array, names.count == count,
          names.allSatisfy({ $0 == "conv" || $0 == "full_attention" })
        else {
          throw reader.wrong(
            "layer_types", types, expected: "\"conv\" or \"full_attention\" for each of \(count) layers")
        }
        attentive = Set(names.indices.filter { names[$0] == "full_attention" })
      } else if let layers = reader.value("full_attn_idxs") {
        let numbers = (layers.array ?? []).compactMap(\.int)
        guard numbers.count == layers.array?.count, numbers.allSatisfy((0..<count).contains) else {
          throw reader.wrong("full_attn_idxs", layers, expected: "numbers of layers below \(count)")
        }
        attentive = Set(numbers)
      } else {
        attentive = Set(0..<count)
      }
      configuration.recur(
        .convolution(kernel: try reader.optionalInteger("conv_L_cache", Limits.kernel) ?? 3), except: attentive)
      return configuration
    },
    writeHuggingFace: { configuration in
      var json = configuration.rotaryJSON
      json["rms_norm_eps"] = nil
      let kernel = if case .convolution(let kernel) = configuration.recurrence { kernel } else { 3 }
      return json.with([
        "norm_eps": .real(Family.decimal(configuration.normEpsilon)), "conv_L_cache": .int(kernel), "conv_bias": false,
        "block_auto_adjust_ff_dim": false, "block_ff_dim": .int(configuration.intermediateSize),
        "tie_embedding": .bool(configuration.tiedHead),
        "layer_types": .array(
          (0..<configuration.layerCount).map {
            configuration.layersWithRecurrence.contains($0) ? "conv" : "full_attention"
          }),
      ])
    },
    writeShape: { $0.rotaryJSON.with(["block_auto_adjust_ff_dim": false]) },
    readGGUF: { reader in
      var configuration = try reader.rotary(lfm2)
      configuration.queryKeyNorm = .heads
      configuration.recur(
        .convolution(kernel: try reader.integer("shortconv.l_cache", Limits.kernel)),
        except: try reader.layersWithKeys(configuration.layerCount))
      return configuration
    },
    writeGGUF: { configuration in
      guard case .convolution(let kernel) = configuration.recurrence else { return [] }
      let heads = (0..<configuration.layerCount).map {
        configuration.layersWithRecurrence.contains($0) ? 0 : configuration.keyValueHeadCount
      }
      return [("shortconv.l_cache", .int(kernel)), ("attention.head_count_kv", .ints(heads))]
    })

  /// Gated DeltaNets between the blocks with attention, whose output has a gate. Qwen 3.5; the text part of qwen3_5.
  static let qwen3_5 = qwen35(
    "qwen3_5_text", "Qwen3_5", ggufArchitecture: "qwen35", wholeModel: "qwen3_5", keyValueHeads: 4,
    modules: { llamaModules($0) })

  /// The same with experts in all blocks, and beside them an MLP whose rows have gates.
  static let qwen3_5MoE = qwen35(
    "qwen3_5_moe_text", "Qwen3_5Moe", ggufArchitecture: "qwen35moe", wholeModel: "qwen3_5_moe", keyValueHeads: 2,
    modules: {
      mixtureModules(
        router: "mlp.gate", experts: "mlp.experts", $0.merging(sharedExpertModules) { own, _ in own })
    },
    jointTensorsOfSomeFiles: [
      .expertGate: JointTensor(weight: "model.layers.#.mlp.experts.gate_up_proj", part: 0, parts: 2),
      .expertUp: JointTensor(weight: "model.layers.#.mlp.experts.gate_up_proj", part: 1, parts: 2),
      .expertDown: JointTensor(weight: "model.layers.#.mlp.experts.down_proj"),
    ])

  private static func qwen35(
    _ name: String, _ classes: String, ggufArchitecture: String, wholeModel: String, keyValueHeads: Int,
    modules: ([ModelPart: String]) -> [(part: ModelPart, path: String)],
    jointTensorsOfSomeFiles joint: [ModelPart: JointTensor] = [:]
  ) -> Family {
    Family(
      name: name, classes: ("\(classes)ForCausalLM", "\(classes)TextForSequenceClassification"),
      ggufArchitecture: ggufArchitecture,
      modules: modules([
        .deltaDecay: "model.layers.#.linear_attn.A_log", .deltaTimeBias: "model.layers.#.linear_attn.dt_bias",
        .deltaConvolution: "model.layers.#.linear_attn.conv1d", .deltaNorm: "model.layers.#.linear_attn.norm",
        .deltaOutput: "model.layers.#.linear_attn.out_proj",
        .deltaQueryKeyValue: "model.layers.#.linear_attn.in_proj_qkv",
        .deltaGate: "model.layers.#.linear_attn.in_proj_z",
        .deltaBeta: "model.layers.#.linear_attn.in_proj_b", .deltaAlpha: "model.layers.#.linear_attn.in_proj_a",
      ]),
      ggufNames: [.mlpNorm: "post_attention_norm", .deltaQueryKeyValue: "attn_qkv", .deltaGate: "attn_gate"],
      jointTensorsOfSomeFiles: joint, peftNamesEachExpert: false, normsAddOne: true, wholeModel: wholeModel,
      defaultLoRATargets: ["q_proj", "v_proj"],
      readHuggingFace: { reader in
        let family = try named(name, file: reader.file)
        var configuration = try reader.rotary(
          family,
          RotaryDefaults(
            intermediateKey: family.hasExperts ? "moe_intermediate_size" : "intermediate_size",
            keyValueHeads: keyValueHeads, headSize: 256, contextLength: 32_768, turned: 0.25))
        try reader.refuse("attention_bias", unless: false)
        if family.hasExperts {
          configuration.experts = try reader.experts(count: 256, active: 8, weighsActiveOnly: true)
          configuration.experts?.shared = try reader.sharedExpert("shared_expert_intermediate_size", isGated: true)
        }
        (configuration.queryKeyNorm, configuration.gatedAttention) = (.heads, true)
        let net = DeltaNet(
          keyHeads: try reader.optionalInteger("linear_num_key_heads", Limits.headCount) ?? 16,
          valueHeads: try reader.optionalInteger("linear_num_value_heads", Limits.headCount) ?? 32,
          keySize: try reader.optionalInteger("linear_key_head_dim", Limits.headSize) ?? 128,
          valueSize: try reader.optionalInteger("linear_value_head_dim", Limits.headSize) ?? 128,
          kernel: try reader.optionalInteger("linear_conv_kernel_dim", Limits.kernel) ?? 4,
          isTiled: try reader.bool(tiledKey, default: false))
        guard net.valueHeads % net.keyHeads == 0 else {
          throw DPOError.format(
            reader.file,
            "linear_num_value_heads: \(net.valueHeads) is not divisible by linear_num_key_heads = \(net.keyHeads)")
        }
        let count = configuration.layerCount
        let attentive: Set<Int>
        if let types = reader.value("layer_types") {
          guard let names = types.array, names.count == count,
            names.allSatisfy({ $0 == "linear_attention" || $0 == "full_attention" })
          else {
            throw reader.wrong(
              "layer_types", types, expected: "\"linear_attention\" or \"full_attention\" for each of \(count) layers")
          }
          attentive = Set(names.indices.filter { names[$0] == "full_attention" })
        } else {
          let every = try reader.optionalInteger("full_attention_interval", 1...1 << 20) ?? 4
          attentive = Set((0..<count).filter { ($0 + 1) % every == 0 })
        }
        configuration.recur(.deltaNet(net), except: attentive)
        return configuration
      },
      writeHuggingFace: { configuration in
        var json = configuration.rotaryJSON.with(["partial_rotary_factor": configuration.turnedShare])
        if case .deltaNet(let net) = configuration.recurrence {
          json = json.with([
            "linear_num_key_heads": .int(net.keyHeads), "linear_num_value_heads": .int(net.valueHeads),
            "linear_key_head_dim": .int(net.keySize), "linear_value_head_dim": .int(net.valueSize),
            "linear_conv_kernel_dim": .int(net.kernel),
            "layer_types": .array(
              (0..<configuration.layerCount).map {
                configuration.layersWithRecurrence.contains($0) ? "linear_attention" : "full_attention"
              }),
          ])
          if net.isTiled { json[tiledKey] = true }
        }
        guard let experts = configuration.experts else { return json }
        json["moe_intermediate_size"] = json["intermediate_size"]
        json["intermediate_size"] = nil
        json["shared_expert_intermediate_size"] = .int(experts.shared?.width ?? 0)
        return json.with(configuration.expertsJSON("num_experts"))
      },
      writeShape: { shape in
        (joint.isEmpty ? shape.rotaryJSON : shape.qwenMixtureJSON).with(["partial_rotary_factor": 0.5])
      },
      readGGUF: { reader in
        var configuration = try reader.rotary(try named(name, file: reader.file))
        configuration.experts?.shared = try reader.qwenSharedExpert(of: configuration.family)
        (configuration.queryKeyNorm, configuration.gatedAttention) = (.heads, true)
        let size = try reader.integer("ssm.state_size", Limits.headSize)
        let net = DeltaNet(
          keyHeads: try reader.integer("ssm.group_count", Limits.headCount),
          valueHeads: try reader.integer("ssm.time_step_rank", Limits.headCount), keySize: size, valueSize: size,
          kernel: try reader.integer("ssm.conv_kernel", Limits.kernel), isTiled: true)
        _ = try reader.integer("ssm.inner_size", net.valueWidth...net.valueWidth)
        guard net.valueHeads % net.keyHeads == 0 else {
          throw DPOError.format(
            reader.file,
            "\(ggufArchitecture).ssm.time_step_rank: \(net.valueHeads) is not divisible by ssm.group_count = \(net.keyHeads)"
          )
        }
        _ = reader.value("\(ggufArchitecture).rope.dimension_sections")
        configuration.recur(.deltaNet(net), except: try reader.fullAttention(configuration.layerCount))
        return configuration
      },
      writeGGUF: { configuration in
        guard case .deltaNet(let net) = configuration.recurrence, let rope = configuration.rope else { return [] }
        return [
          ("ssm.conv_kernel", .int(net.kernel)), ("ssm.state_size", .int(net.keySize)),
          ("ssm.group_count", .int(net.keyHeads)), ("ssm.time_step_rank", .int(net.valueHeads)),
          ("ssm.inner_size", .int(net.valueWidth)),
          ("rope.dimension_sections", .ints(Rope.sections(ofHalf: rope.size / 2))),
          (
            "attention.recurrent_layers",
            .bools((0..<configuration.layerCount).map(configuration.layersWithRecurrence.contains))
          ),
        ] + configuration.expertsMetadata
      })
  }

  /// Says in config.json that heads of values stand as in GGUF files. In our own files only.
  package static let tiledKey = "linear_value_heads_are_tiled"
}

extension DecoderConfiguration {
  /// A recurrence in all blocks but some.
  fileprivate mutating func recur(_ recurrence: Recurrence, except attentive: Set<Int>) {
    layersWithRecurrence = Set(0..<layerCount).subtracting(attentive)
    self.recurrence = layersWithRecurrence.isEmpty ? nil : recurrence
  }
}

extension HuggingFaceReader {
  /// The width of LFM2's MLP: two thirds of what the file says, and rounded, unless it says that it is final.
  fileprivate func lfm2Width(_ intermediateSize: Int) throws -> Int {
    var width = intermediateSize
    guard try bool("block_auto_adjust_ff_dim", default: true) else { return width }
    width = 2 * width / 3
    guard json["block_ffn_dim_multiplier"]?.isNull != true else { return width }
    let multiplier = try positive("block_ffn_dim_multiplier", in: json, default: 1)
    let multiple = try optionalInteger("block_multiple_of", Limits.intermediateSize) ?? 256
    width = (Int(multiplier * Double(width)) + multiple - 1) / multiple * multiple
    guard Limits.intermediateSize.contains(width) else {
      throw DPOError.format(file, "block_ffn_dim_multiplier: the MLP would be \(width) wide")
    }
    return width
  }
}

extension GGUFReader {
  /// Blocks whose `attention.head_count_kv` is not 0.
  fileprivate func layersWithKeys(_ layerCount: Int) throws -> Set<Int> {
    guard case .ints(let heads) = value("\(architecture).attention.head_count_kv") else { return Set(0..<layerCount) }
    return Set(heads.indices.filter { $0 < layerCount && heads[$0] != 0 })
  }

  fileprivate func fullAttention(_ layerCount: Int) throws -> Set<Int> {
    let key = "\(architecture).attention.recurrent_layers"
    let every = try optionalInteger("full_attention_interval", 1...1 << 20) ?? 4
    switch value(key) {
    case nil: return Set((0..<layerCount).filter { ($0 + 1) % every == 0 })
    case .bools(let recurrent) where recurrent.count >= layerCount:
      return Set((0..<layerCount).filter { !recurrent[$0] })
    case .ints(let recurrent) where recurrent.count >= layerCount:
      return Set((0..<layerCount).filter { recurrent[$0] == 0 })
    case let found: throw wrong(key, found, expected: "a boolean for each of \(layerCount) layers")
    }
  }
}
