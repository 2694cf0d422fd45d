import DPOBase
import DPOText

/// tokenizer.json and tokenizer_config.json of a model.
func tokenizerDocuments(_ model: ModelFile) throws -> (json: JSON?, configuration: JSON?) {
  if let embedded = model.embeddedTokenizer { return embedded }
  switch model.format {
  case .huggingFace:
    let directory = HuggingFaceDirectory(model.path)
    return (try directory.tokenizerJSON(), try directory.tokenizerConfiguration())
  case .hdf5, .gguf: return (nil, nil)
  }
}

/// tokenizer.ggml.… of a GGUF file.
func tokenizerMetadata(_ model: ModelFile) throws -> [(key: String, value: MetadataValue)] { [] }
