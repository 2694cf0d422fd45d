import DPOBase
import DPOText
import Synchronization

extension ModelFile {
  /// The model's tokenizer, read when it is first asked for; nil where its files hold none.
  public var tokenizer: Tokenizer? {
    get throws {
      try tokenizerCache.value.withLock { cached in
        if let cached { return try cached.get() }
        let result = Result { () throws(DPOError) -> Tokenizer? in
          do { return try readTokenizer() } catch {
            guard let error = error as? DPOError else { throw DPOError(.format, "\(path): tokenizer: \(error)") }
            throw error
          }
        }
        cached = .some(result)
        return try result.get()
      }
    }
  }

  private func readTokenizer() throws -> Tokenizer? {
    if let metadata {
      return metadata["tokenizer.ggml.model"] == .string("none") ? nil : try Tokenizer.fromGGUF(metadata)
    }
    let documents = try tokenizerDocuments()
    guard let json = documents.json else { return nil }
    let file = format == .huggingFace ? "\(path)/tokenizer.json" : path
    return try Tokenizer(
      tokenizerJSON: json, configuration: documents.configuration, file: file, templateFile: documents.templateFile)
  }
}

/// Shared by all copies of a model file's value.
final class TokenizerCache: Sendable {
  let value = Mutex<Result<Tokenizer?, DPOError>?>(nil)
}
