import DPO
import DPOBase
import TestSupport

/// A tokenizer small enough to see through: BOS (1) first, one id a byte (100 + byte), except "</s>" (2) and "ab" (3).
nonisolated(unsafe) let byteTokenizer = RowTokenizer(
  encode: { text, form in
    var ids: [Int32] = form == .plain ? [] : [1]
    var bytes = Array(text.utf8)[...]
    while let byte = bytes.first {
      if bytes.starts(with: "</s>".utf8) {
        ids.append(2)
        bytes = bytes.dropFirst(4)
      } else if bytes.starts(with: "ab".utf8) {
        ids.append(3)
        bytes = bytes.dropFirst(2)
      } else {
        ids.append(100 + Int32(byte))
        bytes = bytes.dropFirst()
      }
    }
    return ids
  }, eos: "</s>",
  render: { messages, generate, row in
    let tools = row.template.tools.map { "[\($0.array?.count ?? 0)]" } ?? ""
    let text = messages.map { "<\($0["role"]?.string?.first ?? "?")>\($0["content"]?.string ?? "");" }.joined()
    return tools + text + (generate ? "<a>" : "")
  },
  trace: { messages, _ in
    var ids: [Int32] = []
    var marks: [Bool] = []
    for message in messages {
      let role = message["role"]?.string?.first ?? "?"
      let part = "<\(role)>\(message["content"]?.string ?? "");".utf8.map { 100 + Int32($0) }
      ids += part
      marks += part.map { _ in message["role"] == "assistant" }
    }
    return (ids, marks)
  })

/// Ids of a text without special tokens.
func ids(_ text: String) throws -> [Int32] { try byteTokenizer.encode(text, .plain) }

/// A file that is gone when the test is.
final class TemporaryFile {
  private let directory: TemporaryDirectory
  let path: String

  init(_ bytes: [UInt8], name: String = "data.jsonl") throws {
    directory = try TemporaryDirectory()
    path = "\(directory.path)/\(name)"
    let file = try AtomicFile(path)
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.commit()
  }
}

func load(_ bytes: [UInt8], _ options: DatasetOptions = DatasetOptions()) throws -> TokenizedDataset {
  let file = try TemporaryFile(bytes)
  return try withExtendedLifetime(file) {
    try TokenizedDataset(.file(file.path), rowTokenizer: byteTokenizer, options: options)
  }
}

func load(_ text: String, _ options: DatasetOptions = DatasetOptions()) throws -> TokenizedDataset {
  try load(Array(text.utf8), options)
}

/// The message of the error that `body` throws.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch { return "\(error)" }
}
