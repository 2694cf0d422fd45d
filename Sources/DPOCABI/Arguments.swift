import DPOBase
import DPOPlatform

/// An argument that must not be NULL.
func required<Pointer>(_ pointer: Pointer?, _ name: String) throws -> Pointer {
  guard let pointer else { throw DPOError.argument("\(name) is NULL") }
  return pointer
}

/// A NUL-terminated UTF-8 string that must not be NULL.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
  guard let string = String(validatingCString: try required(pointer, name)) else {
    throw DPOError.argument("\(name) is not valid UTF-8")
  }
  return string
}

/// The same where NULL means none.
func optionalText(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String? {
  try pointer.map { try text($0, name) }
}

/// Elements beyond this are no array but a wrong argument: their bytes do not fit an address space of 47 bits.
let maximumCount = 1 << 40

/// An array of the host: NULL is fine only when it is empty.
func array<Element>(
  _ pointer: UnsafePointer<Element>?, _ count: Int, _ name: String
) throws -> UnsafeBufferPointer<Element> {
  guard count >= 0, count <= maximumCount else {
    throw DPOError.argument("\(name): \(UInt(bitPattern: count)) elements, more than any array has")
  }
  guard pointer != nil || count == 0 else { throw DPOError.argument("\(name) is NULL; expected \(count) elements") }
  return UnsafeBufferPointer(start: pointer, count: count)
}

/// The same where NULL means none.
func optionalArray<Element>(_ pointer: UnsafePointer<Element>?, _ count: Int) -> UnsafeBufferPointer<Element>? {
  pointer.map { UnsafeBufferPointer(start: $0, count: count) }
}

/// Copies to an output array of at least that many elements; NULL: not wanted.
func write<Element>(_ values: [Element], to pointer: UnsafeMutablePointer<Element>?) {
  pointer?.update(from: values, count: values.count)
}

/// A copy for dpo_string_free.
func copiedText(_ string: String) throws -> (text: UnsafeMutablePointer<CChar>, size: Int) {
  var string = string
  let size = string.utf8.count
  guard let memory = malloc(size + 1)?.assumingMemoryBound(to: CChar.self) else {
    throw DPOError(.memory, "no memory for a text of \(size) bytes")
  }
  string.withUTF8 { bytes in
    if let base = bytes.baseAddress { memcpy(memory, base, size) }
  }
  memory[size] = 0
  return (memory, size)
}
