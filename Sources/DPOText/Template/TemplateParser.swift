import DPOBase

/// Statements of a template; expressions stand in TemplateParser+Expressions.swift. Names, precedence and quirks are
/// jinja2's.
struct TemplateParser {
  /// Open statements and brackets at one place. Each level costs the parser about 1 kB of stack, and the evaluator more.
  static let maximumNesting = 60
  /// Levels of one expression tree; a chain such as a + b + c has as many as it has operators.
  static let maximumExpressionDepth = 120

  let file: String
  private let tokens: [TemplateToken]
  private var position = 0
  private var nesting = 0
  /// Loops around this place in the same function, so that break and continue can be refused elsewhere.
  private var loops = 0

  static func parse(_ source: String, file: String) throws -> [TemplateStatement] {
    var lexer = TemplateLexer(source, file: file)
    var parser = TemplateParser(file: file, tokens: try lexer.run())
    let body = try parser.statements(until: [], opened: 1)
    return body
  }

  private init(file: String, tokens: [TemplateToken]) {
    self.file = file
    self.tokens = tokens
  }

  // MARK: Tokens

  var current: TemplateToken { tokens[min(position, tokens.count - 1)] }
  var next: TemplateToken { tokens[min(position + 1, tokens.count - 1)] }
  var line: Int { current.line }

  mutating func advance() { if position < tokens.count - 1 { position += 1 } }
  func fail(_ message: String, line: Int? = nil) -> DPOError { TemplateLexer.error(file, line ?? self.line, message) }

