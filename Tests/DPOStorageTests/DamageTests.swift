import DPOBase
import DPOModel
import DPOStorage
import DPOPlatform
import TestSupport
import Testing

/// Damaged files either read or throw a `DPOError`; anything else ends the process and with it the test.
@Suite(.timeLimit(.minutes(10))) struct DamageTests {
  private static func write(_ bytes: [UInt8], _ path: String) throws {
    let file = try AtomicFile(path)
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.commit()
  }

  /// Some bytes of the first `head` replaced, or the end cut off.
  private static func damaged(_ bytes: [UInt8], head: Int, _ random: inout MersenneTwister) -> [UInt8] {
    var out = bytes
    if random.nextUInt32() % 8 == 0 { return Array(out.prefix(Int(random.nextUInt32()) % out.count)) }
    for _ in 0...random.nextUInt32() % 3 {
      let at = Int(random.nextUInt32()) % min(head, out.count - 8)
      let wild: [UInt64] = [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 63, .max, UInt64(random.nextUInt32() % 64)]
      let value = wild[Int(random.nextUInt32()) % wild.count]
      for byte in 0..<[1, 4, 8][Int(random.nextUInt32()) % 3] { out[at + byte] = UInt8(value >> (8 * byte) & 255) }
    }
    return out
  }

  @Test func damagedGGUFFilesNeverCrash() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/model.gguf"
    let good = try readFile(Fixtures.path("gguf/llama-tied.gguf"), limit: 1 << 24)
    var random = MersenneTwister(seed: 11)
    for _ in 0..<300 {
      try Self.write(Self.damaged(good, head: 24_000, &random), path)
      do { _ = try ModelFile.open(path) } catch is DPOError {}
    }
  }

  @Test func damagedSafetensorsNeverCrash() throws {
    let directory = try TemporaryDirectory()
    let names = try directoryNames(Fixtures.path("models/llama-tied"))
    for name in names {
      try Self.write(readFile(Fixtures.path("models/llama-tied/\(name)"), limit: 1 << 24), directory.path + "/" + name)
    }
    var random = MersenneTwister(seed: 12)
    for (name, head) in [("model.safetensors", 3_000), ("config.json", 1_000), ("tokenizer.json", 20_000)] {
      let path = directory.path + "/" + name
      let good = try readFile(path, limit: 1 << 24)
      for _ in 0..<150 {
        try Self.write(Self.damaged(good, head: head, &random), path)
        do { _ = try ModelFile.open(directory.path) } catch is DPOError {}
      }
      try Self.write(good, path)
    }
  }
}
