import DPOBase
import DPOText
import TestSupport
import Testing

private let file = "tokenizer_config.json"

private func render(_ source: String, _ variables: JSONObject = [:], messages: [JSON] = []) throws -> String {
  try ChatTemplate(source: source, file: file).render(
    messages: messages, addGenerationPrompt: false, variables: variables)
}

private func failure(_ source: String, messages: [JSON] = [["role": "user", "content": "hi"]]) -> String? {
  do {
    _ = try render(source, messages: messages)
    return nil
  } catch {
    return "\(error)"
  }
}

@Suite(.timeLimit(.minutes(10))) struct ChatTemplateTests {
  /// Real templates over many conversations, against transformers' own renderer.
  @Test func rendersAsTransformersDoes() throws {
    let golden = try Fixtures.json("templates/golden.json")
    let conversations = try #require(golden["conversations"]?.object)
    let variables = try #require(golden["variables"]?.object)
    let time = try #require(golden["time"]?.int)
    var rendered = 0
    for (name, results) in try #require(golden["results"]?.object).members {
      let source = String(
        decoding: try readFile(Fixtures.path("templates/\(name).jinja"), limit: 1 << 20), as: UTF8.self)
      let template = try ChatTemplate(source: source, file: "\(name).jinja")
      for (conversation, expected) in try #require(results.object).members {
        let tools = golden["tools"]?[conversation]
        for (index, expected) in (expected.array ?? []).enumerated() {
          var variables = variables
          if index > 1 { variables["tools"] = tools }
          let label = "\(name), \(conversation), prompt \(index % 2 == 1), tools \(index > 1)"
          let expected = try #require(expected.string)
          do {
            let result = try template.renderTracingGeneration(
              messages: conversations[conversation]?.array ?? [], addGenerationPrompt: index % 2 == 1,
              variables: variables, time: time)
            let bytes = Array(result.text.utf8)
            func place(_ offset: Int) -> Int { String(decoding: bytes[..<offset], as: UTF8.self).unicodeScalars.count }
            let spans = result.generation.map { "\(place($0.lowerBound))-\(place($0.upperBound))" }
            let found = [Fixtures.digest(result.text)] + spans
            #expect(found.joined(separator: " ") == expected, "\(label): \(result.text)")
            rendered += 1
          } catch {
            #expect(expected.hasPrefix("!"), "\(label): \(error)")
            #expect("\(error)".contains("\(name).jinja: chat template line "), "\(error)")
            if expected.hasPrefix("!TemplateError: ") {
              #expect("\(error)".contains(expected.dropFirst("!TemplateError: ".count)), "\(label)")
            }
          }
        }
      }
    }
    #expect(rendered > 2100)
  }

  /// Expressions, statements and white space, one construct at a time, against jinja2.
  @Test func evaluatesAsJinjaDoes() throws {
    let entries = try #require(try Fixtures.json("templates/expressions.json").array)
    let context = try #require(entries.last?["context"]?.object)
    for entry in entries.dropLast() {
      let source = try #require(entry["source"]?.string)
      do {
        let text = try ChatTemplate(source: source, file: file).render(
          messages: context["messages"]?.array ?? [], addGenerationPrompt: true, variables: context)
        let expected = try #require(entry["text"]?.string, "\(source)\n\(text)\n\(entry["error"] ?? .null)")
        #expect(text.utf8.elementsEqual(expected.utf8), "\(source)")
      } catch {
        #expect(entry["error"] != nil, "\(source): \(error)")
        #expect("\(error)".hasPrefix("tokenizer_config.json: chat template line "), "\(error)")
      }
    }
  }
}
