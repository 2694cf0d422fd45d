import DPO
import DPOBase
import TestSupport
import Testing

/// The same rows in every form. `Tests/python/test_data_forms.py` has files of other programs.
@Suite(.timeLimit(.minutes(10))) struct RowFilesTests {
  private let rows = #"""
    {"prompt": "a", "chosen": " b, \"c\"", "rejected": " d\ne", "weight": 0.5}
    {"prompt": "f", "chosen": " gé", "rejected": " h", "weight": 2}
    """#
  private let table = "prompt,chosen,rejected,weight\r\na,\" b, \"\"c\"\"\",\" d\ne\",0.5\r\n\r\nf, gé, h,2"

  private func read(_ text: String, _ name: String) throws -> (ids: UInt64, places: [String]) {
    let file = try TemporaryFile(Array(text.utf8), name: name)
    let data = try TokenizedDataset(.file(file.path), rowTokenizer: byteTokenizer, options: DatasetOptions())
    return (data.fingerprint, (0..<data.count).map(data.place))
  }

  @Test func everyFormHoldsTheSameRows() throws {
    let expected = try read(rows, "a.jsonl")
    #expect(expected.places == ["a.jsonl: line 1", "a.jsonl: line 2"])
    let items = rows.replacingFirst("}\n", "},\n")
    let tabs = table.map { $0 == "," ? "\t" : String($0) }.joined().replacingFirst(" b\t", " b,")
    for (text, name, places) in [
      (rows, "a", ["line 1", "line 2"]), ("[\(items)]", "b.json", ["row 1", "row 2"]),
      (rows, "c.json", ["line 1", "line 2"]), ("\u{FEFF} [\n\(items)\n]\n\n", "d.json", ["row 1", "row 2"]),
      (table, "e.csv", ["line 2", "line 5"]), ("\u{FEFF}" + table + "\r\n", "f.csv", ["line 2", "line 5"]),
      (tabs, "g.tsv", ["line 2", "line 5"]),
    ] {
      let found = try read(text, name)
      #expect(found.ids == expected.ids, "\(name)")
      #expect(found.places == places.map { "\(name): \($0)" })
    }
  }

  @Test func whatIsWrongIsNamedWithItsPlace() {
    for (text, name, says) in [
      ("[{}, 7]", "a.json", "a.json: row 1"),
      ("[\(rows.split(separator: "\n")[0]), 7]", "a.json", "a.json: row 2: expected a JSON object; found a number"),
      ("[{\"prompt\": \"a\"", "a.json", "a.json: row 1: is not closed"), ("[", "a.json", "cut short"),
      ("[]", "a.json", "no rows"),
      ("[{\"text\": 1,}]", "a.json", "a.json: row 1: not valid JSON"),
      ("[\(rows.split(separator: "\n")[0])\n{}]", "a.json", "line 2: expected a comma or ] behind row 1"),
      ("[\(rows.split(separator: "\n")[0])] x", "a.json", "text behind the end"),
      ("prompt,chosen,rejected\na,b\n", "a.csv", "a.csv: line 2: 2 fields; expected 3"),
      ("prompt,chosen,rejected\na,b,\"c\n", "a.csv", "a.csv: line 2: a field in quotes is not closed"),
      ("prompt,chosen,rejected\na,b,\"c\"d\n", "a.csv", "a.csv: line 2: text behind the quote"),
      ("prompt,prompt\na,b\n", "a.csv", "a.csv: line 1: expected the names of the columns, each once"),
      ("prompt,chosen,rejected,weight\na,b,c,heavy\n", "a.csv", "a.csv: line 2: \"weight\" is heavy"),
      ("prompt,chosen\n", "a.csv", "no rows"),
      ("q,a\nb,c\n", "a.csv", "a.csv: line 2: expected \"chosen\" and \"rejected\""),
      ("PAR1", "a.parquet", "pandas.read_parquet"), ("", "train.arrow", "Dataset.from_file"),
      ("BZh9", "a.jsonl.bz2", "bzip2 -dk"),
    ] {
      let found = message { _ = try read(text, name) }
      #expect(found.contains(says), "\(name): \(found)")
    }
  }

  @Test func rowsOfSeveralFilesKeepTheirPlaces() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    try writeFile("\(path)/b.jsonl", rows)
    try writeFile("\(path)/a.csv", table)
    try writeFile("\(path)/readme.md", "no rows")
    try writeFile("\(path)/.hidden.jsonl", "no rows")
    let data = try TokenizedDataset(.file(path), rowTokenizer: byteTokenizer, options: DatasetOptions())
    #expect((0..<4).map(data.place) == ["a.csv: line 2", "a.csv: line 5", "b.jsonl: line 1", "b.jsonl: line 2"])
    #expect(data.fileName(3) == "b.jsonl")
    try writeFile("\(path)/c.jsonl", "\n{}")
    #expect(
      message { _ = try TokenizedDataset(.file(path), rowTokenizer: byteTokenizer, options: DatasetOptions()) }
        .contains("c.jsonl: line 2: "))
    let empty = try TemporaryDirectory()
    #expect(message { _ = try RowFiles([empty.path]) }.contains("a directory without rows"))
    #expect(message { _ = try RowFiles(["\(path)/none"]) }.contains("no such file"))
  }

  private func part(_ name: String, _ count: Int, _ weight: Double?) -> DataPart {
    let rows = (0..<count).map { "{\"prompt\": \"\(name)\($0)\", \"chosen\": \" x\", \"rejected\": \" y\"}" }
    return DataPart(name, contents: Array(rows.joined(separator: "\n").utf8), weight: weight)
  }

  @Test func aMixtureHasTheSharesThatWereAskedFor() throws {
    func mixture(_ parts: [DataPart], seed: UInt64 = 0) throws -> TokenizedDataset {
      var options = DatasetOptions()
      options.mixtureSeed = seed
      return try TokenizedDataset(.parts(parts), rowTokenizer: byteTokenizer, options: options)
    }
    let parts = [part("a", 140, 0.7), part("b", 300, 0.3)]
    let data = try mixture(parts)
    let places = (0..<data.count).map(data.place)
    #expect(places.count { $0.hasPrefix("a: ") } == 140 && places.count { $0.hasPrefix("b: ") } == 60)
    #expect(Set(places).count == 200)
    #expect(data.report.mixture == ["140 of 140 rows of a", "60 of 300 rows of b"])
    let lines = data.lines[140...]
    #expect(lines.sorted() == Array(lines) && (lines.first ?? 99) < 40 && (lines.last ?? 0) > 260)
    #expect(try mixture(parts).fingerprint == data.fingerprint)
    #expect(try mixture(parts, seed: 1).fingerprint != data.fingerprint)
    // Each row is drawn as often as any other.
    var drawn = [Int](repeating: 0, count: 10)
    for seed in 0..<2000 {
      let data = try mixture([part("a", 3, 3), part("b", 10, 4)], seed: UInt64(seed))
      for row in 3..<data.count { drawn[data.lines[row] - 1] += 1 }
    }
    #expect(drawn.allSatisfy { abs($0 - 800) < 110 }, "\(drawn)")  // 800 expected, σ = 22
    #expect(try mixture([part("a", 3, nil), part("b", 2, nil)]).count == 5)
    #expect(message { _ = try mixture([part("a", 3, 1), part("b", 2, nil)]) }.contains("weight"))
  }
}
