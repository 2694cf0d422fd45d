import DPOBase

/// Low-rank adapters, with PEFT's names, defaults and matching rules: y = W x + b + s·B(A(dropout(x))),
/// s = alpha/rank, or alpha/√rank with `useRSLoRA`.
public struct LoRAConfiguration: Sendable, Equatable {
  /// Which modules get an adapter.
  public enum Targets: Sendable, Equatable {
    /// Modules whose path equals an entry or ends in "." + entry.
    case names([String])
    /// Modules whose whole path matches.
    case regex(String)
    /// Every linear layer but the head and, as their adapters would be as many, those of a mixture's experts.
    case allLinear
  }

  /// How the matrices of a fresh adapter start.
  public enum Initialization: String, Sendable, CaseIterable {
    /// A uniform in ±1/√in, B = 0
    case kaiming
    /// A normal with standard deviation 1/rank, B = 0
    case gaussian
  }

  /// A value for the modules whose path matches `(.*\.)?(pattern)`.
  public struct Override<Value: Sendable & Equatable>: Sendable, Equatable {
    /// A regular expression.
    public var pattern: String
    /// The rank, or α, of those modules.
    public var value: Value

    /// A value for the modules that match.
    public init(pattern: String, value: Value) {
      self.pattern = pattern
      self.value = value
    }
  }

  /// Rows of A and columns of B, 1 to 65536.
  public var rank = 8
  /// α of the scale s.
  public var alpha = 8.0
  /// Share of the numbers of A's input that are dropped, 0 to below 1; in training only.
  public var dropout = 0.0
  /// s = α/√rank instead of α/rank.
  public var useRSLoRA = false
  /// Modules that get an adapter; nil: the family's usual choice.
  public var targetModules: Targets?
  /// Other ranks of some modules; the first matching pattern wins.
  public var rankPattern: [Override<Int>] = []
  /// Other α of some modules; the first matching pattern wins.
  public var alphaPattern: [Override<Double>] = []
  /// How A starts; B is 0.
  public var initialization = Initialization.kaiming

  /// PEFT's defaults.
  public init() {}

  /// A module that gets an adapter.
  package struct Place: Sendable, Equatable {
    package let module: LinearModule
    package let rank: Int
    /// s
    package let scale: Float
  }

  /// The modules of a model that get an adapter, in the model's order. Throws `.invalidArgument` for values out of range
  /// and if nothing matches, `.unsupported` for targets that are not linear layers of a block.
  package func resolve(_ configuration: DecoderConfiguration) throws -> [Place] {
    guard rank >= 1, rank <= 1 << 16 else { throw DPOError.argument("lora_r: \(rank), expected 1 to 65536") }
    guard alpha.isFinite else { throw DPOError.argument("lora_alpha: \(alpha), expected a finite number") }
    guard dropout >= 0, dropout < 1 else { throw DPOError.argument("lora_dropout: \(dropout), expected 0 ≤ p < 1") }
    let family = configuration.family
    let modules = family.linearModules(configuration)
    let chosen: [LinearModule]
    switch targetModules ?? .names(family.defaultLoRATargets) {
    case .allLinear: chosen = modules.filter { !$0.part.isExpert }
    case .regex(let text):
      let pattern = try ModulePattern(text, option: "target_modules")
      chosen = modules.filter { pattern.matches($0.path) }
    case .names(let names):
      let others = family.parameters(configuration).filter { !$0.part.isLinear && !$0.isBias && $0.shape.count == 2 }
      for name in names {
        if let other = others.first(where: { LoRAConfiguration.matches($0.module, name) }) {
          throw DPOError.unsupported(
            "target_modules: LoRA on \(other.module) is not supported, only on linear layers of blocks")
        }
      }
      chosen = modules.filter { module in names.contains { LoRAConfiguration.matches(module.path, $0) } }
    }
    guard !chosen.isEmpty else {
      let known = Set(modules.map { $0.path.split(separator: ".").last.map(String.init) ?? $0.path }).sorted()
      throw DPOError.argument(
        "target_modules: no module of the model matches (it has \(known.joined(separator: ", ")))")
    }
    let strengths = try Strengths(self)
    return try chosen.map { module in
      let (rank, alpha) = try strengths.of(module.path)
      let scale = alpha / (useRSLoRA ? Double(rank).squareRoot() : Double(rank))
      return Place(module: module, rank: rank, scale: Float(scale))
    }
  }

  /// Rank and α of modules by their paths.
  package struct Strengths {
    private let usual: (rank: Int, alpha: Double)
    private let ranks: [(pattern: ModulePattern, value: Int)]
    private let alphas: [(pattern: ModulePattern, value: Double)]

    package init(_ configuration: LoRAConfiguration) throws {
      usual = (configuration.rank, configuration.alpha)
      ranks = try configuration.rankPattern.map { (try pattern($0.pattern, "rank_pattern"), $0.value) }
      alphas = try configuration.alphaPattern.map { (try pattern($0.pattern, "alpha_pattern"), $0.value) }
    }

    package func of(_ path: String) throws -> (rank: Int, alpha: Double) {
      let rank = ranks.first { $0.pattern.matches(path) }?.value ?? usual.rank
      let alpha = alphas.first { $0.pattern.matches(path) }?.value ?? usual.alpha
      guard rank >= 1, rank <= 1 << 16, alpha.isFinite else {
        throw DPOError.argument("rank_pattern, alpha_pattern: rank \(rank), alpha \(alpha) for \(path)")
      }
      return (rank, alpha)
    }
  }

  /// Whether targets in PEFT's terms name a module, which may be none of ours.
  package func targets(_ path: String, of configuration: DecoderConfiguration) throws -> Bool {
    switch targetModules ?? .names(configuration.family.defaultLoRATargets) {
    case .allLinear: true
    case .regex(let text): try ModulePattern(text, option: "target_modules").matches(path)
    case .names(let names): names.contains { LoRAConfiguration.matches(path, $0) }
    }
  }

  private static func matches(_ path: String, _ name: String) -> Bool { path == name || path.hasSuffix("." + name) }

  private static func pattern(_ text: String, _ option: String) throws -> ModulePattern {
    try ModulePattern("(?:.*\\.)?(?:\(text))", option: option)
  }
}
