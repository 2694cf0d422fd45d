import DPOBase

extension TemplateParser {
  /// A node over `parts`, refused when the tree gets too deep.
  private func node(_ kind: TemplateExpression.Kind, line: Int, _ parts: [TemplateExpression]) throws
    -> TemplateExpression
  {
    let depth = 1 + (parts.map(\.depth).max() ?? 0)
    guard depth <= Self.maximumExpressionDepth else {
      throw fail("the expression is deeper than \(Self.maximumExpressionDepth) levels", line: line)
    }
    return TemplateExpression(kind, line: line, depth: depth)
  }

  /// An expression, or a tuple of them where commas follow.
  mutating func tupleExpression(
    allowsChoice: Bool = true, ends: [String] = [], inParentheses: Bool = false
  ) throws -> TemplateExpression {
    let line = line
    var items: [TemplateExpression] = []
    var isTuple = false
    while true {
      if !items.isEmpty {
        guard isSymbol(",") else { break }
        advance()
        isTuple = true
      }
      let atEnd =
        [.closeOutput, .closeBlock, .end].contains(current.kind) || isSymbol(")")
        || (current.kind == .name && ends.contains(current.word))
      if atEnd { break }
      items.append(try expression(allowsChoice: allowsChoice))
    }
    if !isTuple, let first = items.first { return first }
    guard isTuple || inParentheses else { throw fail("found \(current.described) where an expression was expected") }
    return try node(.tuple(items), line: line, items)
  }

  mutating func expression(allowsChoice: Bool = true) throws -> TemplateExpression {
    try nested { try allowsChoice ? $0.choice() : $0.binary(0) }
  }

  /// a if b else c
  private mutating func choice() throws -> TemplateExpression {
    var value = try binary(0)
    while isName("if") {
      let line = line
      advance()
      let test = try binary(0)
      let otherwise = skipName("else") ? try nested { try $0.choice() } : nil
      value = try node(
        .choice(test: test, then: value, otherwise: otherwise), line: line,
        [value, test] + (otherwise.map { [$0] } ?? []))
    }
    return value
  }

  private enum Infix {
    case or, and
    case comparison(TemplateExpression.Comparison)
    case concatenation
    case arithmetic(TemplateExpression.Operator)

    var precedence: Int {
      switch self {
      case .or: 0
      case .and: 1
      case .comparison: 3
      case .arithmetic(.add), .arithmetic(.subtract): 4
      case .concatenation: 5
      case .arithmetic(.power): 7
      case .arithmetic: 6
      }
    }
  }

  /// The operator at this place.
  private var infix: Infix? {
    let word = current.word
    switch current.kind {
    case .symbol:
      if word == "~" { return .concatenation }
      if let operation = TemplateExpression.Operator(rawValue: word) { return .arithmetic(operation) }
      return TemplateExpression.Comparison(rawValue: word).map { .comparison($0) }
    case .name:
      if word == "or" { return .or }
      if word == "and" { return .and }
      if word == "in" { return .comparison(.contained) }
      return word == "not" && next.kind == .name && next.word == "in" ? .comparison(.notContained) : nil
    default: return nil
    }
  }

  private mutating func skipInfix(_ operation: Infix) {
    advance()
    if case .comparison(.notContained) = operation { advance() }
  }

  /// Operators of precedence `minimum` and above: 0 or, 1 and, 2 not, 3 comparisons, 4 + -, 5 ~, 6 * / // %, 7 **. All
  /// join to the left, ** too. One loop instead of a function a level: brackets nest, and stacks are small.
  private mutating func binary(_ minimum: Int) throws -> TemplateExpression {
    var left = minimum <= 2 && isName("not") ? try negation() : try unary()
    while let operation = infix, operation.precedence >= minimum {
      left = try joined(left, operation)
    }
    return left
  }

  private mutating func negation() throws -> TemplateExpression {
    let line = line
    advance()
    let value = try nested { try $0.binary(2) }
    return try node(.not(value), line: line, [value])
  }

