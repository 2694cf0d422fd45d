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

    /// Who speaks.
    public var role: Role
    /// What is said.
    public var content: String

    /// A turn of a role.
    public init(_ role: Role, _ content: String) {
      self.role = role
      self.content = content
    }

    /// Instructions for the whole conversation.
    public static func system(_ content: String) -> Message { Message(.system, content) }
    /// A person's turn.
    public static func user(_ content: String) -> Message { Message(.user, content) }
    /// The model's turn.
    public static func assistant(_ content: String) -> Message { Message(.assistant, content) }

    package var json: JSON { ["role": .string(role.rawValue), "content": .string(content)] }
  }
}

/// What a model is asked.
public enum Prompt: Sendable, Equatable, ExpressibleByStringLiteral {
  /// Text as the model reads it.
  case text(String)
  /// Messages, which the model's chat template writes as text.
  case chat([Chat.Message])

  /// Text as the model reads it.
  public init(stringLiteral text: String) { self = .text(text) }

  package var json: JSON {
    switch self {
    case .text(let text): .string(text)
    case .chat(let messages): .array(messages.map(\.json))
    }
  }
}