  func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol && current.word == symbol }
  func isName(_ name: String) -> Bool { current.kind == .name && current.word == name }

  mutating func skipSymbol(_ symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    advance()
    return true
  }
  mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }
  mutating func expectSymbol(_ symbol: String) throws {
    guard skipSymbol(symbol) else { throw fail("found \(current.described) where '\(symbol)' was expected") }
  }
  mutating func expectName() throws -> String {
    guard current.kind == .name else { throw fail("found \(current.described) where a name was expected") }
    defer { advance() }
    return current.word
  }
  private mutating func expectKeyword(_ name: String) throws {
    guard skipName(name) else { throw fail("found \(current.described) where '\(name)' was expected") }
  }
  private mutating func closeBlock() throws {
    guard current.kind == .closeBlock else { throw fail("found \(current.described) where '%}' was expected") }
    advance()
  }

  /// Runs `body` one level deeper.
  mutating func nested<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    guard nesting < Self.maximumNesting else {
      throw fail("the template is nested deeper than \(Self.maximumNesting) levels")
    }
    nesting += 1
    defer { nesting -= 1 }
    return try body(&self)
  }

  // MARK: Statements

  /// Statements up to `{% end %}`, for any `end` in `ends`; stops at that name, which stays to be read.
  /// `opened` is the line of the tag that began them.
  private mutating func statements(until ends: [String], opened: Int) throws -> [TemplateStatement] {
    var body: [TemplateStatement] = []
    while true {
      switch current.kind {
      case .text:
        body.append(.text(current.bytes))
        advance()
      case .openOutput:
        advance()
        body.append(.output(try tupleExpression()))
        guard current.kind == .closeOutput else { throw fail("found \(current.described) where '}}' was expected") }
        advance()
      case .openBlock:
        if next.kind == .name, ends.contains(next.word) {
          advance()
          return body
        }
        advance()
        if let statement = try nested({ try $0.statement() }) { body.append(statement) }
        try closeBlock()
      case .end:
        guard ends.isEmpty else { throw fail("the template ends before '{% \(ends.last ?? "") %}'", line: opened) }
        return body
      default: throw fail("unexpected \(current.described)")
      }
    }
  }

  /// Closes the opening tag, reads the body and the name that ends it.
  private mutating func block(_ opened: Int, until ends: String...) throws -> [TemplateStatement] {
    _ = skipSymbol(":")
    try closeBlock()
    return try statements(until: ends, opened: opened)
  }

  private mutating func statement() throws -> TemplateStatement? {
    let line = line
    let tag = try expectName()
    switch tag {
    case "for": return try loop(line)
    case "if": return try condition(line)
    case "set": return try set(line)
    case "macro": return .macro(try macro(name: try expectName(), line: line, end: "endmacro"))
    case "print": return .output(try tupleExpression())
    case "with": return try with(line)
    case "filter":
      let filters = try filterChain(first: true)
      let body = try inFunction { try $0.block(line, until: "endfilter") }
      advance()
      return .filterBlock(filters: filters, body: body, line: line)
    case "call": return try call(line)
    case "generation":
      let body = try inFunction { try $0.block(line, until: "endgeneration") }
      advance()
      return .generation(body, line: line)
    case "break", "continue":
      guard loops > 0 else { throw fail("'\(tag)' outside a loop", line: line) }
      return tag == "break" ? .breakLoop : .continueLoop
    case "include", "import", "from", "extends", "block":
      throw fail("'{% \(tag) %}' is not part of chat templates", line: line)
    case "endfor", "endif", "endset", "endmacro", "endcall", "endfilter", "endwith", "endgeneration", "else", "elif":
      throw fail("'{% \(tag) %}' without the tag it belongs to", line: line)
    default: throw fail("unknown tag '\(DPOError.printable(tag, limit: 40))'", line: line)
    }
  }

  /// A body that jinja2 compiles to a function of its own: a loop outside it cannot be left from inside.
  private mutating func inFunction<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try body(&self)
  }

  private mutating func loop(_ line: Int) throws -> TemplateStatement {
    let target = try target(ends: ["in"])
    try expectKeyword("in")
    let iterable = try tupleExpression(allowsChoice: false, ends: ["recursive"])
    let test = skipName("if") ? try expression() : nil
    let isRecursive = skipName("recursive")
    loops += 1
    let body = try block(line, until: "else", "endfor")
    loops -= 1
    var otherwise: [TemplateStatement] = []
    if skipName("else") { otherwise = try block(line, until: "endfor") }
    advance()
    return .loop(
      TemplateLoop(
        target: target, iterable: iterable, test: test, isRecursive: isRecursive, body: body, otherwise: otherwise,
        line: line))
  }

  private mutating func condition(_ line: Int) throws -> TemplateStatement {
    var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
    repeat {
      let test = try tupleExpression(allowsChoice: false)
      branches.append((test, try block(line, until: "elif", "else", "endif")))
    } while skipName("elif")
    var otherwise: [TemplateStatement] = []
    if skipName("else") { otherwise = try block(line, until: "endif") }
    advance()
    return .condition(branches: branches, otherwise: otherwise)
  }

  private mutating func set(_ line: Int) throws -> TemplateStatement {
    let target = try target(ends: [], withNamespace: true)
    if skipSymbol("=") { return .set(target, try tupleExpression(), line: line) }
    let filters = try filterChain(first: false)
    let body = try inFunction { try $0.block(line, until: "endset") }
    advance()
    return .setBlock(target, filters: filters, body: body, line: line)
  }

  private mutating func with(_ line: Int) throws -> TemplateStatement {
    var values: [(target: TemplateTarget, value: TemplateExpression)] = []
    while current.kind != .closeBlock {
      if !values.isEmpty { try expectSymbol(",") }
      let target = try singleTarget(withNamespace: false)
      try expectSymbol("=")
      values.append((target, try expression()))
    }
    let body = try block(line, until: "endwith")
    advance()
    return .with(values, body: body)
  }

  private mutating func call(_ line: Int) throws -> TemplateStatement {
    let parameters = isSymbol("(") ? try signature() : []
    let expression = try expression()
    guard case .call = expression.kind else { throw fail("'{% call %}' needs a call", line: line) }
    let body = try inFunction { try $0.block(line, until: "endcall") }
    advance()
    return .callBlock(expression, TemplateMacro(name: "caller", parameters: parameters, body: body, line: line))
  }

  private mutating func macro(name: String, line: Int, end: String) throws -> TemplateMacro {
    let parameters = try signature()
    let body = try inFunction { try $0.block(line, until: end) }
    advance()
    return TemplateMacro(name: name, parameters: parameters, body: body, line: line)
  }

  private mutating func signature() throws -> [(name: String, defaultValue: TemplateExpression?)] {
    var parameters: [(name: String, defaultValue: TemplateExpression?)] = []
    try expectSymbol("(")
    while !isSymbol(")") {
      if !parameters.isEmpty { try expectSymbol(",") }
      let name = try expectName()
      guard !parameters.contains(where: { $0.name == name }) else {
        throw fail("the parameter '\(name)' is named twice")
      }
      if skipSymbol("=") {
        parameters.append((name, try expression()))
      } else {
        guard parameters.last?.defaultValue == nil else {
          throw fail("the parameter '\(name)' without a default follows one that has one")
        }
        parameters.append((name, nil))
      }
    }
    try expectSymbol(")")
    return parameters
  }

  // MARK: Targets

  private mutating func target(ends: [String], withNamespace: Bool = false) throws -> TemplateTarget {
    var targets: [TemplateTarget] = []
    var isTuple = false
    while true {
      if !targets.isEmpty {
        guard isSymbol(",") else { break }
        advance()
        isTuple = true
        if current.kind == .closeBlock || isSymbol("=") || (current.kind == .name && ends.contains(current.word)) {
          break
        }
      }
      targets.append(try singleTarget(withNamespace: withNamespace))
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func singleTarget(withNamespace: Bool) throws -> TemplateTarget {
    if isSymbol("(") || isSymbol("[") {
      let close = isSymbol("(") ? ")" : "]"
      advance()
      return try nested { parser in
        var targets: [TemplateTarget] = []
        var isTuple = close == "]"
        while !parser.isSymbol(close) {
          if !targets.isEmpty {
            try parser.expectSymbol(",")
            isTuple = true
            if parser.isSymbol(close) { break }
          }
          targets.append(try parser.singleTarget(withNamespace: withNamespace))
        }
        try parser.expectSymbol(close)
        guard !targets.isEmpty else { throw parser.fail("cannot assign to nothing") }
        return isTuple ? .tuple(targets) : targets[0]
      }
    }
    let name = try expectName()
    guard !["true", "false", "none", "True", "False", "None", "in"].contains(name) else {
      throw fail("cannot assign to '\(name)'")
    }
    if withNamespace, skipSymbol(".") { return .attribute(of: name, try expectName()) }
    return .name(name)
  }
}
