import DPOBase
import DPOTensor

/// A family of models, one row of a table: how its configuration is read and written, and what its parameters are called.
/// Everything else about a model is in its `DecoderConfiguration`.
public struct Family: Sendable {
  /// `model_type` of config.json.
  public let name: String
  /// transformers' class of a model with a language head, and of a reward model.
  let classes: (language: String, score: String)
  /// `general.architecture` of a GGUF file. Mistral's files say "llama".
  package let ggufArchitecture: String
  /// Modules in Hugging Face's order, "#" standing for the number of the block, "@" for that of the expert. A run of parts
  /// inside blocks is repeated for every block.
  package var modules: [(part: ModelPart, path: String)]
  /// Hugging Face stores the transpose of linear layers inside blocks.
  var transposesLinear = false
  /// Layers that write to the residual stream start smaller, the more of them there are.
  var scalesResidualLayers = false
  /// GGUF files hold the rows of q and k in llama.cpp's order.
  var permutesQueryKeyInGGUF = false
  /// Parts that GGUF files of the family call otherwise.
  var ggufNames: [ModelPart: String] = [:]
  /// Hugging Face's files hold q, k and v of each head together.
  var fusesQKVByHead = false
  /// Parts that stand in a tensor with others in Hugging Face's files: those of all experts of a block, or gate and up.
  var jointTensors: [ModelPart: JointTensor] = [:]
  /// The same where files may also have each part by itself, as we write them.
  var jointTensorsOfSomeFiles: [ModelPart: JointTensor] = [:]
  /// PEFT knows the layers of each expert, where files name them.
  var peftNamesEachExpert = true
  /// Hugging Face's norms compute with 1 + w. w is what the files hold.
  var normsAddOne = false
  /// `model_type` of a model with more than text that the family is the text part of.
  var wholeModel: String?
  /// `tokenizer.ggml.model` of SentencePiece tokenizers.
  package var ggufTokenizer = "llama"
  /// transformers' tokenizer class where the files name none; `always`: whatever they name.
  package var tokenizerClass: (name: String, always: Bool)?
  /// llama.cpp computes the windows of such a model.
  package var llamaHasWindow: @Sendable (DecoderConfiguration) -> Bool = { _ in false }
  /// llama.cpp takes the scale of attention from the head size, or knows the model by its number of blocks, as GGUF has no key.
  package var llamaHasQueryScale: @Sendable (DecoderConfiguration) -> Bool = { _ in true }
  /// llama.cpp computes experts' weights from the scores of a row's own, not of all; GGUF has no key for it.
  package var llamaWeighsActiveOnly = true
  /// A GGUF file of the family may have a window.
  package var hasWindowInGGUF = true
  /// GGUF files must have `rope_freqs` for blocks without a window.
  package var needsRopeDivisorsInGGUF = false
  /// What PEFT adapts if no target is named.
  package let defaultLoRATargets: [String]
  let readHuggingFace: @Sendable (HuggingFaceReader) throws -> DecoderConfiguration
  /// Keys of config.json beside those that all families have.
  let writeHuggingFace: @Sendable (DecoderConfiguration) -> JSONObject
  /// The same for a model that is yet to be made.
  let writeShape: @Sendable (ModelShape) throws -> JSONObject
  let readGGUF: @Sendable (GGUFReader) throws -> DecoderConfiguration
  /// Metadata of a GGUF file, under the architecture, beside those that all families have.
  package var writeGGUF: @Sendable (DecoderConfiguration) -> [(key: String, value: GGUFValue)] = { _ in [] }
  /// What a GGUF file tells by the tensors it has rather than by its metadata.
  package var readGGUFTensors:
    @Sendable (_ configuration: inout DecoderConfiguration, _ has: (String) -> Bool) -> Void =
      { _, _ in }
  /// transformers has no class of its own for it; a model is the same under the name of this other family.
  var sameAs: (family: @Sendable () -> Family, keys: @Sendable (DecoderConfiguration) -> JSONObject)?

