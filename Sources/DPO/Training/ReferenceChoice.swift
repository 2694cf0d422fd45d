import DPOModel
import DPOStorage

/// What stands for π_ref in a run or an evaluation.
enum ReferenceChoice {
  /// Nothing is compared.
  case none
  /// The policy's own weights without its adapter.
  case adapterOff
  /// The policy's own weights under a frozen copy of the adapter that training goes on from.
  case frozenAdapter
  /// The policy's file in a decoder of its own, whose weights stay or follow the policy's (`sync_ref_model`).
  case sameFile(follows: Bool)
  case other(ModelFile)

  /// What of the policy changes while it is compared.
  enum Trained { case nothing, everyWeight, newAdapter, givenAdapter }

  /// - Parameter other: the model to compare with, where one was asked for.
  init(
    method: TrainingMethod, options: TrainingOptions, model: ModelFile, other: ModelFile?, trained: Trained
  ) {
    guard method.usesReference, !options.method.referenceFree else {
      self = .none
      return
    }
    switch (other, trained) {
    case (let other?, .everyWeight): self = .other(other)
    case (let other?, _): self = other.sharesWeights(with: model) ? .adapterOff : .other(other)
    case (nil, .everyWeight): self = .sameFile(follows: options.method.syncRefModel)
    case (nil, .givenAdapter): self = .frozenAdapter
    case (nil, .newAdapter), (nil, .nothing): self = .adapterOff
    }
  }

  /// Whether it computes with a decoder of its own.
  var isSeparate: Bool {
    switch self {
    case .sameFile, .other: true
    case .none, .adapterOff, .frozenAdapter: false
    }
  }

  /// The reference as it stands before the first step.
  ///
  /// - Parameters:
  ///   - policy: what computes the policy of `model`.
  ///   - adapter: the policy's.
  ///   - runner: what computes another decoder.
  func make(
    beside policy: ModelRunner, adapter: LoRAAdapter?, model: ModelFile, data: TokenizedDataset,
    runner: (Decoder) -> ModelRunner
  ) throws -> ReferenceModel? {
    switch self {
    case .none: return nil
    case .adapterOff: return ReferenceModel(runner: policy, adapter: nil, data: data)
    case .frozenAdapter: return ReferenceModel(runner: policy, adapter: try adapter?.copy(), data: data)
    case .sameFile(let follows):
      return ReferenceModel(runner: runner(try model.decoder(trainable: follows)), adapter: nil, data: data)
    case .other(let other):
      return ReferenceModel(runner: runner(try other.decoder(trainable: false)), adapter: nil, data: data)
    }
  }
}

extension ModelFile {
  /// The model's weights, ready to compute with.
  func decoder(trainable: Bool) throws -> Decoder {
    try Decoder(configuration: configuration, tensors: tensors, trainable: trainable)
  }
}
