import DPOBase
import DPOKernels
import DPOPlatform

/// Trainable low-rank matrices for some linear layers of a model.
public final class LoRAAdapter: Sendable {
  /// Ranks, scale and targets.
  public let configuration: LoRAConfiguration
  /// The modules that have matrices, in the model's order.
  package let places: [LoRAConfiguration.Place]
  /// A then B of each place, under PEFT's names: [rank, in] and [out, rank]. The scalar head of a model that has one is
  /// trained whole and stands last ("modules_to_save").
  public let parameters: ParameterStore
  /// The adapter's own copy of the model's scalar head.
  let scalarHead: WeightVector?
  private let indices: [Place: Int]
  private let model: DecoderConfiguration

  /// Of a linear layer in a model.
  private struct Place: Hashable {
    let layer: Int?
    let part: ModelPart
    let expert: Int?
  }

  private init(_ configuration: LoRAConfiguration, model: DecoderConfiguration) throws {
    let places = try configuration.resolve(model)
    self.configuration = configuration
    self.places = places
    self.model = model
    let head = LoRAAdapter.scalarHead(model)
    let matrices = places.flatMap { place in
      let module = place.module
      return [
        (LoRAAdapter.name(module, "A"), [place.rank, module.inputSize], true),
        (LoRAAdapter.name(module, "B"), [module.outputSize, place.rank], true),
      ]
    }
    let store = try ParameterStore(matrices + (head.map { [($0.name, $0.shape, true)] } ?? []))
    parameters = store
    scalarHead = head.flatMap { store[$0.name] }.map {
      WeightVector(
        values: UnsafePointer(store.values.pointer + $0.offset), gradient: store.gradients.pointer + $0.offset)
    }
    var indices: [Place: Int] = [:]
    for (index, place) in places.enumerated() {
      let module = place.module
      indices[Place(layer: module.layer, part: module.part, expert: module.expert)] = index
    }
    self.indices = indices
  }

  /// A fresh adapter, which changes nothing: B is zero, and the scalar head is the model's own.
  ///
  /// - Parameter tensors: the model's; what it lacks of a scalar head is zero.
  package convenience init(
    _ configuration: LoRAConfiguration, model: DecoderConfiguration, seed: UInt64,
    tensors: [String: StoredTensor] = [:]
  ) throws {
    try self.init(configuration, model: model)
    if let head = LoRAAdapter.scalarHead(model), let entry = parameters[head.name], let tensor = tensors[head.source] {
      tensor.dequantize(rows: 0..<tensor.rows, into: parameters.values.pointer + entry.offset)
    }
    for (index, place) in places.enumerated() {
      let entry = parameters.entries[2 * index]
      let a = parameters.values.pointer + entry.offset
      var random = CounterRandom(stream: [seed, 0x4C6F_5241, UInt64(index)])
      switch configuration.initialization {
      case .kaiming:
        let bound = 1 / Double(place.module.inputSize).squareRoot()
        for i in 0..<entry.count { a[i] = Float((2 * random.uniform() - 1) * bound) }
      case .gaussian:
        for i in 0..<entry.count { a[i] = Float(random.normal() / Double(place.rank)) }
      }
    }
  }

  /// An adapter read from a file. `tensors` go by PEFT's names; each must have the shape that `configuration` says. A value
  /// head that is not among them starts at zero.
  package convenience init(
    _ configuration: LoRAConfiguration, model: DecoderConfiguration, tensors: [String: StoredTensor]
  ) throws {
    try self.init(configuration, model: model)
    for entry in parameters.entries {
      guard let tensor = tensors[entry.name] else {
        if model.heads == .languageAndValue, entry.name == parameters.entries.last?.name { continue }
        throw DPOError.mismatch("the adapter lacks the tensor \(entry.name), which its configuration promises")
      }
      guard tensor.shape == entry.shape else {
        throw DPOError.mismatch("adapter tensor \(entry.name): shape \(tensor.shape), expected \(entry.shape)")
      }
      tensor.dequantize(rows: 0..<tensor.rows, into: parameters.values.pointer + entry.offset)
    }
    if let extra = tensors.keys.sorted().first(where: { parameters[$0] == nil }) {
      throw DPOError.mismatch(
        "the adapter has the tensor \(DPOError.printable(extra)), which the model has no place for")
    }
  }

  /// The same numbers in memory of their own (a frozen reference).
  package func copy() throws -> LoRAAdapter {
    let copy = try LoRAAdapter(configuration, model: model)
    memcpy(copy.parameters.values.pointer, parameters.values.pointer, parameters.count * 4)
    return copy
  }

  /// PEFT's name of a matrix; `which` is "A" or "B".
  package static func name(_ module: LinearModule, _ which: String) -> String { name(module.path, which) }

  /// The same by the module's path.
  package static func name(_ path: String, _ which: String) -> String {
    "base_model.model.\(path).lora_\(which).weight"
  }

  /// PEFT's name of a model's scalar head, the model's own name of it, and its shape.
  package static func scalarHead(_ model: DecoderConfiguration) -> (name: String, source: String, shape: [Int])? {
    model.family.parameters(model).first(where: \.part.isScalarHead).map {
      ("base_model.model.\($0.name)", $0.name, $0.shape)
    }
  }

  /// The matrices beside one linear layer.
  struct Matrices {
    let index, rank, inputSize, outputSize: Int
    let scale: Float
    let a, b, gradientA, gradientB: UnsafeMutablePointer<Float>
  }

  func matrices(layer: Int?, _ linear: Linear) -> Matrices? {
    guard let index = indices[Place(layer: layer, part: linear.part, expert: linear.expert)] else { return nil }
    let place = places[index]
    let (a, b) = (parameters.entries[2 * index].offset, parameters.entries[2 * index + 1].offset)
    return Matrices(
      index: index, rank: place.rank, inputSize: place.module.inputSize, outputSize: place.module.outputSize,
      scale: place.scale, a: parameters.values.pointer + a, b: parameters.values.pointer + b,
      gradientA: parameters.gradients.pointer + a, gradientB: parameters.gradients.pointer + b)
  }
}

extension CounterRandom {
  /// Standard normal (Box and Muller 1958), one of the pair.
  package mutating func normal() -> Double {
    let radius = (-2 * log(1 - uniform())).squareRoot()
    return radius * cos(2 * Double.pi * uniform())
  }
}
