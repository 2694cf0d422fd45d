import DPOBase

/// What kind of thing lies at a path, by its first bytes or its files.
enum FileContent {
  case gguf(MappedFile)
  case hdf5
  case safetensors
  case huggingFaceDirectory
  case adapterDirectory

  init(_ path: String) throws {
    switch fileKind(path) {
    case .none: throw DPOError(.io, "\(path): no such file or directory")
    case .directory:
      let directory = HuggingFaceDirectory(path)
      if directory.isAdapter {
        self = .adapterDirectory
        return
      }
      guard directory.has("config.json") else {
        throw DPOError.format(path, "not a model directory: it has no config.json")
      }
      self = .huggingFaceDirectory
    case .other: throw DPOError.format(path, "not a regular file or directory")
    case .file:
      let mapped = try MappedFile(path)
      defer { withExtendedLifetime(mapped) {} }
      if mapped.bytes.starts(with: GGUFFile.magic) {
        self = .gguf(mapped)
      } else if FileContent.hasHDF5Signature(mapped.bytes) {
        self = .hdf5
      } else if mapped.bytes.count > 9, mapped.bytes[8] == UInt8(ascii: "{") {
        self = .safetensors
      } else {
        throw DPOError.format(path, "not a model: neither a GGUF file, an HDF5 file nor a Hugging Face directory")
      }
    }
  }

  /// The signature stands at the start, or after a user block of 512, 1024, … bytes.
  private static func hasHDF5Signature(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    while offset <= 1 << 20, offset < bytes.count {
      if bytes[offset...].starts(with: HDF5Structure.signature) { return true }
      offset = offset == 0 ? 512 : 2 * offset
    }
    return false
  }
}
