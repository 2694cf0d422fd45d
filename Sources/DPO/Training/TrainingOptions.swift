import DPOBase

/// Every option of a training run. Names, defaults and meaning are those of TRL 1.16's configs (`DPOConfig`, `SFTConfig`)
/// and PEFT's `LoraConfig`; `TrainingOptions.fields` is their one table, from which the command line, the C ABI, Python
/// and the documentation take names, ranges and help.
public struct TrainingOptions: Sendable, Equatable {
  // Method and loss
  public var method = "dpo"
  public var lossType = ["sigmoid"]
  public var lossWeights: [Double] = []
  public var beta = 0.1
  public var labelSmoothing = 0.0
  public var fDivergenceType = "reverse_kl"
  public var fAlphaDivergenceCoef = 0.5
  public var discopopTau = 0.05
  public var ldAlpha: Double?
  public var useWeighting = false
  public var referenceFree = false
  public var completionOnlyLoss = true
  public var assistantOnlyLoss = false
  public var packing = false
  public var desirableWeight = 1.0
  public var undesirableWeight = 1.0
  public var cpoAlpha = 1.0
  public var simpoGamma = 0.5
  public var alpha = 0.0
  public var unlikelihoodAlpha = 1.0
  public var centerRewardsCoefficient: Double?

  // Rollouts
  public var klCoef: Double?
  public var klEstimator = "k1"
  public var klTarget: Double?
  public var klHorizon = 10000.0
  public var maxKl: Double? = 200
  public var cliprange = 0.2
  public var cliprangeValue = 0.2
  public var vfCoef = 0.1
  public var gamma = 1.0
  public var lam = 0.95
  public var whitenRewards = false
  public var numPpoEpochs: Int?
  public var numMiniBatches = 1
  public var numGenerations: Int?
  public var maxCompletionLength = 53
  public var temperature: Double?
  public var missingEosPenalty: Double?

  // Optimisation
  public var learningRate: Double?
  public var lrSchedulerType = "linear"
  public var warmupSteps = 0.0
  public var weightDecay = 0.0
  public var adamBeta1 = 0.9
  public var adamBeta2 = 0.999
  public var adamEpsilon = 1e-8
  public var maxGradNorm = 1.0

  // Batches
  public var perDeviceTrainBatchSize = 8
  public var perDeviceEvalBatchSize = 8
  public var gradientAccumulationSteps = 1
  public var numTrainEpochs = 3.0
  public var maxSteps = -1
  public var shuffle = true
  public var seed = 42
  public var dataSeed: Int?

  // Rows
  public var maxLength: Int? = 1024
  public var truncationMode = "keep_start"

  // LoRA
  public var loraR = 0
  public var loraAlpha: Double?
  public var loraDropout = 0.0
  public var loraTargetModules: [String] = []
  public var useRslora = false
  public var initLoraWeights = "kaiming"
  public var disableDropout = true

  // Reference model
  public var precomputeRefLogProbs = false
  public var syncRefModel = false
  public var refModelMixupAlpha = 0.6
  public var refModelSyncSteps = 512

  // Evaluation and files
  public var evalSteps = 0
  public var saveSteps = 500
  public var saveTotalLimit: Int?
  public var autosaveSteps = -1
  public var overwriteOutputDir = false

  // Machine
  public var gradientCheckpointing = false
  public var precision = "fp32"
  /// A name of `Engine.names`, or "auto": the best for this processor.
  public var engine = "auto"
  public var threads = 0
  public var memoryLimitMb = 0

  public init() {}
}

/// One row of the option table.
public struct OptionField: Sendable {
  public enum Kind: Sendable, Equatable { case bool, int, real, string, strings, reals }

  public enum OnResume: Sendable {
    /// Another value makes it another run, and is refused.
    case fixed
    /// Another value is allowed and told: the run no longer ends as the first one would have.
    case noted
    /// Changes no number that the run computes.
    case free
  }

