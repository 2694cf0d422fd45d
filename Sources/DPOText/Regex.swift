import CPCRE2
import DPOBase

/// A compiled pattern. `tokenizers` compiles with Oniguruma; `translate` bridges the few differences that matter.
/// Immutable after `init`, so that any number of threads may match with it, each with its own `RegexScratch`.
final class Regex: @unchecked Sendable {
  fileprivate let code: OpaquePointer

  /// Longer patterns than any tokenizer's, short enough that compiling stays fast.
  private static let longestPattern = 1 << 16

  init(_ field: JSONField) throws {
    let source = try field.string()
    guard source.utf8.count <= Regex.longestPattern else {
      throw field.error("a regular expression of \(source.utf8.count) bytes is longer than \(Regex.longestPattern)")
    }
    let pattern = try Regex.translate(source, field)
    guard let context = pcre2_compile_context_create_8(nil) else { throw DPOError(.memory, "out of memory") }
    defer { pcre2_compile_context_free_8(context) }
    pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
    pcre2_set_parens_nest_limit_8(context, 100)
    // Oniguruma: ^ and $ match at every line; \C would split a character.
    let options = UInt32(PCRE2_UTF) | UInt32(PCRE2_UCP) | UInt32(PCRE2_MULTILINE) | UInt32(PCRE2_NEVER_BACKSLASH_C)
    var code: Int32 = 0
    var offset = 0
    let bytes = Array(pattern.utf8)
    guard let compiled = pcre2_compile_8(bytes, bytes.count, options, &code, &offset, context) else {
      throw field.error(
        "\(Regex.message(code)) at byte \(offset) of the regular expression \"\(DPOError.printable(source))\"")
    }
    self.code = compiled
    // Without just-in-time compilation (locked-down hosts) matching is slower, not different.
    pcre2_jit_compile_8(compiled, UInt32(PCRE2_JIT_COMPLETE))
  }

  convenience init(_ pattern: String) throws {
    try self.init(JSONField(.string(pattern), file: "built-in pattern"))
  }

  deinit { pcre2_code_free_8(code) }

  fileprivate static func message(_ code: Int32) -> String {
    var text = [UInt8](repeating: 0, count: 256)
    _ = pcre2_get_error_message_8(code, &text, text.count)
    return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
  }

  private static let word = #"\p{Alphabetic}\p{M}\p{N}\p{Pc}"#
  private static let bracketNames = [
    "[:alpha:]": #"\p{Alphabetic}"#, "[:space:]": #"\p{White_Space}"#, "[:upper:]": #"\p{Uppercase}"#,
    "[:lower:]": #"\p{Lowercase}"#, "[:word:]": word,
  ]

