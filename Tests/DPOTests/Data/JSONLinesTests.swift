import DPO
import DPOBase
import Testing

private let row = #"{"prompt": "Say:", "chosen": " yes", "rejected": " no"}"#

@Suite(.timeLimit(.minutes(10))) struct JSONLinesTests {
  @Test func blankLinesCarriageReturnsAndBOMAreNoRows() throws {
    for text in [
      row + "\n" + row + "\n", row + "\n" + row, row + "\r\n" + row + "\r\n", "\u{FEFF}" + row + "\n" + row,
      "\n \n\t\n" + row + "\n\n\n" + row + "\n \t\r\n",
    ] { #expect(try load(text).count == 2) }
    #expect(try Array(load("\n\n" + row + "\n\n" + row).lines) == [3, 5])
  }

  @Test func aLineThatIsNoObjectIsNamed() {
    let texts: [String] =
      [
        "hello", #"{"prompt": "Say:", "cho"#, #"["a", "b"]"#, "7", "null", "{'prompt': 'a'}", row + "x", "{}", "1e999",
        #"{"prompt": 1e999, "chosen": "a", "rejected": "b"}"#, String(repeating: "[", count: 100_000),
        String(repeating: #"{"prompt":"#, count: 100_000) + "1" + String(repeating: "}", count: 100_000),
        row.replacingFirst("Say", "S\0y"), row.replacingFirst("{", #"{"prompt": 7, "#),
        row.replacingFirst("Say", #"\ud800"#),
      ]
    let noUTF8: [[UInt8]] = [[0xFF, 0xFE], [0xC0, 0x80], [0xED, 0xA0, 0x80]]
    let (head, tail) = (Array(#"{"prompt": ""#.utf8), Array(#"", "chosen": "a", "rejected": "b"}"#.utf8))
    for line in texts.map({ Array($0.utf8) }) + noUTF8.map({ head + $0 + tail }) {
      let found = message { _ = try load(Array((row + "\n").utf8) + line + Array(("\n" + row + "\n").utf8)) }
      #expect(found.hasPrefix("data.jsonl: line 2: "), "\(found)")
      #expect(found.utf8.count < 500)
    }
  }

  @Test func whatIsNotJSONLinesIsRefused() throws {
    let utf16: [UInt8] = [0xFF, 0xFE] + Array(row.utf16.map { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }.joined())
    let bad: [[UInt8]] = [
      [], Array(" \n\t\n".utf8), Array("[\(row)]".utf8), Array("prompt,chosen\na,b\n".utf8), [0x1F, 0x8B], [0], utf16,
    ]
    for bytes in bad {
      #expect(throws: DPOError.self) { try load(bytes) }
    }
    #expect(message { _ = try RowFile("/tmp") }.contains("regular file"))
  }

  @Test func aRowOfTenMegabytesIsRead() throws {
    let long = #"{"prompt": ""# + String(repeating: "a", count: 10_000_000) + #"", "chosen": " b", "rejected": " c"}"#
    var options = DatasetOptions()
    options.maxLength = nil
    #expect(try load(row + "\n" + long, options).pair(1).chosen.count == 10_000_004)
  }
}

extension String {
  /// The text with the first `old` replaced.
  func replacingFirst(_ old: String, _ new: String) -> String {
    guard let range = firstRange(of: old) else { return self }
    return String(self[..<range.lowerBound]) + new + self[range.upperBound...]
  }
}