  public let name: String
  public let kind: Kind
  /// What the option does, with its unit and range.
  public let help: String
  /// Values a `string` or `strings` may take; empty when any will do.
  public let choices: [String]
  /// What may become of the option when a run is resumed.
  public let onResume: OnResume
  fileprivate let read: @Sendable (TrainingOptions) -> JSON
  fileprivate let write: @Sendable (inout TrainingOptions, JSON) throws -> Void

  /// The value that an option has where nobody sets it; null: decided when the run starts, as `help` tells.
  public var defaultValue: JSON { read(TrainingOptions()) }

  public func value(in options: TrainingOptions) -> JSON { read(options) }
}

extension TrainingOptions {
  public static func field(_ name: String) -> OptionField? { fields.first { $0.name == name } }

  /// Sets an option by its name in the table. Throws when there is no such option, or the value is of another kind or
  /// out of range.
  public mutating func set(_ name: String, to value: JSON) throws {
    guard let field = TrainingOptions.field(name) else { throw DPOError.argument("there is no option \(name)") }
    try field.write(&self, value)
  }

  /// Refuses options that the run would not read: who sets one expects another run than the one that would follow.
  func checkUse() throws {
    let standard = TrainingOptions()
    let smoothed = LossType.allCases.filter(\.takesLabelSmoothing).map(\.rawValue)
    for (name, isSet, isRead, need) in [
      (
        "label_smoothing", labelSmoothing != standard.labelSmoothing,
        method != "dpo" || lossType.contains(where: smoothed.contains),
        "one of the losses \(smoothed.joined(separator: ", "))"
      ),
      (
        "discopop_tau", discopopTau != standard.discopopTau, lossType.contains(LossType.discopop.rawValue),
        "loss_type discopop"
      ),
      (
        "f_alpha_divergence_coef", fAlphaDivergenceCoef != standard.fAlphaDivergenceCoef,
        fDivergenceType == FDivergence.alpha.rawValue, "f_divergence_type alpha_divergence"
      ),
      (
        "ref_model_mixup_alpha", refModelMixupAlpha != standard.refModelMixupAlpha, syncRefModel, "sync_ref_model"
      ),
      ("ref_model_sync_steps", refModelSyncSteps != standard.refModelSyncSteps, syncRefModel, "sync_ref_model"),
    ] where isSet && !isRead {
      throw DPOError.argument("\(name) needs \(need)")
    }
  }

  /// All options by name.
  public var json: JSON {
    var object = JSONObject()
    for field in TrainingOptions.fields { object[field.name] = field.value(in: self) }
    return .object(object)
  }

  public init(json: JSON, file: String) throws {
    self.init()
    for (name, value) in json.object?.members ?? [] {
      do { try set(name, to: value) } catch let error as DPOError { throw DPOError.format(file, error.message) }
    }
  }
}

// MARK: - Building rows of the table

extension OptionField {
  static func bool(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, Bool> & Sendable, _ help: String,
    _ onResume: OnResume = .fixed
  ) -> OptionField {
    OptionField(
      name: name, kind: .bool, help: help, choices: [], onResume: onResume,
      read: { .bool($0[keyPath: path]) },
      write: { options, value in
        guard let flag = value.bool else { throw DPOError.argument("\(name) is \(value.kind), expected true or false") }
        options[keyPath: path] = flag
      })
  }

  static func int(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, Int> & Sendable, _ range: ClosedRange<Int>, _ help: String,
    _ onResume: OnResume = .fixed
  ) -> OptionField {
    OptionField(
      name: name, kind: .int, help: help, choices: [], onResume: onResume,
      read: { .int($0[keyPath: path]) },
      write: { $0[keyPath: path] = try checked(name, $1, range) })
  }

  static func optionalInt(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, Int?> & Sendable, _ range: ClosedRange<Int>,
    _ help: String,
    _ onResume: OnResume = .fixed
  ) -> OptionField {
    OptionField(
      name: name, kind: .int, help: help, choices: [], onResume: onResume,
      read: { $0[keyPath: path].map(JSON.int) ?? .null },
      write: { $0[keyPath: path] = $1.isNull ? nil : try checked(name, $1, range) })
  }

