import DPOBase

/// Variables of one scope. Inner scopes read the outer ones and write their own.
final class TemplateFrame {
  let parent: TemplateFrame?
  var variables: [String: TemplateValue] = [:]

  init(parent: TemplateFrame?) { self.parent = parent }

  func value(of name: String) -> TemplateValue? {
    var frame: TemplateFrame? = self
    while let current = frame {
      if let value = current.variables[name] { return value }
      frame = current.parent
    }
    return nil
  }
}

/// One rendering: runs statements, counts what they cost. A template comes with a model from anywhere, so steps,
/// memory, output and depth are bounded; every failure names the file and the template's line.
final class TemplateEvaluator {
  static let maximumSteps = 5_000_000
  /// Bytes of one string or list, and of the output.
  static let maximumSize = 32 << 20
  /// Bytes of everything a rendering makes, freed or not.
  static let maximumAllocation = 256 << 20
  /// Nested evaluations; measured to stay within 256 kB of stack.
  static let maximumDepth = 220
  static let maximumValueDepth = 220
  /// jinja2's sandbox has the same.
  static let maximumRange = 100_000

  struct LoopState {
    let items: [TemplateValue]
    var index = 0
    let depth: Int
    let statement: TemplateLoop
    let frame: TemplateFrame
    var changedValues: [TemplateValue]?
  }

  enum Flow { case next, breakLoop, continueLoop }

  let file: String
  let recordsSpans: Bool
  var line = 1
  private(set) var output: [UInt8] = []
  /// Bodies whose text is being collected into a value rather than written.
  private var captures = 0
  private(set) var generationSpans: [Range<Int>] = []
  var namespaces: [TemplateDictionary] = []
  private(set) var macros: [(macro: TemplateMacro, frame: TemplateFrame)] = []
  var loops: [LoopState] = []
  private var steps = 0
  private var allocated = 0
  private var depth = 0

  /// What `strftime_now` tells, as `Machine.localTime` counts; nil: that.
  let time: Int?

  init(file: String, time: Int?, recordsSpans: Bool) {
    self.file = file
    self.time = time
    self.recordsSpans = recordsSpans
  }

  // MARK: Limits

  func fail(_ message: String) -> DPOError { TemplateLexer.error(file, line, message) }

  @inline(__always)
  func spend(_ count: Int = 1) throws {
    steps &+= min(count, Self.maximumSteps)
    if steps > Self.maximumSteps { throw fail("the template does not end within \(Self.maximumSteps) steps") }
  }

  /// Counts the reading of `bytes`.
  func scan(_ bytes: Int) throws { try spend(bytes >> 8) }

  /// Counts `bytes` that are about to be made.
  func charge(_ bytes: Int) throws {
    guard bytes <= Self.maximumSize else {
      throw fail("the template makes a value of more than \(Self.maximumSize >> 20) MiB")
    }
    allocated += bytes
    guard allocated <= Self.maximumAllocation else {
      throw fail("the template makes values of more than \(Self.maximumAllocation >> 20) MiB in all")
    }
    try scan(bytes)
  }

