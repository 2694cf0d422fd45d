import DPOBase
import DPOKernels

/// A matrix of weights, [rows, columns]: as f32 in memory, or as it is stored.
struct WeightMatrix {
  let rows, columns: Int
  /// nil: they are decoded from `tensor` when they are needed.
  let values: UnsafePointer<Float>?
  /// What the file holds.
  let tensor: StoredTensor
  /// nil: frozen.
  let gradient: UnsafeMutablePointer<Float>?
}

/// A vector of weights, always as f32.
struct WeightVector: @unchecked Sendable {
  let values: UnsafePointer<Float>
  let gradient: UnsafeMutablePointer<Float>?
}

struct Linear {
  let part: ModelPart
  var expert: Int? = nil
  let weight: WeightMatrix
  let bias: WeightVector?
}

struct NormWeights {
  let kind: NormKind
  let weight: WeightVector
  /// Of a layer norm; zeros where the model has none.
  let bias: WeightVector?
}

/// Weights of a mixture of experts.
struct DecoderExperts {
  let router: Linear
  /// Of each expert gate and up, and down.
  let inputs: [[Linear]]
  let outputs: [Linear]
}

/// Weights of a branch of a block. Layers that share their input stand together.
struct DecoderBranch {
  let mixing: BlockDescription.Mixing
  let normBefore: NormWeights?
  /// nil: it is no mixture of experts, which has all linear layers here.
  let experts: DecoderExperts?
  /// q, k, v; or one layer of all three. Gate and up; or up alone.
  let inputs: [Linear]
  /// Makes one number of each row, whose σ the output is multiplied by.
  let rowGate: Linear?
  let queryNorm, keyNorm: WeightVector?
  /// Ones.
  let valueNorm: WeightVector?
  /// Others, by their parts.
  let vectors: [ModelPart: WeightVector]
  let output: Linear?
  let normAfter: NormWeights?
  let isParallel: Bool
  /// What the output is multiplied by where no norm is behind it.
  let factor: Float
  /// What x is multiplied by behind the branch, one number; nil: 1.
  let scale: WeightVector?
}

struct DecoderBlock {
  let branches: [DecoderBranch]
}

