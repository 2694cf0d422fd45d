import DPOBase
import DPOModel
import DPOPlatform
import DPOTensor

/// Layers that are one to transformers: a linear layer that holds gate and up of the MLP beside a mixture, or a parameter that holds
/// layers of all experts of a block, gate and up, or down. PEFT adapts such a parameter whole (`target_parameters`), with A
/// [experts · rank, in], in which each expert has rank rows after those of the one before, and B [out, rank · experts], in whose columns
/// the experts take turns. Gate and up then share A.
struct FusedLayers {
  /// The module, or the one that the parameter belongs to.
  let module: String
  /// Of the parameter in it; nil: it is the module.
  let name: String?
  let experts: Int
  /// The layers, of experts those of the first one, and where they stand.
  var layers: [(parameter: ParameterDescription, share: TensorShare)] = []

  var path: String { name.map { "\(module).\($0)" } ?? module }

  /// Whether `target_parameters` or `target_modules` name it so.
  func matches(_ target: String) -> Bool { path == target || path.hasSuffix("." + target) }

  /// Our path of a layer, of an expert where there are any.
  func path(_ layer: ParameterDescription, expert: Int) -> String {
    name == nil ? layer.module : "\(module).\(expert).\(layer.module.parts.last ?? "")"
  }

  var paths: [String] { layers.flatMap { layer in (0..<experts).map { path(layer.parameter, expert: $0) } } }

  /// Our names of its layers, the same for all experts.
  var layerNames: [String] {
    layers.map { $0.parameter.module.parts.suffix(name == nil ? 2 : 1).joined(separator: ".") }
  }

  /// A pattern of the paths of all its layers of all experts.
  var pattern: String {
    let owner = name == nil ? module.parts.dropLast(2).joined(separator: ".") : "\(module).\\d+"
    return "\(owner).(?:\(layerNames.joined(separator: "|")))".parts.joined(separator: "\\.")
  }

  /// PEFT's name of a matrix. A module is wrapped once for each of its parameters that have adapters, the first one innermost.
  func matrix(_ which: String, wraps: Int) -> String {
    AdapterFile.prefix + module + String(repeating: ".base_layer", count: wraps) + ".lora_\(which).weight"
  }
}

extension String {
  fileprivate var parts: [Substring] { split(separator: ".") }
}

extension [FusedLayers] {
  /// Each with the number of wraps around it, where these have adapters.
  var wrapped: [(fused: FusedLayers, wraps: Int)] {
    indices.map { index in (self[index], self[(index + 1)...].count { $0.module == self[index].module }) }
  }
}

extension DecoderConfiguration {
  /// In transformers' order.
  var fusedLayers: [FusedLayers] {
    guard let experts else { return [] }
    var out: [FusedLayers] = []
    for parameter in family.parameters(self) where !parameter.isBias {
      if parameter.expert == nil, let share = parameter.shareInFile {
        let module = String(share.tensor.dropLast(".weight".count))
        if out.last?.path != module { out.append(FusedLayers(module: module, name: nil, experts: 1)) }
        out[out.count - 1].layers.append((parameter, share))
      }
      guard parameter.expert == 0 else { continue }
      let module = parameter.module.parts.dropLast(2).joined(separator: ".")
      let name = parameter.part == .expertDown ? "down_proj" : "gate_up_proj"
      if out.last?.path != "\(module).\(name)" {
        out.append(FusedLayers(module: module, name: name, experts: experts.count))
      }
      // Files that name each expert's layers are read into a parameter with gate's rows first.
      let share =
        parameter.shareInFile
        ?? TensorShare(
          tensor: "", expert: 0, experts: experts.count, first: parameter.part == .expertUp ? parameter.shape[0] : 0,
          parts: parameter.part == .expertDown ? 1 : 2)
      out[out.count - 1].layers.append((parameter, share))
    }
    return out
  }
}

// MARK: - Reading

