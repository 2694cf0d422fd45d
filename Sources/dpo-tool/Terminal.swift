import DPO
import DPOPlatform

/// What people see on stderr: messages, and a progress line that redraws itself on a terminal and is printed now and
/// then elsewhere.
enum Terminal {
  static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Colours are for terminals, unless NO_COLOR is set (no-color.org) or the terminal says that it has none.
  static func hasColours(_ descriptor: Int32) -> Bool {
    func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
    return isatty(descriptor) == 1 && variable("NO_COLOR").isEmpty && variable("TERM") != "dumb"
  }

  /// Red on stderr, where there are colours.
  static func red(_ text: String) -> String {
    hasColours(STDERR_FILENO) ? "\u{1B}[31m\(text)\u{1B}[0m" : text
  }

  /// Columns of a terminal: COLUMNS where it is set, else what the terminal says, or 80.
  static func columns(_ descriptor: Int32) -> Int {
    if let set = getenv("COLUMNS").flatMap({ Int(String(cString: $0)) }), set > 0 { return set }
    var size = winsize()
    return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  static func tell(_ text: String) {
    write((Terminal.isInteractive ? "\r\u{1B}[K" : "") + text + "\n")
  }

  /// To stderr, or another file, unbuffered.
  static func write(_ text: String, to file: Int32 = STDERR_FILENO) {
    var text = text
    text.withUTF8 { _ = DPOPlatform.write(file, $0.baseAddress, $0.count) }
  }

  /// "1:02:03" or "2:03".
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let total = Int(seconds.rounded())
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
  }

  /// "12 MiB", or "12 KiB" where it is less.
  static func size(_ bytes: Int) -> String {
    bytes >= 10 << 20 ? "\(bytes >> 20) MiB" : "\((bytes + 1023) >> 10) KiB"
  }

  /// A number with about `digits` significant digits.
  static func short(_ value: Double, digits: Int = 3) -> String {
    guard value.isFinite else { return "\(value)" }
    var buffer = [CChar](repeating: 0, count: 32)
    withVaList([Int32(digits), value]) { _ = vsnprintf(&buffer, buffer.count, "%.*g", $0) }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// A progress line with rate and time left.
struct Progress {
  let name: String
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var lastShown: ContinuousClock.Instant
  private var first: Int?
  private var isNew = true

  /// - Parameter first: what was done before the start; unset: all but one of what the first call of `show` tells.
  init(_ name: String, from first: Int? = nil) {
    self.name = name
    self.first = first
    start = clock.now
    lastShown = start
  }

  mutating func show(done: Int, total: Int, detail: String) {
    let now = clock.now
    let first = self.first ?? (done - 1)
    self.first = first
    let wait: Duration = Terminal.isInteractive ? .milliseconds(100) : .seconds(10)
    guard done == total || isNew || lastShown.duration(to: now) >= wait else { return }
    isNew = false
    lastShown = now
    let elapsed = start.duration(to: now) / .seconds(1)
    let rate = elapsed / Double(max(1, done - first))
    let left = rate * Double(max(0, total - done))
    let width = 20
    let filled = total > 0 ? min(width, done * width / total) : 0
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let ending = done == total ? "took \(Terminal.duration(elapsed))" : "\(Terminal.duration(left)) left"
    let speed = done > first ? "\(Terminal.short(rate)) s each, \(ending)" : ""
    let line =
      "\(name) \(done)/\(total) \(Terminal.isInteractive ? bar + " " : "")\(detail.isEmpty ? "" : detail + "  ")\(speed)"
    if Terminal.isInteractive {
      Terminal.write("\r\u{1B}[K" + line + (done == total ? "\n" : ""))
    } else {
      Terminal.write(line + "\n")
    }
  }
}

/// A line about rows that are read, which short reading does without.
struct ReadingLine {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var lastShown: ContinuousClock.Instant?
  private var phase = ""
  private var phaseStart: ContinuousClock.Instant

  init() {
    start = clock.now
    phaseStart = start
  }

  mutating func show(_ reading: DatasetReading) {
    let now = clock.now
    if reading.phase != phase { (phase, phaseStart) = (reading.phase, now) }
    let wait: Duration = Terminal.isInteractive ? .milliseconds(100) : .seconds(10)
    guard start.duration(to: now) >= .seconds(1), lastShown.map({ $0.duration(to: now) >= wait }) ?? true else {
      return
    }
    lastShown = now
    let elapsed = phaseStart.duration(to: now) / .seconds(1)
    let share = reading.total > 0 ? min(1, Double(reading.done) / Double(reading.total)) : 0
    var line = phase
    if reading.total > 0 {
      let filled = Int(share * 20)
      let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled)
      line += " \(Int(share * 100)) %" + (Terminal.isInteractive ? " \(bar)" : "")
    }
    if reading.rows > 0 {
      line += "  \(reading.rows) rows, \(Int(Double(reading.rows) / max(elapsed, 1e-3))) a second"
    }
    if share > 0, share < 1 { line += ", \(Terminal.duration(elapsed * (1 - share) / share)) left" }
    Terminal.write(Terminal.isInteractive ? "\r\u{1B}[K" + line : line + "\n")
  }

  /// Takes the line away.
  func end() { if Terminal.isInteractive, lastShown != nil { Terminal.write("\r\u{1B}[K") } }
}
