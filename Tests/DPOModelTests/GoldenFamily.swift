import DPOBase
import DPOKernels
import DPOModel
import DPOPlatform
import DPOStorage
import TestSupport

/// A tiny random model of a family and what transformers, PEFT and llama.cpp make of it. Its weights are a formula of their
/// names, from which the files are made.
struct GoldenFamily {
  let name: String
  let golden: JSON

  init(_ name: String) throws {
    self.init(name: name, golden: try Fixtures.json("golden/families/\(name).json"))
  }

  init(name: String, golden: JSON) {
    self.name = name
    self.golden = golden
  }

  static let names: [String] = {
    let files = (try? directoryNames(Fixtures.path("golden/families"))) ?? []
    return files.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
  }()

  /// Families of `names` that libdpo does not know.
  static let unknown = Set(
    names.filter { name in
      guard let type = (try? GoldenFamily(name))?.modelType else { return false }
      return !Family.all.contains { $0.name == type }
    })
  /// transformers has no class of these.
  static let ggufOnly = names.filter { (try? GoldenFamily($0).golden["config"]?.isNull) ?? true }
  /// With adapters of experts, and of other layers.
  static let adapters: [(name: String, adapter: String)] = huggingFace.flatMap { name in
    ["adapter", "expert_adapter"].filter { (try? GoldenFamily(name).golden[$0]?.object) != nil }.map { (name, $0) }
  }
  static let known = names.filter { !unknown.contains($0) }
  static let withGGUF = known.filter { ((try? GoldenFamily($0))?.golden["gguf"]?.object) != nil }
  static let huggingFace = known.filter { !ggufOnly.contains($0) && $0 != "llama-dynamic-beyond" }
  /// Their frequencies are others for long sequences. transformers changes them in the middle of an answer, when it grows long;
  /// here an answer keeps those of the length that it may reach.
  static let switching: Set = ["llama-longrope", "phi3-switch"]
  /// Of whose GGUF files llama.cpp computes what transformers computes of the others.
  static let gguf = withGGUF.filter { (try? GoldenFamily($0).golden["llama_cpp_config"] == nil) ?? false }

  var normsAddOne: Bool {
    ["gemma", "gemma2", "gemma3_text", "nemotron", "qwen3_5_text", "qwen3_5_moe_text"].contains(modelType)
  }

  /// nil: only as a GGUF file.
  var modelType: String? { Family.textPart(golden["config"] ?? .null)["model_type"]?.string }

  // MARK: Weights

  static func values(_ name: String, count: Int, shift: Double, scale: Double) -> [Float] {
    uniform(name, count: count).map { Float(shift + scale * $0) }
  }

  /// Numbers in −1 ..< 1.
  static func uniform(_ name: String, count: Int) -> [Double] {
    var seed: UInt64 = 14_695_981_039_346_656_037
    for byte in name.utf8 { seed = (seed ^ UInt64(byte)) &* 1_099_511_628_211 }
    return (0..<count).map { index in
      var z = seed &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      z ^= z >> 31
      return 2 * (Double(z >> 11) * 0x1p-53) - 1
    }
  }

  struct Tensor {
    let name: String
    var shape: [Int]
    var values: [Float]
  }

  static func tensors(_ list: JSON?) -> [Tensor] {
    (list?.array ?? []).compactMap { entry in
      guard let parts = entry.array, parts.count == 4, let name = parts[0].string else { return nil }
      let shape = (parts[1].array ?? []).compactMap(\.int)
      return Tensor(
        name: name, shape: shape,
        values: values(
          name, count: shape.reduce(1, *), shift: parts[2].double ?? .nan, scale: parts[3].double ?? .nan))
    }
  }

  var weights: [Tensor] { GoldenFamily.tensors(golden["tensors"]) }

  // MARK: Files

  /// A Hugging Face directory.
  func writeModel(_ directory: String) throws {
    try writeFile("\(directory)/config.json", (golden["config"] ?? .null).pretty)
    try GoldenFamily.writeSafetensors("\(directory)/model.safetensors", weights)
  }

  func writeAdapter(_ directory: String, _ which: String = "adapter") throws {
    let adapter = golden[which] ?? .null
    let settings: JSON = [
      "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": adapter["r"] ?? .null,
      "lora_alpha": adapter["lora_alpha"] ?? .null, "target_modules": adapter["target_modules"] ?? .null,
    ]
    try writeFile("\(directory)/adapter_config.json", settings.pretty)
    try GoldenFamily.writeSafetensors(
      "\(directory)/adapter_model.safetensors", GoldenFamily.tensors(adapter["tensors"]))
  }

