import CYAML
import DPO

/// A file of settings by name: YAML, or JSON, which libyaml reads as well. Values stay text until whoever knows their kind reads
/// them, so that they mean what they would mean as flags.
struct ConfigFile {
  /// A value and the line that it stands in.
  struct Node {
    enum Content {
      /// nil: null, written so or left empty.
      case scalar(String?)
      case list([Node])
      case map([Entry])
    }

    let content: Content
    let line: Int
  }

  struct Entry {
    let key: String
    let value: Node
    let line: Int
  }

  let path: String
  let entries: [Entry]

  /// - Throws: `.format` with the line of what is no map of names.
  init(_ path: String) throws {
    self.path = path
    var reader = try Reader(readFile(path, limit: 1 << 20), path: path)
    let root = try reader.document()
    guard case .map(let entries) = root.content else {
      throw DPOError.format("\(path): line \(root.line)", "expected settings, a name and a value each")
    }
    self.entries = entries
  }

  func failure(_ line: Int, _ text: String) -> DPOError { DPOError.format("\(path): line \(line)", text) }
}

/// Makes a tree of libyaml's events.
private struct Reader: ~Copyable {
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let bytes: UnsafeMutableBufferPointer<UInt8>
  private let path: String
  /// Settings are flat but for lists; a deeper file is none.
  private static let maximumDepth = 16

  init(_ text: [UInt8], path: String) throws {
    self.path = path
    bytes = .allocate(capacity: text.count)
    _ = bytes.initialize(from: text)
    parser = .allocate(capacity: 1)
    guard yaml_parser_initialize(parser) == 1 else { throw DPOError(.memory, "\(path): no memory to read it with") }
    yaml_parser_set_input_string(parser, bytes.baseAddress, text.count)
  }

  deinit {
    yaml_parser_delete(parser)
    parser.deallocate()
    bytes.deallocate()
  }

  private func failure(_ line: Int, _ text: String) -> DPOError { DPOError.format("\(path): line \(line)", text) }

  private func next<T>(_ body: (yaml_event_t, _ line: Int) throws -> T) throws -> T {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else {
      let problem = parser.pointee.problem.map { String(cString: $0) } ?? "no YAML"
      let context = parser.pointee.context.map { " " + String(cString: $0) } ?? ""
      throw failure(Int(parser.pointee.problem_mark.line) + 1, "not valid YAML or JSON: \(problem)\(context)")
    }
    defer { yaml_event_delete(&event) }
    return try body(event, Int(event.start_mark.line) + 1)
  }

  mutating func document() throws -> ConfigFile.Node {
    try next { _, _ in }  // the stream's start
    let isEmpty = try next { event, _ in event.type == YAML_STREAM_END_EVENT }
    guard !isEmpty else { return ConfigFile.Node(content: .map([]), line: 1) }
    let root = try node(0)
    try next { _, _ in }  // the document's end
    try next { event, line in
      guard event.type == YAML_STREAM_END_EVENT else { throw failure(line, "a second document; expected one") }
    }
    return root
  }

  private enum Step { case leaf(ConfigFile.Node), list(Int), map(Int), end }

  private func step() throws -> Step {
    try next { event, line in
      switch event.type {
      case YAML_SCALAR_EVENT: .leaf(ConfigFile.Node(content: .scalar(scalar(event)), line: line))
      case YAML_SEQUENCE_START_EVENT: .list(line)
      case YAML_MAPPING_START_EVENT: .map(line)
      case YAML_ALIAS_EVENT: throw failure(line, "an alias (*name); write the value out")
      default: .end
      }
    }
  }

  /// A scalar's text; nil for null.
  private func scalar(_ event: yaml_event_t) -> String? {
    let value = event.data.scalar
    let text = String(decoding: UnsafeBufferPointer(start: value.value, count: value.length), as: UTF8.self)
    let isPlain = value.style == YAML_PLAIN_SCALAR_STYLE
    return isPlain && ["", "~", "null", "Null", "NULL"].contains(text) ? nil : text
  }

  private func node(_ depth: Int) throws -> ConfigFile.Node { try node(step(), depth) }

  private func node(_ step: Step, _ depth: Int) throws -> ConfigFile.Node {
    switch step {
    case .leaf(let node): return node
    case .list(let line):
      guard depth < Reader.maximumDepth else { throw failure(line, "lists in lists, too deep for settings") }
      var items: [ConfigFile.Node] = []
      while true {
        let next = try self.step()
        if case .end = next { break }
        items.append(try node(next, depth + 1))
      }
      return ConfigFile.Node(content: .list(items), line: line)
    case .map(let line):
      guard depth < Reader.maximumDepth else { throw failure(line, "names in names, too deep for settings") }
      var entries: [ConfigFile.Entry] = []
      while true {
        let next = try self.step()
        if case .end = next { break }
        let key = try node(next, depth + 1)
        guard case .scalar(let name?) = key.content else { throw failure(key.line, "expected a name before the colon") }
        guard !entries.contains(where: { $0.key == name }) else { throw failure(key.line, "\(name) stands here twice") }
        entries.append(ConfigFile.Entry(key: name, value: try node(depth + 1), line: key.line))
      }
      return ConfigFile.Node(content: .map(entries), line: line)
    case .end: throw failure(1, "expected a value")
    }
  }
}
