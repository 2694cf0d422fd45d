import DPOBase
import DPOText
import DPOPlatform
import TestSupport
import Testing

private let messages: [JSON] = [["role": "user", "content": "hi"], ["role": "assistant", "content": "ho"]]

/// What a template does on a thread with little stack: its text or its error.
private func outcome(_ template: JSON, stack: Int = 256 << 10) -> Result<String, DPOError> {
  final class Box: @unchecked Sendable {
    var result: Result<String, DPOError> = .failure(DPOError(.internal, "did not run"))
    let template: JSON
    init(_ template: JSON) { self.template = template }
  }
  let box = Box(template)
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setstacksize(&attributes, stack)
  var thread = pthread_t()
  let context = Unmanaged.passRetained(box).toOpaque()
  pthread_create(
    &thread, &attributes,
    { context in
      guard let context else { return nil }
      let box = Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
      do {
        let template = try ChatTemplate(json: box.template, file: "tokenizer_config.json")
        box.result = .success(try template.render(messages: messages, addGenerationPrompt: true, variables: [:]))
      } catch {
        box.result = .failure(error as? DPOError ?? DPOError(.internal, "\(error)"))
      }
      return nil
    }, context)
  pthread_join(thread, nil)
  pthread_attr_destroy(&attributes)
  return box.result
}

private func refused(_ template: JSON, _ words: String = "chat template", stack: Int = 256 << 10) -> Bool {
  guard case .failure(let error) = outcome(template, stack: stack) else { return false }
  return error.message.hasPrefix("tokenizer_config.json: ") && error.message.contains(words)
}

private func succeeds(_ source: String) -> Bool {
  if case .success = outcome(.string(source)) { true } else { false }
}

