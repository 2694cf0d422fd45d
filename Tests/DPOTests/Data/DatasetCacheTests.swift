import DPO
import DPOBase
import DPOStorage
import DPOText
import TestSupport
import Testing

/// Rows that are read from a cache are those that are in memory, for every kind of rows; what is no cache of them is made anew.
@Suite(.timeLimit(.minutes(10))) struct DatasetCacheTests {
  private static let model = "models/llama-tied"

  private static func tokenizer(template: String? = nil) throws -> Tokenizer {
    var settings = try Fixtures.json("\(model)/tokenizer_config.json").object ?? JSONObject()
    if let template {
      let source = try readFile(Fixtures.path("templates/\(template).jinja"), limit: 1 << 20)
      settings["chat_template"] = .string(String(decoding: source, as: UTF8.self))
    }
    return try Tokenizer(
      tokenizerJSON: Fixtures.json("\(model)/tokenizer.json"), configuration: .object(settings), file: model)
  }

  private static func options(_ purpose: DatasetPurpose, _ change: (inout DatasetOptions) -> Void = { _ in })
    -> DatasetOptions
  {
    var options = DatasetOptions(purpose)
    options.maxLength = 96
    change(&options)
    return options
  }

  /// Kinds of rows, ways to read them, and what each adds.
  private static let cases: [(data: String, options: DatasetOptions, template: String?)] = [
    ("pairs", options(.preference), nil), ("implicit", options(.preference) { $0.truncation = .keepEnd }, nil),
    ("pairs", options(.preference) { $0.dropsLongRows = true }, nil), ("margins", options(.preference), nil),
    ("chat", options(.preference), "chatml"), ("tools", options(.preference) { $0.maxLength = nil }, "qwen3"),
    ("pairs", options(.unpaired), nil), ("unpaired", options(.unpaired), nil), ("ranked", options(.ranked), nil),
    ("completions", options(.supervised), nil),
    ("completions", options(.supervised) { $0.completionOnlyLoss = false }, nil),
    ("text", options(.supervised) { $0.packing = true }, nil),
    ("documents", options(.pretraining) { $0.maxLength = 8 }, nil),
    ("pairs", options(.prompts), nil), ("chat", options(.prompts), "chatml"), ("pairs", options(.any), nil),
  ]

  /// Everything that training and reports read of rows.
  private func expectEqual(_ a: TokenizedDataset, _ b: TokenizedDataset, _ what: String) throws {
    #expect(a.fingerprint == b.fingerprint && a.count == b.count && a.kind == b.kind && a.name == b.name, "\(what)")
    #expect(a.report == b.report, "\(what)")
    #expect(a.lines == b.lines && a.labels == b.labels && a.weights == b.weights && a.margins == b.margins, "\(what)")
    #expect(a.referenceChosen == b.referenceChosen && a.referenceRejected == b.referenceRejected, "\(what)")
    #expect(
      a.packCount == b.packCount && a.rows(ofPacks: 0..<a.packCount) == b.rows(ofPacks: 0..<b.packCount), "\(what)")
    for row in 0..<min(a.count, b.count) {
      #expect(a.prompt(row) == b.prompt(row) && a.ranks(row) == b.ranks(row) && a.size(row) == b.size(row), "\(what)")
      #expect(a.place(row) == b.place(row), "\(what)")
      #expect(try a.promptColumns(row) == b.promptColumns(row), "\(what)")
      for (left, right) in zip(a.sequences(row), b.sequences(row)) {
        #expect(left.prompt == right.prompt && left.completion == right.completion && left.labels == right.labels)
      }
      #expect(try a.forest(rows: [row]).tokens == b.forest(rows: [row]).tokens, "\(what)")
    }
  }

  private func read(
    _ source: DataSource, _ tokenizer: Tokenizer, _ options: DatasetOptions, in directory: String?, threads: Int = 0
  ) throws -> TokenizedDataset {
    var options = options
    options.cache = directory.map(DataCache.directory) ?? .none
    options.threads = threads
    return try TokenizedDataset(source, tokenizer: tokenizer, options: options)
  }

  @Test func everyKindOfRowsIsTheSameFromACache() throws {
    let directory = try TemporaryDirectory()
    for (data, options, template) in DatasetCacheTests.cases {
      let tokenizer = try DatasetCacheTests.tokenizer(template: template)
      let source = DataSource.file(Fixtures.path("data/\(data).jsonl"))
      let what = "\(data) for \(options.purpose)"
      let memory = try read(source, tokenizer, options, in: nil, threads: 1)
      #expect(memory.notes.isEmpty)
      try expectEqual(memory, read(source, tokenizer, options, in: nil, threads: 3), "\(what), 3 threads")
      let made = try read(source, tokenizer, options, in: directory.path)
      #expect(made.notes.count == 1 && made.notes[0].contains("tokenised once"), "\(what): \(made.notes)")
      try expectEqual(memory, made, what)
      let found = try read(source, tokenizer, options, in: directory.path)
      #expect(found.notes.count == 1 && found.notes[0].contains("tokenised before"), "\(what): \(found.notes)")
      try expectEqual(memory, found, what)
    }
    let files = try directoryNames(directory.path).filter { !$0.hasPrefix(".") }
    #expect(files.count == DatasetCacheTests.cases.count)
  }

  @Test func numbersBesideTheTokens() throws {
    let directory = try TemporaryDirectory()
    let numbers = #""margin": 0.25, "ref_chosen_logps": -1.5, "ref_rejected_logps": -2"#
    let row = #"{"prompt": "p", "chosen": " yes", "rejected": " no", \#(numbers)"#
    let file = try TemporaryFile(Array("\(row)}\n\n\(row), \"weight\": 0.5}\n".utf8))
    let tokenizer = try DatasetCacheTests.tokenizer()
    let options = DatasetCacheTests.options(.preference)
    let memory = try read(.file(file.path), tokenizer, options, in: nil)
    for _ in 0..<2 {
      let data = try read(.file(file.path), tokenizer, options, in: directory.path)
      try expectEqual(memory, data, "numbers")
      #expect(data.weights.map(Array.init) == [1, 0.5] && data.margins.map(Array.init) == [0.25, 0.25])
      #expect(data.referenceLogProbs(1) == [-1.5, -2] && Array(data.lines) == [1, 3])
    }
  }

  @Test func onlyTheAssistantsTokensAndMixtures() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try DatasetCacheTests.tokenizer(template: "qwen3_training")
    var options = DatasetCacheTests.options(.supervised) { $0.assistantOnlyLoss = true }
    options.maxLength = 512
    let messages = DataSource.file(Fixtures.path("data/messages.jsonl"))
    let memory = try read(messages, tokenizer, options, in: nil)
    #expect(memory.sequence(0).labels != nil)
    try expectEqual(memory, read(messages, tokenizer, options, in: directory.path), "made")
    try expectEqual(memory, read(messages, tokenizer, options, in: directory.path), "found")

    let parts = ["pairs", "shared"].map {
      DataPart(Fixtures.path("data/\($0).jsonl"), weight: $0 == "pairs" ? 0.3 : 0.7)
    }
    var mixed = DatasetCacheTests.options(.preference)
    let plain = try DatasetCacheTests.tokenizer()
    let first = try read(.parts(parts), plain, mixed, in: nil)
    try expectEqual(first, read(.parts(parts), plain, mixed, in: directory.path), "mixture")
    try expectEqual(first, read(.parts(parts), plain, mixed, in: directory.path), "mixture, found")
    mixed.mixtureSeed = 7
    try expectEqual(
      read(.parts(parts), plain, mixed, in: nil), read(.parts(parts), plain, mixed, in: directory.path), "another seed")
  }

  @Test func rowsAreToldOfInTheirOrderWhateverTheThreads() throws {
    // Two rows are bad in different ways, far enough apart to be in different pieces; the first is told of.
    var lines = (0..<5000).map { #"{"prompt": "p\#($0)", "chosen": " yes \#($0)", "rejected": " no"}"# }
    lines[1234] = #"{"prompt": "p", "chosen": 3, "rejected": " no"}"#
    lines[1300] = #"{"prompt": "#
    lines[4000] = "no json"
    let file = try TemporaryFile(Array(lines.joined(separator: "\n").utf8))
    let tokenizer = try DatasetCacheTests.tokenizer()
    for threads in [1, 2, 7] {
      let said = message { _ = try read(.file(file.path), tokenizer, DatasetOptions(), in: nil, threads: threads) }
      #expect(said.contains("line 1235") && said.contains("\"chosen\""), "\(said)")
    }
  }

  @Test func rowsThatCannotBeReadLeaveNothing() throws {
    let directory = try TemporaryDirectory()
    let row = #"{"prompt": "p", "chosen": " yes", "rejected": " no"}"#
    let file = try TemporaryFile(Array("\(row)\n\(row)\nno json\n".utf8))
    let tokenizer = try DatasetCacheTests.tokenizer()
    for caches in ["\(directory.path)/new", directory.path] {
      let said = message { _ = try read(.file(file.path), tokenizer, DatasetOptions(), in: caches) }
      #expect(said.contains("line 3"), "\(said)")
      #expect(try directoryNames(directory.path).isEmpty)
    }
  }

  @Test func anotherFileIsNoCacheOfTheseRows() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try DatasetCacheTests.tokenizer()
    let path = "\(directory.path)/rows.jsonl"
    let caches = "\(directory.path)/caches"
    func write(_ word: String) throws {
      try writeFile(
        path, (0..<50).map { #"{"prompt": "p\#($0)", "chosen": " \#(word)", "rejected": " no"}"# + "\n" }.joined())
    }
    func load(_ change: (inout DatasetOptions) -> Void = { _ in }) throws -> TokenizedDataset {
      try read(.file(path), tokenizer, DatasetCacheTests.options(.preference, change), in: caches)
    }
    try write("good")
    let good = try load()
    // As large as before, and other text.
    try write("best")
    let best = try load()
    #expect(best.notes[0].contains("the rows have changed since"), "\(best.notes)")
    #expect(best.fingerprint != good.fingerprint)
    try expectEqual(best, read(.file(path), tokenizer, DatasetCacheTests.options(.preference), in: nil), "changed rows")
    // The same text once more: no other time of writing makes other rows of it.
    try write("best")
    #expect(try load().notes[0].contains("tokenised before"))
    // Other options have another file, and both stay.
    #expect(try load { $0.maxLength = 4 }.notes[0].contains("tokenised once"))
    #expect(try load { $0.maxLength = 4 }.notes[0].contains("tokenised before"))
    #expect(try load().notes[0].contains("tokenised before"))
    // So has another tokenizer.
    let other = try DatasetCacheTests.tokenizer(template: "chatml")
    #expect(
      try read(.file(path), other, DatasetCacheTests.options(.preference), in: caches).notes[0].contains(
        "tokenised once"))
  }

  @Test func aDamagedCacheIsMadeAnew() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try DatasetCacheTests.tokenizer()
    let source = DataSource.file(Fixtures.path("data/pairs.jsonl"))
    let options = DatasetCacheTests.options(.preference)
    func load() throws -> TokenizedDataset { try read(source, tokenizer, options, in: directory.path) }
    let memory = try read(source, tokenizer, options, in: nil)
    _ = try load()
    let name = try #require(directoryNames(directory.path).first { $0.hasSuffix(".h5") })
    let path = "\(directory.path)/\(name)"
    let whole = try readFile(path, limit: 1 << 30)
    func write(_ bytes: [UInt8]) throws {
      let file = try AtomicFile(path)
      try bytes.withUnsafeBytes { try file.write($0) }
      try file.commit()
    }
    var damages = [0, 1, 7, whole.count / 2, whole.count - 1].map { Array(whole[..<$0]) }
    for place in stride(from: 0, to: whole.count, by: max(1, whole.count / 150)) {
      var bytes = whole
      bytes[place] ^= 0x41
      damages.append(bytes)
    }
    damages.append(Array("no HDF5".utf8))
    // A byte of every column, wherever it lies: columns begin on multiples of 64. Zeros lie elsewhere, too.
    let original = try HDF5Reader(path)
    let columns = original.datasets.map { Array(original.bytes($0)) }.filter { $0.contains { $0 != 0 } }
    let places = columns.compactMap { column in
      stride(from: 0, to: whole.count - column.count + 1, by: 64).first {
        whole[$0..<$0 + column.count].elementsEqual(column)
      }
    }
    #expect(places.count == columns.count && places.count >= 4)
    for place in places {
      var bytes = whole
      bytes[place] ^= 1
      damages.append(bytes)
    }
    var noticed: [Bool] = []
    for bytes in damages {
      try write(bytes)
      let data = try load()
      // Between the parts of the file there are bytes that mean nothing.
      noticed.append(!data.notes[0].contains("tokenised before"))
      #expect(noticed.last == false || data.notes[0].contains("damaged"))
      try expectEqual(memory, data, "damaged")
      #expect(try load().notes[0].contains("tokenised before"))
    }
    #expect(noticed.prefix(5).allSatisfy(\.self) && noticed.suffix(places.count + 1).allSatisfy(\.self))
  }

  /// Files with right checksums and numbers that lead nowhere.
  @Test func columnsThatDoNotGoTogetherAreRefused() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try DatasetCacheTests.tokenizer()
    let source = DataSource.file(Fixtures.path("data/unpaired.jsonl"))
    let options = DatasetCacheTests.options(.unpaired)
    let memory = try read(source, tokenizer, options, in: nil)
    _ = try read(source, tokenizer, options, in: directory.path)
    let name = try #require(directoryNames(directory.path).first { $0.hasSuffix(".h5") })
    let path = "\(directory.path)/\(name)"
    let whole = try readFile(path, limit: 1 << 30)
    let columns: [(name: String, place: Int, bytes: [UInt8])] = [
      ("/ends", 0, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
      ("/ends", 8, [0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0]),
      ("/first_segments", 8, [0, 0, 0, 0, 0, 0, 0, 0x40]), ("/first_segments", 0, [1, 0, 0, 0, 0, 0, 0, 0]),
      ("/file_of_row", 0, [9, 0, 0, 0]), ("/file_of_row", 0, [0xFF, 0xFF, 0xFF, 0xFF]), ("/labels", 0, [2]),
      ("/lines", -1, []), ("/labels", -1, []), ("/tokens", -1, []), ("/tokens", -2, []),
    ]
    for (column, place, bytes) in columns {
      let original = try HDF5Reader(path)
      let changed = try HDF5Writer("\(directory.path)/changed")
      for (name, value) in original.attributes["/"] ?? [:] where name != "xxh3" && name != "contents" {
        try changed.attribute("/", name, value)
      }
      for dataset in original.datasets {
        var content = Array(original.bytes(dataset))
        if dataset.path == column {
          if place == -1 { continue }
          if place == -2 {
            content.removeLast(4)
          } else {
            content.replaceSubrange(place..<place + bytes.count, with: bytes)
          }
        }
        let kept = content
        try changed.dataset(
          dataset.path, shape: [kept.count / dataset.element.size], element: dataset.element,
          source: .pieces { take in try kept.withUnsafeBytes(take) })
      }
      try changed.commit()
      try copyFile("\(directory.path)/changed", to: path)
      let data = try read(source, tokenizer, options, in: directory.path)
      #expect(data.notes[0].contains("damaged"), "\(column): \(data.notes)")
      try expectEqual(memory, data, column)
      let file = try AtomicFile(path)
      try whole.withUnsafeBytes { try file.write($0) }
      try file.commit()
    }
  }

  @Test func aTemplateThatAsksForTheTimeKeepsThatOfTheCache() throws {
    let directory = try TemporaryDirectory()
    let tokenizer = try DatasetCacheTests.tokenizer(template: "llama3_2")
    try #require(tokenizer.chatTemplate?.readsClock == true)
    let source = DataSource.file(Fixtures.path("data/chat.jsonl"))
    let options = DatasetCacheTests.options(.preference) { $0.maxLength = nil }
    let made = try read(source, tokenizer, options, in: directory.path)
    let found = try read(source, tokenizer, options, in: directory.path)
    #expect(found.templateTime == made.templateTime && found.notes.count == 2)
    try expectEqual(made, found, "found")
    // Another time, such as that of a checkpoint, is another cache.
    let day = 1_795_694_400
    let other = try found.at(day)
    #expect(other.templateTime == day && other.fingerprint != found.fingerprint)
    var dated = options
    dated.templateTime = day
    try expectEqual(read(source, tokenizer, dated, in: nil), other, "another day")
  }

  @Test func aDirectoryThatCannotBeWrittenIsAnError() throws {
    let file = try TemporaryFile(Array(#"{"prompt": "p", "chosen": " yes", "rejected": " no"}"#.utf8))
    let tokenizer = try DatasetCacheTests.tokenizer()
    let said = message {
      _ = try read(.file(file.path), tokenizer, DatasetOptions(), in: "\(file.path)/inside")
    }
    #expect(said.contains(file.path))
    #expect(
      message { _ = try read(.file(file.path), tokenizer, DatasetOptions(), in: "") }.contains("data_cache is empty"))
  }

  @Test func readingIsToldOfAndCanBeStopped() throws {
    let lines = (0..<20_000).map { #"{"prompt": "p\#($0)", "chosen": " yes \#($0)", "rejected": " no"}"# }
    let file = try TemporaryFile(Array(lines.joined(separator: "\n").utf8))
    let tokenizer = try DatasetCacheTests.tokenizer()
    var last: DatasetReading?
    _ = try TokenizedDataset(.file(file.path), tokenizer: tokenizer) { reading in
      if let last { #expect(reading.done >= last.done && reading.rows >= last.rows) }
      last = reading
    }
    #expect(last?.rows == 20_000 && last?.done == last?.total && last?.phase == "tokenising")
    let said = message {
      _ = try TokenizedDataset(.file(file.path), tokenizer: tokenizer) { _ in throw DPOError(.cancelled, "enough") }
    }
    #expect(said == "enough")
  }
}
