import DPO
import DPOPlatform
import TestSupport
import Testing

/// A feedback file in a directory that lives as long as the value.
struct FeedbackPlace {
  let directory: TemporaryDirectory
  var file: String { directory.path + "/feedback.jsonl" }
  var output: String { directory.path + "/out" }

  init() throws { directory = try TemporaryDirectory() }

  func text() throws -> String { String(decoding: try readFile(file, limit: 1 << 24), as: UTF8.self) }

  /// Replaces the file's bytes.
  func write(_ text: String) throws { try writeFile(file, text) }
}

@Suite(.timeLimit(.minutes(10))) struct FeedbackStoreTests {
  let place: FeedbackPlace

  init() throws { place = try FeedbackPlace() }

  @Test func recordsAreRowsOfTRLWithANumberAndATime() throws {
    let store = try FeedbackStore(place.file)
    #expect(try store.records().isEmpty)
    #expect(try store.record(prompt: "p", answer: "a\n\"b\"", thumbUp: true, time: 7) == 1)
    #expect(try store.record(prompt: "p", chosen: "x", rejected: "y", weight: 0.5, time: 8) == 2)
    let chat: JSON = [["role": "user", "content": "Hello"]]
    #expect(try store.record(prompt: chat, answer: "Hi", thumbUp: false, time: 9) == 3)
    #expect(
      try place.text() == """
        {"id": 1, "time": 7, "prompt": "p", "completion": "a\\n\\"b\\"", "label": true}
        {"id": 2, "time": 8, "prompt": "p", "chosen": "x", "rejected": "y", "weight": 0.5}
        {"id": 3, "time": 9, "prompt": [{"role": "user", "content": "Hello"}], \
        "completion": [{"role": "assistant", "content": "Hi"}], "label": false}

        """)
    let records = try FeedbackStore(place.file).records()
    #expect(records.map(\.kind) == [.thumbUp, .choice, .thumbDown])
    #expect(records.map(\.weight) == [1, 0.5, 1])
    #expect(try store.record(["prompt": "p", "completion": "b", "label": 1, "user": "u7"]) == 4)
    let now = time(nil)
    let last = try #require(try store.records().last)
    #expect(last.row["user"] == "u7" && abs((last.row["time"]?.int ?? 0) - now) < 60)
  }

  @Test func rowsThatAreNoFeedbackAreNotRecorded() throws {
    let store = try FeedbackStore(place.file)
    for (row, says) in [
      (["prompt": "p", "completion": "a"], "label"), (["completion": "a", "label": true], "prompt"),
      (["prompt": "p", "chosen": "a", "rejected": "a"], "equals"), (["prompt": "p", "text": "a"], "completion"),
      (["prompt": 7, "completion": "a", "label": true], "prompt"), (["chosen": "a", "rejected": "b"], "prompt"),
      (["prompt": "p", "completion": "a", "label": true, "weight": -1.0], "weight"),
      (["prompt": "p", "completion": "a", "label": true, "weight": .real(.nan)], "weight"),
      (["prompt": "p", "completion": [["role": "user"]], "label": true], "content"),
      (["id": 3, "prompt": "p", "completion": "a", "label": true], "id"),
      (["prompt": "p", "completion": .string(String(repeating: "a", count: 17 << 20)), "label": true], "bytes"),
    ] as [(JSONObject, String)] {
      let error = #expect(throws: DPOError.self) { try store.record(row) }
      #expect(error?.code == .invalidArgument && error?.message.contains(says) == true, "\(error?.message ?? "")")
    }
    #expect(throws: DPOError.self) { try store.record(prompt: "p", answer: "a", thumbUp: true, weight: .infinity) }
    #expect(fileKind(place.file) == .none)
  }

  @Test func damageIsToldWithItsLine() throws {
    let good = #"{"id": 4, "prompt": "p", "completion": "a", "label": true}"#
    for (line, says) in [
      ("{", "line 2"), ("[]", "line 2"), (#"{"id": 5, "prompt": "p"}"#, "line 2"),
      (#"{"id": 4, "prompt": "p", "completion": "a", "label": true}"#, #""id" is 4; expected a whole number, 5"#),
      (#"{"id": "x", "prompt": "p", "completion": "a", "label": true}"#, "whole number"),
      (#"{"prompt": "p", "completion": "a", "label": true, "weight": -1}"#, "weight"),
    ] {
      try place.write("\(good)\n\(line)\n\(good.replacing("4", with: "9"))\n")
      let error = #expect(throws: DPOError.self) { try FeedbackStore(place.file) }
      #expect(error?.code == .format && error?.message.contains("feedback.jsonl: line 2") == true)
      #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
    }
    // A line that others damaged meanwhile keeps records out, and is told as well.
    try place.write(good + "\n")
    let store = try FeedbackStore(place.file)
    try store.record(prompt: "p", answer: "b", thumbUp: true)
    try place.write("\(good)\n{\n")
    let error = #expect(throws: DPOError.self) { try store.record(prompt: "p", answer: "c", thumbUp: true) }
    #expect(error?.message.contains("line 2") == true)
    #expect(try place.text() == "\(good)\n{\n")
  }

  @Test func rowsWithoutNumbersGetThem() throws {
    let row = #"{"prompt": "p", "completion": "a", "label": true}"#
    // A last line that only lacks its newline is whole.
    try place.write("\(row)\n\n\(row)")
    let store = try FeedbackStore(place.file)
    #expect(try store.records().map(\.id) == [1, 2])
    #expect(try store.record(prompt: "p", answer: "b", thumbUp: false) == 3)
    #expect(try FeedbackStore(place.file).records().map(\.id) == [1, 2, 3])
  }

  @Test func aTornLineIsPassedOverAndGoesWithTheNextRecord() throws {
    let store = try FeedbackStore(place.file)
    for answer in ["a", "b"] { try store.record(prompt: "p", answer: .string(answer), thumbUp: true) }
    let whole = Array(try place.text().utf8)
    let first = (whole.firstIndex(of: UInt8(ascii: "\n")) ?? 0) + 1
    for cut in first..<whole.count {
      try place.write(String(decoding: whole[..<cut], as: UTF8.self))
      let torn = try FeedbackStore(place.file)
      // The closing brace alone makes the second line whole.
      let count = cut == whole.count - 1 ? 2 : 1
      #expect(try torn.records().count == count)
      #expect(try torn.record(prompt: "p", answer: "c", thumbUp: true) == count + 1)
      #expect(try FeedbackStore(place.file).records().map(\.id) == Array(1...count + 1))
    }
  }

  @Test func threadsAndStoresRecordAtOnce() throws {
    let (threads, each) = (8, 25)
    let shared = try FeedbackStore(place.file)
    let path = place.file
    let team = try ThreadTeam(threads: threads)
    team.run(threads) { thread, _ in
      // Half of them share a store, the others have their own, as other processes do.
      let store = thread % 2 == 0 ? shared : (try? FeedbackStore(path)) ?? shared
      for index in 0..<each {
        _ = try? store.record(prompt: .string("p\(thread)"), answer: .string("a\(index)"), thumbUp: index % 2 == 0)
      }
    }
    let records = try FeedbackStore(place.file).records()
    #expect(records.map(\.id) == Array(1...threads * each))
    for thread in 0..<threads {
      let answers = records.filter { $0.row["prompt"] == .string("p\(thread)") }.map { $0.row["completion"]?.string }
      #expect(answers == (0..<each).map { "a\($0)" })
    }
  }

  @Test func aFileThatIsReplacedIsReadAnew() throws {
    let store = try FeedbackStore(place.file)
    for answer in ["a", "b", "c"] { try store.record(prompt: "p", answer: .string(answer), thumbUp: true) }
    let lines = try place.text().split(separator: "\n")
    try writeFile(place.file, lines[1] + "\n")
    #expect(try store.record(prompt: "p", answer: "d", thumbUp: true) == 3)
    unlink(place.file)
    #expect(try store.record(prompt: "p", answer: "e", thumbUp: true) == 1)
    #expect(try store.records().count == 1)
  }

  @Test func placesThatCannotHoldAFileAreRefused() throws {
    try makeDirectories(place.output)
    for path in [place.output, place.directory.path + "/none/f.jsonl", "", "/dev/null"] {
      let error = #expect(throws: DPOError.self) { try FeedbackStore(path) }
      #expect(error?.code == .io, "\(error?.message ?? "")")
    }
  }

  @Test func theLastWordCounts() throws {
    let store = try FeedbackStore(place.file)
    try store.record(prompt: "p", answer: "a", thumbUp: true)
    try store.record(prompt: "p", answer: "a", thumbUp: false)
    try store.record(prompt: "q", answer: "a", thumbUp: true)
    try store.record(prompt: "p", chosen: "a", rejected: "b")
    try store.record(prompt: "p", chosen: "b", rejected: "a")
    try store.record(prompt: "q", answer: "c", thumbUp: true)
    try store.record(prompt: "q", answer: "c", thumbUp: true, weight: 0)
    let status = try store.status()
    #expect(status["records"] == 7)
    #expect(status["thumbs_up"] == 1 && status["thumbs_down"] == 1 && status["choices"] == 1)
    #expect(status["replaced"] == 3 && status["taken_back"] == 1)
  }
}
