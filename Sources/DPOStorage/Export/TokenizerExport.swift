import DPOBase
import DPOText

extension ModelFile {
  /// tokenizer.json and tokenizer_config.json, made from the metadata of a GGUF file.
  package func tokenizerDocuments() throws -> (json: JSON?, configuration: JSON?) {
    if let embeddedTokenizer { return embeddedTokenizer }
    switch format {
    case .huggingFace:
      let directory = HuggingFaceDirectory(path)
      return (try directory.tokenizerJSON(), try directory.tokenizerConfiguration())
    case .gguf:
      let tokenizer = try tokenizer
      return (tokenizer?.tokenizerJSON, tokenizer?.configurationJSON)
    case .hdf5: return (nil, nil)
    }
  }
}

/// tokenizer.ggml.… of a GGUF file.
func tokenizerMetadata(_ model: ModelFile) throws -> [(key: String, value: GGUFValue)] {
  try model.tokenizer?.ggufMetadata(vocabularySize: model.configuration.vocabularySize) ?? []
}