  /// Oniguruma's meaning in PCRE2's spelling: \s is White_Space (PCRE2 adds U+180E), \w has marks, numbers and connectors,
  /// \h is a hexadecimal digit, \uHHHH a code point, \p{Han} the script and not the script extensions. Set operations in
  /// classes have no counterpart.
  private static func translate(_ source: String, _ field: JSONField) throws -> String {
    var out = String.UnicodeScalarView()
    func append(_ text: String) { out.append(contentsOf: text.unicodeScalars) }
    func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
      var view = String.UnicodeScalarView()
      view.append(contentsOf: scalars)
      return String(view)
    }
    let shown = "the regular expression \"\(DPOError.printable(source))\""
    let scalars = Array(source.unicodeScalars)
    var index = 0
    var inClass = false
    var classStart = 0
    func at(_ position: Int) -> Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }
    while let scalar = at(index) {
      index += 1
      switch scalar {
      case "\\":
        // PCRE2 reports a backslash at the end.
        guard let next = at(index) else { break }
        index += 1
        switch next {
        case "s": append(#"\p{White_Space}"#)
        case "S": append(#"\P{White_Space}"#)
        case "w": append(inClass ? word : "[\(word)]")
        case "W" where !inClass: append("[^\(word)]")
        case "h": append(inClass ? "0-9a-fA-F" : "[0-9a-fA-F]")
        case "u":
          let digits = scalars[index..<min(index + 4, scalars.count)]
          guard digits.count == 4, digits.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }) else {
            throw field.error("\\u without four hexadecimal digits in \(shown)")
          }
          append("\\x{\(text(digits))}")
          index += 4
        case "p", "P":
          out.append("\\")
          out.append(next)
          guard at(index) == "{", let end = scalars[index...].firstIndex(of: "}"), end - index < 40 else { break }
          let name = text(scalars[(index + 1)..<end])
          append(isScript(name) ? "{sc:\(name)}" : "{\(name)}")
          index = end + 1
        default:
          out.append("\\")
          out.append(next)
        }
        continue
      case "[" where !inClass:
        inClass = true
        classStart = index + (at(index) == "^" ? 1 : 0)
      case "]" where inClass && index - 1 > classStart: inClass = false
      case "[" where inClass:
        guard at(index) == ":", let end = scalars[index...].firstIndex(of: "]"), scalars[end - 1] == ":" else {
          throw field.unsupported("a class inside a class in \(shown)")
        }
        let name = text(scalars[(index - 1)...end])
        append(bracketNames[name] ?? name)
        index = end + 1
        continue
      case "&" where inClass && at(index) == "&": throw field.unsupported("&& in a class of \(shown)")
      default: break
      }
      out.append(scalar)
    }
    return String(out)
  }

  /// Whether PCRE2 knows a script of this name.
  private static func isScript(_ name: String) -> Bool {
    guard name.count > 2, name.unicodeScalars.allSatisfy({ $0.isASCII && ($0.properties.isAlphabetic || $0 == "_") })
    else { return false }
    let bytes = Array("\\p{sc:\(name)}".utf8)
    var code: Int32 = 0
    var offset = 0
    guard let compiled = pcre2_compile_8(bytes, bytes.count, UInt32(PCRE2_UTF), &code, &offset, nil) else {
      return false
    }
    pcre2_code_free_8(compiled)
    return true
  }
}

/// What one thread needs to match: room for the result and limits, so that a pattern that backtracks without end stops
/// with an error.
final class RegexScratch {
  private let data: OpaquePointer
  private let context: OpaquePointer

  init() throws {
    guard let data = pcre2_match_data_create_8(1, nil) else { throw DPOError(.memory, "out of memory") }
    guard let context = pcre2_match_context_create_8(nil) else {
      pcre2_match_data_free_8(data)
      throw DPOError(.memory, "out of memory")
    }
    self.data = data
    self.context = context
    pcre2_set_heap_limit_8(context, 64 << 10)
  }

  deinit {
    pcre2_match_data_free_8(data)
    pcre2_match_context_free_8(context)
  }

  /// Calls `body` with each match in order. Empty matches count, except one right behind the previous match, as in the
  /// iterator that `tokenizers` uses. `text` is valid UTF-8.
  func forEachMatch(
    _ regex: Regex, in text: UnsafeBufferPointer<UInt8>, _ body: (_ start: Int, _ end: Int) throws -> Void
  ) throws {
    guard let base = text.baseAddress, !text.isEmpty else { return }
    // A greedy run is given back a character at a time, so the limit has to grow with the text.
    pcre2_set_match_limit_8(context, UInt32(clamping: 100_000 + 4 * text.count))
    var position = 0
    var previousEnd = -1
    while position <= text.count {
      var options = UInt32(PCRE2_NO_UTF_CHECK)
      var status = pcre2_match_8(regex.code, base, text.count, position, options, data, context)
      if status == PCRE2_ERROR_JIT_STACKLIMIT {
        options |= UInt32(PCRE2_NO_JIT)
        status = pcre2_match_8(regex.code, base, text.count, position, options, data, context)
      }
      if status == PCRE2_ERROR_NOMATCH { return }
      guard status >= 0, let pair = pcre2_get_ovector_pointer_8(data) else {
        throw DPOError.unsupported(
          "a regular expression of the tokenizer cannot split this text: \(Regex.message(status))")
      }
      let start = pair[0]
      let end = pair[1]
      guard start >= max(0, previousEnd), start <= end, end <= text.count else {
        throw DPOError.unsupported("a regular expression of the tokenizer matches backwards")
      }
      if start == end && end == previousEnd {
        position += 1
        while position < text.count, base[position] & 0xC0 == 0x80 { position += 1 }
        continue
      }
      try body(start, end)
      position = end
      previousEnd = end
    }
  }
}
