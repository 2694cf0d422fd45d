import DPOBase
import DPOPlatform

/// The global functions.
extension TemplateEvaluator {
  func callFunction(_ function: TemplateFunction, _ arguments: Arguments) throws -> TemplateValue {
    switch function {
    case .raiseException:
      let message = try bind(arguments, ["message"], of: "raise_exception")[0] ?? .text("")
      throw fail(try text(message).string)
    case .strftimeNow:
      guard case .string(let format)? = try bind(arguments, ["format"], of: "strftime_now")[0] else {
        throw fail("strftime_now needs a format string")
      }
      return try now(format)
    case .range: return try range(arguments)
    case .namespace:
      guard case .dictionary(let values) = try mapping(arguments, of: "namespace") else { return .none }
      for (key, _) in values.entries {
        if case .string(let name) = key, name.string.hasPrefix("_") {
          throw fail(
            "a namespace cannot store '\(DPOError.printable(name.string))': names must not start with an underscore")
        }
      }
      try charge(256)
      namespaces.append(values)
      return .namespace(namespaces.count - 1)
    case .dictionary: return try mapping(arguments, of: "dict")
    }
  }

  /// `dict(mapping or pairs, **named)`
  private func mapping(_ arguments: Arguments, of what: String) throws -> TemplateValue {
    guard arguments.positional.count <= 1 else { throw fail("\(what) takes at most 1 positional argument") }
    var result = TemplateDictionary()
    switch arguments.positional.first {
    case .dictionary(let dictionary)?: result = dictionary
    case .undefined(let undefined)?: throw fail(undefined.reason)
    case let pairs?:
      for pair in try elements(pairs) {
        let parts = try elements(pair)
        guard parts.count == 2 else { throw fail("\(what) needs pairs of key and value") }
        try charge(128)
        result.set(parts[0], hashed: try hashed(parts[0]), parts[1])
      }
    case nil: break
    }
    for (name, value) in arguments.named { result.set(name, value) }
    return try dictionary(result)
  }

  private func range(_ arguments: Arguments) throws -> TemplateValue {
    guard arguments.named.isEmpty, (1...3).contains(arguments.positional.count) else {
      throw fail("range takes 1 to 3 numbers")
    }
    let numbers = try arguments.positional.map { value -> Int in
      if case .undefined(let undefined) = value { throw fail(undefined.reason) }
      guard let number = value.integer else { throw fail("range needs whole numbers, found '\(value.typeName)'") }
      return number
    }
    let start = numbers.count > 1 ? numbers[0] : 0
    let stop = numbers.count > 1 ? numbers[1] : numbers[0]
    let step = numbers.count > 2 ? numbers[2] : 1
    guard step != 0 else { throw fail("the step of range must not be zero") }
    guard step > 0 ? start < stop : start > stop else {
      return .range(TemplateRange(start: start, step: step, count: 0))
    }
    let (span, overflow) =
      step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
    let count = overflow ? UInt.max : (UInt(span) - 1) / step.magnitude + 1
    guard count <= UInt(Self.maximumRange) else { throw fail("range is longer than \(Self.maximumRange)") }
    return .range(TemplateRange(start: start, step: step, count: Int(count)))
  }

  /// Local time through strftime. Like Python's `datetime.now()`, which transformers gives templates, it knows no time zone.
  private func now(_ format: TemplateText) throws -> TemplateValue {
    guard format.bytes.count <= 1000, !format.bytes.contains(0) else {
      throw fail("the format of strftime_now is too long or holds a NUL")
    }
    guard !format.isEmpty else { return .string("") }
    var seconds = time ?? Machine.localTime
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { throw fail("strftime_now: the local time cannot be told") }
    parts.tm_isdst = -1
    // strftime returns 0 both for "does not fit" and for an empty result, so a blank is added and taken away.
    var buffer = [CChar](repeating: 0, count: 64 * 1024)
    let count = "".withCString { none in
      parts.tm_zone = none
      return strftime(&buffer, buffer.count, format.string + " ", &parts)
    }
    guard count > 0 else { throw fail("strftime_now: the time does not fit 64 kB") }
    return try string(buffer.prefix(count - 1).map { UInt8(bitPattern: $0) })
  }
}