  /// `count` values of `unit` bytes each, where the product may overflow.
  func charge(_ count: Int, times unit: Int) throws {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: unit)
    try charge(overflow ? .max : bytes)
  }

  func descend<Result>(_ body: () throws -> Result) throws -> Result {
    guard depth < Self.maximumDepth else { throw fail("the template recurses deeper than \(Self.maximumDepth) levels") }
    depth += 1
    defer { depth -= 1 }
    return try body()
  }

  private func checked(_ value: TemplateValue) throws -> TemplateValue {
    guard value.depth <= Self.maximumValueDepth else {
      throw fail("a value is nested deeper than \(Self.maximumValueDepth) levels")
    }
    return value
  }
  func list(_ items: [TemplateValue]) throws -> TemplateValue {
    try charge(items.count, times: MemoryLayout<TemplateValue>.stride)
    return try checked(.list(TemplateItems(items)))
  }
  func tuple(_ items: [TemplateValue]) throws -> TemplateValue {
    try charge(items.count, times: MemoryLayout<TemplateValue>.stride)
    return try checked(.tuple(TemplateItems(items)))
  }
  func iterable(_ kind: TemplateValue.Iterable, _ items: [TemplateValue]) throws -> TemplateValue {
    try charge(items.count, times: MemoryLayout<TemplateValue>.stride)
    return try checked(.iterable(kind, TemplateItems(items)))
  }
  func dictionary(_ value: TemplateDictionary) throws -> TemplateValue {
    try charge(value.count, times: 128)
    return try checked(.dictionary(value))
  }
  func string(_ bytes: [UInt8], isMarkup: Bool = false) throws -> TemplateValue {
    try charge(bytes.count)
    return .string(TemplateText(bytes, isMarkup: isMarkup))
  }

  // MARK: Statements

  func write(_ bytes: [UInt8]) throws {
    try scan(bytes.count)
    guard bytes.count <= Self.maximumSize - output.count else {
      throw fail("the template writes more than \(Self.maximumSize >> 20) MiB")
    }
    output.append(contentsOf: bytes)
  }

  /// The text that `body` writes.
  func capture(_ body: () throws -> Void) throws -> TemplateText {
    let outer = output
    output = []
    captures += 1
    defer {
      captures -= 1
      output = outer
    }
    try body()
    try charge(output.count)
    return TemplateText(output)
  }

  @discardableResult
  func run(_ statements: [TemplateStatement], _ frame: TemplateFrame) throws -> Flow {
    for statement in statements {
      try spend()
      let flow = try run(statement, frame)
      if flow != .next { return flow }
    }
    return .next
  }

  private func run(_ statement: TemplateStatement, _ frame: TemplateFrame) throws -> Flow {
    switch statement {
    case .text(let bytes): try write(bytes)
    case .output(let expression):
      let value = try evaluate(expression, frame)
      line = expression.line
      if case .string(let text) = value { try write(text.bytes) } else { try write(text(value).bytes) }
    case .condition(let branches, let otherwise): return try runCondition(branches, otherwise, frame)
    case .loop(let loop): try runLoop(loop, frame)
    case .set(let target, let expression, let line):
      let value = try evaluate(expression, frame)
      self.line = line
      try assign(value, to: target, frame)
    case .setBlock(let target, let filters, let body, let line):
      var value = TemplateValue.string(try capture { try descend { _ = try run(body, TemplateFrame(parent: frame)) } })
      for filter in filters { value = try applyFilter(filter, to: value, frame) }
      self.line = line
      try assign(value, to: target, frame)
    case .filterBlock(let filters, let body, _):
      var value = TemplateValue.string(try capture { try descend { _ = try run(body, TemplateFrame(parent: frame)) } })
      for filter in filters { value = try applyFilter(filter, to: value, frame) }
      try write(text(value).bytes)
    case .with(let values, let body):
      let inner = TemplateFrame(parent: frame)
      for (target, expression) in values { try assign(evaluate(expression, frame), to: target, inner) }
      return try descend { try run(body, inner) }
    case .macro(let macro): frame.variables[macro.name] = try define(macro, frame)
    case .callBlock(let call, let body): try runCallBlock(call, body, frame)
    case .generation(let body, let line): try runGeneration(body, line, frame)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .next
  }

  private func runCondition(
    _ branches: [(test: TemplateExpression, body: [TemplateStatement])], _ otherwise: [TemplateStatement],
    _ frame: TemplateFrame
  ) throws -> Flow {
    for (test, body) in branches where try evaluate(test, frame).isTrue {
      return try descend { try run(body, frame) }
    }
    return otherwise.isEmpty ? .next : try descend { try run(otherwise, frame) }
  }

  private func runGeneration(_ body: [TemplateStatement], _ line: Int, _ frame: TemplateFrame) throws {
    guard captures == 0 || !recordsSpans else {
      self.line = line
      throw fail("a generation block inside a macro or set block cannot be traced to its place in the text")
    }
    let start = output.count
    _ = try descend { try run(body, TemplateFrame(parent: frame)) }
    if recordsSpans { generationSpans.append(start..<output.count) }
  }

  private func define(_ macro: TemplateMacro, _ frame: TemplateFrame) throws -> TemplateValue {
    try charge(64)
    macros.append((macro, frame))
    return .macro(macros.count - 1)
  }

  private func runCallBlock(_ call: TemplateExpression, _ body: TemplateMacro, _ frame: TemplateFrame) throws {
    guard case .call(let callee, let arguments) = call.kind else { return }
    let function = try evaluate(callee, frame)
    var values = try evaluate(arguments, frame)
    values.named.append(("caller", try define(body, frame)))
    line = call.line
    try write(text(descend { try self.call(function, values) }).bytes)
  }

  func assign(_ value: TemplateValue, to target: TemplateTarget, _ frame: TemplateFrame) throws {
    switch target {
    case .name(let name): frame.variables[name] = value
    case .attribute(let object, let name):
      guard case .namespace(let index)? = frame.value(of: object) else {
        throw fail("cannot assign attribute '\(name)': '\(object)' is not a namespace")
      }
      guard !name.hasPrefix("_") else {
        throw fail("a namespace cannot store '\(name)': names must not start with an underscore")
      }
      if namespaces[index][name] == nil { try charge(128) }
      guard value.depth < Self.maximumValueDepth else {
        throw fail("a value is nested deeper than \(Self.maximumValueDepth) levels")
      }
      namespaces[index].set(name, value)
    case .tuple(let targets):
      let values = try elements(value)
      guard values.count == targets.count else {
        throw fail("cannot unpack \(values.count) values into \(targets.count) names")
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target, frame) }
    }
  }

  // MARK: Loops

  private func runLoop(_ loop: TemplateLoop, _ frame: TemplateFrame) throws {
    let iterable = try evaluate(loop.iterable, frame)
    line = loop.line
    try descend { try runLoop(loop, over: iterable, depth: 0, frame) }
  }

  func runLoop(_ loop: TemplateLoop, over iterable: TemplateValue, depth: Int, _ frame: TemplateFrame) throws {
    var items = try elements(iterable)
    if let test = loop.test {
      var kept: [TemplateValue] = []
      for item in items {
        try spend()
        let inner = TemplateFrame(parent: frame)
        try assign(item, to: loop.target, inner)
        if try evaluate(test, inner).isTrue { kept.append(item) }
      }
      items = kept
    }
    let position = loops.count
    loops.append(LoopState(items: items, depth: depth, statement: loop, frame: frame))
    defer { loops.removeSubrange(position...) }
    var inner = TemplateFrame(parent: frame)
    for (index, item) in items.enumerated() {
      try spend()
      loops[position].index = index
      // A macro defined in the body keeps its frame.
      if isKnownUniquelyReferenced(&inner) {
        inner.variables.removeAll(keepingCapacity: true)
      } else {
        inner = TemplateFrame(parent: frame)
      }
      inner.variables["loop"] = .loop(position)
      try assign(item, to: loop.target, inner)
      if try run(loop.body, inner) == .breakLoop { break }
      line = loop.line
    }
    if items.isEmpty { try run(loop.otherwise, TemplateFrame(parent: frame)) }
  }

  // MARK: Calls

  struct Arguments {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []
  }

  func evaluate(_ arguments: TemplateArguments, _ frame: TemplateFrame) throws -> Arguments {
    var values = Arguments()
    for argument in arguments.positional { values.positional.append(try evaluate(argument, frame)) }
    for (name, argument) in arguments.named { values.named.append((name, try evaluate(argument, frame))) }
    if let splat = arguments.splat { values.positional += try elements(evaluate(splat, frame)) }
    if let splat = arguments.namedSplat {
      guard case .dictionary(let dictionary) = try evaluate(splat, frame) else { throw fail("'**' needs a dictionary") }
      for (key, value) in dictionary.entries {
        guard case .string(let name) = key else { throw fail("'**' needs string keys") }
        values.named.append((name.string, value))
      }
    }
    return values
  }

  func call(_ function: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    switch function {
    case .undefined(let value): throw fail(value.reason)
    case .function(let function): return try callFunction(function, arguments)
    case .method(let name, let receiver): return try callMethod(name, of: receiver, arguments)
    case .macro(let index): return try callMacro(macros[index].macro, macros[index].frame, arguments)
    case .loop(let index):
      guard index < loops.count else { throw fail("'loop' is used after its loop") }
      let state = loops[index]
      guard state.statement.isRecursive else {
        throw fail("the loop is not marked 'recursive', so 'loop' cannot be called")
      }
      let iterable = try bind(arguments, ["iterable"], of: "loop")[0] ?? .none
      return .string(
        try capture {
          try descend { try runLoop(state.statement, over: iterable, depth: state.depth + 1, state.frame) }
        })
    default: throw fail("'\(function.typeName)' object is not callable")
    }
  }

  private func callMacro(_ macro: TemplateMacro, _ parent: TemplateFrame, _ arguments: Arguments) throws
    -> TemplateValue
  {
    let frame = TemplateFrame(parent: parent)
    var named: [String: TemplateValue] = [:]
    for (name, value) in arguments.named {
      guard named.updateValue(value, forKey: name) == nil else { throw fail("the argument '\(name)' is given twice") }
    }
    if let caller = named.removeValue(forKey: "caller") { frame.variables["caller"] = caller }
    for (position, parameter) in macro.parameters.enumerated() {
      if position < arguments.positional.count {
        guard named[parameter.name] == nil else {
          throw fail("macro '\(macro.name)' got two values for '\(parameter.name)'")
        }
        frame.variables[parameter.name] = arguments.positional[position]
      } else if let value = named.removeValue(forKey: parameter.name) {
        frame.variables[parameter.name] = value
      } else if let defaultValue = parameter.defaultValue {
        frame.variables[parameter.name] = try evaluate(defaultValue, frame)
      } else {
        frame.variables[parameter.name] = .undefined("parameter '\(parameter.name)' was not provided")
      }
    }
    frame.variables["varargs"] = try tuple(Array(arguments.positional.dropFirst(macro.parameters.count)))
    var rest = TemplateDictionary()
    for (name, _) in arguments.named { if let value = named[name] { rest.set(name, value) } }
    frame.variables["kwargs"] = try dictionary(rest)
    let outerLine = line
    let text = try capture { try descend { _ = try run(macro.body, frame) } }
    line = outerLine
    return .string(text)
  }

  /// Arguments in the order of `names`; nil where none is given.
  func bind(_ arguments: Arguments, _ names: [String], of what: String) throws -> [TemplateValue?] {
    guard arguments.positional.count <= names.count else {
      throw fail(
        "\(what) takes at most \(names.count) argument\(names.count == 1 ? "" : "s"), got \(arguments.positional.count)"
      )
    }
    var values = [TemplateValue?](repeating: nil, count: names.count)
    for (index, value) in arguments.positional.enumerated() { values[index] = value }
    for (name, value) in arguments.named {
      guard let index = names.firstIndex(of: name) else { throw fail("\(what) has no argument '\(name)'") }
      guard values[index] == nil else { throw fail("\(what) got two values for '\(name)'") }
      values[index] = value
    }
    return values
  }
}
