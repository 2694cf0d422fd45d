import DPOBase

/// What a chat template reads of a row besides the messages: the columns `tools` (a list, or JSON text of one) and
/// `chat_template_kwargs` (names of any kind).
public struct TemplateColumns: Sendable, Equatable {
  static let names: Set<String> = ["tools", "chat_template_kwargs"]

  /// A list of tools; nil where the row has none.
  package let tools: JSON?
  /// `chat_template_kwargs`; nil where the row has none.
  private let keywords: JSONObject?

  /// No columns.
  public static let none = TemplateColumns(tools: nil, keywords: nil)

  private init(tools: JSON?, keywords: JSONObject?) {
    self.tools = tools
    self.keywords = keywords
  }

  /// Columns as JSON text by their names, `tools` and `chat_template_kwargs`.
  ///
  /// - Throws: `.format` for text that is no JSON, or columns that are something else.
  public init(_ texts: [String: String]) throws {
    var row = JSONObject()
    for (name, text) in texts { row[name] = try JSON.parse(text, file: "\"\(DPOError.printable(name))\"") }
    if let other = texts.keys.first(where: { !TemplateColumns.names.contains($0) }) {
      throw DPOError.argument(
        "\(DPOError.printable(other)) is no column of a chat template, expected tools or chat_template_kwargs")
    }
    try self.init(row, place: "the columns")
  }

  /// The columns as JSON text by their names.
  public var texts: [String: String] {
    Dictionary(uniqueKeysWithValues: columns.members.map { ($0.key, $0.value.description) })
  }

  /// Those of a row whose prompt is chat messages; text has none.
  init(_ row: JSONObject, beside prompt: Content, place: String) throws {
    self = prompt.isText ? .none : try TemplateColumns(row, place: place)
  }

  /// - Throws: `.format` for columns that are something else.
  init(_ row: JSONObject, place: String) throws {
    var tools = row["tools"]
    if case .string(let text) = tools { tools = try JSON.parse(text, file: "\(place): \"tools\"") }
    if let tools, tools.array == nil, !tools.isNull {
      throw DPOError.format(place, "\"tools\" is \(tools.kind); expected a list")
    }
    for (index, tool) in (tools?.array ?? []).enumerated() where tool.object == nil {
      throw DPOError.format(place, "\"tools\"[\(index)] is \(tool.kind); expected an object")
    }
    self.tools = tools?.array == nil ? nil : tools
    keywords = row["chat_template_kwargs"]?.object
    if let found = row["chat_template_kwargs"], !found.isNull, keywords == nil {
      throw DPOError.format(place, "\"chat_template_kwargs\" is \(found.kind); expected an object")
    }
  }

  /// Names for the template.
  var variables: JSONObject {
    var variables = JSONObject()
    variables["tools"] = tools
    return variables.with(keywords ?? [:])
  }

  /// The columns, of another row.
  var columns: JSONObject {
    var columns = JSONObject()
    columns["tools"] = tools
    columns["chat_template_kwargs"] = keywords.map(JSON.object)
    return columns
  }
}