  static func real(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, Double> & Sendable, _ range: ClosedRange<Double>,
    _ help: String, _ onResume: OnResume = .fixed, open: Bool = false
  ) -> OptionField {
    OptionField(
      name: name, kind: .real, help: help, choices: [], onResume: onResume,
      read: { .real($0[keyPath: path]) },
      write: { $0[keyPath: path] = try checked(name, $1, range, open: open) })
  }

  static func optionalReal(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, Double?> & Sendable, _ range: ClosedRange<Double>,
    _ help: String, _ onResume: OnResume = .fixed
  ) -> OptionField {
    OptionField(
      name: name, kind: .real, help: help, choices: [], onResume: onResume,
      read: { $0[keyPath: path].map(JSON.real) ?? .null },
      write: { $0[keyPath: path] = $1.isNull ? nil : try checked(name, $1, range, open: false) })
  }

  static func choice(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, String> & Sendable, _ choices: [String], _ help: String,
    _ onResume: OnResume = .fixed
  ) -> OptionField {
    OptionField(
      name: name, kind: .string, help: help, choices: choices, onResume: onResume,
      read: { .string($0[keyPath: path]) },
      write: { options, value in
        guard let text = value.string, choices.contains(text) else {
          throw DPOError.argument(
            "\(name) is \(value.string ?? value.kind), expected one of \(choices.joined(separator: ", "))")
        }
        options[keyPath: path] = text
      })
  }

  static func strings(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, [String]> & Sendable, _ choices: [String], _ help: String
  ) -> OptionField {
    OptionField(
      name: name, kind: .strings, help: help, choices: choices, onResume: .fixed,
      read: { .array($0[keyPath: path].map(JSON.string)) },
      write: { options, value in
        let items = value.string.map { [$0] } ?? value.array?.compactMap(\.string) ?? []
        guard value.string != nil || items.count == value.array?.count else {
          throw DPOError.argument("\(name) is \(value.kind), expected a list of strings")
        }
        for item in items where !choices.isEmpty && !choices.contains(item) {
          throw DPOError.argument("\(name) is \(item), expected one of \(choices.joined(separator: ", "))")
        }
        options[keyPath: path] = items
      })
  }

  static func reals(
    _ name: String, _ path: WritableKeyPath<TrainingOptions, [Double]> & Sendable, _ help: String
  ) -> OptionField {
    OptionField(
      name: name, kind: .reals, help: help, choices: [], onResume: .fixed,
      read: { .array($0[keyPath: path].map(JSON.real)) },
      write: { options, value in
        let items = value.array?.compactMap(\.double) ?? []
        guard let array = value.array, items.count == array.count, items.allSatisfy(\.isFinite) else {
          throw DPOError.argument("\(name) is \(value.kind), expected a list of finite numbers")
        }
        options[keyPath: path] = items
      })
  }

  private static func checked(_ name: String, _ value: JSON, _ range: ClosedRange<Int>) throws -> Int {
    guard let number = value.int else { throw DPOError.argument("\(name) is \(value.kind), expected a whole number") }
    guard range.contains(number) else {
      let upper = range.upperBound == .max ? "" : " to \(range.upperBound)"
      throw DPOError.argument("\(name) is \(number), expected \(range.lowerBound)\(upper.isEmpty ? " or more" : upper)")
    }
    return number
  }

  private static func checked(_ name: String, _ value: JSON, _ range: ClosedRange<Double>, open: Bool) throws -> Double
  {
    guard let number = value.double else { throw DPOError.argument("\(name) is \(value.kind), expected a number") }
    guard number.isFinite, range.contains(number), !(open && number == range.lowerBound) else {
      let above = open ? "more than \(range.lowerBound)" : "at least \(range.lowerBound)"
      let bounds = range.upperBound == .greatestFiniteMagnitude ? above : "\(above) and at most \(range.upperBound)"
      throw DPOError.argument("\(name) is \(number), expected \(bounds)")
    }
    return number
  }
}
