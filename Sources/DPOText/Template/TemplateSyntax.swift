/// The parsed template. Depth is bounded by the parser, so that walking and freeing the tree fit a small stack.
indirect enum TemplateStatement: Sendable {
  case text([UInt8])
  case output(TemplateExpression)
  case condition(branches: [(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(TemplateLoop)
  case set(TemplateTarget, TemplateExpression, line: Int)
  case setBlock(TemplateTarget, filters: [TemplateCall], body: [TemplateStatement], line: Int)
  case filterBlock(filters: [TemplateCall], body: [TemplateStatement], line: Int)
  case with([(target: TemplateTarget, value: TemplateExpression)], body: [TemplateStatement])
  case macro(TemplateMacro)
  case callBlock(TemplateExpression, TemplateMacro)
  case generation([TemplateStatement], line: Int)
  case breakLoop
  case continueLoop
}

/// `{% for target in iterable if test recursive %}body{% else %}otherwise{% endfor %}`
final class TemplateLoop: Sendable {
  let target: TemplateTarget
  let iterable: TemplateExpression
  let test: TemplateExpression?
  let isRecursive: Bool
  let body: [TemplateStatement]
  let otherwise: [TemplateStatement]
  let line: Int

  init(
    target: TemplateTarget, iterable: TemplateExpression, test: TemplateExpression?, isRecursive: Bool,
    body: [TemplateStatement], otherwise: [TemplateStatement], line: Int
  ) {
    self.target = target
    self.iterable = iterable
    self.test = test
    self.isRecursive = isRecursive
    self.body = body
    self.otherwise = otherwise
    self.line = line
  }
}

/// `{% macro name(parameters) %}body{% endmacro %}`, or the body of a `{% call %}` block.
final class TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, defaultValue: TemplateExpression?)]
  let body: [TemplateStatement]
  let line: Int

  init(
    name: String, parameters: [(name: String, defaultValue: TemplateExpression?)], body: [TemplateStatement], line: Int
  ) {
    self.name = name
    self.parameters = parameters
    self.body = body
    self.line = line
  }
}

indirect enum TemplateTarget: Sendable {
  case name(String)
  case attribute(of: String, String)
  case tuple([TemplateTarget])
}

final class TemplateExpression: Sendable {
  enum Kind: Sendable {
    case constant(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, TemplateCall)
    case test(TemplateExpression, TemplateCall)
    case not(TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case binary(Operator, TemplateExpression, TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case comparison(TemplateExpression, [(Comparison, TemplateExpression)])
    case choice(test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }
  enum Operator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
  }
  enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contained = "in"
    case notContained = "not in"
  }

  let kind: Kind
  let line: Int
  /// Levels of expressions below this one.
  let depth: Int

  init(_ kind: Kind, line: Int, depth: Int) {
    self.kind = kind
    self.line = line
    self.depth = depth
  }
}

struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  var splat: TemplateExpression?
  var namedSplat: TemplateExpression?

  var all: [TemplateExpression] { positional + named.map(\.value) + [splat, namedSplat].compactMap(\.self) }
}

/// A filter or test with its arguments.
struct TemplateCall: Sendable {
  let name: String
  let arguments: TemplateArguments
  let line: Int
}
