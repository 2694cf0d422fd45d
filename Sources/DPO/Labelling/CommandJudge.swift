import DPOBase
@preconcurrency import DPOPlatform

extension Judge {
  /// A program as the judge, run by /bin/sh. It reads a line of JSON for every row, `{"prompt", "completions": […]}` with the
  /// row's other columns (`tools`, and of prompts that a policy answers all), and answers each with one line: `{"scores": […]}`,
  /// one number a completion, or `{"choice": i}` with the index of the better one, null for a tie. It is started once and gets the next row when it has answered the last. What it writes to stderr is not
  /// touched.
  ///
  /// When it dies, prints something else or takes longer than `timeout` seconds, that row fails with a `DPOError`, what is
  /// left of the program is killed with all it started, and the next row starts it again.
  ///
  /// - Parameter isCancelled: asked a few times a second while the program works; true ends the wait with `.cancelled`.
  public static func command(
    _ command: String, timeout: Double, isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> Judge {
    guard timeout > 0, timeout.isFinite else {
      throw DPOError.argument("timeout is \(timeout); expected seconds > 0")
    }
    let child = Guarded<ChildProcess?>(nil)
    return Judge(identity: "command \(command)") { prompt, columns, completions in
      var row: JSONObject = ["prompt": prompt.json, "completions": .array(completions.map(\.json))]
      for (name, value) in columns.members where row[name] == nil { row[name] = value }
      let request = JSON.object(row).description
      return try child.use { child in
        let current = try child ?? ChildProcess(command)
        child = nil  // kept only if the row ends well
        let line = try current.exchange(request, timeout: timeout, isCancelled: isCancelled)
        let scores = try answer(line, completions: completions.count)
        child = current
        return scores
      }
    }
  }

  private static func answer(_ line: [UInt8], completions: Int) throws -> [Double] {
    func rubbish() -> DPOError {
      DPOError(
        .format,
        "the judge printed \"\(DPOError.printable(String(decoding: line.prefix(200), as: UTF8.self)))\"; "
          + "expected {\"scores\": […]} with \(completions) finite numbers, or {\"choice\": 0 to \(completions - 1) or null}"
      )
    }
    guard let answer = try? JSON.parse(line, file: "the judge's answer") else { throw rubbish() }
    if let found = answer["scores"]?.array {
      let scores = found.compactMap(\.double)
      guard scores.count == completions, found.count == completions, scores.allSatisfy(\.isFinite) else {
        throw rubbish()
      }
      return scores
    }
    guard let choice = answer["choice"] else { throw rubbish() }
    if choice.isNull { return [Double](repeating: 0, count: completions) }
    guard let index = choice.int, index >= 0, index < completions else { throw rubbish() }
    return (0..<completions).map { $0 == index ? 1 : -1 }
  }
}

/// A program that answers lines with lines. It ends, with all it started, when the value goes.
private final class ChildProcess {
  private var process: pid_t = 0
  private let input, output: Int32
  private var buffer: [UInt8] = []
  private static let longestLine = 1 << 20

  init(_ command: String) throws {
    let (childInput, input) = try ChildProcess.pipe()
    let (output, childOutput) = try ChildProcess.pipe()
    (self.input, self.output) = (input, output)
    defer {
      close(childInput)
      close(childOutput)
    }
    for end in [input, output] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, childInput, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, childOutput, STDOUT_FILENO)
    // A group of its own, so that a time-out ends what the command started as well.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigaddset(&signals, SIGPIPE)
    sigaddset(&signals, SIGINT)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))
    let words: [String] = ["/bin/sh", "-c", command]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    var process: pid_t = 0
    let failed = posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, environ)
    guard failed == 0 else {
      throw DPOError(.io, "the judge cannot be started: \(systemMessage(failed))")
    }
    self.process = process
  }

  deinit {
    close(input)
    close(output)
    guard process > 0 else { return }
    kill(-process, SIGKILL)
    waitpid(process, nil, 0)
  }

  private static func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    guard DPOPlatform.pipe(&ends) == 0 else {
      throw DPOError(.io, "no pipe to the judge: \(systemMessage())")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  /// Sends a line and waits for the line that answers it.
  func exchange(_ line: String, timeout: Double, isCancelled: () -> Bool) throws -> [UInt8] {
    try receive()
    guard buffer.isEmpty else { throw DPOError(.format, "the judge printed more than one line for a row") }
    let clock = ContinuousClock()
    let end = clock.now.deadline(after: timeout)
    let request = Array((line + "\n").utf8)
    var sent = 0
    while true {
      if sent < request.count { sent += try send(request[sent...]) }
      let isOpen = try receive()
      if let newline = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        let answer = Array(buffer[..<newline])
        buffer.removeSubrange(...newline)
        return answer
      }
      guard buffer.count <= ChildProcess.longestLine else {
        throw DPOError(.format, "the judge printed a line of more than \(ChildProcess.longestLine >> 20) MiB")
      }
      guard isOpen else { throw DPOError(.io, "the judge \(ending()) without an answer") }
      guard !isCancelled() else { throw DPOError(.cancelled, "stopped while the judge was at work") }
      guard clock.now < end else {
        throw DPOError(.io, "the judge gave no answer within \(timeout) seconds")
      }
      var events = [pollfd(fd: output, events: Int16(POLLIN), revents: 0)]
      if sent < request.count { events.append(pollfd(fd: input, events: Int16(POLLOUT), revents: 0)) }
      poll(&events, nfds_t(events.count), 200)
    }
  }

  /// Writes what the pipe takes now. A reader that is gone is found by `receive`.
  private func send(_ bytes: ArraySlice<UInt8>) throws -> Int {
    // SIGPIPE would end a host that does not expect it: held back, and taken when it came.
    var pipeSignal = sigset_t()
    var before = sigset_t()
    sigemptyset(&pipeSignal)
    sigaddset(&pipeSignal, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipeSignal, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let count = bytes.withUnsafeBytes { DPOPlatform.write(input, $0.baseAddress, $0.count) }
    if count < 0, errno == EPIPE {
      var none = timespec()
      sigtimedwait(&pipeSignal, nil, &none)
    }
    return max(0, count)
  }

  /// Reads what is there. False when the program has closed its output.
  @discardableResult
  private func receive() throws -> Bool {
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while buffer.count <= ChildProcess.longestLine {
      let count = DPOPlatform.read(output, &block, block.count)
      if count == 0 { return false }
      if count < 0 { return errno == EAGAIN || errno == EINTR }
      buffer += block[..<count]
    }
    return true
  }

  /// How the program ended, as the end of a sentence.
  private func ending() -> String {
    var status: Int32 = 0
    for _ in 0..<20 {
      if waitpid(process, &status, WNOHANG) == process {
        kill(-process, SIGKILL)
        process = 0
        return status & 0x7F == 0 ? "ended with status \(status >> 8 & 0xFF)" : "was ended by signal \(status & 0x7F)"
      }
      usleep(10_000)
    }
    return "closed its output"
  }
}
