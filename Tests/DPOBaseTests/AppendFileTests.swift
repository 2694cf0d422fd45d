import DPOBase
import DPOPlatform
import Testing

/// A place for a file, which is removed with the value.
private final class Place {
  let path = "/tmp/dpo-append-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"

  var text: String { (try? readFile(path, limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? "" }

  deinit { try? removeFile(path) }
}

@Test func linesThatAreKeptReplaceWhatWasThere() throws {
  let place = Place()
  try writeFile(place.path, "1\n2\n3\ntor")
  let file = try OwnedAppendFile(place.path, keeping: ["1", "2"])
  try file.append("new")
  try file.flush()
  #expect(place.text == "1\n2\nnew\n")
}

@Test func theTornLineOfACrashGoesBeforeTheNextOne() throws {
  let place = Place()
  try writeFile(place.path, "1\n2\ntor")
  let file = try OwnedAppendFile(place.path)
  #expect(try file.withLines { $0.count } == 4)
  #expect(place.text == "1\n2\ntor")
  try file.append("3")
  #expect(place.text == "1\n2\n3\n")
}

@Test func textIsPutBehindTheBytesThatAreKept() throws {
  let place = Place()
  try writeFile(place.path, "1\n2\ntor")
  let shared = SharedAppendFile(place.path)
  try shared.append { file in (keeping: file.size - 3, text: "4\n5\n") }
  #expect(place.text == "1\n2\n4\n5\n")
  #expect(try shared.read { try $0.bytes(from: 4) } == Array("4\n5\n".utf8))
}

@Test func anOwnedFileIsOthersOnlyWhenItsOwnerIsGone() throws {
  let place = Place()
  var owner: OwnedAppendFile? = try OwnedAppendFile(place.path)
  let error = #expect(throws: DPOError.self) { try OwnedAppendFile(place.path) }
  #expect(error?.code == .state)
  try owner?.append("1")
  owner = nil
  try OwnedAppendFile(place.path).append("2")
  #expect(place.text == "1\n2\n")
}

@Test func hexadecimalDigitsHaveZerosBeforeThem() {
  #expect(hexadecimal(UInt64(0xABC)) == "0000000000000abc")
  #expect(hexadecimal(UInt8(7), digits: 2) == "07")
  #expect(hexadecimal(UInt32(0x12345), digits: 4) == "12345")
}