  static func writeSafetensors(_ path: String, _ tensors: [Tensor]) throws {
    var header = JSONObject()
    var offset = 0
    for tensor in tensors {
      let end = offset + 4 * tensor.values.count
      header[tensor.name] = [
        "dtype": "F32", "shape": .array(tensor.shape.map(JSON.int)), "data_offsets": [.int(offset), .int(end)],
      ]
      offset = end
    }
    var bytes = Bytes()
    let text = JSON.object(header).description
    bytes.append(UInt64(text.utf8.count))
    bytes.bytes += Array(text.utf8)
    for tensor in tensors { bytes.append(tensor.values) }
    try bytes.write(path)
  }

  /// The tensors of the GGUF file, as the recipe makes them of the others.
  var ggufTensors: [Tensor] {
    let named = Dictionary(weights.map { ($0.name, $0) }) { first, _ in first }
    return (golden["gguf"]?["tensors"]?.array ?? []).compactMap { entry in
      guard let parts = entry.array, parts.count == 3, let name = parts[0].string else { return nil }
      let shape = (parts[1].array ?? []).compactMap(\.int)
      if let numbers = parts[2]["values"]?.array {
        return Tensor(name: name, shape: shape, values: numbers.map { Float($0.double ?? .nan) })
      }
      if let pattern = parts[2]["stack"]?.string {
        let experts = (0..<(shape.first ?? 0)).map { expert in
          named[pattern.split(separator: "*", omittingEmptySubsequences: false).joined(separator: "\(expert)")]
        }
        return Tensor(name: name, shape: shape, values: experts.flatMap { $0?.values ?? [] })
      }
      guard let source = parts[2]["of"]?.string.flatMap({ named[$0] }) else { return nil }
      return Tensor(name: name, shape: shape, values: GoldenFamily.made(of: source, parts[2]))
    }
  }

  private static func made(of source: Tensor, _ recipe: JSON) -> [Float] {
    if recipe["transpose"] != nil || recipe["slice"] != nil { return partOfExperts(source, recipe) }
    let columns = source.shape.dropFirst().reduce(1, *)
    var rows = stride(from: 0, to: source.values.count, by: columns).map {
      Array(source.values[$0..<$0 + columns])
    }
    if let range = recipe["rows"]?.array?.compactMap(\.int), range.count == 2 {
      rows = Array(rows[range[0]..<range[1]])
    }
    if let heads = recipe["permute"]?.int {
      let size = rows.count / heads
      rows = (0..<rows.count).map { row in
        let (head, within) = (row / size, row % size)
        return rows[head * size + within % 2 * (size / 2) + within / 2]
      }
    }
    if let heads = recipe["qkv_by_head"]?.int {
      let size = rows.count / 3 / heads
      rows = (0..<rows.count).map { row in
        let (part, within) = (row / (heads * size), row % (heads * size))
        return rows[(within / size * 3 + part) * size + within % size]
      }
    }
    if let group = recipe["regroup"]?.array?.compactMap(\.int), group.count == 4 {
      func regrouped<Item>(_ items: [Item]) -> [Item] {
        let (tail, each) = (Array(items.dropFirst(group[1])), group[3])
        let size = tail.count / group[2] / each
        return items.prefix(group[1])
          + (0..<tail.count).map { index in
            let (head, within) = (index / size, index % size)
            return tail[(head % group[2] * each + head / group[2]) * size + within]
          }
      }
      rows = group[0] == 0 ? regrouped(rows) : rows.map(regrouped)
    }
    let (add, isSpeed) = (Float(recipe["add"]?.double ?? 0), recipe["negative_exp"]?.bool == true)
    return rows.flatMap { $0.map { (isSpeed ? -exp($0) : $0) + add } }
  }

  /// Of [experts, rows, columns], or [experts, rows], with the last two axes exchanged if it says so, some rows of each.
  private static func partOfExperts(_ source: Tensor, _ recipe: JSON) -> [Float] {
    let isTransposed = recipe["transpose"]?.bool == true
    let (experts, inner) = (source.shape[0], source.shape.dropFirst(2).first ?? 1)
    let (rows, columns) = isTransposed ? (inner, source.shape[1]) : (source.shape[1], inner)
    let range = recipe["slice"]?.array ?? [0, .null, 1]
    let taken = stride(from: range[0].int ?? 0, to: range[1].int ?? rows, by: range[2].int ?? 1)
    var part: [Float] = []
    for expert in 0..<experts {
      for row in taken {
        for column in 0..<columns {
          let place = isTransposed ? column * rows + row : row * columns + column
          part.append(source.values[expert * rows * columns + place])
        }
      }
    }
    return part
  }

  /// The file that llama.cpp was asked about, with some tensors and keys more or less.
  func writeGGUF(
    _ path: String, adding more: [Tensor] = [], without fewer: Set<String> = [], metadata changes: [[JSON]] = []
  ) throws {
    let changed = Set(changes.compactMap { $0.first?.string })
    let metadata = (golden["gguf"]?["metadata"]?.array ?? []).filter { entry in
      !changed.contains(entry.array?.first?.string ?? "")
    }
    let tensors = ggufTensors.filter { !fewer.contains($0.name) } + more
    try GoldenFamily.writeGGUF(
      path, tensors, metadata: metadata + changes.filter { $0.count == 3 }.map { JSON.array($0) })
  }

