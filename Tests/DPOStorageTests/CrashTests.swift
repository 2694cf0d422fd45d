import DPOBase
import DPOStorage
import DPOPlatform
import TestSupport
import Testing

/// Runs Tests/CheckpointLoop beside the tests.
private struct CheckpointLoop {
  let process: pid_t

  init(_ arguments: [String]) throws {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink("/proc/self/exe", &buffer, buffer.count)
    try #require(length > 0)
    let tests = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let command = "\(directoryOf(tests))/checkpoint-loop"
    try #require(fileKind(command) == .file)
    var words: [UnsafeMutablePointer<CChar>?] = ([command] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var process: pid_t = 0
    try #require(posix_spawn(&process, command, &actions, nil, &words, environ) == 0)
    self.process = process
  }

  func killAfter(milliseconds: Int) {
    usleep(UInt32(milliseconds) * 1000)
    kill(process, SIGKILL)
    _ = wait()
  }

  /// The status as waitpid gives it.
  func wait() -> Int32 {
    var status: Int32 = 0
    waitpid(process, &status, 0)
    return status
  }
}

@Suite(.timeLimit(.minutes(10))) struct CrashTests {
  let directory: TemporaryDirectory
  var path: String { "\(directory.path)/checkpoint.h5" }

  init() throws { directory = try TemporaryDirectory() }

  /// The step of the checkpoint, all of whose numbers must be it; nil if there is no file.
  private func step() throws -> Int? {
    guard fileKind(path) != .none else { return nil }
    let reader = try CheckpointReader(path)
    let step = try #require(reader.header.trainer?["step"]?.int)
    for group in ["/model", "/optimizer/exp_avg"] {
      let tensor = try #require(try reader.tensors(group)["w"])
      #expect(tensor.bytes.assumingMemoryBound(to: Float.self).allSatisfy { $0 == Float(step) })
    }
    return step
  }

  @Test func theLastCheckpointLoadsWhereverAWriterIsKilled() throws {
    var (last, attempt, checkpoints) = (0, 0, 0)
    // On a busy machine a writer needs longer to get anywhere: go on until some have left a checkpoint.
    while attempt < 60 || checkpoints < 10 && attempt < 1000 {
      attempt += 1
      let loop = try CheckpointLoop([path, "300000", "\(last + 1)"])
      loop.killAfter(milliseconds: 1 + attempt * 7 % (60 + attempt))
      let found = try step() ?? 0
      #expect(found >= last)
      if found > last { checkpoints += 1 }
      last = found
      // What the killed process left is gone with the next attempt.
      #expect(try directoryNames(directory.path).count <= 2)
    }
    #expect(checkpoints >= 10)
  }

  @Test func aWriteThatFailsIsAnErrorAndLeavesTheOldFile() throws {
    let loop = try CheckpointLoop([path, "1000", "1"])
    for _ in 0..<600 where fileKind(path) != .file { usleep(100_000) }
    loop.killAfter(milliseconds: 0)
    let before = try #require(try step())
    for limit in [0, 1, 4096, 100_000, 1_000_000] {
      // Exit status 1, not a signal: the write was refused and reported.
      #expect(try CheckpointLoop([path, "300000", "1", "\(limit)"]).wait() == 1 << 8)
      #expect(try step() == before)
      #expect(try directoryNames(directory.path) == ["checkpoint.h5"])
    }
  }
}