extension PEFTAdapter {
  /// The adapter with matrices for each of our layers instead.
  func byExpert(_ model: DecoderConfiguration) throws -> (configuration: LoRAConfiguration, tensors: [FileTensor]) {
    let configuration = withoutAbsentExperts(model)
    let all = model.fusedLayers
    for target in targetParameters where !all.contains(where: { $0.name != nil && $0.matches(target) }) {
      throw DPOError.unsupported(
        "\(settingsFile): target_parameters: LoRA on \(DPOError.printable(target)) is not supported, only on the experts of a mixture (gate_up_proj, down_proj)"
      )
    }
    let chosen = try all.filter { fused in
      try fused.name == nil
        ? configuration.targets(fused.path, of: model) : targetParameters.contains { fused.matches($0) }
    }
    guard !chosen.isEmpty else { return (configuration, tensors) }
    var named = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    var (byExpert, found): (LoRAConfiguration, [FileTensor]) = (configuration, [])
    let strengths = try LoRAConfiguration.Strengths(configuration)
    var targets: [String]
    if case .names(let names) = configuration.targetModules {
      targets = names.filter { name in !chosen.contains { $0.name == nil && $0.matches(name) } }
    } else {
      targets = try configuration.resolve(model).map(\.module.path)
    }
    for (fused, wraps) in chosen.wrapped {
      func take(_ which: String) throws -> FileTensor {
        let name = fused.matrix(which, wraps: wraps)
        guard let tensor = named.removeValue(forKey: name) else {
          throw DPOError.mismatch(
            "\(weights): tensor \(name) is missing, which adapter_config.json asks for in this model"
          )
        }
        return tensor
      }
      let (a, b) = (try take("A"), try take("B"))
      let strength = try strengths.of(fused.path)
      guard let first = fused.layers.first,
        case let (rank, out) = (strength.rank, first.share.parts * first.parameter.shape[0]),
        a.shape == [fused.experts * rank, first.parameter.shape[1]], b.shape == [out, rank * fused.experts]
      else {
        let experts = fused.name == nil ? "" : "\(fused.experts) experts of "
        throw DPOError.mismatch(
          "\(weights): tensors \(a.name) and \(b.name): shapes \(a.shape) and \(b.shape), but adapter_config.json and the model ask for \(experts)rank \(strength.rank)"
        )
      }
      let stacked = a.reshaped([fused.experts, rank, first.parameter.shape[1]])
      for (layer, share) in fused.layers {
        for expert in 0..<fused.experts {
          let path = fused.path(layer, expert: expert)
          let own = TensorShare(tensor: a.name, expert: expert, experts: fused.experts)
          found.append(
            try stacked.part(own, shape: [rank, layer.shape[1]]).renamed(LoRAAdapter.name(path, "A")))
          found.append(
            try b.elements([layer.shape[0], rank]) { row, k in
              (share.first + row * share.step) * rank * fused.experts + k * fused.experts + expert
            }.renamed(LoRAAdapter.name(path, "B")))
        }
      }
      // Of all blocks, or of some.
      let isEverywhere = chosen.count { $0.name == fused.name } == all.count { $0.name == fused.name }
      targets += isEverywhere ? fused.layerNames : fused.paths
      if rank != configuration.rank { byExpert.rankPattern.append(.init(pattern: fused.pattern, value: rank)) }
      if strength.alpha != configuration.alpha {
        byExpert.alphaPattern.append(.init(pattern: fused.pattern, value: strength.alpha))
      }
    }
    byExpert.targetModules = .names(Array(Set(targets)).sorted())
    return (byExpert, named.values.sorted { $0.name < $1.name } + found)
  }
}

extension PEFTAdapter {
  /// To transformers 5 experts' layers are no modules: what would name them names those of the MLP beside them alone, and the
  /// file has no matrices of experts.
  private func withoutAbsentExperts(_ model: DecoderConfiguration) -> LoRAConfiguration {
    let names = Set(tensors.map(\.name))
    // What is wrong with the targets is said when they are needed.
    guard let places = try? configuration.resolve(model), case let others = places.filter({ $0.module.expert == nil }),
      !others.isEmpty,
      !places.contains(where: { $0.module.expert != nil && names.contains(LoRAAdapter.name($0.module, "A")) })
    else { return configuration }
    guard others.count < places.count else { return configuration }
    var configuration = configuration
    configuration.targetModules = .names(others.map(\.module.path))
    return configuration
  }
}

// MARK: - Writing

/// The adapters of some layers as one of what holds them: each layer has ranks of its own.
struct FusedAdapter {
  let fused: FusedLayers
  private let parts: [Part]
  private let adapter: AdapterFile
  let rank: Int
  /// s of all of them. Where a layer has another one, B takes the rest.
  let scale: Float

  private struct Part {
    let layer: ParameterDescription
    let share: TensorShare
    /// The first of its ranks.
    let first: Int
    let rank: Int
    let scale: Float
  }

