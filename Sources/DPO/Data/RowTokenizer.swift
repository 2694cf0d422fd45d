import DPOBase

/// Which end of a sequence goes when it is longer than `maxLength`.
public enum TruncationMode: String, CaseIterable, Sendable {
  /// The first `maxLength` tokens stay.
  case keepStart = "keep_start"
  /// The last `maxLength` tokens stay; not for unpaired rows.
  case keepEnd = "keep_end"

  /// The mode of this name; the error lists the names there are.
  public init(named name: String) throws {
    guard let mode = TruncationMode(rawValue: name) else {
      throw DPOError.argument("truncation_mode is \"\(DPOError.printable(name))\"; expected keep_start or keep_end")
    }
    self = mode
  }
}

/// How rows become tokens; defaults are TRL's.
public struct DatasetOptions: Sendable, Equatable {
  /// What the rows are for.
  public var purpose = DatasetPurpose.preference
  /// Longest sequence of prompt and completion, in tokens; nil keeps everything.
  public var maxLength: Int? = 1024
  /// Which end goes when a sequence is too long.
  public var truncation = TruncationMode.keepStart
  /// Supervised rows with prompt and completion: whether only the completion is learned.
  public var completionOnlyLoss = true
  /// Supervised rows of messages: whether only what the template's generation blocks write is learned.
  public var assistantOnlyLoss = false
  /// Rows share the places of a batch: a place holds as many as fit into `maxLength` tokens. They never see each other.
  public var packing = false

  /// Rows longer than `maxLength` are left out, as TRL does for reward models, instead of cut.
  public var dropsLongRows = false
  /// What `strftime_now` tells a chat template, in seconds since 1970-01-01 00:00 by the local clock; nil: the time when the
  /// rows are read.
  public var templateTime: Int?
  /// Draws the rows of `DataSource.parts` with weights.
  public var mixtureSeed: UInt64 = 0
  /// Whether tokens are kept in a file, from which the rows are then read.
  public var cache = DataCache.none
  /// Threads that tokenise; 0: one a core. The tokens do not depend on it.
  public var threads = 0

  /// Rows for a method on pairs.
  public init() {}
  /// Rows for another purpose.
  public init(_ purpose: DatasetPurpose) { self.purpose = purpose }

  /// The assistant's tokens have to be found.
  var learnsAssistantOnly: Bool { assistantOnlyLoss && purpose == .supervised }
  /// Rows share places.
  var packs: Bool { packing || purpose == .pretraining }

  /// Throws `.invalidArgument` for values out of range and for options that do not go together.
  public func validate() throws {
    if let maxLength, maxLength < 1 { throw DPOError.argument("max_length is \(maxLength); expected at least 1") }
    if cache == .directory("") { throw DPOError.argument("data_cache is empty; expected a directory, auto or none") }
    if purpose == .unpaired, truncation == .keepEnd {
      throw DPOError.argument("truncation_mode keep_end does not go with unpaired rows")
    }
    if packs, maxLength == nil {
      throw DPOError.argument("\(packing ? "packing" : "pretrain") needs max_length, the tokens of a sequence")
    }
    if purpose == .pretraining, let maxLength, maxLength < 2 {
      throw DPOError.argument("max_length is \(maxLength); pretrain predicts tokens from those before: at least 2")
    }
  }
}