  private mutating func joined(_ left: TemplateExpression, _ operation: Infix) throws -> TemplateExpression {
    let line = line
    let precedence = operation.precedence
    switch operation {
    case .or, .and:
      advance()
      let right = try binary(precedence + 1)
      if case .or = operation { return try node(.or(left, right), line: line, [left, right]) }
      return try node(.and(left, right), line: line, [left, right])
    case .arithmetic(let operation):
      advance()
      let right = try binary(precedence + 1)
      return try node(.binary(operation, left, right), line: line, [left, right])
    case .concatenation:
      var parts = [left]
      while skipSymbol("~") { parts.append(try binary(precedence + 1)) }
      return try node(.concatenation(parts), line: line, parts)
    case .comparison:
      var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
      while let following = infix, case .comparison(let comparison) = following {
        skipInfix(following)
        rest.append((comparison, try binary(precedence + 1)))
      }
      return try node(.comparison(left, rest), line: line, [left] + rest.map(\.1))
    }
  }

  private mutating func unary(withFilter: Bool = true) throws -> TemplateExpression {
    let line = line
    var value: TemplateExpression
    if isSymbol("-") || isSymbol("+") {
      let isNegative = isSymbol("-")
      advance()
      let operand = try nested { try $0.unary(withFilter: false) }
      value = try node(isNegative ? .negative(operand) : .positive(operand), line: line, [operand])
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return withFilter ? try filtersAndTests(value) : value
  }

  private mutating func primary() throws -> TemplateExpression {
    let token = current
    let line = line
    func constant(_ value: TemplateValue) -> TemplateExpression {
      TemplateExpression(.constant(value), line: line, depth: 1)
    }
    switch token.kind {
    case .name:
      advance()
      switch token.word {
      case "true", "True": return constant(.bool(true))
      case "false", "False": return constant(.bool(false))
      case "none", "None": return constant(.none)
      default: return TemplateExpression(.name(token.word), line: line, depth: 1)
      }
    case .string:
      var bytes: [UInt8] = []
      while current.kind == .string {
        bytes += current.bytes
        advance()
      }
      return constant(.string(TemplateText(bytes)))
    case .integer:
      advance()
      guard let value = Int(token.word) else {
        throw fail("the number \(token.described) does not fit 64 bits", line: line)
      }
      return constant(.int(value))
    case .real:
      advance()
      guard let value = Double(token.word) else { throw fail("\(token.described) is not a number", line: line) }
      return constant(.real(value))
    case .symbol where token.word == "(":
      advance()
      let value = try nested { try $0.tupleExpression(inParentheses: true) }
      try expectSymbol(")")
      return value
    case .symbol where token.word == "[":
      advance()
      let items = try list(until: "]") { try $0.expression() }
      return try node(.list(items), line: line, items)
    case .symbol where token.word == "{":
      advance()
      let items = try list(until: "}") { parser in
        let key = try parser.expression()
        try parser.expectSymbol(":")
        return (key: key, value: try parser.expression())
      }
      return try node(.dictionary(items), line: line, items.flatMap { [$0.key, $0.value] })
    default: throw fail("unexpected \(token.described)")
    }
  }

  private mutating func list<Item>(until close: String, _ item: (inout TemplateParser) throws -> Item) throws -> [Item]
  {
    var items: [Item] = []
    while !isSymbol(close) {
      if !items.isEmpty {
        try expectSymbol(",")
        if isSymbol(close) { break }
      }
      items.append(try nested(item))
    }
    try expectSymbol(close)
    return items
  }

  /// .name .0 [item] [a:b:c] (arguments)
  private mutating func postfix(_ start: TemplateExpression) throws -> TemplateExpression {
    var value = start
    while true {
      let line = line
      if skipSymbol(".") {
        let token = current
        advance()
        switch token.kind {
        case .name: value = try node(.attribute(value, token.word), line: line, [value])
        case .integer:
          guard let index = Int(token.word) else {
            throw fail("the index \(token.described) does not fit 64 bits", line: line)
          }
          let key = TemplateExpression(.constant(.int(index)), line: line, depth: 1)
          value = try node(.item(value, key), line: line, [value])
        default: throw fail("found \(token.described) where a name or number was expected", line: line)
        }
      } else if skipSymbol("[") {
        value = try subscripted(value, line: line)
      } else if isSymbol("(") {
        value = try called(value)
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(_ base: TemplateExpression, line: Int) throws -> TemplateExpression {
    var start: TemplateExpression?
    if !isSymbol(":") {
      let key = try expression()
      if isSymbol(",") { throw fail("an index of several values is not supported") }
      if !isSymbol(":") {
        try expectSymbol("]")
        return try node(.item(base, key), line: line, [base, key])
      }
      start = key
    }
    try expectSymbol(":")
    let stop = isSymbol("]") || isSymbol(":") ? nil : try expression()
    var step: TemplateExpression?
    if skipSymbol(":"), !isSymbol("]") { step = try expression() }
    try expectSymbol("]")
    return try node(
      .slice(base, start: start, stop: stop, step: step), line: line, [base] + [start, stop, step].compactMap(\.self))
  }

  private mutating func called(_ callee: TemplateExpression) throws -> TemplateExpression {
    let line = line
    let arguments = try arguments()
    return try node(.call(callee, arguments), line: line, [callee] + arguments.all)
  }

  private mutating func arguments() throws -> TemplateArguments {
    var arguments = TemplateArguments()
    try expectSymbol("(")
    var isFirst = true
    while !isSymbol(")") {
      if !isFirst {
        try expectSymbol(",")
        if isSymbol(")") { break }
      }
      isFirst = false
      if skipSymbol("*") {
        guard arguments.splat == nil, arguments.namedSplat == nil else { throw fail("misplaced '*' in a call") }
        arguments.splat = try expression()
      } else if skipSymbol("**") {
        guard arguments.namedSplat == nil else { throw fail("misplaced '**' in a call") }
        arguments.namedSplat = try expression()
      } else if current.kind == .name, next.kind == .symbol, next.word == "=" {
        guard arguments.namedSplat == nil else { throw fail("an argument follows '**'") }
        let name = current.word
        advance()
        advance()
        guard !arguments.named.contains(where: { $0.name == name }) else {
          throw fail("the argument '\(name)' is given twice")
        }
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.splat == nil, arguments.namedSplat == nil else {
          throw fail("a positional argument follows a named one")
        }
        arguments.positional.append(try expression())
      }
    }
    try expectSymbol(")")
    return arguments
  }

  private mutating func filtersAndTests(_ start: TemplateExpression) throws -> TemplateExpression {
    var value = start
    while true {
      let line = line
      if skipSymbol("|") {
        let call = try filterCall(line)
        value = try node(.filter(value, call), line: line, [value] + call.arguments.all)
      } else if skipName("is") {
        value = try test(value, line: line)
      } else if isSymbol("(") {
        value = try called(value)
      } else {
        return value
      }
    }
  }

  private mutating func dottedName() throws -> String {
    var name = try expectName()
    while skipSymbol(".") { name += "." + (try expectName()) }
    return name
  }

  private mutating func filterCall(_ line: Int) throws -> TemplateCall {
    let name = try dottedName()
    return TemplateCall(name: name, arguments: isSymbol("(") ? try arguments() : TemplateArguments(), line: line)
  }

  /// Filters of `{% filter a|b %}` (`first`: the bar is not there) and `{% set x | a | b %}`.
  mutating func filterChain(first: Bool) throws -> [TemplateCall] {
    var calls: [TemplateCall] = []
    if first { calls.append(try filterCall(line)) }
    while skipSymbol("|") {
      calls.append(try filterCall(line))
      guard calls.count <= Self.maximumExpressionDepth else { throw fail("too many filters") }
    }
    return calls
  }

  private mutating func test(_ value: TemplateExpression, line: Int) throws -> TemplateExpression {
    let isNegated = skipName("not")
    let name = try dottedName()
    var arguments = TemplateArguments()
    if isSymbol("(") {
      arguments = try self.arguments()
    } else if [.name, .string, .integer, .real].contains(current.kind) || isSymbol("[") || isSymbol("{"),
      !isName("else"), !isName("or"), !isName("and")
    {
      // jinja2 takes what follows a test's name as its argument: `x is divisibleby 3`.
      if isName("is") { throw fail("tests cannot be chained with 'is'") }
      arguments.positional = [try nested { try $0.postfix(try $0.primary()) }]
    }
    let call = TemplateCall(name: name, arguments: arguments, line: line)
    let result = try node(.test(value, call), line: line, [value] + arguments.all)
    return isNegated ? try node(.not(result), line: line, [result]) : result
  }
}
