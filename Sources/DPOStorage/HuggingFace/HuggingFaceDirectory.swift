import DPOBase

/// The files of a Hugging Face model directory.
package struct HuggingFaceDirectory {
  package let path: String

  /// Settings files are small; tokenizers reach some tens of megabytes.
  static let maximumSettings = 16 << 20
  private static let maximumTokenizer = 256 << 20

  package init(_ path: String) { self.path = path }

  package func file(_ name: String) -> String { path.hasSuffix("/") ? path + name : "\(path)/\(name)" }
  package func has(_ name: String) -> Bool { fileKind(file(name)) != .none }

  /// It holds an adapter and no weights of a model; the base model's config.json may lie beside.
  package var isAdapter: Bool {
    has("adapter_config.json") && !has("model.safetensors") && !has("model.safetensors.index.json")
  }

  package func json(_ name: String, limit: Int = maximumSettings) throws -> JSON {
    try JSON.parse(readFile(file(name), limit: limit), file: file(name))
  }

  package func optionalJSON(_ name: String) throws -> JSON? { has(name) ? try json(name) : nil }

  package func tokenizerJSON() throws -> JSON? {
    has("tokenizer.json") ? try json("tokenizer.json", limit: HuggingFaceDirectory.maximumTokenizer) : nil
  }

  /// All tensors of model.safetensors, or of the shards that model.safetensors.index.json lists.
  package func tensors() throws -> [FileTensor] {
    if has("model.safetensors") { return try SafetensorsFile(file("model.safetensors")).tensors }
    let index = "model.safetensors.index.json"
    guard has(index) else {
      let other = ["pytorch_model.bin", "pytorch_model.bin.index.json"].first(where: has)
      throw DPOError.format(
        path,
        "no model.safetensors or \(index)"
          + (other.map { " (\($0) is not supported: convert it to safetensors)" } ?? ""))
    }
    guard let map = try json(index, limit: 64 << 20)["weight_map"]?.object, !map.isEmpty else {
      throw DPOError.format(file(index), "weight_map: expected an object that names the shard of each tensor")
    }
    var shards: [String: [String: FileTensor]] = [:]
    var used: [String: Int] = [:]
    let tensors = try map.members.map { name, value in
      let shard = try shardName(value, tensor: name, index: file(index))
      if shards[shard] == nil {
        guard has(shard) else {
          throw DPOError.format(
            file(index), "weight_map: \(DPOError.printable(name)) is to be in \(shard), which is missing")
        }
        let content = try SafetensorsFile(file(shard))
        shards[shard] = Dictionary(content.tensors.map { ($0.name, $0) }) { first, _ in first }
      }
      guard let tensor = shards[shard]?[name] else {
        throw DPOError.format(
          file(shard), "tensor \(DPOError.printable(name)), which \(index) promises, is not in the file")
      }
      used[shard, default: 0] += 1
      return tensor
    }
    for (shard, content) in shards.sorted(by: { $0.key < $1.key }) where used[shard] != content.count {
      let extra = content.keys.sorted().first { map[$0]?.string != shard } ?? ""
      throw DPOError.format(file(shard), "tensor \(DPOError.printable(extra)) is not listed in \(index)")
    }
    return tensors
  }

  /// A shard is a plain name: nothing outside of the directory is opened.
  private func shardName(_ value: JSON, tensor: String, index: String) throws -> String {
    guard let name = value.string, name.hasSuffix(".safetensors"), name.utf8.count <= 255,
      !name.contains("/"), !name.unicodeScalars.contains(where: { $0.value < 32 })
    else {
      throw DPOError.format(
        index,
        "weight_map: \(DPOError.printable(tensor)): expected the name of a .safetensors file in the directory, found \(DPOError.printable(value.description, limit: 60))"
      )
    }
    return name
  }
}
