/// Where two long sequences differ, in words; nil if they are the same. `#expect(a == b)` computes the difference of two
/// arrays when it fails, which takes hours for 10⁵ numbers.
public func firstDifference<Element: Equatable>(
  _ found: some Collection<Element>, _ expected: some Collection<Element>
) -> String? {
  firstDifference(found, expected, by: ==)
}

/// The same of numbers by their bits: NaN equals itself, and 0 is not −0.
public func firstDifference(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> String? {
  firstDifference(found, expected) { $0.bitPattern == $1.bitPattern }
}

private func firstDifference<Element>(
  _ found: some Collection<Element>, _ expected: some Collection<Element>, by areSame: (Element, Element) -> Bool
) -> String? {
  guard found.count == expected.count else { return "\(found.count) elements, expected \(expected.count)" }
  var (first, count): (String, Int) = ("", 0)
  for (index, (a, b)) in zip(found, expected).enumerated() where !areSame(a, b) {
    if count == 0 { first = "number \(index) is \(a), expected \(b)" }
    count += 1
  }
  return count == 0 ? nil : "\(count) of \(found.count) differ, the first: \(first)"
}