  /// nil: it has none.
  init?(_ fused: FusedLayers, _ places: [String: LoRAConfiguration.Place], _ adapter: AdapterFile) throws {
    var parts: [Part] = []
    var rank = 0
    for (layer, share) in fused.layers {
      let own = (0..<fused.experts).compactMap { places[fused.path(layer, expert: $0)] }
      guard let first = own.first else { continue }
      guard own.count == fused.experts, own.allSatisfy({ $0.rank == first.rank && $0.scale == first.scale }) else {
        throw DPOError.unsupported(
          "\(adapter.path): \(fused.path): PEFT has adapters of all experts of a block, with one rank; choose hdf5, or merge the adapter"
        )
      }
      parts.append(Part(layer: layer, share: share, first: rank, rank: first.rank, scale: first.scale))
      rank += first.rank
    }
    guard let first = parts.first else { return nil }
    (self.fused, self.parts, self.adapter, self.rank, scale) = (fused, parts, adapter, rank, first.scale)
  }

  func outputs(dtype: DType, wraps: Int) -> [OutputTensor] {
    let (experts, inputs) = (fused.experts, parts[0].layer.shape[1])
    let rows = parts[0].share.parts * parts[0].layer.shape[0]
    return [
      OutputTensor(name: fused.matrix("A", wraps: wraps), dtype: dtype, shape: [experts * rank, inputs]) { out in
        for part in parts {
          for expert in 0..<experts {
            try tensor(part, expert, "A").dequantize(
              rows: 0..<part.rank, into: out + (expert * rank + part.first) * inputs)
          }
        }
      },
      OutputTensor(name: fused.matrix("B", wraps: wraps), dtype: dtype, shape: [rows, rank * experts]) { out in
        out.update(repeating: 0, count: rows * rank * experts)
        for part in parts {
          let own = try FloatBuffer(count: part.layer.shape[0] * part.rank)
          for expert in 0..<experts {
            try tensor(part, expert, "B").dequantize(rows: 0..<part.layer.shape[0], into: own.pointer)
            for row in 0..<part.layer.shape[0] {
              let target = out + (part.share.first + row * part.share.step) * rank * experts + expert
              for k in 0..<part.rank {
                target[(part.first + k) * experts] = own.pointer[row * part.rank + k] * (part.scale / scale)
              }
            }
          }
        }
      },
    ]
  }

  private func tensor(_ part: Part, _ expert: Int, _ which: String) throws -> StoredTensor {
    let name = LoRAAdapter.name(fused.path(part.layer, expert: expert), which)
    guard let tensor = adapter.tensors[name] else {
      throw DPOError(.internal, "\(adapter.path): tensor \(name) is missing")
    }
    return tensor
  }
}

extension JSON {
  /// adapter_config.json where PEFT adapts these modules and parameters, beside `places`.
  func adapting(
    _ fused: [FusedAdapter], _ places: [LoRAConfiguration.Place], _ configuration: LoRAConfiguration
  ) -> JSON {
    guard !fused.isEmpty, let object else { return self }
    func patterns(_ key: String, _ values: [(path: String, value: JSON)]) -> JSON {
      // The first that matches counts.
      var object = JSONObject()
      for (path, value) in values { object[path] = value }
      for (pattern, value) in self[key]?.object?.members ?? [] where object[pattern] == nil { object[pattern] = value }
      return .object(object)
    }
    let modules = places.map(\.module.path) + fused.filter { $0.fused.name == nil }.map(\.fused.path)
    let parameters = fused.filter { $0.fused.name != nil }.map(\.fused.path)
    var changed: JSONObject = [
      "target_modules": modules.isEmpty ? .null : .array(modules.map(JSON.string)),
      "rank_pattern": patterns("rank_pattern", fused.map { ($0.fused.path, .int($0.rank)) }),
      "alpha_pattern": patterns(
        "alpha_pattern",
        fused.map { adapter in
          let rank = Double(adapter.rank)
          return (
            adapter.fused.path, .real(Double(adapter.scale) * (configuration.useRSLoRA ? rank.squareRoot() : rank))
          )
        }),
    ]
    if !parameters.isEmpty {
      changed["target_parameters"] = .array(parameters.map(JSON.string))
      // PEFT has no dropout beside parameters.
      changed["lora_dropout"] = 0
    }
    return .object(object.with(changed))
  }
}
