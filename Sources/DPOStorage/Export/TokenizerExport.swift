import DPOBase
import DPOText

extension ModelFile {
  /// tokenizer.json and tokenizer_config.json, made from the metadata of a GGUF file.
  package func tokenizerDocuments() throws -> TokenizerDocuments {
    if let embeddedTokenizer { return embeddedTokenizer }
    switch format {
    case .huggingFace: return try HuggingFaceDirectory(path).tokenizerDocuments()
    case .gguf:
      let tokenizer = try tokenizer
      return TokenizerDocuments(json: tokenizer?.tokenizerJSON, configuration: tokenizer?.configurationJSON)
    case .hdf5: return TokenizerDocuments()
    }
  }
}

/// tokenizer.ggml.… of a GGUF file.
func tokenizerMetadata(_ model: ModelFile) throws -> [(key: String, value: GGUFValue)] {
  let configuration = model.configuration
  return try model.tokenizer?.ggufMetadata(
    rows: configuration.vocabularySize, kind: configuration.family.ggufTokenizer) ?? []
}
