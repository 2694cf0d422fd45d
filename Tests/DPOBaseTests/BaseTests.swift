import DPOBase
import Testing

@Test func mersenneTwisterMatchesItsPublishedFirstOutputs() {
  var generator = MersenneTwister(seed: 5489)
  #expect((0..<3).map { _ in generator.nextUInt32() } == [3_499_211_612, 581_869_302, 3_890_346_734])
}

@Test func jsonKeepsOrderAndBits() throws {
  let text = #"{"b": [1, 2.5, null, true], "a": "é\n\u0001", "x": 1e-05}"#
  let value = try JSON.parse(text, file: "t")
  #expect(value.object?.keys == ["b", "a", "x"])
  #expect(try JSON.parse(value.description, file: "t") == value)
}

@Test func jsonReadsIntegersBeyond64BitsAndZeroBytes() throws {
  let text = #"{"model_max_length": 1000000000000000019884624838656, "ids": [3, 2.5], "text": "a\u0000b"}"#
  let value = try JSON.parse(text, file: "t")
  #expect(value.object?["model_max_length"] == .real(1e30))
  #expect(value.object?["ids"] == .array([.int(3), .real(2.5)]))
  #expect(value.object?["text"] == .string("a\0b"))
  #expect(try JSON.parse(value.description, file: "t") == value)
}

@Test func jsonErrorsNameTheKeysAroundThePlace() {
  let error = #expect(throws: DPOError.self) {
    try JSON.parse(#"{"a": {"x\"y": 1}, "weights": {"shape": [2, 1e999]}}"#, file: "t.json")
  }
  #expect(error?.message.contains(#"in "weights" → "shape""#) == true, "\(error?.message ?? "")")
}

@Test func jsonThatNestsTooDeepIsRefusedBeforeItIsParsed() throws {
  func nested(_ levels: Int, _ middle: String = "") -> String {
    String(repeating: "[", count: levels) + middle + String(repeating: "]", count: levels)
  }
  #expect(try JSON.parse(nested(200, "1"), file: "t").description == nested(200, "1"))
  for levels in [201, 2000, 1_000_000] {
    let error = #expect(throws: DPOError.self) { try JSON.parse(nested(levels), file: "t.json") }
    #expect(error?.message == "t.json: JSON nested deeper than 200 levels")
  }
  // Brackets in strings are text, and those that were closed do not count.
  #expect(try JSON.parse("[\"\\\"\(nested(300))\", \(nested(150)), \(nested(150))]", file: "t").array?.count == 3)
}
