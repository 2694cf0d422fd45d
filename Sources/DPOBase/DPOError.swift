/// What went wrong, as a value: a code for programs, and a sentence for people that names the file, the place in it and
/// what was expected there.
public struct DPOError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The numbers are those of `DPO_ERROR_…` in dpo.h.
  public enum Code: Int32, Sendable {
    /// An argument or option is out of range, or does not go with another.
    case invalidArgument = -1
    /// The operating system refused to read or write a file.
    case io = -2
    /// A file or text is damaged or is not of the expected kind.
    case format = -3
    /// A valid request that this version cannot serve.
    case unsupported = -4
    /// Things that do not belong together: an adapter of another model, a checkpoint of other data.
    case mismatch = -5
    /// The plan needs more memory than allowed, or an allocation failed.
    case memory = -6
    /// NaN or infinity in a loss, a gradient or a weight.
    case nonFinite = -7
    /// The host asked to stop.
    case cancelled = -8
    /// The call does not fit the handle's state.
    case state = -9
    /// A defect in libdpo.
    case `internal` = -10
    /// Training left the bounds that it was given: the policy went too far from its reference.
    case diverged = -11
  }

  /// For programs.
  public let code: Code
  /// For people, in one line.
  public let message: String

  /// Text from files may be part of `message`: control characters are replaced, and its length is bounded.
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = DPOError.printable(message, limit: 2000)
  }

  /// The message.
  public var description: String { message }

  /// `text` without control characters, cut to `limit` Unicode scalars.
  package static func printable(_ text: String, limit: Int = 80) -> String {
    var out = String.UnicodeScalarView()
    var count = 0
    for scalar in text.unicodeScalars {
      if count == limit {
        out.append("…")
        break
      }
      let control = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      out.append(control ? (scalar == "\n" ? " " : "\u{FFFD}") : scalar)
      count += 1
    }
    return String(out)
  }

  package static func argument(_ message: String) -> DPOError { DPOError(.invalidArgument, message) }
  package static func format(_ file: String, _ message: String) -> DPOError { DPOError(.format, "\(file): \(message)") }
  package static func unsupported(_ message: String) -> DPOError { DPOError(.unsupported, message) }
  package static func mismatch(_ message: String) -> DPOError { DPOError(.mismatch, message) }
}