/// What tokenisation takes from a model's tokenizer.
package struct RowTokenizer {
  /// What the tokenizer puts around a text.
  package enum Form: Sendable {
    /// BOS before it, where it puts one and the text has none.
    case prompt
    /// The same, and EOS behind it.
    case whole
    /// Nothing: the chat template wrote it.
    case plain
  }

  /// Token ids of a text.
  package let encode: (_ text: String, _ form: Form) throws -> [Int32]
  package let eos: String?
  /// The chat template's text of messages.
  package let render: (_ messages: [JSON], _ addGenerationPrompt: Bool, _ row: DataRow) throws -> String
  /// Token ids of messages, and which of them the template's generation blocks wrote.
  package let trace: (_ messages: [JSON], _ row: DataRow) throws -> (ids: [Int32], marks: [Bool])

  package init(
    encode: @escaping (_ text: String, _ form: Form) throws -> [Int32], eos: String?,
    render: @escaping (_ messages: [JSON], _ addGenerationPrompt: Bool, _ row: DataRow) throws -> String,
    trace: @escaping (_ messages: [JSON], _ row: DataRow) throws -> (ids: [Int32], marks: [Bool])
  ) {
    self.encode = encode
    self.eos = eos
    self.render = render
    self.trace = trace
  }

  /// Prompt and completions of a row: the prompt alone and the prompt with each completion are tokenised as text; where
  /// the ids part is the boundary. `droppedPrompt` tokens of the prompt alone lie behind it (a merge across the boundary,
  /// a template that writes something else there) and are in no sequence.
  struct Tokens {
    var prompt: [Int32] = []
    var completions: [[Int32]] = []
    var droppedPrompt = 0
    /// Which tokens of the prompt and the one completion are the assistant's, where only these are learned.
    var learned: [Bool]?
  }

  /// - Parameter assistantOnly: also find out what the assistant wrote, of a row with one completion.
  func tokenize(_ row: DataRow, place: String, assistantOnly: Bool = false) throws -> Tokens {
    var result = Tokens()
    guard let prompt = row.prompt else {
      if assistantOnly {
        let (ids, marks) = try assistantTokens(row, prompt: [], place: place)
        result.completions = [ids]
        result.learned = marks
      } else {
        result.completions = try row.completions.map { try ids(of: $0, after: nil, row) }
      }
      return result
    }
    let alone =
      switch prompt {
      case .text(let text): try encode(text, .prompt)
      case .chat(let messages): try encode(render(messages.map(\.json), true, row), .plain)
      }
    let joined: [[Int32]]
    if assistantOnly {
      let messages = if case .chat(let messages) = prompt { messages } else { [Chat.Message]() }
      let (ids, marks) = try assistantTokens(row, prompt: messages, place: place)
      joined = [ids]
      result.learned = marks
    } else {
      joined = try row.completions.map { try ids(of: $0, after: prompt, row) }
    }
    let boundary = joined.map { commonPrefix(alone, $0) }.min() ?? alone.count
    result.prompt = Array(alone[..<boundary])
    result.completions = joined.map { Array($0[boundary...]) }
    result.droppedPrompt = alone.count - boundary
    return result
  }

  private func assistantTokens(_ row: DataRow, prompt: [Chat.Message], place: String) throws -> ([Int32], [Bool]) {
    guard case .chat(let messages)? = row.completions.first else {
      throw DPOError.format(place, "assistant_only_loss needs chat messages; found text")
    }
    let (ids, marks) = try trace((prompt + messages).map(\.json), row)
    guard marks.contains(true) else {
      throw DPOError.format(
        place,
        "assistant_only_loss: no token of it is the assistant's, that is inside {% generation %} of the chat template")
    }
    return (ids, marks)
  }

  /// Text gets the EOS string appended unless it ends with it; messages get what the template writes.
  private func ids(of completion: Content, after prompt: Content?, _ row: DataRow) throws -> [Int32] {
    switch (completion, prompt) {
    case (.text(let text), let prompt):
      guard let eos else { throw DPOError(.unsupported, "the tokenizer names no EOS token, which ends rows of text") }
      let before = if case .text(let text) = prompt { text } else { "" }
      let ends = text.utf8.count >= eos.utf8.count && text.utf8.suffix(eos.utf8.count).elementsEqual(eos.utf8)
      return try encode(before + text + (ends ? "" : eos), .whole)
    case (.chat(let messages), .chat(let prompt)):
      return try encode(render((prompt + messages).map(\.json), false, row), .plain)
    case (.chat(let messages), _):
      return try encode(render(messages.map(\.json), false, row), .plain)
    }
  }
}

private func commonPrefix(_ a: [Int32], _ b: [Int32]) -> Int {
  var length = 0
  while length < a.count, length < b.count, a[length] == b[length] { length += 1 }
  return length
}