@Suite(.timeLimit(.minutes(10))) struct ChatTemplateLimitsTests {
  @Test(
    "Growth and loops without end are refused",
    arguments: [
      "{% for i in range(10**12) %}x{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "{{ 'a' * 10**12 }}", "{{ [0] * 10**12 }}", "{{ 10 ** 10 ** 10 }}", "{{ 'x' | center(10**12) }}",
      "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
      "{{ messages | tojson(indent=10**10) }}", "{{ '%9999999999d' | format(1) }}",
      "{{ range(99999) | join('x' * 99999) }}",
      "{{ ('a' * 99999) | replace('a', 'b' * 99999) }}", "{{ ('a' * 99999).replace('', 'b' * 99999) }}",
      "{{ 'x\ny' | indent(10**12) }}", "{{ 'a'.ljust(10**18) }}", "{{ '%*d' % (10**18, 1) }}",
      "{% for i in range(999) %}{{ 'a' * 99999 }}{% endfor %}",
      "{% set ns = namespace(l=[]) %}{% for i in range(99) %}{% set ns.l = ns.l + ['a' * 9999999] %}{% endfor %}",
      "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [i] %}{% endfor %}",
      "{% set x = 'ab' * 9999999 %}{% for i in range(99999) %}{{ 'abb' in x }}{% endfor %}",
      "{% for i in range(99999) %}{% set n = namespace(a=i) %}{% for j in range(99) %}{% set m = namespace(a=j) %}{% endfor %}{% endfor %}",
    ]) func refusesGrowth(_ source: String)
  {
    #expect(refused(.string(source)))
  }

  @Test(
    "Recursion is refused before a stack of 256 kB ends",
    arguments: [
      "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
      "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
      "{% macro r() %}{% call r() %}x{% endcall %}{% endmacro %}{{ r() }}",
      "{% macro m() %}{% for i in [1] %}{% if true %}{% set x %}{{ ([m()] | map('upper') | join) ~ (1 + (2 if m() else 3)) }}{% endset %}{% endif %}{% endfor %}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% filter upper %}{% with a = [[m()]] %}{{ a }}{% endwith %}{% endfilter %}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% generation %}{{ dict(a=[m(), 1][0] ~ m()) | tojson }}{% endgeneration %}{% endmacro %}{{ m() }}",
      "{% macro m(a=1) %}{{ m(a=(m() is defined)) }}{% endmacro %}{{ m() }}",
      "{% set n = namespace() %}{% set n.a = n %}{{ n }}",
      "{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = [n.x] %}{% endfor %}",
      "{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = {'a': n.x} %}{% endfor %}",
      "{% set n = namespace(x=()) %}{% for i in range(999) %}{% set n.x = (n.x,) %}{% endfor %}",
      "{% set n = namespace(x={}) %}{% for i in range(999) %}{% set n.x = {'a': n.x}.items() %}{% endfor %}",
    ]) func refusesRecursion(_ source: String)
  {
    #expect(refused(.string(source)))
  }

  @Test(
    "Values nested as deep as allowed can be written, compared, hashed, sorted and freed on 256 kB",
    arguments: [
      "{{ n.x }}", "{{ n.x | tojson }}", "{{ n.x == m.x }}", "{{ n.x < m.x }}", "{{ [n.x, m.x] | sort }}",
      "{{ {n.t: 1} }}", "{{ n.x | tojson(indent=1) }}",
    ]
  ) func handlesDeepValues(_ use: String) {
    let build =
      "{% set n = namespace(x=[], t=()) %}{% set m = namespace(x=[]) %}{% for i in range(170) %}{% set n.x = [n.x] %}{% set n.t = (n.t,) %}{% set m.x = [m.x] %}{% endfor %}"
    #expect(succeeds(build + use))
  }

  @Test func refusesDeepSyntax() {
    let deep = 100_000
    func times(_ text: String, _ count: Int = deep) -> String { String(repeating: text, count: count) }
    for source in [
      "{{ " + times("(") + "1" + times(")") + " }}", "{{ " + times("[") + times("]") + " }}",
      "{{ " + times("{1:") + times("}") + " }}",
      "{{ " + times("not ") + "1 }}", "{{ " + times("-") + "1 }}", "{{ 1" + times("+1") + " }}",
      "{{ messages" + times(".x") + " }}",
      "{{ " + times("1 if 1 else ") + "2 }}", "{{ 1" + times(" or 1") + " }}", "{{ 1" + times("|abs") + " }}",
      "{{ x" + times("()") + " }}",
      "{{ x" + times("[0]") + " }}", "{{ " + times("x[") + " }}", "{{ " + times("f(") + " }}",
      "{{ 1" + times(" is in [") + " }}",
      "{% if true %}" + times("{% if true %}"), times("{% for x in y %}"), times("{% macro m() %}"),
      times("{% set x %}"),
      "{% set " + times("(") + "x %}", "{% for " + times("(x,") + " in y %}",
    ] { #expect(refused(.string(source)), "\(source.prefix(40))") }
  }

  @Test func runsSyntaxAsDeepAsAllowedOnASmallStack() {
    // Find the deepest accepted nesting of each bracket, and run it.
    for (open, middle, close) in [
      ("(", "1", ")"), ("[", "1", "]"), ("{1: ", "1", "}"), ("-", "1", ""), ("not ", "1", ""),
      ("'a'.join(['x', ", "'b'", "])"), ("dict(a=", "1", ")"),
      ("[1][0] + 1 * (", "2", ")"), ("1 if 0 else ", "1", ""), ("(1, 2)[", "0", "]"),
      ("[", "messages", "] | map('upper') | list | length"),
    ] {
      var accepted = 0
      for depth in 1...70 {
        let source =
          "{{ " + String(repeating: open, count: depth) + middle + String(repeating: close, count: depth) + " }}"
        guard case .failure(let error) = outcome(.string(source)) else {
          accepted = depth
          continue
        }
        #expect(error.message.contains("chat template line 1"), "\(error)")
      }
      #expect(accepted >= 8, "\(open)")
    }
    var body = "{{ x }}"
    for _ in 0..<25 { body = "{% for x in [1] %}{% if x %}" + body + "{% endif %}{% endfor %}" }
    #expect(succeeds(body))
  }

  @Test(
    "Nothing leads out of the sandbox",
    arguments: [
      "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.__init__.__globals__ }}",
      "{{ self.__init__.__globals__['os'].system('true') }}",
      "{% include '../../../../etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}",
      "{{ messages.append(1) }}",
      "{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "{{ namespace(__class__=1) }}",
    ]) func keepsTheSandbox(_ source: String)
  {
    #expect(refused(.string(source)))
  }

  @Test func namesTheLineAndTheReason() {
    #expect(refused("{{ nope() }}", "line 1: 'nope' is undefined"))
    #expect(
      refused(
        "x\n{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "line 2: the template does"
      ))
    #expect(refused("x\n{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "chat template line 2: "))
    #expect(refused("a\nb\n{{ 'x' | nope }}", "line 3: no filter named 'nope'"))
    #expect(refused("{#\n\n#}{{ 1 is nope }}", "line 3: no test named 'nope'"))
    #expect(refused("{% if true %}\n{% nope %}{% endif %}", "line 2: unknown tag 'nope'"))
    #expect(refused("\n{{ raise_exception('roles must alternate') }}", "line 2: roles must alternate"))
    #expect(refused("\n{% for m in messages %}\nx", "line 2: the template ends before '{% endfor %}'"))
    #expect(refused("{{ 1\n+\n'a' }}", "line 2: unsupported operand types for +: 'int' and 'str'"))
    #expect(refused("{{ '\u{1B}[2J' | nope }}{{ raise_exception('\u{1B}[31m') }}", "no filter named 'nope'"))
    #expect(refused("{{ messages[0].contents.x }}", "'dict object' has no attribute 'contents'"))
    #expect(refused("{{ 99999999999999999999 }}", "does not fit 64 bits"))
  }

  @Test func arithmeticAtTheEdgesOfInt64IsSafe() {
    for source in [
      "9223372036854775807 + 1", "9223372036854775807 * 2", "(-9223372036854775807 - 1) // -1",
      "-(-9223372036854775807 - 1)",
      "(-9223372036854775807 - 1) | abs", "2 ** 63", "[9223372036854775807, 1] | sum", "1e300 | int",
      "-9223372036854775807 - 2",
    ] { #expect(refused(.string("{{ \(source) }}"), "64 bits"), "\(source)") }
    for source in [
      "(-9223372036854775807 - 1) % -1", "messages[9223372036854775807]", "messages[-99]", "messages[1e30]",
      "'abc'[-9223372036854775807:9223372036854775807]",
      "'abc'[::-9223372036854775807]", "'abc'[::9223372036854775807]", "'äbc'[-9223372036854775807:]", "1e999 | int",
      "(-2) ** 63",
      "range(9223372036854775806, 9223372036854775807) | list", "1e999", "'%d' % (-9223372036854775807 - 1)",
    ] { #expect(succeeds("{{ \(source) }}"), "\(source)") }
    #expect(refused("{{ range(-9223372036854775807, 9223372036854775807) }}", "range is longer"))
  }

  @Test func aListOfTemplatesPicksByName() throws {
    let both: JSON = [["name": "default", "template": "plain"], ["name": "tool_use", "template": "tools"]]
    let template = try ChatTemplate(json: both, file: "x")
    #expect(try template.render(messages: [], addGenerationPrompt: false, variables: [:]) == "plain")
    #expect(try template.render(messages: [], addGenerationPrompt: false, variables: ["tools": []]) == "tools")
    #expect(try template.render(messages: [], addGenerationPrompt: false, variables: ["tools": .null]) == "plain")
    #expect(template.source == "plain")
    #expect(refused([["name": "x", "template": "{{ 1 }}"]], "named 'default'"))
    for value: JSON in [7, true, .null, ["a": 1], [1, 2], [["name": "x"]], []] { #expect(refused(value)) }
    #expect(refused(.string(String(repeating: "x", count: 3 << 20))))
  }

  @Test func generationInsideAMacroCannotBeTraced() throws {
    let template = try ChatTemplate(
      source: "{% macro m() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}", file: "x")
    #expect(try template.render(messages: [], addGenerationPrompt: false, variables: [:]) == "a")
    #expect(throws: DPOError.self) {
      try template.renderTracingGeneration(messages: [], addGenerationPrompt: false, variables: [:])
    }
  }

  /// Damaged templates end with a text or an error, whatever is cut, doubled or exchanged in them.
  @Test func survivesDamagedTemplates() throws {
    let pieces = [
      "{{", "}}", "{%", "%}", "{#", "-", "'", "\"", "(", ")", "[", "]", "|", ".", ":", ",", "~", "\\", "is ", "not ",
      "if ", "for ", "in ", "\n", "é", "0",
    ]
    var random = CounterRandom(key: 7)
    func below(_ bound: Int) -> Int { bound > 0 ? Int(random.next() % UInt64(bound)) : 0 }
    for name in ["qwen3", "llama3_1", "mistral_v3", "gptoss", "zephyr", "deepseekv3", "smollm2"] {
      let source = try readFile(Fixtures.path("templates/\(name).jinja"), limit: 1 << 20)
      for _ in 0..<150 {
        var bytes = source
        for _ in 0...below(4) {
          let start = below(bytes.count)
          let end = min(bytes.count, start + below(30))
          switch below(4) {
          case 0: bytes.removeSubrange(start..<end)
          case 1: bytes.insert(contentsOf: bytes[start..<end], at: below(bytes.count))
          case 2: bytes.insert(contentsOf: Array(pieces[below(pieces.count)].utf8), at: start)
          default: bytes.replaceSubrange(start..<end, with: Array(pieces[below(pieces.count)].utf8))
          }
        }
        if case .failure(let error) = outcome(.string(String(decoding: bytes, as: UTF8.self))) {
          #expect(error.message.hasPrefix("tokenizer_config.json: chat template line "), "\(error)")
        }
      }
    }
  }
}
