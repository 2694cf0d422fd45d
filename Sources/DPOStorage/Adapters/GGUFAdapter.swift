import DPOBase
import DPOModel
import DPOTensor

extension AdapterFile {
  /// An adapter for llama.cpp: tensors `<name in the model file>.lora_a` [rank, in] and `….lora_b` [out, rank], the rows of
  /// q's and k's B in the order of the model file.
  static func openGGUF(_ mapped: MappedFile, for model: DecoderConfiguration) throws -> AdapterFile {
    let file = try GGUFFile(mapped)
    let path = mapped.path
    for (key, expected) in [("general.type", "adapter"), ("adapter.type", "lora")] {
      guard file.metadata[key] == .string(expected) else {
        throw DPOError.format(path, "not a GGUF adapter: \(key) is not \"\(expected)\"")
      }
    }
    let family = model.family
    guard file.metadata["general.architecture"] == .string(family.ggufArchitecture) else {
      throw DPOError.mismatch(
        "\(path): general.architecture is not \"\(family.ggufArchitecture)\", which the model has")
    }
    try refuseUnknownKeys(file.metadata)
    let alpha = try alpha(file.metadata)
    var configuration = LoRAConfiguration()
    configuration.alpha = alpha
    let named = Dictionary(file.tensors.map { ($0.name, $0) }) { first, _ in first }
    var tensors: [FileTensor] = []
    var targets: [String] = []
    var used: Set<String> = []
    let modules = Dictionary(family.linearModules(model).map { ($0.path, $0) }) { first, _ in first }
    for parameter in family.parameters(model) where !parameter.isBias {
      guard let module = modules[parameter.module] else { continue }
      let pair = (named[parameter.ggufName + ".lora_a"], named[parameter.ggufName + ".lora_b"])
      guard case (var a?, var b?) = pair else { continue }
      used.insert(a.name)
      used.insert(b.name)
      if let share = parameter.shareInGGUF {
        guard a.shape.count == 3, b.shape.count == 3 else {
          throw DPOError.format(path, "tensor \(a.name): shape \(a.shape), expected a matrix for each expert")
        }
        a = try a.part(share, shape: Array(a.shape.dropFirst()))
        b = try b.part(share, shape: Array(b.shape.dropFirst()))
      }
      let rank = a.shape.first ?? 0
      if targets.isEmpty {
        configuration.rank = rank
        if alpha == 0 { configuration.alpha = Double(rank) }
      } else if alpha == 0, rank != configuration.rank {
        configuration.alphaPattern.append(.init(pattern: module.path, value: Double(rank)))
      }
      // A path is a pattern that matches itself; its dots match nothing else in these names.
      if rank != configuration.rank { configuration.rankPattern.append(.init(pattern: module.path, value: rank)) }
      targets.append(module.path)
      tensors.append(try a.renamed(LoRAAdapter.name(module, "A")).withColumns(in: parameter.columnOrderInGGUF))
      tensors.append(b.renamed(LoRAAdapter.name(module, "B")).ordered(parameter.rowOrderInGGUF))
    }
    if let extra = named.keys.sorted().first(where: { !used.contains($0) }) {
      throw DPOError.mismatch(
        "\(path): tensor \(DPOError.printable(extra)) has no place or no counterpart in the model")
    }
    configuration.targetModules = .names(targets)
    return AdapterFile(
      path: path, format: .gguf, configuration: configuration,
      tensors: try check(tensors, configuration, model, file: path, source: "its metadata"), basePath: nil)
  }

  /// 0 stands for scale 1, and llama.cpp takes an absent key for 0.
  private static func alpha(_ metadata: GGUFMetadata) throws -> Double {
    guard let value = metadata["adapter.lora.alpha"] else { return 0 }
    guard case .double(let alpha) = value, alpha.isFinite else {
      throw DPOError.format(metadata.file, "adapter.lora.alpha: expected a number")
    }
    return alpha
  }

  /// Name and prefix of the task are for people; other keys, such as the invocation tokens of aLoRA, change what is computed.
  private static func refuseUnknownKeys(_ metadata: GGUFMetadata) throws {
    let known = ["adapter.type", "adapter.lora.alpha", "adapter.lora.task_name", "adapter.lora.prompt_prefix"]
    if let key = metadata.keys.first(where: { $0.hasPrefix("adapter.") && !known.contains($0) }) {
      throw DPOError.unsupported("\(metadata.file): \(DPOError.printable(key)) is not supported")
    }
  }
}
