import CDPO
import DPO
import DPOBase

// Section 5 of dpo.h: new models and tokenizers.

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