  /// Blocks have experts instead of an MLP.
  var hasExperts: Bool { modules.contains { $0.part == .router } }

  /// PEFT reads adapters of each expert's layers; otherwise of the parameters that hold all of them.
  package var namesExpertsInPEFT: Bool { peftNamesEachExpert && jointTensors[.expertGate] == nil }

  /// The same in all families: transformers' name of a reward model's head, and ours of a value head.
  private static let scalarHeads: [(part: ModelPart, path: String)] = [(.scoreHead, "score"), (.valueHead, "v_head")]

  package static let all: [Family] = [
    llama, mistral, qwen2, qwen3, gpt2, gemma, gemma2, gemma3, gemma4, qwen3VL, ministral3, phi3, phi, granite, smolLM3,
    olmo2,
    olmo3, exaone4, hunyuan, glm, glm4, cohere, cohere2, ernie4_5, gptNeoX, stableLM, seedOSS, arcee, starcoder2,
    nemotron, internLM2, internLM3, miniCPM, lfm2, qwen3_5, qwen3_5MoE, olmoe, qwen2MoE, qwen3MoE, graniteMoE,
    graniteMoEShared,
    gptOSS,
  ]

  /// The family of a `model_type`.
  package static func named(_ name: String, file: String) throws -> Family {
    guard let family = all.first(where: { $0.name == name }) else {
      let known = all.map(\.name).joined(separator: ", ")
      throw DPOError(
        .unsupported, "\(file): model_type \"\(DPOError.printable(name))\" is not supported (known: \(known))")
    }
    return family
  }

  /// The family of a `general.architecture`.
  static func gguf(architecture: String, file: String) throws -> Family {
    guard let family = all.first(where: { $0.ggufArchitecture == architecture }) else {
      var known: [String] = []
      for family in all where !known.contains(family.ggufArchitecture) { known.append(family.ggufArchitecture) }
      throw DPOError(
        .unsupported,
        "\(file): general.architecture \"\(DPOError.printable(architecture))\" is not supported (known: \(known.joined(separator: ", ")))"
      )
    }
    return family
  }

  /// The configuration that a config.json describes; `file` names it in errors.
  package static func configuration(huggingFace json: JSON, file: String) throws -> DecoderConfiguration {
    try checkTextPart(json, file: file)
    let reader = try HuggingFaceReader(textPart(json), file: file)
    var configuration = try named(try reader.string("model_type"), file: file).readHuggingFace(reader)
    configuration.heads = try reader.heads()
    configuration.isTextPart = try reader.bool(nestedKey, default: false)
    if configuration.heads == .score {
      configuration.padToken = try reader.token("pad_token_id", default: nil, configuration.vocabularySize)
    }
    return configuration
  }

  /// - Throws: `.format` for a model with more than text whose text part is not described.
  private static func checkTextPart(_ json: JSON, file: String) throws {
    guard json["hidden_size"] == nil, let name = json["model_type"]?.string,
      json["text_config"] != nil || all.contains(where: { $0.wholeModel == name })
    else { return }
    let reader = try HuggingFaceReader(json, file: file)
    guard let text = json["text_config"], text.object != nil else {
      throw reader.wrong("text_config", json["text_config"], expected: "an object that describes the text model")
    }
    guard text["hidden_size"]?.int != nil else {
      throw reader.wrong("text_config.hidden_size", text["hidden_size"], expected: "an integer")
    }
  }

  /// Says in a text model's config.json that it was one of a model with more than text. No other program reads it.
  package static let nestedKey = "is_text_part"

  /// The text model that a config.json of a model with more than text describes; others as they are.
  package static func textPart(_ json: JSON) -> JSON {
    guard let outer = json.object, var text = json["text_config"]?.object, text["hidden_size"] != nil else {
      return json
    }
    let inherited = [
      "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "quantization_config", "dtype",
      "torch_dtype",
    ]
    for key in inherited where text[key] == nil { text[key] = outer[key] }
    guard let name = text["model_type"]?.string ?? outer["model_type"]?.string,
      let family = all.first(where: { $0.name == name })
    else { return .object(text) }
    text["model_type"] = .string(name)
    text[nestedKey] = true
    text["architectures"] = [.string(family.classes.language)]
    return .object(text)
  }

