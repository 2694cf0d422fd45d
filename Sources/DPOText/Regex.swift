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

  /// Oniguruma's meaning in PCRE2's spelling: \s is White_Space (PCRE2 adds U+180E), \w has marks and connectors, \h is
  /// a hexadecimal digit, \uHHHH a code point. Set operations in classes have no counterpart.
  private static func translate(_ source: String, _ field: JSONField) throws -> String {
    var out = String.UnicodeScalarView()
    let scalars = Array(source.unicodeScalars)
    var index = 0
    var inClass = false
    var classStart = 0
    func at(_ position: Int) -> Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }
    while let scalar = at(index) {
      index += 1
      if scalar == "\\" {
        guard let next = at(index) else {
          out.append("\\")
          break
        }
        index += 1
        switch next {
        case "s": out.append(contentsOf: "\\p{White_Space}".unicodeScalars)
        case "S": out.append(contentsOf: "\\P{White_Space}".unicodeScalars)
        case "w":
          let word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
          out.append(contentsOf: (inClass ? word : "[\(word)]").unicodeScalars)
        case "W" where !inClass: out.append(contentsOf: "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]".unicodeScalars)
        case "h": out.append(contentsOf: (inClass ? "0-9a-fA-F" : "[0-9a-fA-F]").unicodeScalars)
        case "u":
          let digits = scalars[index..<min(index + 4, scalars.count)]
          guard digits.count == 4, digits.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }) else {
            throw field.error(
              "\\u without four hexadecimal digits in the regular expression \"\(DPOError.printable(source))\"")
          }
          out.append(contentsOf: "\\x{".unicodeScalars)
          out.append(contentsOf: digits)
          out.append("}")
          index += 4
        default:
          out.append("\\")
          out.append(next)
        }
        continue
      }
      if !inClass, scalar == "[" {
        inClass = true
        classStart = index
        if at(index) == "^" { classStart += 1 }
      } else if inClass, scalar == "]", index - 1 > classStart {
        inClass = false
      } else if inClass, scalar == "[", at(index) != ":" {
        throw field.unsupported("a class inside a class in the regular expression \"\(DPOError.printable(source))\"")
      } else if inClass, scalar == "&", at(index) == "&" {
        throw field.unsupported("&& in a class of the regular expression \"\(DPOError.printable(source))\"")
      } else if inClass, scalar == "[", let end = scalars[index...].firstIndex(of: "]"), scalars[end - 1] == ":" {
        out.append(scalar)
        out.append(contentsOf: scalars[index...end])
        index = end + 1
        continue
      }
      out.append(scalar)
    }
    return String(out)
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
    guard let base = text.baseAddress else { return }
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
