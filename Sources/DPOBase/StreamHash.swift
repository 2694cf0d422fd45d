import CKernels

/// XXH3-64 of bytes that come in pieces.
package final class StreamHash {
  private let state: OpaquePointer

  package init() throws {
    guard let state = ck_hash_create() else { throw DPOError(.memory, "out of memory") }
    self.state = state
  }

  deinit { ck_hash_destroy(state) }

  package func update(_ bytes: UnsafeRawBufferPointer) { ck_hash_update(state, bytes.baseAddress, bytes.count) }
  package var value: UInt64 { ck_hash_value(state) }
}
