import DPOBase

extension GGUFFile {
  /// A model's file, and where it is split the tensors of all parts: `NAME-00001-of-0000N.gguf` and so on, of which `first` is
  /// the first.
  package init(parts first: MappedFile) throws {
    let file = try GGUFFile(first)
    guard let count = try GGUFFile.split(file.metadata, "count"), count > 1 else {
      self = file
      return
    }
    let path = first.path
    guard count <= GGUFFile.mostParts else {
      throw DPOError.format(path, "split.count: expected at most \(GGUFFile.mostParts), found \(count)")
    }
    let own = try GGUFFile.split(file.metadata, "no") ?? 0
    let end = GGUFFile.ending(own, count)
    guard path.hasSuffix(end) else {
      throw DPOError.format(path, "part \(own + 1) of a model split in \(count): expected a name that ends in \(end)")
    }
    func name(_ part: Int) -> String { path.dropLast(end.count) + GGUFFile.ending(part, count) }
    guard own == 0 else {
      throw DPOError.format(path, "part \(own + 1) of a split model: open its first part, \(name(0))")
    }
    var tensors = file.tensors
    var totals = [(path: path, tensors: try GGUFFile.split(file.metadata, "tensors.count"))]
    for part in 1..<count {
      guard fileKind(name(part)) != .none else {
        throw DPOError(.io, "\(path): part \(part + 1) of \(count) is missing: \(name(part))")
      }
      let other = try GGUFFile(MappedFile(name(part)))
      try GGUFFile.check(other.metadata, isPart: part, of: count, first: file.metadata)
      tensors += other.tensors
      totals.append((name(part), try GGUFFile.split(other.metadata, "tensors.count")))
    }
    try GGUFFile.check(totals.compactMap { path, total in total.map { (path, $0) } }, found: tensors.count, in: count)
    self.init(metadata: file.metadata, tensors: tensors)
  }

  private static let mostParts = 1000

  private static func ending(_ part: Int, _ count: Int) -> String {
    func five(_ number: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    return "-\(five(part + 1))-of-\(five(count)).gguf"
  }

  private static func split(_ metadata: GGUFMetadata, _ name: String) throws -> Int? {
    let key = "split.\(name)"
    guard let value = metadata[key] else { return nil }
    guard case .int(let number) = value, number >= 0 else {
      throw DPOError.format(metadata.file, "\(key): expected an integer of at least 0")
    }
    return number
  }

  /// Compares what the parts say of all tensors with those that are there.
  private static func check(_ totals: [(path: String, tensors: Int)], found: Int, in count: Int) throws {
    guard let wrong = totals.first(where: { $0.tensors != found }) else { return }
    // If a part is right, the others are damaged.
    let isSaid = totals.contains { $0.tensors == found }
    if !isSaid, let other = totals.first(where: { $0.tensors != wrong.tensors }) {
      throw DPOError.mismatch(
        "\(other.path): split.tensors.count is \(other.tensors), but \(wrong.tensors) in \(wrong.path): a part of another model"
      )
    }
    throw DPOError.format(
      wrong.path, "split.tensors.count is \(wrong.tensors), but the \(count) parts hold \(found) tensors")
  }

  private static func check(
    _ metadata: GGUFMetadata, isPart part: Int, of count: Int, first: GGUFMetadata
  ) throws {
    let found = (try split(metadata, "no"), try split(metadata, "count"))
    guard found == (part, count) else {
      let what = "part \(found.0.map { "\($0 + 1)" } ?? "?") of \(found.1.map(String.init) ?? "?")"
      throw DPOError.format(metadata.file, "says that it is \(what), expected part \(part + 1) of \(count)")
    }
    for key in ["general.architecture", "general.name"] {
      guard metadata[key] == nil || metadata[key] == first[key] else {
        throw DPOError.mismatch("\(metadata.file): \(key) is another than in \(first.file): a part of another model")
      }
    }
  }
}
