import DPOBase

extension TemplateEvaluator {
  func sequenceFilter(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    switch name {
    case "length", "count":
      _ = try bind(arguments, [], of: name)
      return .int(try length(value))
    case "list":
      _ = try bind(arguments, [], of: name)
      return try list(elements(value))
    case "items":
      if value.isUndefined { return try iterable(.generator, []) }
      guard case .dictionary(let dictionary) = value else {
        throw fail("items needs a mapping, found '\(value.typeName)'")
      }
      return try iterable(.generator, dictionary.entries.map { try tuple([$0.key, $0.value]) })
    case "first": return try elements(value).first ?? .undefined("No first item, sequence was empty.")
    case "last":
      if case .iterable(.generator, _) = value { throw fail("last needs a list; make the generator one with '| list'") }
      return try elements(value).last ?? .undefined("No last item, sequence was empty.")
    case "join": return try join(value, arguments)
    case "reverse":
      if case .string(let text) = value {
        try charge(text.bytes.count, times: 32)
        return try string(Array(text.characters.reversed().joined()))
      }
      return try iterable(.generator, elements(value).reversed())
    case "map": return try map(value, arguments)
    case "select", "reject", "selectattr", "rejectattr": return try select(name, value, arguments)
    case "dictsort": return try dictionarySorted(value, arguments)
    case "sort": return try sort(value, arguments)
    case "unique": return try unique(value, arguments)
    case "min", "max": return try extreme(name, value, arguments)
    case "sum": return try sum(value, arguments)
    case "batch", "slice": return try portions(name, value, arguments)
    case "groupby": return try groups(value, arguments)
    default: throw fail("no filter named '\(DPOError.printable(name))'")
    }
  }

