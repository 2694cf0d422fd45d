import DPOBase
import DPOModel

/// The optimisers; raw values are transformers' names.
public enum OptimizerName: RawRepresentable, CaseIterable, Sendable {
  /// AdamW.
  case adamwTorch
  /// AdamW with states of 8 bits, as bitsandbytes has it.
  case adamw8bit
  /// Adafactor.
  case adafactor
  /// Lion.
  case lion32bit
  /// Lion with a state of 8 bits, as bitsandbytes has it.
  case lion8bit
  /// Stochastic gradient descent, with momentum if it is asked for.
  case sgd

  /// The optimiser of this name, or of another name for it.
  public init?(rawValue: String) {
    let also = ["adamw_torch_fused": OptimizerName.adamwTorch, "adamw_bnb_8bit": .adamw8bit]
    guard let name = also[rawValue] ?? OptimizerName.allCases.first(where: { $0.rawValue == rawValue }) else {
      return nil
    }
    self = name
  }

  /// Its first name.
  public var rawValue: String {
    switch self {
    case .adamwTorch: "adamw_torch"
    case .adamw8bit: "adamw_8bit"
    case .adafactor: "adafactor"
    case .lion32bit: "lion_32bit"
    case .lion8bit: "lion_8bit"
    case .sgd: "sgd"
    }
  }
}

/// The optimiser that options choose, before memory is taken for it.
package enum OptimizerChoice: Sendable {
  case elementwise(any ElementRule, StateFormat)
  case adafactor(AdafactorOptions)

  package init(_ options: TrainingOptions.Optimization) throws {
    let isSmall = options.optimStateDtype == "bf16"
    let format: StateFormat = isSmall ? .bfloat16 : .float32
    if isSmall && ![.adamwTorch, .lion32bit, .sgd].contains(options.optim) {
      throw DPOError.argument(
        "optim_state_dtype bf16 is of adamw_torch, lion_32bit and sgd, not \(options.optim.rawValue)")
    }
    if !options.optimArgs.isEmpty && options.optim != .sgd {
      throw DPOError.argument("optim_args are settings of sgd; \(options.optim.rawValue) has none")
    }
    switch options.optim {
    case .adamwTorch, .adamw8bit:
      var adam = AdamW()
      (adam.beta1, adam.beta2) = (options.adamBeta1, options.adamBeta2)
      (adam.epsilon, adam.weightDecay) = (options.adamEpsilon, options.weightDecay)
      self = .elementwise(adam, options.optim == .adamw8bit ? .dynamic8 : format)
    case .lion32bit, .lion8bit:
      var lion = Lion()
      (lion.beta1, lion.beta2, lion.weightDecay) = (options.adamBeta1, options.adamBeta2, options.weightDecay)
      self = .elementwise(lion, options.optim == .lion8bit ? .dynamic8 : format)
    case .sgd:
      self = .elementwise(try SGD(settings: options.optimArgs, weightDecay: options.weightDecay), format)
    case .adafactor:
      var adafactor = AdafactorOptions()
      adafactor.weightDecay = options.weightDecay
      self = .adafactor(adafactor)
    }
  }

  /// Bytes that it takes for parameters of these shapes.
  ///
  /// - Parameter owned: the parts of the store that are updated here; nil: all of it.
  package func bytes(shapes: [[Int]], owned: [Range<Int>]? = nil) -> Int {
    switch self {
    case .elementwise(let rule, let format):
      let counts = shapes.map { $0.reduce(1, *) }
      return ElementwiseUpdate.bytes(rule, counts: counts, owned: owned ?? [0..<counts.reduce(0, +)], format: format)
    case .adafactor: return Adafactor.bytes(shapes: shapes)
    }
  }

  /// Numbers are updated by their own gradients and states, and may be divided over processes as `StoreBlocks` are.
  package var isElementwise: Bool { if case .elementwise = self { true } else { false } }

  /// - Parameters:
  ///   - owned: the parts of the store that are updated here; nil: all of it.
  ///   - offload: directory of files that hold the states; nil: memory does.
  package func make(
    _ parameters: ParameterStore, owned: [Range<Int>]? = nil, offload: String? = nil
  ) throws -> any UpdateRule {
    switch self {
    case .elementwise(let rule, let format):
      return try ElementwiseUpdate(rule, parameters, format: format, owned: owned, offload: offload)
    case .adafactor(let options):
      guard owned == nil else { throw DPOError(.internal, "Adafactor is not divided") }
      return try Adafactor(options, parameters, offload: offload)
    }
  }
}

extension SGD {
  /// From torch's names: momentum, dampening, nesterov.
  package init(settings: [String], weightDecay: Double) throws {
    self.init()
    self.weightDecay = weightDecay
    // Transformers has them all in one text.
    for setting in try settings.flatMap({ try OptionField.items(of: $0, "optim_args") }) {
      let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
      let (name, value) = (parts.first ?? "", parts.last ?? "")
      func number(_ range: String, _ holds: (Double) -> Bool) throws -> Double {
        guard parts.count == 2, let number = Double(value), holds(number) else {
          throw DPOError.argument("optim_args: \(DPOError.printable(setting)), expected \(name)= and a number \(range)")
        }
        return number
      }
      switch name {
      case "momentum": momentum = try number("from 0 to below 1") { $0 >= 0 && $0 < 1 }
      case "dampening": dampening = try number("from 0 to 1") { $0 >= 0 && $0 <= 1 }
      case "nesterov" where parts.count == 2 && ["true", "false"].contains(value.lowercased()):
        nesterov = value.lowercased() == "true"
      default:
        throw DPOError.argument(
          "optim_args: \(DPOError.printable(setting)), expected momentum=0.9, dampening=0 or nesterov=true")
      }
    }
    if nesterov && (momentum == 0 || dampening != 0) {
      throw DPOError.argument("optim_args: nesterov needs a momentum, and no dampening")
    }
    if dampening != 0 && momentum == 0 { throw DPOError.argument("optim_args: dampening needs a momentum") }
  }
}
