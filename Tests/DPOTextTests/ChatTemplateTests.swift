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
    var templates: [String: ChatTemplate] = [:]
    var rendered = 0
    for entry in try #require(golden["cases"]?.array) {
      let name = try #require(entry["template"]?.string)
      let conversation = try #require(entry["conversation"]?.string)
      if templates[name] == nil {
        let source = String(
          decoding: try readFile(Fixtures.path("templates/\(name).jinja"), limit: 1 << 20), as: UTF8.self)
        templates[name] = try ChatTemplate(source: source, file: "\(name).jinja")
      }
      var variables = variables
      if entry["tools"]?.bool == true { variables["tools"] = golden["tools"]?[conversation] }
      let label =
        "\(name), \(conversation), prompt \(entry["prompt"]?.bool ?? false), tools \(entry["tools"]?.bool ?? false)"
      do {
        let result = try #require(templates[name]).renderTracingGeneration(
          messages: conversations[conversation]?.array ?? [], addGenerationPrompt: entry["prompt"]?.bool ?? false,
          variables: variables, time: time)
        let expected = try #require(entry["text"]?.string, "\(label): \(entry["error"]?.string ?? "")")
        #expect(result.text.utf8.elementsEqual(expected.utf8), "\(label)")
        rendered += 1
        let bytes = Array(result.text.utf8)
        let spans = result.generation.map { span in
          JSON.array(
            [span.lowerBound, span.upperBound].map {
              .int(String(decoding: bytes[..<$0], as: UTF8.self).unicodeScalars.count)
            })
        }
        #expect(JSON.array(spans) == entry["spans"], "\(label)")
      } catch {
        let expected = try #require(entry["error"]?.string, "\(label): \(error)")
        #expect("\(error)".contains("\(name).jinja: chat template line "), "\(error)")
        if expected.hasPrefix("TemplateError: ") {
          #expect("\(error)".contains(expected.dropFirst("TemplateError: ".count)), "\(label)")
        }
      }
    }
    #expect(rendered > 700)
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
