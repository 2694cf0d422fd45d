import DPOBase
import DPOTensor

/// A family of models, one row of a table: how its configuration is read and what its parameters are called. Everything
/// else about a model is in its `DecoderConfiguration`.
public struct Family: Sendable {
  /// `model_type` of config.json.
  public enum Name: String, Sendable, CaseIterable {
    case llama, mistral, qwen2, qwen3, gpt2
  }

  public let name: Name
  /// `general.architecture` of a GGUF file. Mistral's files say "llama".
  public let ggufArchitecture: String
  /// Modules in Hugging Face's order, "#" standing for the number of the block. A run of parts inside blocks is
  /// repeated for every block.
  let modules: [(part: ModelPart, path: String)]
  /// Hugging Face stores the transpose of linear layers inside blocks.
  let transposesLinear: Bool
  /// Layers that write to the residual stream start smaller, the more of them there are.
  var scalesResidualLayers = false
  /// GGUF files hold the rows of q and k in llama.cpp's order.
  let permutesQueryKeyInGGUF: Bool
  /// What PEFT adapts if no target is named.
  public let defaultLoRATargets: [String]
  let readHuggingFace: @Sendable (HuggingFaceReader) throws -> DecoderConfiguration
  let readGGUF: @Sendable (GGUFReader) throws -> DecoderConfiguration

  /// The same in all families: transformers' name of a reward model's head, and ours of a value head.
  private static let scalarHeads: [(part: ModelPart, path: String)] = [(.scoreHead, "score"), (.valueHead, "v_head")]

  static let all: [Family] = [llama, mistral, qwen2, qwen3, gpt2]

  /// The family of a `model_type`.
  public static func named(_ name: String, file: String) throws -> Family {
    guard let family = all.first(where: { $0.name.rawValue == name }) else {
      let known = all.map(\.name.rawValue).joined(separator: ", ")
      throw DPOError(
        .unsupported, "\(file): model_type \"\(DPOError.printable(name))\" is not supported (known: \(known))")
    }
    return family
  }

  public static func named(_ name: Name) -> Family {
    switch name {
    case .llama: llama
    case .mistral: mistral
    case .qwen2: qwen2
    case .qwen3: qwen3
    case .gpt2: gpt2
    }
  }

  /// The family of a `general.architecture`.
  public static func gguf(architecture: String, file: String) throws -> Family {
    guard let family = all.first(where: { $0.ggufArchitecture == architecture }) else {
      let known = ["llama", "qwen2", "qwen3", "gpt2"].joined(separator: ", ")
      throw DPOError(
        .unsupported,
        "\(file): general.architecture \"\(DPOError.printable(architecture))\" is not supported (known: \(known))")
    }
    return family
  }

  /// The configuration that a config.json describes; `file` names it in errors.
  public static func configuration(huggingFace json: JSON, file: String) throws -> DecoderConfiguration {
    let reader = try HuggingFaceReader(json, file: file)
    var configuration = try named(try reader.string("model_type"), file: file).readHuggingFace(reader)
    configuration.heads = try reader.heads()
    if configuration.heads == .score {
      configuration.padToken = try reader.token("pad_token_id", default: nil, configuration.vocabularySize)
    }
    return configuration
  }

  /// The configuration that a GGUF file's metadata describe.
  package static func configuration(gguf metadata: GGUFMetadata) throws -> DecoderConfiguration {
    let architecture = try GGUFReader(metadata, architecture: "general").string("architecture")
    let family = try gguf(architecture: architecture, file: metadata.file)
    return try family.readGGUF(GGUFReader(metadata, architecture: architecture))
  }

  /// Every parameter, in Hugging Face's order.
  public func parameters(_ configuration: DecoderConfiguration) -> [ParameterDescription] {
    var out: [ParameterDescription] = []
    let head = modules.prefix { !$0.part.isInBlock }
    let block = modules.dropFirst(head.count).prefix { $0.part.isInBlock }
    for (part, path) in head { append(part, layer: nil, path: path, configuration, to: &out) }
    for layer in 0..<configuration.layerCount {
      for (part, path) in block {
        append(part, layer: layer, path: Family.replaceHash(path, with: layer), configuration, to: &out)
      }
    }
    for (part, path) in modules.dropFirst(head.count + block.count) + Family.scalarHeads {
      append(part, layer: nil, path: path, configuration, to: &out)
    }
    return out
  }

  /// Every linear layer inside blocks, in Hugging Face's order.
  public func linearModules(_ configuration: DecoderConfiguration) -> [LinearModule] {
    parameters(configuration).compactMap { parameter in
      guard parameter.part.isLinear, !parameter.isBias, let layer = parameter.layer, parameter.shape.count == 2 else {
        return nil
      }
      return LinearModule(
        path: parameter.module, part: parameter.part, layer: layer, inputSize: parameter.shape[1],
        outputSize: parameter.shape[0], transposedInFile: parameter.transposedInFile)
    }
  }

  private func append(
    _ part: ModelPart, layer: Int?, path: String, _ configuration: DecoderConfiguration,
    to out: inout [ParameterDescription]
  ) {
    guard configuration.hasWeight(part) else { return }
    let shape = configuration.shape(of: part)
    let permuted = permutesQueryKeyInGGUF && (part == .query || part == .key)
    for isBias in configuration.hasBias(part) ? [false, true] : [false] {
      out.append(
        ParameterDescription(
          part: part, layer: layer, isBias: isBias, module: path, shape: isBias ? [shape[0]] : shape,
          transposedInFile: transposesLinear && part.isLinear && !isBias,
          decays: !isBias && Family.decays(module: path, isLayerNorm: configuration.norm == .layer && part.isNorm),
          rowOrderInGGUF: permuted ? .interleavedHalves(headSize: configuration.headSize) : .natural))
    }
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

  private static func replaceHash(_ path: String, with layer: Int) -> String {
    path.split(separator: "#", omittingEmptySubsequences: false).joined(separator: "\(layer)")
  }
}
