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