  private func length(_ value: TemplateValue) throws -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text):
      try scan(text.bytes.count)
      return text.count
    case .list(let items), .tuple(let items): return items.count
    case .dictionary(let dictionary): return dictionary.count
    case .range(let range): return range.count
    case .loop(let index) where index < loops.count: return loops[index].items.count
    case .iterable(let kind, let items) where kind != .generator: return items.count
    default: throw fail("object of type '\(value.typeName)' has no length")
    }
  }

  /// Follows "a.b.0" from item to item.
  private func lookUp(_ path: TemplateValue, in item: TemplateValue) throws -> TemplateValue {
    guard case .string(let text) = path else { return try self.item(path, of: item) }
    var value = item
    for part in text.bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      let word = String(decoding: part, as: UTF8.self)
      let isIndex = !part.isEmpty && part.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      let key = isIndex ? Int(word).map { TemplateValue.int($0) } : nil
      value = try self.item(key ?? .string(TemplateText(part)), of: value)
    }
    return value
  }

  private func folded(_ value: TemplateValue, caseSensitive: Bool) throws -> TemplateValue {
    guard !caseSensitive, case .string(let text) = value else { return value }
    return try cased("lower", text)
  }

  /// A stable sort by key; a reversed one keeps the order of equals, as Python does.
  func sorted<Item>(_ items: [Item], reverse: Bool, key: (Item) throws -> TemplateValue) throws -> [Item] {
    try charge(items.count, times: 64)
    let keyed = try items.map { (key: try key($0), item: $0) }
    let order = try keyed.indices.sorted { a, b in
      try spend()
      let (x, y) = reverse ? (keyed[b].key, keyed[a].key) : (keyed[a].key, keyed[b].key)
      if try isLess(x, y, "<") { return true }
      return try !isLess(y, x, "<") && a < b
    }
    return order.map { keyed[$0].item }
  }

  private func join(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["d", "attribute"], of: "join")
    var items = try elements(value)
    if let attribute = values[1], !attribute.isNone { items = try items.map { try lookUp(attribute, in: $0) } }
    return try joined(items.map { try text($0) }, values[0].map { try text($0) } ?? "")
  }

  private func map(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    // Here and in `select`, jinja2 looks at nothing of what counts as false, None among it.
    guard value.isTrue else { return try iterable(.generator, []) }
    let items = try elements(value)
    if let filterName = arguments.positional.first {
      guard case .string(let name) = filterName else { throw fail("map needs a filter's name") }
      let rest = Arguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
      return try iterable(.generator, descend { try items.map { try filterStep(name.string, $0, rest) } })
    }
    let values = try bind(arguments, ["", "attribute", "default"], of: "map")
    guard let attribute = values[1] else { throw fail("map needs a filter's name or attribute=") }
    return try iterable(
      .generator,
      items.map { item in
        try spend()
        let found = try lookUp(attribute, in: item)
        return found.isUndefined ? values[2] ?? found : found
      })
  }

  private func filterStep(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    try spend()
    return try filter(name, value, arguments)
  }

  private func select(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    guard value.isTrue else { return try iterable(.generator, []) }
    var rest = arguments
    var attribute: TemplateValue?
    if name.hasSuffix("attr") {
      guard !rest.positional.isEmpty else { throw fail("\(name) needs an attribute") }
      attribute = rest.positional.removeFirst()
    }
    var testName: String?
    if !rest.positional.isEmpty {
      guard case .string(let text) = rest.positional.removeFirst() else { throw fail("\(name) needs a test's name") }
      testName = text.string
    }
    let keeps = name.hasPrefix("select")
    let items = try elements(value).filter { item in
      try spend()
      let subject = try attribute.map { try lookUp($0, in: item) } ?? item
      let holds = try testName.map { try test($0, subject, rest) } ?? subject.isTrue
      return holds == keeps
    }
    return try iterable(.generator, items)
  }

  private func dictionarySorted(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["case_sensitive", "by", "reverse"], of: "dictsort")
    if case .undefined(let undefined) = value { throw fail(undefined.reason) }
    guard case .dictionary(let dictionary) = value else {
      throw fail("dictsort needs a mapping, found '\(value.typeName)'")
    }
    let by = try values[1].map { try text($0).string } ?? "key"
    guard by == "key" || by == "value" else { throw fail("dictsort sorts by 'key' or 'value'") }
    let caseSensitive = values[0]?.isTrue ?? false
    let entries = try sorted(dictionary.entries, reverse: values[2]?.isTrue ?? false) {
      try folded(by == "key" ? $0.key : $0.value, caseSensitive: caseSensitive)
    }
    return try list(entries.map { try tuple([$0.key, $0.value]) })
  }

  private func sort(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["reverse", "case_sensitive", "attribute"], of: "sort")
    let caseSensitive = values[1]?.isTrue ?? false
    let items = try sorted(elements(value), reverse: values[0]?.isTrue ?? false) { item in
      guard let attribute = values[2], !attribute.isNone else { return try folded(item, caseSensitive: caseSensitive) }
      guard case .string(let names) = attribute else {
        return try folded(lookUp(attribute, in: item), caseSensitive: caseSensitive)
      }
      return try list(
        names.bytes.split(separator: UInt8(ascii: ",")).map {
          try folded(lookUp(.string(TemplateText($0)), in: item), caseSensitive: caseSensitive)
        })
    }
    return try list(items)
  }

  private func unique(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["case_sensitive", "attribute"], of: "unique")
    let caseSensitive = values[0]?.isTrue ?? false
    var seen: Set<TemplateDictionary.Key> = []
    let items = try elements(value).filter { item in
      let subject = try values[1].map { try lookUp($0, in: item) } ?? item
      return try seen.insert(hashed(folded(subject, caseSensitive: caseSensitive))).inserted
    }
    return try iterable(.generator, items)
  }

  private func extreme(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["case_sensitive", "attribute"], of: name)
    let caseSensitive = values[0]?.isTrue ?? false
    var best: (key: TemplateValue, item: TemplateValue)?
    for item in try elements(value) {
      try spend()
      let key = try folded(values[1].map { try lookUp($0, in: item) } ?? item, caseSensitive: caseSensitive)
      guard let current = best else {
        best = (key, item)
        continue
      }
      if try name == "min" ? isLess(key, current.key, "<") : isLess(current.key, key, ">") { best = (key, item) }
    }
    return best?.item ?? .undefined("No aggregated item, sequence was empty.")
  }

  private func sum(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["attribute", "start"], of: "sum")
    var total = values[1] ?? .int(0)
    for item in try elements(value) {
      try spend()
      let term = try values[0].flatMap { $0.isNone ? nil : $0 }.map { try lookUp($0, in: item) } ?? item
      total = try arithmetic(.add, total, term)
    }
    return total
  }

  /// `batch(n)`: lists of n; `slice(n)`: n lists.
  private func portions(_ name: String, _ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, [name == "batch" ? "linecount" : "slices", "fill_with"], of: name)
    let items = try elements(value)
    guard let count = values[0]?.integer, (1...Self.maximumRange).contains(count) else {
      throw fail("\(name) needs a number from 1")
    }
    let filling = values[1].flatMap { $0.isNone ? nil : $0 }
    var parts: [TemplateValue] = []
    if name == "batch" {
      for start in stride(from: 0, to: items.count, by: count) {
        var part = Array(items[start..<min(items.count, start + count)])
        if let filling, part.count < count { part += [TemplateValue](repeating: filling, count: count - part.count) }
        parts.append(try list(part))
      }
    } else {
      let (size, longer) = items.count.quotientAndRemainder(dividingBy: count)
      var start = 0
      for index in 0..<count {
        let end = start + size + (index < longer ? 1 : 0)
        var part = Array(items[start..<end])
        if let filling, index >= longer { part.append(filling) }
        parts.append(try list(part))
        start = end
      }
    }
    return try iterable(.generator, parts)
  }

  /// Pairs of (key, items), sorted by key.
  private func groups(_ value: TemplateValue, _ arguments: Arguments) throws -> TemplateValue {
    let values = try bind(arguments, ["attribute", "default", "case_sensitive"], of: "groupby")
    guard let attribute = values[0] else { throw fail("groupby needs an attribute") }
    let caseSensitive = values[2]?.isTrue ?? false
    func key(_ item: TemplateValue) throws -> TemplateValue {
      let found = try lookUp(attribute, in: item)
      return found.isUndefined ? values[1] ?? found : found
    }
    var groups: [(key: TemplateValue, folded: TemplateValue, items: [TemplateValue])] = []
    for item in try sorted(elements(value), reverse: false, key: { try folded(key($0), caseSensitive: caseSensitive) })
    {
      let name = try key(item)
      let folded = try folded(name, caseSensitive: caseSensitive)
      if let last = groups.last, try isEqual(last.folded, folded) {
        groups[groups.count - 1].items.append(item)
      } else {
        groups.append((name, folded, [item]))
      }
    }
    return try list(groups.map { try tuple([$0.key, list($0.items)]) })
  }
}
