import CDPO
import DPO
import DPOBase

// Section 5 of dpo.h: new models and tokenizers.

extension dpo_model_shape: SizedStruct {
  static var name: String { "dpo_model_shape" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_model_shape {
    let values = ModelShape()
    var shape = dpo_model_shape()
    shape.struct_size = MemoryLayout<dpo_model_shape>.stride
    shape.family = staticText("llama")
    shape.hidden_size = Int32(clamping: values.hiddenSize)
    shape.layers = Int32(clamping: values.layerCount)
    shape.context_length = Int32(clamping: values.contextLength)
    shape.tie_word_embeddings = values.tiedHead ? 1 : 0
    shape.initializer_range = values.initializerRange
    shape.seed = 42
    return shape
  }

  func modelShape() throws -> ModelShape {
    func optional(_ number: Int32) -> Int? { number == 0 ? nil : Int(number) }
    var shape = ModelShape()
    shape.family = try optionalText(family, "family") ?? shape.family
    shape.vocabularySize = optional(vocabulary_size)
    shape.hiddenSize = Int(hidden_size)
    shape.layerCount = Int(layers)
    shape.headCount = optional(heads)
    shape.keyValueHeadCount = optional(kv_heads)
    shape.intermediateSize = optional(intermediate_size)
    shape.contextLength = Int(context_length)
    shape.tiedHead = tie_word_embeddings != 0
    shape.initializerRange = initializer_range
    return shape
  }
}

@_cdecl("dpo_model_shape_init") @implementation
public func dpo_model_shape_init(_ shape: UnsafeMutablePointer<dpo_model_shape>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_model_shape.write(.defaults, to: shape, size: struct_size) }
}

@_cdecl("dpo_model_create") @implementation
public func dpo_model_create(_ shape: UnsafePointer<dpo_model_shape>?, _ output: UnsafePointer<CChar>?) -> Int32 {
  withStatus {
    let shape = try dpo_model_shape.read(shape, defaults: .defaults)
    let output = try text(output, "output")
    let tokenizer = try optionalText(shape.tokenizer, "tokenizer").map(Tokenizer.open)
    try ModelFile.make(shape.modelShape(), tokenizer: tokenizer, seed: shape.seed)
      .save(to: output, overwrite: shape.overwrite != 0)
  }
}

extension dpo_tokenizer_options: SizedStruct {
  static var name: String { "dpo_tokenizer_options" }
  static var firstSize: Int { MemoryLayout<Self>.stride }

  static var defaults: dpo_tokenizer_options {
    let values = TokenizerTrainer.Options()
    var options = dpo_tokenizer_options()
    options.struct_size = MemoryLayout<dpo_tokenizer_options>.stride
    options.vocabulary_size = Int32(clamping: values.vocabularySize)
    options.minimum_frequency = Int32(clamping: values.minimumFrequency)
    options.pre_tokenizer = staticText("gpt2")
    return options
  }

  func trainerOptions() throws -> TokenizerTrainer.Options {
    var options = TokenizerTrainer.Options()
    let template = try optionalText(chat_template, "chat_template")
    if template == "chatml" { options.useChatML() } else { options.chatTemplate = template }
    options.vocabularySize = Int(vocabulary_size)
    options.minimumFrequency = Int(minimum_frequency)
    if let name = try optionalText(pre_tokenizer, "pre_tokenizer") {
      guard let split = TokenizerTrainer.WordSplit(rawValue: name) else {
        let known = TokenizerTrainer.WordSplit.allCases.map(\.rawValue).joined(separator: ", ")
        throw DPOError.argument("pre_tokenizer is \(DPOError.printable(name)), expected one of \(known)")
      }
      options.wordSplit = split
    }
    options.specialTokens += try texts(special_tokens, special_token_count, "special_tokens")
    if let token = try optionalText(bos_token, "bos_token") { options.bosToken = token }
    if let token = try optionalText(eos_token, "eos_token") { options.eosToken = token }
    if let token = try optionalText(pad_token, "pad_token") { options.padToken = token }
    return options
  }
}

@_cdecl("dpo_tokenizer_options_init") @implementation
public func dpo_tokenizer_options_init(
  _ options: UnsafeMutablePointer<dpo_tokenizer_options>?, _ struct_size: Int
) -> Int32 {
  withStatus { try dpo_tokenizer_options.write(.defaults, to: options, size: struct_size) }
}

@_cdecl("dpo_tokenizer_train") @implementation
public func dpo_tokenizer_train(
  _ paths: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ options: UnsafePointer<dpo_tokenizer_options>?,
  _ output_dir: UnsafePointer<CChar>?
) -> Int32 {
  withStatus {
    let options = try dpo_tokenizer_options.read(options, defaults: .defaults)
    let output = try text(output_dir, "output_dir")
    var trainer = try TokenizerTrainer(options.trainerOptions())
    try TextCorpus(texts(paths, count, "paths")).forEach { text, _ in try trainer.add(text) }
    try trainer.train().save(to: output, overwrite: options.overwrite != 0)
  }
}
