import DPOBase

/// A model's chat template: the Jinja program that turns messages into the text the model was trained on.
///
/// It runs in a bounded interpreter of the part of jinja2 that models use, with the settings of transformers
/// (`trim_blocks`, `lstrip_blocks`, loop controls, `tojson`, `raise_exception`, `strftime_now`, generation blocks, and
/// a sandbox in which nothing can be changed). Steps, memory, output and nesting are limited; an unknown construct, a
/// failed operation and `raise_exception` throw a `DPOError` that names the file and the template's line.
public struct ChatTemplate: Sendable {
  /// A rendered conversation.
  package struct Rendering: Sendable, Equatable {
    package let text: String
    /// What `{% generation %}` blocks wrote, as ranges of UTF-8 bytes of `text`: the assistant's tokens, in order.
    package let generation: [Range<Int>]
  }

  private struct Variant {
    let name: String
    let source: String
    let body: [TemplateStatement]
  }

  static let maximumSourceSize = 2 << 20

  private let variants: [Variant]
  private let file: String

  /// Parses one template. `file` names it in errors.
  public init(source: String, file: String) throws {
    try self.init(sources: [("default", source)], file: file)
  }

  /// Parses the value of `chat_template` in tokenizer_config.json: a template, or a list of
  /// `{"name": …, "template": …}`.
  public init(json: JSON, file: String) throws {
    if let source = json.string {
      try self.init(source: source, file: file)
      return
    }
    guard let items = json.array, !items.isEmpty else {
      let found = json.array == nil ? json.kind : "an empty list"
      throw DPOError.format(file, "chat template: expected a string or a list of {name, template}, found \(found)")
    }
    var sources: [(String, String)] = []
    for (index, item) in items.enumerated() {
      guard let name = item["name"]?.string, let source = item["template"]?.string else {
        throw DPOError.format(
          file,
          "chat template \(index + 1) of \(items.count): expected an object with the strings 'name' and 'template'")
      }
      // Of a name that comes twice the last one counts, as in transformers.
      sources.removeAll { $0.0 == name }
      sources.append((name, source))
    }
    try self.init(sources: sources, file: file)
  }

  private init(sources: [(name: String, source: String)], file: String) throws {
    self.file = file
    var variants: [Variant] = []
    for (name, source) in sources {
      guard source.utf8.count <= Self.maximumSourceSize else {
        throw DPOError.format(
          file, "the chat template has \(source.utf8.count) bytes, more than the \(Self.maximumSourceSize) allowed")
      }
      variants.append(Variant(name: name, source: source, body: try TemplateParser.parse(source, file: file)))
    }
    self.variants = variants
  }

  /// The template's text, as it came: of the one used without tools.
  public var source: String { (try? variant(usesTools: false))?.source ?? "" }

  /// "default", and other names where there are several.
  package var names: [String] { variants.map(\.name) }

  /// Whether its text may depend on the time.
  package var readsClock: Bool { variants.contains { $0.source.offset(behind: "strftime_now") != nil } }

  /// Renders `messages` (objects with "role", "content" and whatever else the template reads).
  ///
  /// - Parameters:
  ///   - addGenerationPrompt: ends the text with what precedes an answer of the assistant.
  ///   - variables: `tools`, `documents`, `bos_token`, `eos_token` and any other name that the template reads.
  ///   - time: what `strftime_now` tells, in seconds since 1970-01-01 00:00 by the local clock; nil: now.
  public func render(
    messages: [JSON], addGenerationPrompt: Bool, variables: JSONObject, time: Int? = nil
  ) throws -> String {
    try evaluate(messages, addGenerationPrompt, variables, time, recordsSpans: false).text
  }

  /// As `render(messages:addGenerationPrompt:variables:time:)`, and tells which parts generation blocks wrote.
  package func renderTracingGeneration(
    messages: [JSON], addGenerationPrompt: Bool, variables: JSONObject, time: Int? = nil
  ) throws -> Rendering {
    try evaluate(messages, addGenerationPrompt, variables, time, recordsSpans: true)
  }

  /// transformers' choice among several: "tool_use" where tools are given and it is there, else "default".
  private func variant(usesTools: Bool) throws -> Variant {
    if usesTools, let found = variants.first(where: { $0.name == "tool_use" }) { return found }
    guard let found = variants.first(where: { $0.name == "default" }) else {
      let names = variants.map { "'\(DPOError.printable($0.name))'" }.joined(separator: ", ")
      throw DPOError.format(file, "chat template: none of the templates \(names) is named 'default'")
    }
    return found
  }

  private func evaluate(
    _ messages: [JSON], _ addGenerationPrompt: Bool, _ variables: JSONObject, _ time: Int?, recordsSpans: Bool
  ) throws -> Rendering {
    let evaluator = TemplateEvaluator(file: file, time: time, recordsSpans: recordsSpans)
    let globals = TemplateFrame(parent: nil)
    globals.variables["tools"] = TemplateValue.none
    globals.variables["documents"] = TemplateValue.none
    for (name, value) in variables.members { globals.variables[name] = try bounded(TemplateValue(value)) }
    globals.variables["messages"] = try bounded(
      .list(TemplateItems(messages.map { TemplateValue(Self.withReasoning($0)) })))
    globals.variables["add_generation_prompt"] = .bool(addGenerationPrompt)
    let usesTools = variables["tools"].map { !$0.isNull } ?? false
    try evaluator.run(variant(usesTools: usesTools).body, TemplateFrame(parent: globals))
    return Rendering(text: String(decoding: evaluator.output, as: UTF8.self), generation: evaluator.generationSpans)
  }

  private func bounded(_ value: TemplateValue) throws -> TemplateValue {
    guard value.depth <= TemplateEvaluator.maximumValueDepth else {
      throw DPOError.format(
        file, "chat template: a message is nested deeper than \(TemplateEvaluator.maximumValueDepth) levels")
    }
    return value
  }

  /// A message's reasoning comes under several names; templates read `reasoning_content` or `thinking`.
  private static func withReasoning(_ message: JSON) -> JSON {
    guard let object = message.object,
      let reasoning = ["reasoning_content", "thinking", "reasoning"].compactMap({ object[$0] }).first(where: {
        !$0.isNull
      })
    else { return message }
    return .object(
      (["thinking": reasoning] as JSONObject).with(object).with(["reasoning_content": reasoning]))
  }
}
