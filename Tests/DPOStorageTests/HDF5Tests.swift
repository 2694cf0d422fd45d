import DPOBase
import DPOModel
import DPOStorage
import DPOTensor
import DPOPlatform
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct HDF5Tests {
  let directory: TemporaryDirectory
  var path: String { "\(directory.path)/file.h5" }

  init() throws { directory = try TemporaryDirectory() }

  static let numbers: [String: [Float]] = [
    "/model/a.weight": (0..<12).map { Float($0) * 0.25 - 1 },
    "/model/b.bias": [1, -2, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -0.0],
    "/optimizer/exp_avg/a.weight": (0..<12).map { 1 / Float($0 + 1) },
  ]

  func write(_ path: String) throws {
    let writer = try HDF5Writer(path)
    try writer.attribute("/", "format", .text("libdpo"))
    try writer.attribute("/", "tokenizer_json", .text(String(repeating: "žluťoučký kůň ", count: 20_000)))
    try writer.attribute("/", "format_version", .int(1))
    try writer.attribute("/trainer", "learning_rate", .real(5e-7))
    for (name, values) in Self.numbers.sorted(by: { $0.key > $1.key }) {
      let shape = values.count == 12 ? [3, 4] : [values.count]
      try writer.dataset(
        name, shape: shape, element: .float32,
        source: .produced { buffer in values.withUnsafeBytes { buffer.copyMemory(from: $0) } })
    }
    try [Int64(7), -1].withUnsafeBytes {
      try writer.dataset("/trainer/rows", shape: [2], element: .int64, source: .memory($0))
      try writer.commit()
    }
  }

  @Test func readsBackWhatWasWritten() throws {
    try write(path)
    let reader = try HDF5Reader(path)
    #expect(reader.datasets.map(\.path) == Self.numbers.keys.sorted(by: >) + ["/trainer/rows"])
    for (name, values) in Self.numbers {
      let tensor = try reader.tensor(#require(reader.dataset(name)))
      #expect(tensor.bytes.elementsEqual(values.withUnsafeBytes { Array($0) }))
      #expect(Int(bitPattern: tensor.bytes.baseAddress) % 64 == 0)
      #expect(tensor.name == nameOf(name))
    }
    #expect(reader.datasets(in: "/model").map(\.shape) == [[5], [3, 4]])
    #expect(reader.attributes["/"]?["format_version"] == .int(1))
    #expect(reader.attributes["/trainer"]?["learning_rate"] == .real(5e-7))
    #expect(try reader.text("/", "tokenizer_json")?.utf8.count == 20_000 * "žluťoučký kůň ".utf8.count)
    #expect(try directoryNames(directory.path) == ["file.h5"])
  }

  @Test func readsWhatH5pyWroteByTheDocument() throws {
    let model = try ModelFile.open(Fixtures.path("models/gpt2")).configuration
    let stored = try AdapterFile.open(Fixtures.path("hdf5/gpt2-adapter.h5"), for: model)
    let original = try AdapterFile.open(Fixtures.path("adapters/gpt2-random"), for: model)
    #expect(stored.configuration == original.configuration)
    #expect(stored.tensors.keys.sorted() == original.tensors.keys.sorted())
    for (name, tensor) in original.tensors {
      #expect(stored.tensors[name].map { $0.bytes.elementsEqual(tensor.bytes) } == true, "\(name)")
    }
  }

  @Test func sameContentGivesTheSameBytes() throws {
    try write(path)
    try write("\(directory.path)/again.h5")
    let first = try readFile(path, limit: 1 << 24)
    #expect(try readFile("\(directory.path)/again.h5", limit: 1 << 24) == first)
  }

  @Test func namesTheDatasetWhoseBytesChanged() throws {
    try write(path)
    let good = try readFile(path, limit: 1 << 24)
    for (name, values) in Self.numbers {
      let bytes = values.withUnsafeBytes { Array($0) }
      let at = try #require(good.indices.first { good[$0...].starts(with: bytes) })
      for offset in at..<at + bytes.count {
        var bad = good
        bad[offset] ^= 0x10
        try overwrite(path, bad)
        let error = #expect(throws: DPOError.self) { _ = try HDF5Reader(path) }
        #expect(error?.message.contains(name) == true)
      }
    }
  }

  @Test func refusesAFileCutAnywhere() throws {
    try write(path)
    let good = try readFile(path, limit: 1 << 24)
    var lengths = Array(stride(from: 1, to: good.count, by: 997))
    lengths += (1...64).map { good.count - $0 }
    for length in lengths {
      try overwrite(path, Array(good[..<length]))
      #expect(throws: DPOError.self) { _ = try HDF5Reader(path) }
    }
  }

  @Test func survivesEveryDamagedByteOfTheStructure() throws {
    let writer = try HDF5Writer(path)
    try writer.attribute("/", "format", .text("libdpo"))
    try writer.attribute("/trainer", "step", .int(3))
    try Self.numbers["/model/b.bias"]?.withUnsafeBytes {
      for index in 0..<20 { try writer.dataset("/model/t\(index)", shape: [5], element: .float32, source: .memory($0)) }
      try writer.commit()
    }
    let good = try readFile(path, limit: 1 << 24)
    let attributes = try HDF5Reader(path).attributes
    let descriptor = open(path, O_RDWR)
    defer { close(descriptor) }
    for offset in good.indices {
      defer { _ = withUnsafePointer(to: good[offset]) { pwrite(descriptor, $0, 1, offset) } }
      for flip: UInt8 in [0x01, 0xFF] {
        var bad = good[offset] ^ flip
        try #require(pwrite(descriptor, &bad, 1, offset) == 1)
        // Unused bytes may change; what is read may not.
        guard let reader = try? HDF5Reader(path) else { continue }
        #expect(reader.attributes == attributes)
        #expect(reader.datasets.count == 20)
      }
    }
  }

  @Test func leavesNothingBehindWhenItCannotWrite() throws {
    let missing = "\(directory.path)/none/file.h5"
    #expect(throws: DPOError.self) { try write(missing) }
    do {
      let writer = try HDF5Writer(path)
      try writer.attribute("/", "format", .text("libdpo"))
    }
    #expect(try directoryNames(directory.path).isEmpty)
    chmod(directory.path, 0o555)
    defer { chmod(directory.path, 0o755) }
    if getuid() != 0 { #expect(throws: DPOError.self) { try write(path) } }
  }

  @Test func refusesImpossibleDatasets() throws {
    let writer = try HDF5Writer(path)
    let one: [Float] = [1]
    #expect(throws: DPOError.self) { try writer.dataset("/a", shape: [0], floats: one) }
    #expect(throws: DPOError.self) { try writer.dataset("/a", shape: [], floats: one) }
    #expect(throws: DPOError.self) { try writer.dataset("/a", shape: [1 << 40, 1 << 40], floats: one) }
    #expect(throws: DPOError.self) { try writer.dataset("a", shape: [1], floats: one) }
    #expect(throws: DPOError.self) { try writer.dataset("/a/../b", shape: [1], floats: one) }
  }
}
