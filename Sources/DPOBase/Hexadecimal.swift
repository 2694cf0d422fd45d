/// `value` in lower-case hexadecimal, with zeros before it up to `digits` digits.
package func hexadecimal(_ value: some UnsignedInteger, digits: Int = 16) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
