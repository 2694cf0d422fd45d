import CPCRE2
import DPOBase

/// A regular expression that has to match a whole text, as Python's `re.fullmatch`. Bounded in steps.
struct ModulePattern {
  private final class Code {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { pcre2_code_free_8(pointer) }
  }
  private let code: Code

  /// `option` names the setting in errors.
  init(_ text: String, option: String) throws {
    var failure: Int32 = 0
    var offset = 0
    let bytes = Array("(?:\(text))\\z".utf8)
    guard let code = pcre2_compile_8(bytes, bytes.count, UInt32(PCRE2_ANCHORED | PCRE2_UTF), &failure, &offset, nil)
    else {
      throw DPOError.argument("\(option): \"\(DPOError.printable(text))\" is not a valid regular expression")
    }
    self.code = Code(code)
  }

  func matches(_ text: String) -> Bool {
    guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
      return false
    }
    defer {
      pcre2_match_data_free_8(data)
      pcre2_match_context_free_8(context)
    }
    pcre2_set_match_limit_8(context, 1_000_000)
    let bytes = Array(text.utf8)
    return pcre2_match_8(code.pointer, bytes, bytes.count, 0, 0, data, context) >= 0
  }
}