  /// The configuration that a GGUF file's metadata describe.
  package static func configuration(gguf metadata: GGUFMetadata) throws -> DecoderConfiguration {
    let architecture = try GGUFReader(metadata, architecture: "general").string("architecture")
    let family = try gguf(architecture: architecture, file: metadata.file)
    let reader = GGUFReader(metadata, architecture: architecture)
    var configuration = try family.readGGUF(reader)
    configuration.suppressedTokens = try reader.suppressedTokens(configuration.vocabularySize)
    try reader.refuseUnknownKeys()
    return configuration
  }

  /// Every parameter, in Hugging Face's order.
  package func parameters(_ configuration: DecoderConfiguration) -> [ParameterDescription] {
    var out: [ParameterDescription] = []
    let head = modules.prefix { !$0.part.isInBlock }
    let block = modules.dropFirst(head.count).prefix { $0.part.isInBlock }
    for (part, path) in head { append(part, layer: nil, path: path, configuration, to: &out) }
    for layer in 0..<configuration.layerCount {
      for (part, path) in block {
        append(part, layer: layer, path: Family.replace("#", in: path, with: layer), configuration, to: &out)
      }
    }
    for (part, path) in modules.dropFirst(head.count + block.count) + Family.scalarHeads {
      append(part, layer: nil, path: path, configuration, to: &out)
    }
    return out
  }

  /// Every linear layer but the heads, in Hugging Face's order.
  package func linearModules(_ configuration: DecoderConfiguration) -> [LinearModule] {
    parameters(configuration).compactMap { parameter in
      guard parameter.part.isLinear, !parameter.isBias, parameter.shape.count == 2 else { return nil }
      return LinearModule(
        path: parameter.module, part: parameter.part, layer: parameter.layer, expert: parameter.expert,
        inputSize: parameter.shape[1],
        outputSize: parameter.shape[0], transposedInFile: parameter.transposedInFile)
    }
  }

  private func append(
    _ part: ModelPart, layer: Int?, path: String, _ configuration: DecoderConfiguration,
    to out: inout [ParameterDescription]
  ) {
    guard configuration.hasWeight(part, layer: layer) else { return }
    let shape = configuration.shape(of: part, layer: layer)
    let orders = orders(of: part, configuration)
    let isHeadNorm = part == .queryNorm || part == .keyNorm
    let expertCount = configuration.experts?.count ?? 0
    let experts: [Int?] = part.isExpert ? Array(0..<expertCount) : [nil]
    for (expert, isBias) in experts.flatMap({ expert in
      (configuration.hasBias(part) ? [false, true] : [false]).map { (expert, $0) }
    }) {
      out.append(
        ParameterDescription(
          part: part, layer: layer, expert: expert, expertCount: expertCount, isBias: isBias,
          module: expert.map { Family.replace("@", in: path, with: $0) } ?? path, shape: isBias ? [shape[0]] : shape,
          transposedInFile: transposesLinear && part.isLinear && !isBias,
          decays: !isBias && !part.isConstant
            && Family.decays(module: path, isLayerNorm: configuration.norm == .layer && part.isNorm),
          rowOrderInGGUF: orders.gguf.rows, rowOrderInFile: orders.file.rows,
          columnOrderInGGUF: isBias ? .natural : orders.gguf.columns,
          columnOrderInFile: isBias ? .natural : orders.file.columns,
          offset: normsAddOne && (part.isNorm || isHeadNorm) && !isBias ? 1 : 0,
          ggufPart: ggufNames[part] ?? part.rawValue,
          shareInFile: jointTensors[part]?.share(
            layer: layer, expert: expert, of: expertCount, isBias: isBias, rows: shape[0]),
          shareInSomeFiles: jointTensorsOfSomeFiles[part]?.share(
            layer: layer, expert: expert, of: expertCount, isBias: isBias, rows: shape[0])))
    }
  }

