import DPOBase

/// A conversation, as chat templates read it.
public enum Chat {
  /// One turn of a conversation.
  public struct Message: Sendable, Equatable {
    /// Who speaks. Templates know `system`, `user` and `assistant`, some also `tool` and others.
    public struct Role: RawRepresentable, Sendable, Equatable, ExpressibleByStringLiteral {
      /// The name that the template sees.
      public let rawValue: String
      /// A role by its name.
      public init(rawValue: String) { self.rawValue = rawValue }
      /// A role by its name.
      public init(stringLiteral name: String) { rawValue = name }

      /// Instructions for the whole conversation.
      public static let system: Role = "system"
      /// The person.
      public static let user: Role = "user"
      /// The model.
      public static let assistant: Role = "assistant"
      /// What a tool returned.
      public static let tool: Role = "tool"
    }

    /// All that a row or a template has of it.
    private var members: JSONObject

    /// Who speaks.
    public var role: Role {
      get { Role(rawValue: members["role"]?.string ?? "") }
      set { members["role"] = .string(newValue.rawValue) }
    }
    /// What is said, of several parts one behind the other; empty where a turn only calls tools.
    public var content: String {
      get {
        guard let parts = members["content"]?.array else { return members["content"]?.string ?? "" }
        return parts.compactMap { $0["text"]?.string }.joined()
      }
      set { members["content"] = .string(newValue) }
    }

    /// A turn of a role.
    public init(_ role: Role, _ content: String) {
      members = ["role": .string(role.rawValue), "content": .string(content)]
    }

    /// What else a row has of the turn, such as `tool_calls`, as JSON text; nil where it has none.
    public subscript(name: String) -> String? { members[name]?.description }

    /// Instructions for the whole conversation.
    public static func system(_ content: String) -> Message { Message(.system, content) }
    /// A person's turn.
    public static func user(_ content: String) -> Message { Message(.user, content) }
    /// The model's turn.
    public static func assistant(_ content: String) -> Message { Message(.assistant, content) }

    /// A turn of a row.
    package init(_ members: JSONObject) { self.members = members }

    package var json: JSON { .object(members) }

    /// Whether it has words; a turn that only calls tools has none.
    var speaks: Bool { members["content"]?.string != nil || members["content"]?.array != nil }
  }
}

/// What a prompt or an answer is: text, or chat messages.
public enum Content: Sendable, Equatable, ExpressibleByStringLiteral {
  /// Text as the model reads it.
  case text(String)
  /// Messages, which the model's chat template writes as text.
  case chat([Chat.Message])

  /// Text as the model reads it.
  public init(stringLiteral text: String) { self = .text(text) }

  /// What people read: the text, or what the messages say, with an empty line between them.
  public var text: String {
    switch self {
    case .text(let text): text
    case .chat(let messages): messages.filter { $0.speaks }.map(\.content).joined(separator: "\n\n")
    }
  }

  /// Text or chat messages of a row; nil for what is neither.
  package init?(_ json: JSON?) {
    switch json {
    case .string(let text): self = .text(text)
    case .array(let messages):
      let objects = messages.compactMap(\.object)
      guard objects.count == messages.count else { return nil }
      self = .chat(objects.map(Chat.Message.init))
    default: return nil
    }
  }

  package var json: JSON {
    switch self {
    case .text(let text): .string(text)
    case .chat(let messages): .array(messages.map(\.json))
    }
  }
}

// MARK: - What reading rows asks
extension Content {
  var isText: Bool { if case .text = self { true } else { false } }

  /// Messages that begin with the assistant's.
  var isAnswer: Bool {
    guard case .chat(let messages) = self else { return false }
    return messages.first?.role == .assistant
  }

  /// Whether it is a whole conversation that holds this prompt, rather than an answer to it.
  func isConversation(after prompt: Content) -> Bool {
    guard case .chat(let messages) = self else { return false }
    switch prompt {
    case .text: return messages.count > 1
    case .chat(let prompt): return messages.count > prompt.count && Array(messages.prefix(prompt.count)) == prompt
    }
  }

  /// An answer as training takes it: after chat messages, text becomes the assistant's message.
  func answering(_ prompt: Content) -> Content {
    guard case .chat = prompt, case .text(let text) = self else { return self }
    return .chat([.assistant(text)])
  }
}