  /// The same in parts `NAME-0000K-of-0000N.gguf`, of which one may tell another number of tensors than there are.
  func writeParts(_ stem: String, count: Int, total: (of: Int, tensors: Int)? = nil) throws {
    let tensors = ggufTensors
    for part in 0..<count {
      let some = tensors.indices.filter { $0 * count / tensors.count == part }.map { tensors[$0] }
      let split: [JSON] = [
        ["split.no", "u32", .int(part)], ["split.count", "u32", .int(count)],
        ["split.tensors.count", "u32", .int(part == total?.of ? total?.tensors ?? 0 : tensors.count)],
      ]
      try GoldenFamily.writeGGUF(
        "\(stem)-0000\(part + 1)-of-0000\(count).gguf", some,
        metadata: part == 0 ? (golden["gguf"]?["metadata"]?.array ?? []) + split : split)
    }
  }

  private static func writeGGUF(_ path: String, _ tensors: [Tensor], metadata: [JSON]) throws {
    var bytes = Bytes()
    bytes.bytes += Array("GGUF".utf8)
    bytes.append(UInt32(3))
    bytes.append(UInt64(tensors.count))
    bytes.append(UInt64(metadata.count))
    for entry in metadata {
      guard let parts = entry.array, parts.count == 3, let key = parts[0].string, let type = parts[1].string else {
        throw DPOError(.internal, "metadata \(entry)")
      }
      bytes.append(string: key)
      try bytes.append(parts[2], type: type)
    }
    var offset = 0
    for tensor in tensors {
      bytes.append(string: tensor.name)
      bytes.append(UInt32(tensor.shape.count))
      for size in tensor.shape.reversed() { bytes.append(UInt64(size)) }
      bytes.append(UInt32(0))
      bytes.append(UInt64(offset))
      offset += (4 * tensor.values.count + 31) / 32 * 32
    }
    bytes.pad(to: 32)
    for tensor in tensors {
      bytes.append(tensor.values)
      bytes.pad(to: 32)
    }
    try bytes.write(path)
  }

  // MARK: Numbers

  /// All sequences, and the coefficient of each target in the loss.
  var forest: (forest: TokenForest, coefficients: [Float]) {
    var forest = TokenForest()
    let weights = (golden["loss_weights"]?.array ?? []).compactMap(\.double)
    for sequence in golden["sequences"]?.array ?? [] {
      let parent = forest.addPrompt(sequence.ids("prompt"))
      for completion in sequence["completions"]?.array ?? [] {
        forest.addCompletion((completion.array ?? []).map { Int32($0.int ?? -1) }, parent: parent)
      }
    }
    return (forest, forest.targets.map { Float(weights[Int($0.sequence)]) })
  }

  func numbers(_ list: JSON?) -> [Float] {
    (list?.array ?? []).flatMap { ($0.array ?? []).map { Float($0.double ?? .nan) } }
  }

  /// The norm of a gradient, and its products with three directions.
  static func sketch(_ gradient: [Float], _ name: String) -> [Double] {
    let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    return [norm]
      + (0..<3).map { k in
        zip(gradient, uniform("\(k):\(name)", count: gradient.count)).reduce(0) { $0 + Double($1.0) * $1.1 }
      }
  }
}

/// Little-endian numbers.
struct Bytes {
  var bytes: [UInt8] = []

  mutating func append<Number: FixedWidthInteger>(_ number: Number) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  func write(_ path: String) throws {
    let file = try AtomicFile(path)
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.commit()
  }

  mutating func append(_ values: [Float]) { values.withUnsafeBytes { bytes.append(contentsOf: $0) } }

  mutating func append(string: String) {
    append(UInt64(string.utf8.count))
    bytes += Array(string.utf8)
  }

  mutating func pad(to alignment: Int) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  /// A value of a GGUF file with its type before it.
  mutating func append(_ value: JSON, type: String) throws {
    let types: [String: UInt32] = ["u32": 4, "i32": 5, "f32": 6, "bool": 7, "string": 8]
    if type.hasPrefix("["), let element = types[String(type.dropFirst().dropLast())] {
      append(UInt32(9))
      append(element)
      append(UInt64(value.array?.count ?? 0))
      for item in value.array ?? [] { appendBare(item, element) }
      return
    }
    guard let number = types[type] else { throw DPOError(.internal, "metadata type \(type)") }
    append(number)
    appendBare(value, number)
  }

  private mutating func appendBare(_ value: JSON, _ type: UInt32) {
    switch type {
    case 4: append(UInt32(value.int ?? 0))
    case 5: append(Int32(value.int ?? 0))
    case 6: append([Float(value.double ?? .nan)])
    case 7: bytes.append(value.bool == true ? 1 : 0)
    default: append(string: value.string ?? "")
    }
  }
}