  private typealias Orders = (rows: RowOrder, columns: RowOrder)

  /// Orders of a part's rows and columns in files.
  private func orders(of part: ModelPart, _ c: DecoderConfiguration) -> (gguf: Orders, file: Orders) {
    let natural: Orders = (.natural, .natural)
    switch part {
    case .query where c.gatedAttention:
      let byHead: Orders = (.byHead(parts: 2, headSize: c.headSize), .natural)
      return (byHead, byHead)
    case .query where permutesQueryKeyInGGUF, .key where permutesQueryKeyInGGUF:
      return ((.interleavedHalves(headSize: c.headSize), .natural), natural)
    case .fusedQueryKeyValue where fusesQKVByHead: return (natural, (.byHead(parts: 3, headSize: c.headSize), .natural))
    default: break
    }
    // Files of the other kind have the heads of values in another order.
    guard case .deltaNet(let net) = c.recurrence, net.valueHeads > net.keyHeads, net.keyHeads > 1 else {
      return (natural, natural)
    }
    func heads(first: Int, size: Int) -> RowOrder {
      let each = net.valueHeads / net.keyHeads
      return .transposedHeads(
        first: first, outer: net.isTiled ? each : net.keyHeads, inner: net.isTiled ? net.keyHeads : each, headSize: size
      )
    }
    let orders: Orders
    switch part {
    case .deltaQueryKeyValue, .deltaConvolution:
      orders = (heads(first: 2 * net.keyWidth, size: net.valueSize), .natural)
    case .deltaGate: orders = (heads(first: 0, size: net.valueSize), .natural)
    case .deltaBeta, .deltaAlpha, .deltaDecay, .deltaTimeBias: orders = (heads(first: 0, size: 1), .natural)
    case .deltaOutput: orders = (.natural, heads(first: 0, size: net.valueSize))
    default: return (natural, natural)
    }
    return net.isTiled ? (natural, orders) : (orders, natural)
  }

  /// transformers' rule: no decay for parameters of LayerNorm modules, nor for names that contain "bias", "layernorm" or
  /// "rmsnorm" or have a path part that is "norm" or ends in "_norm".
  private static func decays(module: String, isLayerNorm: Bool) -> Bool {
    let name = module.lowercased()
    let parts = name.split(separator: ".")
    return
      !(isLayerNorm
      || parts.contains { part in
        part.hasSuffix("layernorm") || part.hasSuffix("rmsnorm") || part == "norm" || part.hasSuffix("_norm")
      })
  }

  /// Hugging Face's name of a module that stands once in a model.
  package func path(_ part: ModelPart) -> String? {
    (modules + Family.scalarHeads).first { $0.part == part }?.path
  }

  fileprivate static func replace(_ mark: Character, in path: String, with number: Int) -> String {
    path.split(separator: mark, omittingEmptySubsequences: false).joined(separator: "\(number)")
  }
}

/// A tensor of Hugging Face's files that holds a part of all experts of a block, or one of no expert with others.
struct JointTensor: Sendable {
  /// "#" stands for the number of the block. nil: the part has no bias.
  let weight: String
  var bias: String?
  /// Parts that share the tensor: the rows of the first one come first, or rows take turns.
  var part = 0, parts = 1
  var takesTurns = false
  /// [experts, columns, rows]
  var isTransposed = false

  func share(layer: Int?, expert: Int?, of experts: Int, isBias: Bool, rows: Int) -> TensorShare? {
    guard let layer, let name = isBias ? bias : weight else { return nil }
    return TensorShare(
      tensor: Family.replace("#", in: name, with: layer), expert: expert, experts: experts,
      first: takesTurns ? part : part * rows, step: takesTurns ? parts : 1, parts: parts,
      isTransposed: isTransposed && !isBias)
  }
}

extension Family: Equatable {
  /// Names tell families apart.
  public static func == (a: Family, b: Family) -> Bool { a.name == b.name }
}
