import DPOBase

/// What a libdpo HDF5 file says besides numbers. docs/hdf5.md describes the file.
package struct CheckpointHeader: Sendable, Equatable {
  package enum Kind: String, Sendable {
    /// A whole model.
    case model
    /// An adapter, with a pointer to its base model.
    case adapter
    /// Everything that a run needs to go on: model or adapter, optimiser, trainer.
    case checkpoint
  }

  /// The model that an adapter belongs to.
  package struct BaseModel: Sendable, Equatable {
    package var path: String
    /// `ModelFile.fingerprint()`
    package var fingerprint: UInt64

    package init(path: String, fingerprint: UInt64) {
      self.path = path
      self.fingerprint = fingerprint
    }
  }

  package var kind: Kind
  /// config.json
  package var configuration: JSON
  /// generation_config.json
  package var generationConfiguration: JSON?
  /// tokenizer.json
  package var tokenizerJSON: JSON?
  /// tokenizer_config.json
  package var tokenizerConfiguration: JSON?
  /// PEFT's adapter_config.json, where there is an adapter
  package var adapterConfiguration: JSON?
  package var baseModel: BaseModel?
  /// Where the weights came from and what was done to them
  package var provenance: JSON
  /// The trainer's state, of a checkpoint only. Keys become attributes of /trainer.
  package var trainer: JSONObject?

  package init(
    kind: Kind, configuration: JSON, generationConfiguration: JSON? = nil, tokenizerJSON: JSON? = nil,
    tokenizerConfiguration: JSON? = nil, adapterConfiguration: JSON? = nil, baseModel: BaseModel? = nil,
    provenance: JSON, trainer: JSONObject? = nil
  ) {
    self.kind = kind
    self.configuration = configuration
    self.generationConfiguration = generationConfiguration
    self.tokenizerJSON = tokenizerJSON
    self.tokenizerConfiguration = tokenizerConfiguration
    self.adapterConfiguration = adapterConfiguration
    self.baseModel = baseModel
    self.provenance = provenance
    self.trainer = trainer
  }
}

/// Names and version of the layout.
enum CheckpointFormat {
  static let name = "libdpo"
  static let version = 1
  static let model = "/model"
  static let adapter = "/adapter"
  static let trainer = "/trainer"
}

// MARK: - To and from attributes

extension CheckpointHeader {
  /// Attributes of the file as a whole that are JSON documents.
  private static let documents: [(name: String, member: WritableKeyPath<CheckpointHeader, JSON?> & Sendable)] = [
    ("generation_config", \.generationConfiguration), ("tokenizer_json", \.tokenizerJSON),
    ("tokenizer_config", \.tokenizerConfiguration), ("adapter_config", \.adapterConfiguration),
  ]

  func write(to writer: HDF5Writer) throws {
    try writer.attribute("/", "format", .text(CheckpointFormat.name))
    try writer.attribute("/", "format_version", .int(CheckpointFormat.version))
    try writer.attribute("/", "kind", .text(kind.rawValue))
    try writer.attribute("/", "configuration", .text(configuration.pretty))
    try writer.attribute("/", "provenance", .text(provenance.pretty))
    for (name, member) in CheckpointHeader.documents {
      if let document = self[keyPath: member] { try writer.attribute("/", name, .text(document.description)) }
    }
    if let baseModel {
      try writer.attribute("/", "base_model", .text(baseModel.path))
      try writer.attribute("/", "base_model_fingerprint", .text(hexadecimal(baseModel.fingerprint)))
    }
    for (name, value) in trainer?.members ?? [] {
      switch value {
      case .int(let number): try writer.attribute(CheckpointFormat.trainer, name, .int(number))
      case .real(let number): try writer.attribute(CheckpointFormat.trainer, name, .real(number))
      default: try writer.attribute(CheckpointFormat.trainer, name, .text(value.description))
      }
    }
  }

  init(_ reader: HDF5Reader) throws {
    let file = reader.path
    func required(_ name: String) throws -> String {
      guard let text = try reader.text("/", name) else { throw DPOError.format(file, "attribute \(name) is missing") }
      return text
    }
    func json(_ text: String, _ name: String) throws -> JSON {
      try JSON.parse(text, file: "\(file): attribute \(name)")
    }
    guard try required("format") == CheckpointFormat.name else {
      throw DPOError.format(file, "attribute format: expected \"\(CheckpointFormat.name)\"")
    }
    guard case .int(let version)? = reader.attributes["/"]?["format_version"], version >= 1 else {
      throw DPOError.format(file, "attribute format_version: expected a positive integer")
    }
    guard version <= CheckpointFormat.version else {
      throw DPOError.unsupported(
        "\(file): format_version \(version) is newer than this libdpo knows (\(CheckpointFormat.version))")
    }
    let kindName = try required("kind")
    guard let kind = Kind(rawValue: kindName) else {
      throw DPOError.format(
        file, "attribute kind: expected model, adapter or checkpoint, found \"\(DPOError.printable(kindName))\"")
    }
    self.init(
      kind: kind, configuration: try json(required("configuration"), "configuration"),
      provenance: try json(required("provenance"), "provenance"))
    for (name, member) in CheckpointHeader.documents {
      if let text = try reader.text("/", name) { self[keyPath: member] = try json(text, name) }
    }
    if let path = try reader.text("/", "base_model") {
      guard let fingerprint = UInt64(try required("base_model_fingerprint"), radix: 16) else {
        throw DPOError.format(file, "attribute base_model_fingerprint: expected 16 hexadecimal digits")
      }
      baseModel = BaseModel(path: path, fingerprint: fingerprint)
    }
    guard kind == .checkpoint else { return }
    guard let values = reader.attributes[CheckpointFormat.trainer] else {
      throw DPOError.format(file, "a checkpoint without the group \(CheckpointFormat.trainer)")
    }
    var trainer = JSONObject()
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      switch value {
      case .int(let number): trainer[name] = .int(number)
      case .real(let number): trainer[name] = .real(number)
      case .text(let text): trainer[name] = try json(text, "\(CheckpointFormat.trainer) \(name)")
      }
    }
    self.trainer = trainer
  }
}