/// The weights of a model, for scoring, training and generation.
package final class Decoder: @unchecked Sendable {
  /// What kind of model the weights belong to.
  public let configuration: DecoderConfiguration
  /// All weights as f32 under Hugging Face's names, when they are trainable; nil for a frozen model.
  package let parameters: ParameterStore?
  let embedding: WeightMatrix
  let positions: WeightMatrix?
  let perLayerInputs: PerLayerInputs?
  let blocks: [DecoderBlock]
  let finalNorm: NormWeights
  /// The embedding's, when tied; nil in a reward model.
  let head: WeightMatrix?
  let headBias: WeightVector?
  /// w of v = w·h, where the model says one number.
  let scalarHead: WeightVector?
  /// Bytes of weights as they are stored, for a frozen model.
  package let storedBytes: Int
  private let vectors: [FloatBuffer]

  /// `tensors` go by Hugging Face's names and have our layout ([out, in]).
  ///
  /// A trainable decoder holds all weights as f32 in `parameters`. A frozen one keeps the tensors as they are stored,
  /// mapped and quantised; blocks of rows are dequantised on their way into a product.
  package init(configuration: DecoderConfiguration, tensors: [String: StoredTensor], trainable: Bool) throws {
    let descriptions = configuration.family.parameters(configuration)
    for description in descriptions {
      guard let tensor = tensors[description.name] else {
        throw DPOError.mismatch("the model lacks the tensor \(description.name)")
      }
      guard tensor.shape == description.shape else {
        throw DPOError.mismatch("tensor \(description.name): shape \(tensor.shape), expected \(description.shape)")
      }
    }
    var mapped: [MappedFile] = []
    for case let file as MappedFile in descriptions.map({ tensors[$0.name]?.owner })
    where !mapped.contains(where: { $0 === file }) {
      try file.checkUnchanged()
      mapped.append(file)
    }
    let store = trainable ? try ParameterStore(descriptions.map { ($0.name, $0.shape, $0.decays) }) : nil
    var vectors: [FloatBuffer] = []
    var matrixOf: [String: WeightMatrix] = [:]
    var vectorOf: [String: WeightVector] = [:]
    var storedBytes = 0
    for description in descriptions {
      guard let tensor = tensors[description.name] else { continue }
      storedBytes += tensor.bytes.count
      var values: UnsafePointer<Float>?
      var gradient: UnsafeMutablePointer<Float>?
      if let store, let entry = store[description.name] {
        let target = store.values.pointer + entry.offset
        tensor.dequantize(rows: 0..<tensor.rows, into: target)
        (tensor.owner as? MappedFile)?.forget(tensor.bytes)
        values = UnsafePointer(target)
        gradient = store.gradients.pointer + entry.offset
      } else if description.isVector {
        let buffer = try tensor.floats()
        vectors.append(buffer)
        values = UnsafePointer(buffer.pointer)
      } else {
        values = tensor.directFloats
      }
      if description.isVector {
        guard let values else { continue }
        vectorOf[description.name] = WeightVector(values: values, gradient: gradient)
      } else {
        matrixOf[description.name] = WeightMatrix(
          rows: tensor.rows, columns: tensor.columns, values: values, tensor: tensor, gradient: gradient)
      }
    }
    self.configuration = configuration
    self.storedBytes = storedBytes
    parameters = store
    owners = store == nil ? descriptions.compactMap { tensors[$0.name]?.owner } : []
    files = store == nil ? mapped : []

    struct PartPlace: Hashable {
      let layer: Int
      let part: ModelPart
      var expert: Int?
    }
    var modules: [PartPlace: String] = [:]
    for description in descriptions where !description.isBias {
      modules[PartPlace(layer: description.layer ?? -1, part: description.part, expert: description.expert)] =
        description.module
    }
    func module(_ layer: Int, _ part: ModelPart, _ expert: Int? = nil) -> String {
      modules[PartPlace(layer: layer, part: part, expert: expert)] ?? ""
    }
    func matrix(_ layer: Int, _ part: ModelPart, _ expert: Int? = nil) throws -> WeightMatrix {
      guard let matrix = matrixOf[module(layer, part, expert) + ".weight"] else {
        throw DPOError(.internal, "no matrix for \(part.rawValue) of layer \(layer)")
      }
      return matrix
    }
    func vector(_ layer: Int, _ part: ModelPart, _ kind: String) -> WeightVector? {
      vectorOf[module(layer, part) + kind]
    }
    func linear(_ layer: Int, _ part: ModelPart, _ expert: Int? = nil) throws -> Linear {
      Linear(
        part: part, expert: expert, weight: try matrix(layer, part, expert),
        bias: vectorOf[module(layer, part, expert) + ".bias"])
    }
    func experts(_ layer: Int, _ branch: BlockDescription.Branch) throws -> DecoderExperts? {
      guard let router = branch.router, case .experts(let experts) = branch.mixing else { return nil }
      return DecoderExperts(
        router: try linear(layer, router),
        inputs: try (0..<experts.count).map { expert in try branch.inputs.map { try linear(layer, $0, expert) } },
        outputs: try (0..<experts.count).map { try linear(layer, branch.output, $0) })
    }
    var zeros: WeightVector?
    if configuration.norm == .layer, !configuration.normBias {
      let buffer = try FloatBuffer(count: configuration.hiddenSize)
      vectors.append(buffer)
      zeros = WeightVector(values: UnsafePointer(buffer.pointer), gradient: nil)
    }
    func norm(_ layer: Int, _ part: ModelPart) throws -> NormWeights {
      guard let weight = vector(layer, part, ".weight") else {
        throw DPOError(.internal, "no vector for \(part.rawValue) of layer \(layer)")
      }
      return NormWeights(kind: configuration.norm, weight: weight, bias: zeros ?? vector(layer, part, ".bias"))
    }
    var ones: WeightVector?
    if configuration.valueNorm {
      let buffer = try FloatBuffer(count: configuration.widest(\.headSize))
      buffer.buffer.update(repeating: 1)
      vectors.append(buffer)
      ones = WeightVector(values: UnsafePointer(buffer.pointer), gradient: nil)
    }
    embedding = try matrix(-1, .tokenEmbedding)
    perLayerInputs = try vector(-1, .perLayerNorm, ".weight").map { norm in
      PerLayerInputs(
        table: try matrix(-1, .perLayerEmbedding), projection: try linear(-1, .perLayerProjection), norm: norm,
        layerCount: configuration.layerCount, size: configuration.perLayerInputSize,
        epsilon: configuration.normEpsilon * Float(configuration.hiddenSize))
    }
    positions = configuration.rope == nil ? try matrix(-1, .positionEmbedding) : nil
    switch configuration.heads {
    case .score:
      head = nil
      headBias = nil
      scalarHead = vector(-1, .scoreHead, ".weight")
    case .language, .languageAndValue:
      head = configuration.tiedHead ? embedding : try matrix(-1, .head)
      headBias = vector(-1, .head, ".bias")
      scalarHead = vector(-1, .valueHead, ".weight")
    }
    finalNorm = try norm(-1, .finalNorm)
    self.vectors = vectors
    blocks = try (0..<configuration.layerCount).map { layer in
      DecoderBlock(
        branches: try configuration.block(layer).branches.map { branch in
          let experts = try experts(layer, branch)
          return DecoderBranch(
            mixing: branch.mixing, normBefore: try branch.normBefore.map { try norm(layer, $0) }, experts: experts,
            inputs: experts == nil ? try branch.inputs.map { try linear(layer, $0) } : [],
            rowGate: try branch.rowGate.map { try linear(layer, $0) },
            queryNorm: branch.headNorms.isEmpty ? nil : vector(layer, .queryNorm, ".weight"),
            keyNorm: branch.headNorms.isEmpty ? nil : vector(layer, .keyNorm, ".weight"), valueNorm: ones,
            vectors: Dictionary(
              branch.vectors.compactMap { part in vector(layer, part, part.suffix).map { (part, $0) } },
              uniquingKeysWith: { first, _ in first }),
            output: experts == nil ? try linear(layer, branch.output) : nil,
            normAfter: try branch.normAfter.map { try norm(layer, $0) },
            isParallel: branch.isParallel, factor: Float(configuration.residualScale),
            scale: branch.scale.flatMap { vector(layer, $0, $0.suffix) })
        })
    }
  }

  /// Keeps mapped files alive.
  private let owners: [any AnyObject & Sendable]
  /// Those among them.
  private let files: [MappedFile]

  /// Asked before each pass over the model and each step of generation: true ends the call with `.cancelled`.
  public var stopRequested: (() -> Bool)?

  func checkStop() throws {
    if stopRequested?() == true { throw DPOError(.cancelled, "stopped as asked") }
  }

  /// Throws `.io` if a file that the weights are read from was changed since it was opened.
  func checkFiles() throws {
    for file in files { try file.checkUnchanged() }
  }
}

extension ParameterDescription {
  /// One row of numbers, which a decoder holds as f32.
  fileprivate var isVector: Bool { shape.count == 1 || part.isScalarHead || part.isConvolution }
}
